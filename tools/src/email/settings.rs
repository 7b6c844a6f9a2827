//! Settings of the email tool, from the environment.

use std::path::PathBuf;

use lettre::{Address, message::Mailbox};

use crate::settings::{SettingError, list, parsed, text};

/// How the connection to the server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte, as on port 465.
    Implicit,
    /// TLS after the greeting, as on port 587; never without.
    StartTls,
    /// In the clear, for a server on the same machine.
    None,
}

/// To whom may be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipients(Vec<String>);

impl Recipients {
    /// Addresses, and domains as `@example.com`; none at all: everybody.
    pub fn new(allowed: Vec<String>) -> Self {
        Self(
            allowed
                .into_iter()
                .map(|word| word.to_lowercase())
                .collect(),
        )
    }

    /// Whether to this address.
    pub fn allow(&self, address: &Address) -> bool {
        let address = address.to_string().to_lowercase();
        let is_allowed = |word: &String| {
            if word.starts_with('@') {
                address.ends_with(word.as_str())
            } else {
                address == *word
            }
        };
        self.0.is_empty() || self.0.iter().any(is_allowed)
    }
}

/// All settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `SMTP_HOST`.
    pub host: String,
    /// `SMTP_PORT`.
    pub port: u16,
    /// `SMTP_SECURITY`.
    pub security: Security,
    /// `SMTP_USERNAME` and `SMTP_PASSWORD`.
    pub login: Option<(String, String)>,
    /// `SMTP_FROM`.
    pub from: Mailbox,
    /// `EMAIL_ALLOWED_RECIPIENTS`.
    pub recipients: Recipients,
    /// `EMAIL_KEYS_PATH`: where the keys of sent messages are kept.
    pub keys: PathBuf,
}

impl Settings {
    /// Reads them.
    pub fn from_environment() -> Result<Self, SettingError> {
        let host = text("SMTP_HOST")
            .ok_or_else(|| SettingError::new("SMTP_HOST", "is missing: name the mail server"))?;
        let port = parsed("SMTP_PORT", "a port such as 587")?.unwrap_or(587);
        let security = match text("SMTP_SECURITY").as_deref() {
            Some("implicit") => Security::Implicit,
            Some("none") => Security::None,
            None if port == 465 => Security::Implicit,
            None | Some("starttls") => Security::StartTls,
            Some(_) => {
                let problem = "is unknown: write starttls, implicit or none";
                return Err(SettingError::new("SMTP_SECURITY", problem));
            }
        };
        let user = text("SMTP_USERNAME");
        let from = text("SMTP_FROM").or_else(|| user.clone().filter(|user| user.contains('@')));
        let from = from.ok_or_else(|| {
            SettingError::new(
                "SMTP_FROM",
                "is missing: name the sender, such as agents@example.com",
            )
        })?;
        let from = from.parse().map_err(|_| {
            SettingError::new(
                "SMTP_FROM",
                "is no address: write for example agents@example.com",
            )
        })?;
        let keys = text("EMAIL_KEYS_PATH").unwrap_or_else(|| "/tmp/langop-email".to_owned());
        Ok(Self {
            host,
            port,
            security,
            login: user.zip(text("SMTP_PASSWORD")),
            from,
            recipients: Recipients::new(list("EMAIL_ALLOWED_RECIPIENTS")),
            keys: keys.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_addresses_or_domains() {
        let allowed = Recipients::new(vec![
            "Ops@example.com".to_owned(),
            "@team.example".to_owned(),
        ]);
        for (address, is_allowed) in [
            ("ops@example.com", true),
            ("OPS@EXAMPLE.COM", true),
            ("x@team.example", true),
            ("x@eviltteam.example", false),
            ("ops@example.com.evil", false),
            ("x@sub.team.example", false),
        ] {
            let address: Address = address.parse().unwrap();
            assert_eq!(allowed.allow(&address), is_allowed, "{address}");
            assert!(Recipients::default().allow(&address));
        }
    }
}
