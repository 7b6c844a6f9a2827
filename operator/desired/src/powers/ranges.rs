//! Sets of IP addresses. Each set has one form only, the shortest sorted list of ranges, so that
//! two that mean the same are equal however they were written.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use crate::policy::cidr::Cidr;

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Addresses(Vec<Range>);

/// All addresses from one to another. Its text is that of a CIDR where it is one, else
/// `FIRST-LAST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Range {
    is_v6: bool,
    first: u128,
    last: u128,
}

impl Addresses {
    /// All that is in one of these ranges.
    pub(super) fn of(ranges: impl IntoIterator<Item = Range>) -> Self {
        let mut all: Vec<Range> = ranges.into_iter().collect();
        all.sort_unstable();
        let mut merged: Vec<Range> = Vec::new();
        for range in all {
            match merged.last_mut() {
                Some(last) if last.is_v6 == range.is_v6 && range.first <= last.after() => {
                    last.last = last.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    /// What is here and not there.
    pub(super) fn minus(&self, other: &Self) -> Self {
        let rest = self.0.iter().flat_map(|range| range.minus(&other.0));
        Self(rest.collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what is in another set.
    pub(super) fn add(&mut self, other: &Self) {
        let all = self.0.iter().chain(&other.0).copied();
        *self = Self::of(all);
    }

    /// In order.
    pub(super) fn ranges(&self) -> impl Iterator<Item = &Range> {
        self.0.iter()
    }

    /// Whether it has the form that [`Self::of`] gives it.
    pub(super) fn is_canonical(&self) -> bool {
        Self::of(self.0.iter().copied()) == *self
    }
}

impl Range {
    /// From one address to another of its family that is no smaller.
    fn between(first: IpAddr, last: IpAddr) -> Option<Self> {
        let range = Self {
            is_v6: first.is_ipv6(),
            first: bits(first),
            last: bits(last),
        };
        (first.is_ipv6() == last.is_ipv6() && range.first <= range.last).then_some(range)
    }

    /// The first address behind it; the last there is has none.
    fn after(&self) -> u128 {
        self.last.saturating_add(1)
    }

    /// What is in none of these ranges, which are sorted and apart.
    fn minus(self, others: &[Self]) -> Vec<Self> {
        let mut rest = Vec::new();
        let mut first = Some(self.first);
        let meets = |other: &&Self| {
            other.is_v6 == self.is_v6 && other.last >= self.first && other.first <= self.last
        };
        for other in others.iter().filter(meets) {
            let Some(from) = first else { break };
            if other.first > from {
                let last = other.first - 1;
                rest.push(Self {
                    first: from,
                    last,
                    ..self
                });
            }
            let next = other.last.checked_add(1);
            first = next.filter(|next| *next <= self.last);
        }
        rest.extend(first.map(|first| Self { first, ..self }));
        rest
    }

    fn address(self, bits: u128) -> IpAddr {
        match u32::try_from(bits) {
            Ok(bits) if !self.is_v6 => Ipv4Addr::from_bits(bits).into(),
            _ => Ipv6Addr::from_bits(bits).into(),
        }
    }

    /// The length of its prefix, if it is a CIDR.
    fn prefix(self) -> Option<u32> {
        let free = self.first ^ self.last;
        let is_low = free & free.wrapping_add(1) == 0;
        let longest = if self.is_v6 { 128 } else { 32 };
        (is_low && self.first & free == 0).then(|| longest - free.count_ones())
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl From<Cidr> for Range {
    fn from(cidr: Cidr) -> Self {
        let (first, last) = cidr.bounds();
        Self {
            is_v6: first.is_ipv6(),
            first: bits(first),
            last: bits(last),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.address(self.first);
        match self.prefix() {
            Some(length) => write!(f, "{first}/{length}"),
            None => write!(f, "{first}-{}", self.address(self.last)),
        }
    }
}

impl From<Range> for String {
    fn from(range: Range) -> Self {
        range.to_string()
    }
}

impl TryFrom<String> for Range {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let range = match text.split_once('-') {
            None => Some(Self::from(text.parse::<Cidr>()?)),
            Some((first, last)) => match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) => Self::between(first, last),
                _ => None,
            },
        };
        range.ok_or_else(|| {
            format!("invalid address range '{text}': write FIRST-LAST, or an address and a prefix length")
        })
    }
}
