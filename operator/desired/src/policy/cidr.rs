//! Address ranges, read strictly and written in canonical form. No addresses are looked up.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv6Net};

/// The well-known prefix of NAT64.
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

/// An address range. Its address is the first of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr(IpNet);

impl Cidr {
    /// Whether all of `other` is in this range.
    pub(crate) fn holds(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether `other` is a part of this range and not all of it.
    pub(crate) fn is_wider_than(self, other: Self) -> bool {
        self != other && self.holds(other)
    }

    /// Whether any address is in both.
    pub(crate) fn meets(self, other: Self) -> bool {
        self.holds(other) || other.holds(self)
    }

    /// The range of this one address.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(address.into())
    }

    /// Its first and its last address.
    pub(crate) fn bounds(self) -> (IpAddr, IpAddr) {
        (self.0.network(), self.0.broadcast())
    }

    /// Where NAT64 (RFC 6052) maps an IPv4 range; `None` of an IPv6 range.
    pub(crate) fn behind_nat64(self) -> Option<Self> {
        let IpNet::V4(range) = self.0 else {
            return None;
        };
        let address = Ipv6Addr::from_bits(NAT64.to_bits() | u128::from(range.addr().to_bits()));
        let mapped = Ipv6Net::new(address, range.prefix_len().saturating_add(96)).ok()?;
        Some(Self(mapped.into()))
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| format!("invalid address range '{text}': write an address and a prefix length, for example 203.0.113.0/24 or 2001:db8::/32"))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Stricter than `IpNet`'s own reader, which takes leading zeros and IPv4 addresses mapped to IPv6:
/// they would mean one address to some and another to others.
fn parse(text: &str) -> Option<Cidr> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let is_mapped = address.to_canonical() != address;
    let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
    let range = IpNet::new(address, length.parse().ok()?).ok()?;
    (is_number && !is_mapped).then(|| Cidr(range.trunc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_canonically() {
        for (text, written) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("203.0.113.7/32", "203.0.113.7/32"),
            ("1.2.3.4/0", "0.0.0.0/0"),
            ("2001:DB8:0:0::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "999.0.0.0/8",
            "10.0.0/8",
            "010.0.0.0/8",
            "::/129",
            "::ffff:10.0.0.1/120",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "a/8",
            "::/0/0",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn wider_is_strict_and_of_one_family() {
        let wider = |a: &str, b: &str| a.parse::<Cidr>().unwrap().is_wider_than(b.parse().unwrap());
        assert!(
            wider("0.0.0.0/0", "10.0.0.0/8")
                && wider("10.0.0.0/8", "10.9.0.0/16")
                && wider("::/0", "fe80::/10")
        );
        assert!(!wider("10.0.0.0/8", "10.0.0.0/8") && !wider("10.0.0.0/16", "10.0.0.0/8"));
        assert!(!wider("10.0.0.0/8", "11.0.0.0/16") && !wider("0.0.0.0/0", "fe80::/10"));
    }

    #[test]
    fn ranges_are_found_again_behind_nat64() {
        let behind = |range: &str| range.parse::<Cidr>().unwrap().behind_nat64();
        for (range, mapped) in [
            ("169.254.0.0/16", "64:ff9b::a9fe:0/112"),
            ("0.0.0.0/0", "64:ff9b::/96"),
            ("192.0.2.1/32", "64:ff9b::c000:201/128"),
        ] {
            assert_eq!(behind(range), Some(mapped.parse().unwrap()));
        }
        assert_eq!(behind("fe80::/10"), None);
    }
}
