//! Addresses that no tenant's rule means: where clouds keep their credentials, and what is no
//! address of the Internet. Owns the lists; what a rule does about them is [`super`]'s matter.

use std::net::IpAddr;

use super::cidr::Cidr;
use crate::settings::Settings;

/// Metadata services of clouds, and the link-local addresses in which most of them are. Not even a
/// rule that names one of these means it.
const NEVER: [&str; 8] = [
    "169.254.0.0/16",
    "fe80::/10",
    // Azure.
    "168.63.129.16/32",
    // Alibaba Cloud.
    "100.100.100.200/32",
    // Special purposes (RFC 6890); Oracle Cloud.
    "192.0.0.0/24",
    // AWS.
    "fd00:ec2::/32",
    // Google Cloud.
    "fd20:ce::254/128",
    // Local NAT64 (RFC 8215), which may map any IPv4 address.
    "64:ff9b:1::/48",
];

/// Private ranges, where a cluster's own are as long as nobody says.
const PRIVATE: [&str; 5] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "fc00::/7",
];

/// Further ranges that are not of the Internet (RFC 6890), those that map IPv4 addresses among
/// them.
const SPECIAL: [&str; 7] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "2001::/32",
    "2002::/16",
];

/// The Internet: IPv4, IPv6, and IPv4 behind NAT64.
const PUBLIC: [&str; 3] = ["0.0.0.0/0", "2000::/3", "64:ff9b::/96"];

/// Ranges that no tenant's rule means, the setting's among them.
pub(super) fn ranges(settings: &Settings) -> Vec<Cidr> {
    with_nat64(NEVER.into_iter().chain(texts(&settings.never_cidrs)))
}

/// The cluster's own ranges: the setting's; all private ones as long as it has none.
pub(super) fn of_cluster(settings: &Settings) -> Vec<Cidr> {
    if settings.cluster_cidrs.is_empty() {
        with_nat64(PRIVATE)
    } else {
        with_nat64(texts(&settings.cluster_cidrs))
    }
}

/// The ranges of the Internet, and what of each is left out.
pub(super) fn public(settings: &Settings) -> Vec<(Cidr, Vec<Cidr>)> {
    let left_out = not_public(settings);
    let of = |range: Cidr| {
        let parts = left_out.iter().copied();
        (
            range,
            parts.filter(|part| range.is_wider_than(*part)).collect(),
        )
    };
    parsed(PUBLIC).map(of).collect()
}

/// Whether this is certainly no address of the Internet, or one of the cluster's own.
pub(crate) fn is_special(address: IpAddr, settings: &Settings) -> bool {
    let one = Cidr::of(address);
    let is_public = parsed(PUBLIC).any(|range| range.holds(one));
    !is_public || not_public(settings).iter().any(|range| range.holds(one))
}

fn not_public(settings: &Settings) -> Vec<Cidr> {
    let mut all = ranges(settings);
    all.extend(of_cluster(settings));
    all.extend(with_nat64(PRIVATE.into_iter().chain(SPECIAL)));
    all
}

/// These ranges, and those in which NAT64 would reach them.
fn with_nat64<'a>(ranges: impl IntoIterator<Item = &'a str>) -> Vec<Cidr> {
    let mapped = |range: Cidr| [Some(range), range.behind_nat64()].into_iter().flatten();
    parsed(ranges).flat_map(mapped).collect()
}

/// A setting that is no range was refused when the operator started.
fn parsed<'a>(ranges: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = Cidr> {
    ranges.into_iter().filter_map(|text| text.parse().ok())
}

fn texts(ranges: &[String]) -> impl Iterator<Item = &str> {
    ranges.iter().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_can_be_read() {
        let count = NEVER.len() + PRIVATE.len() + SPECIAL.len() + PUBLIC.len();
        let all = NEVER
            .into_iter()
            .chain(PRIVATE)
            .chain(SPECIAL)
            .chain(PUBLIC);
        assert_eq!(parsed(all).count(), count);
    }

    #[test]
    fn special_addresses_are_told_from_those_of_the_internet() {
        let settings = Settings {
            cluster_cidrs: vec!["203.0.113.0/24".into()],
            ..Settings::default()
        };
        let special = |text: &str| is_special(text.parse().unwrap(), &settings);
        for text in [
            "169.254.169.254",
            "127.0.0.1",
            "10.1.2.3",
            "::1",
            "fd00::1",
            "fe80::1",
            "203.0.113.7",
            "64:ff9b::a9fe:a9fe",
            "2002::1",
        ] {
            assert!(special(text), "{text}");
        }
        for text in ["198.51.100.1", "2001:db8::1", "64:ff9b::c633:6401"] {
            assert!(!special(text), "{text}");
        }
    }
}
