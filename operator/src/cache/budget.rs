//! Limits the memory for the objects of one namespace: what one tenant writes must leave room for
//! all others.

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// Bytes held of each namespace, counted as JSON, which is near enough to what they take in memory.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: Mutex<HashMap<String, u64>>,
}

impl Default for Budget {
    /// Without a limit.
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

impl Budget {
    /// So many bytes for each namespace.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: Mutex::default(),
        }
    }

    /// Holds `new` bytes instead of `old` ones, if there is room. What becomes smaller always has
    /// room, and so has what no tenant writes.
    pub(crate) fn exchange(&self, namespace: Option<&str>, old: u64, new: u64) -> bool {
        let Some(namespace) = namespace else {
            return true;
        };
        let mut used = self.used();
        let before = used.get(namespace).copied().unwrap_or_default();
        let after = before.saturating_sub(old).saturating_add(new);
        if new > old && after > self.limit {
            return false;
        }
        if after == 0 {
            used.remove(namespace);
        } else {
            used.insert(namespace.to_owned(), after);
        }
        true
    }

    /// The error of an object that has no room.
    pub(crate) fn refusal(&self) -> String {
        format!(
            "the objects of its namespace take more than the {} MiB that the operator holds of one: make them smaller or fewer, or have LANGOP_NAMESPACE_MEBIBYTES raised",
            self.limit >> 20
        )
    }

    fn used(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The length of an object as JSON.
pub(crate) fn size(object: &impl Serialize) -> u64 {
    struct Count(u64);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // An object of ours can be written as JSON; if one could not, what is counted so far is what is
    // known.
    let _ = serde_json::to_writer(&mut count, object);
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_namespace_fills_and_the_others_have_room() {
        let budget = Budget::new(100);
        assert!(budget.exchange(Some("a"), 0, 60));
        assert!(!budget.exchange(Some("a"), 0, 41));
        assert!(budget.exchange(Some("b"), 0, 100) && budget.exchange(None, 0, 1000));
        assert!(budget.exchange(Some("a"), 60, 20), "it became smaller");
        assert!(budget.exchange(Some("a"), 0, 80));
        assert!(budget.exchange(Some("a"), 80, 0) && budget.exchange(Some("a"), 20, 0));
        assert!(
            budget.used().get("a").is_none(),
            "nothing is kept of an empty namespace"
        );
    }

    #[test]
    fn sizes_are_those_of_json() {
        assert_eq!(size(&serde_json::json!({"a": [1, "ü"]})), 14);
    }
}
