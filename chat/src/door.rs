//! Who may use the API: programs, and the page that this process serves. Pure.
//!
//! A web page of somebody else must not: it would speak with the person's network access, to tools
//! that act. A browser tells by `Origin` which page asks, and this page's own origin is the one it
//! was opened under, `Host`. That alone would let in a page whose name was made to lead here (DNS
//! rebinding), so that `Host` must be one of the names that nobody else can give out.

use std::collections::BTreeSet;

use langop_runtime::env::Environment;
use reqwest::Url;

/// The names under which this process can be opened.
#[derive(Debug, Clone)]
pub struct Door {
    names: BTreeSet<String>,
    /// Origins as the settings name them.
    origins: BTreeSet<String>,
}

/// Why a request is turned away, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnedAway(pub String);

impl Door {
    /// Opened under the names of the Service, of this machine, and of `origins`.
    pub fn new(environment: &Environment, origins: &[Url]) -> Self {
        let (name, namespace) = (&environment.name, &environment.namespace);
        let service = [
            name.clone(),
            format!("{name}.{namespace}"),
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}.svc.cluster.local"),
        ];
        let service = service.into_iter().filter(|_| !namespace.is_empty());
        let named = origins.iter().filter_map(Url::host_str).map(str::to_owned);
        let here = ["localhost".to_owned()];
        Self {
            names: here.into_iter().chain(service).chain(named).collect(),
            origins: origins.iter().map(ascii).collect(),
        }
    }

    /// Whether a request with these headers may be answered.
    ///
    /// # Errors
    /// If not.
    pub fn admit(&self, host: Option<&str>, origin: Option<&str>) -> Result<(), TurnedAway> {
        let opened = host.and_then(|host| Url::parse(&format!("http://{host}")).ok());
        let Some(opened) = opened.filter(|opened| self.is_ours(opened)) else {
            return Err(turned_away("this name", host));
        };
        let Some(origin) = origin else {
            return Ok(());
        };
        let asking = Url::parse(origin).ok();
        let asking = asking.filter(|asking| matches!(asking.scheme(), "http" | "https"));
        let is_good = asking.is_some_and(|asking| {
            self.origins.contains(&ascii(&asking)) || authority(&asking) == authority(&opened)
        });
        if is_good {
            Ok(())
        } else {
            Err(turned_away("a page of", Some(origin)))
        }
    }

    /// Numbers are names that lead nowhere else.
    fn is_ours(&self, opened: &Url) -> bool {
        let Some(host) = opened.host_str() else {
            return false;
        };
        let is_number = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
        is_number || self.names.contains(host)
    }
}

fn ascii(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Host and port as they were written: the scheme is not known where somebody else ends TLS.
fn authority(url: &Url) -> (Option<&str>, Option<u16>) {
    (url.host_str(), url.port())
}

fn turned_away(what: &str, value: Option<&str>) -> TurnedAway {
    let value: String = value
        .unwrap_or("none")
        .chars()
        .filter(|c| !c.is_control())
        .take(100)
        .collect();
    TurnedAway(format!(
        "requests from {what} are not answered ({value}): if people open the page there, add it to LANGOP_CHAT_ORIGINS, for example https://chat.example.com"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(origins: &[&str]) -> Door {
        let variables = [("AGENT_NAME", "chat"), ("AGENT_NAMESPACE", "demo")];
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let environment = Environment::read(&lookup).unwrap();
        let origins: Vec<_> = origins.iter().map(|one| Url::parse(one).unwrap()).collect();
        Door::new(&environment, &origins)
    }

    #[test]
    fn programs_and_the_own_page_come_in() {
        let door = door(&["https://chat.example.com"]);
        for (host, origin) in [
            ("127.0.0.1:8080", None),
            ("10.1.2.3:8080", Some("http://10.1.2.3:8080")),
            ("[::1]:8080", Some("http://[::1]:8080")),
            ("localhost:8080", Some("http://localhost:8080")),
            ("chat", Some("http://chat")),
            ("chat.demo:8080", None),
            ("chat.demo.svc.cluster.local:8080", None),
            ("chat.example.com", Some("https://chat.example.com")),
            // A proxy that says its own name.
            ("chat.demo.svc:8080", Some("https://chat.example.com")),
        ] {
            assert_eq!(door.admit(Some(host), origin), Ok(()), "{host} {origin:?}");
        }
    }

    #[test]
    fn pages_of_others_do_not() {
        let door = door(&["https://chat.example.com"]);
        for (host, origin) in [
            // Opened from elsewhere.
            (Some("localhost:8080"), Some("https://evil.example")),
            (Some("localhost:8080"), Some("http://localhost:3000")),
            (Some("localhost:8080"), Some("null")),
            (Some("localhost:8080"), Some("file://localhost:8080")),
            (Some("10.1.2.3:8080"), Some("http://10.1.2.4:8080")),
            // Made to lead here.
            (Some("evil.example:8080"), Some("http://evil.example:8080")),
            (Some("evil.example:8080"), None),
            (Some("chat.demo.svc.evil.example"), None),
            (Some("localhost.evil.example"), None),
            (Some("evil.example@localhost"), Some("http://evil.example")),
            (Some(""), None),
            (None, None),
        ] {
            let turned = door.admit(host, origin).unwrap_err();
            assert!(
                turned.0.contains("LANGOP_CHAT_ORIGINS"),
                "{host:?} {origin:?}"
            );
        }
    }
}
