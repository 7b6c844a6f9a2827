//! What is known of the cluster, in memory: the objects of our kinds, their live children, and the
//! forms that the API server gives to what we apply. Whatever changes it enqueues the objects that
//! the change affects.
//!
//! Filled by the watches and by the responses to our own writes. Must not ask the API server
//! anything.

pub(crate) mod affected;
pub(crate) mod budget;
pub(crate) mod child;
pub(crate) mod index;
pub(crate) mod kind;
pub(crate) mod objects;
pub(crate) mod packed;
pub(crate) mod received;
pub(crate) mod server_defaults;
pub(crate) mod tally;
pub(crate) mod tombstones;
pub(crate) mod triggers;
pub(crate) mod version;

use kube::Resource as _;
use langop_api::{
    LanguageAgent, LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool,
};
use langop_desired::{digest, observed::ChildKind};

use self::{
    index::{Index, Key},
    objects::{Guard, Stored, Stores},
    received::{Received, ReceivedAny},
    server_defaults::ServerDefaults,
    triggers::{Target, Triggers},
};
use crate::synthesis::provenance::TrustedKeys;

/// All that is held.
pub(crate) struct Cache {
    pub(crate) stores: Stores,
    pub(crate) index: Index,
    pub(crate) server_defaults: ServerDefaults,
    pub(crate) triggers: Triggers,
    /// Which stored code counts is judged when it is stored here.
    pub(crate) keys: TrustedKeys,
}

impl Cache {
    /// Empty, with this many bytes for the objects of each namespace.
    pub(crate) fn new(namespace_bytes: u64, triggers: Triggers, keys: TrustedKeys) -> Self {
        Self {
            stores: Stores::new(namespace_bytes),
            index: Index::default(),
            server_defaults: ServerDefaults::default(),
            triggers,
            keys,
        }
    }

    /// Opens the queues and enqueues every object, those that others refer to first.
    pub(crate) fn open(&self) {
        self.triggers.open();
        self.enqueue_all::<LanguageCluster>();
        self.enqueue_all::<LanguagePersona>();
        self.enqueue_all::<LanguageModel>();
        self.enqueue_all::<LanguageTool>();
        self.enqueue_all::<LanguageClient>();
        self.enqueue_all::<LanguageAgent>();
        self.triggers.begin_first_pass();
    }

    pub(crate) fn enqueue_all<K: Stored>(&self) {
        let all = K::objects(&self.stores).targets(None);
        let targets = all.into_iter().map(|(target, _)| target);
        self.triggers.send_all(targets);
    }

    /// Stores one of our objects, and enqueues it and all that it affects unless this version is
    /// known. Whether it was new.
    pub(crate) fn upsert<K: Stored>(&self, object: &Received<K>) -> bool {
        let target = Target::of::<K>(object);
        let is_new = self.note(&target, K::objects(&self.stores).upsert(object));
        if is_new {
            self.triggers.send(target);
        }
        is_new
    }

    /// Stores the response to our own status write. The caller knows what it wrote, but the
    /// response may also carry a change that another client made after `written` was read. The
    /// watch will not deliver that change again, because the response is newer.
    pub(crate) fn upsert_own_write<K: Stored>(&self, response: &Received<K>, written: &K) {
        let response = response.read();
        let (after, before) = (response.meta(), written.meta());
        let has_foreign_change = after.generation != before.generation
            || after.deletion_timestamp != before.deletion_timestamp
            || after.annotations != before.annotations;
        let target = Target::of::<K>(&response);
        self.note(&target, K::objects(&self.stores).upsert_read(response));
        if has_foreign_change {
            self.triggers.send(target);
        }
    }

    /// Enqueues the others that a change affects, whether a watch shows it or the response to our
    /// own status write: the watch replays that as a known version, so the first sighting must
    /// enqueue. Whether it was new.
    fn note<K: Stored>(&self, target: &Target, change: objects::Change<K>) -> bool {
        let (old, new) = match change {
            objects::Change::Known => return false,
            objects::Change::Stale { new } => (None, new),
            objects::Change::Changed { old, new } => (old, new),
        };
        self.enqueue_affected(target, old.as_deref(), Some(&new));
        true
    }

    /// Removes one of our objects (see [`objects::Objects::remove`]) and enqueues what that
    /// affects. Whether it was held.
    pub(crate) fn remove<K: Stored>(
        &self,
        target: &Target,
        uid: &str,
        version: Option<&str>,
    ) -> bool {
        let Some(old) = K::objects(&self.stores).remove(target, uid, version) else {
            return false;
        };
        self.enqueue_affected(target, Some(&*old), None);
        true
    }

    fn enqueue_affected<K: Stored>(
        &self,
        target: &Target,
        old: Option<&Guard<K>>,
        new: Option<&Guard<K>>,
    ) {
        if self.triggers.is_open() {
            let affected = affected::by_object(&self.stores, &self.index, target, old, new);
            self.triggers.send_all(affected);
        }
    }

    /// Stores a live child that a watch shows, and enqueues those it affects.
    pub(crate) fn observe_child(&self, kind: ChildKind, object: &ReceivedAny) {
        // Most of all events are what our own writes were answered with.
        if !self.index.has_nothing_new(kind, object) {
            let change = self.upsert_child(kind, object);
            self.enqueue_parents(&change);
        }
    }

    /// Removes a live child that a watch shows as gone, and enqueues those that affects.
    pub(crate) fn observe_end(&self, key: &Key, uid: &str, version: Option<&str>) {
        let change = self.index.remove(key, uid, version);
        self.enqueue_parents(&change);
    }

    fn enqueue_parents(&self, change: &index::Change) {
        if let index::Change::Gone(old) = change {
            self.server_defaults.forget(&old.uid);
        }
        if self.triggers.is_open() {
            let targets = affected::by_child(change);
            if change.is_of_state_alone() {
                self.triggers.send_in_a_moment(targets);
            } else {
                self.triggers.send_all(targets);
            }
            let baseline = affected::by_baseline(&self.stores, change);
            self.triggers.send_all(baseline);
        }
    }

    /// Stores a live child: from a watch, or from the response to one of our own writes, which
    /// affects only its writer.
    pub(crate) fn upsert_child(&self, kind: ChildKind, object: &ReceivedAny) -> index::Change {
        let Ok(live) = object.value() else {
            return index::Change::None;
        };
        let statement = self.keys.statement(&live);
        match digest::reduce(kind, live) {
            Some(observed) => {
                let judged = self.keys.judged(observed, statement.as_deref());
                self.index.upsert(judged, object.version())
            }
            None => index::Change::None,
        }
    }

    /// Forgets a child that we have deleted: the watch will not report its end.
    pub(crate) fn forget_child(&self, key: &Key, uid: &str) {
        self.index.remove(key, uid, None);
        self.server_defaults.forget(uid);
    }
}
