//! Hints at the start about settings of the network that fit most clusters and perhaps not this
//! one. Decides nothing.

use std::net::IpAddr;

use langop_desired::{policy, settings::Settings};

/// A pod's resolvers.
const FILE: &str = "/etc/resolv.conf";

/// Says what may be missing.
pub(crate) fn warn_of_settings(settings: &Settings) {
    if settings.cluster_cidrs.is_empty() {
        tracing::warn!(
            "LANGOP_CLUSTER_CIDRS is not set: egress rules as wide as 0.0.0.0/0 leave out all private ranges; set the ranges of pods, Services and nodes"
        );
    }
    let text = std::fs::read_to_string(FILE).unwrap_or_default();
    for resolver in unreachable_resolvers(&text, settings) {
        tracing::warn!(
            %resolver,
            "this pod asks for names at an address that agents, tools, model proxies and clients may not reach: if theirs is the same (NodeLocal DNSCache, a cloud's own DNS), name it in LANGOP_DNS_CIDRS"
        );
    }
}

/// The resolvers that no policy opens. One on the loopback device says nothing of other pods'.
fn unreachable_resolvers(resolv_conf: &str, settings: &Settings) -> Vec<IpAddr> {
    let named = resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    let addresses = named.filter_map(|text| text.split('%').next()?.parse::<IpAddr>().ok());
    addresses
        .filter(|address| !address.is_loopback() && !policy::is_dns_open(*address, settings))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_that_nothing_opens_are_named() {
        let mut settings = Settings::default();
        let file = "# a comment\nsearch demo.svc\nnameserver 10.96.0.10\n nameserver 169.254.20.10\nnameserver fe80::1%eth0\n\
             nameserver 127.0.0.53\nnameserver\nnameserver x\noptions ndots:5\n";
        let named = |settings: &Settings| -> Vec<String> {
            unreachable_resolvers(file, settings)
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(named(&settings), ["169.254.20.10", "fe80::1"]);
        settings.dns.cidrs = vec!["169.254.20.10/32".into(), "fe80::/64".into()];
        assert!(named(&settings).is_empty());
        settings.cluster_cidrs = vec!["10.128.0.0/9".into()];
        assert_eq!(named(&settings), ["10.96.0.10"], "not a Service's");
    }
}
