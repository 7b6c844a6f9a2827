//! Of a provider's URL, the part that a policy is about: the host and the port. Nothing is looked up.

use std::net::IpAddr;

use crate::{policy, settings::Settings};

/// Where a proxy finds its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint<'a> {
    /// A name, or an address without brackets; empty where the provider's own is meant.
    pub(super) host: &'a str,
    /// The URL's, or its scheme's.
    pub(super) port: i32,
}

impl<'a> Endpoint<'a> {
    /// Of a URL; without one, of a provider's own.
    pub(super) fn of(url: Option<&'a str>) -> Self {
        let (scheme, rest) = url
            .and_then(|url| url.split_once("://"))
            .unwrap_or_default();
        let usual = if scheme.eq_ignore_ascii_case("http") {
            80
        } else {
            443
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let (host, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((address, rest)) => (address, rest.strip_prefix(':')),
            None => match host.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host, None),
            },
        };
        let port = port.and_then(|port| port.parse().ok());
        Self {
            host,
            port: port
                .filter(|port| (1..=65535).contains(port))
                .unwrap_or(usual),
        }
    }

    /// Whether it is certainly not on the Internet: an address that is not, or a name of the cluster.
    pub(super) fn is_not_public(&self, settings: &Settings) -> bool {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return policy::is_special(address, settings);
        }
        let host = self.host.trim_end_matches('.').to_ascii_lowercase();
        let is_short = !host.is_empty() && !host.contains('.');
        let private = ["svc", "internal", &settings.cluster_domain];
        let is_below = |domain: &&str| {
            let above = host.strip_suffix(*domain);
            above.is_some_and(|above| above.ends_with('.'))
        };
        is_short || private.iter().any(is_below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_read_from_a_url() {
        for (url, host, port) in [
            (None, "", 443),
            (Some("https://api.example.com/v1"), "api.example.com", 443),
            (Some("http://api.example.com"), "api.example.com", 80),
            (
                Some("http://ollama.demo.svc:11434/x?y"),
                "ollama.demo.svc",
                11434,
            ),
            (
                Some("https://user:word@api.example.com:8443"),
                "api.example.com",
                8443,
            ),
            (Some("http://[2001:db8::1]:81/"), "2001:db8::1", 81),
            (Some("https://[2001:db8::1]"), "2001:db8::1", 443),
            (Some("https://h:0"), "h", 443),
        ] {
            assert_eq!(Endpoint::of(url), Endpoint { host, port }, "{url:?}");
        }
    }

    #[test]
    fn what_is_certainly_not_public_is_told() {
        let is_not = |url: &str| Endpoint::of(Some(url)).is_not_public(&Settings::default());
        for url in [
            "http://ollama:11434",
            "http://ollama.demo.svc:11434",
            "http://OLLAMA.demo.svc.cluster.local.",
            "http://10.1.2.3",
            "http://169.254.169.254",
            "http://[fd00:ec2::254]",
            "http://metadata.google.internal",
            "http://localhost:1",
        ] {
            assert!(is_not(url), "{url}");
        }
        for url in [
            "https://api.example.com",
            "https://198.51.100.7",
            "https://[2001:db8::1]",
        ] {
            assert!(!is_not(url), "{url}");
        }
        assert!(!Endpoint::of(None).is_not_public(&Settings::default()));
    }
}
