//! Which addresses may be fetched from. Pure: whoever resolves a name asks here for each address it
//! got.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that are not public and may be fetched from all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(Vec<(IpAddr, u8)>);

impl Allowed {
    /// Addresses and CIDRs.
    ///
    /// # Errors
    /// The word that is neither.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let one = |word: &String| {
            let (address, length) = match word.split_once('/') {
                Some((address, length)) => (address, Some(length)),
                None => (word.as_str(), None),
            };
            let address: IpAddr = address.parse().map_err(|_| word.clone())?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let length = length
                .map_or(Ok(most), str::parse)
                .map_err(|_| word.clone())?;
            if length > most {
                return Err(word.clone());
            }
            Ok((address, length))
        };
        words.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `address` is public, or allowed.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = plain(address);
        is_public(address)
            || self
                .0
                .iter()
                .any(|(net, length)| holds(*net, *length, address))
    }
}

/// IPv4 addresses in the clothes of IPv6 are IPv4 addresses.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let segments = v6.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::from(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // NAT64 and 6to4 lead to the address that they embed.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        _ => address,
    }
}

fn holds(net: IpAddr, length: u8, address: IpAddr) -> bool {
    match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            u32::from(net) & mask == u32::from(address) & mask
        }
        (IpAddr::V6(net), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            u128::from(net) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = a == 0
        || a >= 240
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        // Shared by carriers; IETF protocols; the old 6to4 relays; benchmarks.
        || a == 100 && (64..128).contains(&b)
        || a == 192 && b == 0 && c == 0
        || a == 192 && b == 88 && c == 99
        || a == 198 && (18..20).contains(&b);
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is in use; of it not Teredo and other protocols' (2001:0::/23), nor
    // documentation.
    first & 0xe000 == 0x2000
        && !(first == 0x2001 && second < 0x200)
        && !(first == 0x2001 && second == 0xdb8)
        && first & 0xfff0 != 0x3ff0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses() {
        let none = Allowed::default();
        for public in [
            "1.1.1.1",
            "93.184.216.34",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
        ] {
            assert!(none.allows(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!none.allows(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn exceptions_are_addresses_or_nets() {
        let words = ["10.1.0.0/16", "127.0.0.1", "fd00::/8"].map(str::to_owned);
        let allowed = Allowed::parse(&words).unwrap();
        for (address, is_allowed) in [
            ("10.1.2.3", true),
            ("10.2.2.3", false),
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("127.0.0.2", false),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(
                allowed.allows(address.parse().unwrap()),
                is_allowed,
                "{address}"
            );
        }
        for bad in ["x", "10.0.0.0/33", "10.0.0.0/", "fd00::/129"] {
            assert_eq!(Allowed::parse(&[bad.to_owned()]), Err(bad.to_owned()));
        }
        let all = Allowed::parse(&["0.0.0.0/0".to_owned()]).unwrap();
        assert!(all.allows("10.0.0.1".parse().unwrap()));
    }
}
