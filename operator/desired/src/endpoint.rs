//! The `endpoint` of a LanguageModel, read once for both who need it: the policy that opens the way
//! to the provider ([`crate::reach`]), and the configuration of the proxy ([`crate::model`]).
//! Nothing is looked up.

use std::net::IpAddr;

use crate::{policy, settings::Settings};

/// Where a proxy finds its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint<'a> {
    /// A name, or an address without brackets; empty where the provider's own is meant.
    pub(crate) host: &'a str,
    /// The URL's, or its scheme's.
    pub(crate) port: i32,
    /// The URL up to its query or fragment, without slashes at its end.
    pub(crate) base: &'a str,
    /// What of that comes after the host and the port: empty, or a path with its first slash.
    pub(crate) path: &'a str,
    /// Whether there is a query or a fragment.
    pub(crate) has_query: bool,
}

impl<'a> Endpoint<'a> {
    /// Of a URL; without one, of a provider's own.
    pub(crate) fn of(url: Option<&'a str>) -> Self {
        let url = url.unwrap_or_default();
        let end = url.find(['?', '#']);
        let base = url[..end.unwrap_or(url.len())].trim_end_matches('/');
        let (scheme, rest) = base.split_once("://").unwrap_or_default();
        let usual = if scheme.eq_ignore_ascii_case("http") {
            80
        } else {
            443
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
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
            base,
            path,
            has_query: end.is_some(),
        }
    }

    /// Whether it is certainly not on the Internet: an address that is not, or a name of the
    /// cluster.
    pub(crate) fn is_not_public(&self, settings: &Settings) -> bool {
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
            let endpoint = Endpoint::of(url);
            assert_eq!((endpoint.host, endpoint.port), (host, port), "{url:?}");
        }
    }

    #[test]
    fn the_path_is_what_comes_before_a_query() {
        for (url, base, path, has_query) in [
            ("http://h", "http://h", "", false),
            ("http://h:1/", "http://h:1", "", false),
            ("http://h/a/b/?c/d", "http://h/a/b", "/a/b", true),
            ("http://h#x", "http://h", "", true),
        ] {
            let endpoint = Endpoint::of(Some(url));
            let read = (endpoint.base, endpoint.path, endpoint.has_query);
            assert_eq!(read, (base, path, has_query), "{url}");
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
