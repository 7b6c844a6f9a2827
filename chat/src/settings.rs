//! Settings that are not of the contract with containers. Pure: the caller hands in a function that
//! looks variables up.

use langop_runtime::{outcome::Failure, process::configuration};
use reqwest::Url;

/// `LANGOP_CHAT_*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `LANGOP_CHAT_ORIGINS`: under which addresses people open the page, beside those of its
    /// Service and of their own machine.
    pub origins: Vec<Url>,
    /// `LANGOP_CHAT_INSTRUCTIONS`: what the models are told before a conversation.
    pub instructions: Option<String>,
}

impl Settings {
    /// Reads them; `lookup` gives a variable's value. An empty value is as good as none.
    ///
    /// # Errors
    /// If one of them is wrong.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let text = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let origins = text("LANGOP_CHAT_ORIGINS").unwrap_or_default();
        let origins = origins
            .split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty());
        Ok(Self {
            origins: origins.map(origin).collect::<Result<_, _>>()?,
            instructions: text("LANGOP_CHAT_INSTRUCTIONS"),
        })
    }
}

fn origin(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).ok().filter(|url| {
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        is_web && url.path() == "/" && url.query().is_none() && url.username().is_empty()
    });
    url.ok_or_else(|| {
        configuration(format!(
            "LANGOP_CHAT_ORIGINS holds '{text}', which is no origin: write for example https://chat.example.com"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(origins: &str) -> Result<Settings, Failure> {
        Settings::read(&|name| (name == "LANGOP_CHAT_ORIGINS").then(|| origins.to_owned()))
    }

    #[test]
    fn origins_are_scheme_host_and_port() {
        let origins = read("https://chat.example.com, http://chat:8080/,")
            .unwrap()
            .origins;
        let origins: Vec<_> = origins.iter().map(Url::as_str).collect();
        assert_eq!(origins, ["https://chat.example.com/", "http://chat:8080/"]);
        assert_eq!(read(" ").unwrap(), Settings::default());
        for wrong in [
            "*",
            "chat.example.com",
            "https://a/b",
            "ftp://a",
            "https://u@a",
        ] {
            let message = read(wrong).unwrap_err().message;
            assert!(message.contains("write for example"), "{message}");
        }
    }
}
