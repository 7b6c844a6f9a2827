//! Tombstones for the most recently deleted objects: a late response to one of our writes must not
//! resurrect a deleted object. An object that a watch's selector matches again has a newer version,
//! and is stored.

use std::collections::{HashMap, VecDeque};

/// Many times the number of writes that can be in flight.
const REMEMBERED: usize = 4096;

/// Uids of objects that are gone, and the version at which they went.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    in_order: VecDeque<String>,
    versions: HashMap<String, u64>,
}

impl Tombstones {
    pub(crate) fn note(&mut self, uid: &str, version: Option<u64>) {
        let Some(version) = version else { return };
        if self.versions.insert(uid.to_owned(), version).is_none() {
            self.in_order.push_back(uid.to_owned());
        }
        if self.in_order.len() > REMEMBERED
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.versions.remove(&oldest);
        }
    }

    /// Whether the object of that uid went at this version or later.
    pub(crate) fn is_past(&self, uid: &str, version: Option<u64>) -> bool {
        let gone = self.versions.get(uid);
        matches!((gone, version), (Some(gone), Some(version)) if version <= *gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_end_is_past() {
        let mut gone = Tombstones::default();
        gone.note("a", Some(10));
        for (uid, version, expected) in [
            ("a", Some(9), true),
            ("a", Some(10), true),
            ("a", Some(11), false),
            ("a", None, false),
            ("b", Some(9), false),
        ] {
            assert_eq!(gone.is_past(uid, version), expected, "{uid} {version:?}");
        }
        for nth in 0..REMEMBERED {
            gone.note(&format!("other {nth}"), Some(1));
        }
        assert!(!gone.is_past("a", Some(9)), "only so many are remembered");
        assert_eq!(gone.versions.len(), gone.in_order.len());
    }
}
