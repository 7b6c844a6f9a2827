//! Which caller holds how much of the cache, and what has to go for something new: of the caller
//! that holds most, what was not used for longest. One caller alone may fill it; two that want all
//! of it hold half each.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use prometheus_client::metrics::gauge::Gauge;

use super::key::Key;
use crate::{access::caller::Caller, key::RequestKey};

/// What is kept, by caller.
pub(super) struct Shares {
    most: u64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: u64,
    /// The same, for people to see, beside what other caches hold.
    shown: Gauge,
    last: u64,
    of: HashMap<Caller, Share>,
}

#[derive(Default)]
struct Share {
    bytes: u64,
    entries: HashMap<RequestKey, Entry>,
    /// By the number of their last use.
    uses: BTreeMap<u64, RequestKey>,
}

struct Entry {
    bytes: u64,
    used: u64,
}

impl Shares {
    pub(super) fn new(most: u64, shown: Gauge) -> Self {
        let held = Held {
            shown,
            ..Held::default()
        };
        Self {
            most,
            held: Mutex::new(held),
        }
    }

    /// Something is kept from now on, for which these have to go.
    pub(super) fn add(&self, key: &Key, bytes: u32) -> Vec<Key> {
        let mut held = self.held();
        held.forget(key);
        held.last += 1;
        let (used, bytes) = (held.last, u64::from(bytes));
        held.all += bytes;
        held.shown.inc_by(bytes.cast_signed());
        let share = held.of.entry(key.caller.clone()).or_default();
        share.bytes += bytes;
        share.entries.insert(key.request, Entry { bytes, used });
        share.uses.insert(used, key.request);
        let mut gone = Vec::new();
        while held.all > self.most
            && let Some(oldest) = held.oldest_of_most()
        {
            held.forget(&oldest);
            gone.push(oldest);
        }
        gone
    }

    /// An entry was used.
    pub(super) fn used(&self, key: &Key) {
        let mut held = self.held();
        held.last += 1;
        let now = held.last;
        let Some(share) = held.of.get_mut(&key.caller) else {
            return;
        };
        if let Some(entry) = share.entries.get_mut(&key.request) {
            share.uses.remove(&entry.used);
            entry.used = now;
            share.uses.insert(now, key.request);
        }
    }

    /// It is kept no longer.
    pub(super) fn forget(&self, key: &Key) {
        self.held().forget(key);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // No code panics while it holds the lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn oldest_of_most(&self) -> Option<Key> {
        let (caller, share) = self.of.iter().max_by_key(|(_, share)| share.bytes)?;
        let (_, request) = share.uses.first_key_value()?;
        Some(Key {
            caller: caller.clone(),
            request: *request,
        })
    }

    fn forget(&mut self, key: &Key) {
        let Some(share) = self.of.get_mut(&key.caller) else {
            return;
        };
        if let Some(entry) = share.entries.remove(&key.request) {
            share.uses.remove(&entry.used);
            share.bytes -= entry.bytes;
            self.all -= entry.bytes;
            self.shown.dec_by(entry.bytes.cast_signed());
        }
        if share.entries.is_empty() {
            self.of.remove(&key.caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use langop_proto::v1::Persona;

    use super::*;
    use crate::{identity::Identity, settings::ProviderKind};

    fn key(caller: &str, name: &str) -> Key {
        let identity = Identity {
            provider: ProviderKind::Template,
            model: String::new(),
        };
        let persona = Persona {
            name: name.to_owned(),
            ..Persona::default()
        };
        Key {
            caller: Caller::named(caller),
            request: RequestKey::of_persona(&persona, &identity),
        }
    }

    #[test]
    fn who_holds_most_gives_way_by_what_was_not_used_for_longest() {
        let shown = Gauge::default();
        let shares = Shares::new(100, shown.clone());
        assert!(
            shares.add(&key("a", "1"), 40).is_empty(),
            "alone, all of it"
        );
        assert!(shares.add(&key("a", "2"), 40).is_empty());
        shares.used(&key("a", "1"));
        assert_eq!(shares.add(&key("b", "1"), 40), [key("a", "2")]);
        assert_eq!(
            shares.add(&key("b", "2"), 40),
            [key("b", "1")],
            "most is b's"
        );
        shares.forget(&key("a", "1"));
        assert!(
            shares.add(&key("c", "1"), 60).is_empty(),
            "there is room again"
        );
        assert_eq!(
            shares.add(&key("c", "2"), 101).len(),
            2,
            "more than there is"
        );
        assert_eq!(shares.held().all, 40);
        assert_eq!(shown.get(), 40);
        shares.forget(&key("b", "2"));
        shares.forget(&key("never", "there"));
        assert!(shares.held().of.is_empty() && shares.held().all == 0);
        assert_eq!(shown.get(), 0);
    }
}
