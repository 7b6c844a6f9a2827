//! Live children in memory, reduced at ingest, found by name, by controller and by the
//! resource whose pods and runs they are.
//!
//! Our own writes are put in at once (see [`Index::upsert`]), so a second reconcile never repeats a
//! write that the watch has not shown yet; what the watch then brings is taken by resource version,
//! so nothing older overwrites it.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, PoisonError, RwLock},
};

use hashbrown::HashTable;
use langop_api::names::labels;
use langop_desired::observed::{ChildKind, Observed, ObservedState};
use slab::Slab;

use crate::cache::{
    packed::Packed,
    received::ReceivedAny,
    tombstones::Tombstones,
    version::{is_older, parse_version},
};

/// Identifies a child; cluster-scoped ones have the empty namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) kind: ChildKind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(kind: ChildKind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn of(observed: &Observed) -> Self {
        Self::new(observed.kind, &observed.namespace, &observed.name)
    }

    fn id(&self) -> Id<'_> {
        (self.kind, &self.namespace, &self.name)
    }
}

/// What an event did to the index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// Nothing that anyone would decide differently on.
    None,
    /// It is new or different; `old` is what it was.
    Changed {
        old: Option<Arc<Observed>>,
        new: Arc<Observed>,
    },
    /// It is gone.
    Gone(Arc<Observed>),
}

impl Change {
    /// Whether a workload, a run or a pod only gets on: nobody has changed it.
    pub(crate) fn is_of_state_alone(&self) -> bool {
        let Self::Changed {
            old: Some(old),
            new,
        } = self
        else {
            return false;
        };
        let has_state = matches!(
            new.kind,
            ChildKind::Deployment | ChildKind::CronJob | ChildKind::Job | ChildKind::Pod
        );
        let of = |observed: &Observed| Observed {
            state: ObservedState::None,
            ..observed.clone()
        };
        has_state && of(old) == of(new)
    }
}

/// All live children.
#[derive(Debug, Default)]
pub(crate) struct Index {
    inner: RwLock<Inner>,
}

/// Its tables hold no keys, but hashes: what else is asked is read off the objects, of which there
/// are a few for each of a hundred thousand agents.
#[derive(Debug, Default)]
struct Inner {
    hashes: RandomState,
    slots: Slab<Entry>,
    by_id: HashTable<usize>,
    groups: HashTable<Group>,
    tombstones: Tombstones,
}

#[derive(Debug)]
struct Entry {
    /// Of its [`Id`].
    hash: u64,
    kind: ChildKind,
    version: Option<u64>,
    observed: Packed<Observed>,
}

/// Those that have something in common; never empty. Some of another key whose hash is the same may
/// be among them.
#[derive(Debug)]
struct Group {
    hash: u64,
    members: Vec<usize>,
}

/// What the members of one group have in common.
#[derive(PartialEq, Eq, Hash)]
enum GroupKey<'a> {
    /// The uid.
    Controller(&'a str),
    /// Label, namespace and name.
    Label(&'static str, &'a str, &'a str),
}

/// The labels that pods and Jobs carry.
const LABELS: [&str; 4] = [labels::AGENT, labels::CLIENT, labels::MODEL, labels::TOOL];

impl<'a> GroupKey<'a> {
    /// All that an object is found by.
    fn all(observed: &'a Observed) -> impl Iterator<Item = Self> {
        let controller = observed.controller.as_ref();
        let controller = controller.map(|controller| Self::Controller(&controller.uid));
        // Only what does not hang on the resource itself: Pods hang on ReplicaSets and Jobs, Jobs
        // on CronJobs.
        let is_labelled = matches!(observed.kind, ChildKind::Pod | ChildKind::Job);
        let labels = LABELS.into_iter().filter(move |_| is_labelled);
        let labels = labels.filter_map(|label| {
            let name = observed.labels.get(label)?;
            Some(Self::Label(label, &observed.namespace, name))
        });
        controller.into_iter().chain(labels)
    }

    fn is_of(&self, observed: &Observed) -> bool {
        GroupKey::all(observed).any(|key| key == *self)
    }
}

/// Kind, namespace and name.
type Id<'a> = (ChildKind, &'a str, &'a str);

fn id(observed: &Observed) -> Id<'_> {
    (observed.kind, &observed.namespace, &observed.name)
}

impl Index {
    /// Whether it need not be read to know that it says nothing: it is of the version that is held,
    /// or older, or its object is gone.
    pub(crate) fn has_nothing_new(&self, kind: ChildKind, received: &ReceivedAny) -> bool {
        let version = received.number();
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        if inner.tombstones.is_past(received.uid(), version) {
            return true;
        }
        let held = inner.find((kind, received.namespace(), received.name()));
        held.and_then(|(at, _)| inner.slots[at].version)
            .zip(version)
            .is_some_and(|(held, version)| version <= held)
    }

    /// Takes an object from a watch or from the answer to a write. An older version than the one
    /// held, or than the object's end, is dropped.
    pub(crate) fn upsert(&self, observed: Observed, version: Option<&str>) -> Change {
        let version = version.and_then(parse_version);
        // Before anybody has to wait for it.
        let Some(packed) = Packed::new(&observed) else {
            return Change::None;
        };
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if inner.tombstones.is_past(&observed.uid, version) {
            return Change::None;
        }
        let Some((at, old)) = inner.find(id(&observed)) else {
            inner.put(&observed, packed, version);
            let (old, new) = (None, Arc::new(observed));
            return Change::Changed { old, new };
        };
        let entry = &mut inner.slots[at];
        if is_older(version, entry.version) {
            return Change::None;
        }
        entry.version = version;
        if entry.observed == packed {
            return Change::None;
        }
        entry.observed = packed;
        inner.unlink(at, &old);
        inner.link(at, &observed);
        Change::Changed {
            old: Some(Arc::new(old)),
            new: Arc::new(observed),
        }
    }

    /// The object of that uid is gone, at that version (`None`: at the one held); another one of
    /// the same name stays.
    pub(crate) fn remove(&self, key: &Key, uid: &str, version: Option<&str>) -> Change {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let held = inner.find(key.id()).filter(|(_, held)| held.uid == uid);
        let held_version = held.as_ref().and_then(|(at, _)| inner.slots[*at].version);
        let version = version.and_then(parse_version).or(held_version);
        inner.tombstones.note(uid, version);
        let Some((at, old)) = held else {
            return Change::None;
        };
        inner.take(at, &old);
        Change::Gone(Arc::new(old))
    }

    /// Keys and uids of a kind, in one namespace or everywhere: to find out what a new list no
    /// longer has.
    pub(crate) fn keys(&self, kind: ChildKind, namespace: Option<&str>) -> Vec<(Key, String)> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let all = inner.slots.iter().map(|(_, entry)| entry);
        let of_kind = all.filter(|entry| entry.kind == kind);
        let held = of_kind.map(|entry| entry.observed.unpack());
        held.filter(|observed| namespace.is_none_or(|namespace| observed.namespace == namespace))
            .map(|observed| (Key::of(&observed), observed.uid))
            .collect()
    }

    pub(crate) fn get(
        &self,
        kind: ChildKind,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Observed>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let (_, observed) = inner.find((kind, namespace, name))?;
        Some(Arc::new(observed))
    }

    /// Everything whose controller has that uid, sorted by kind and name.
    pub(crate) fn controlled_by(&self, uid: &str) -> Vec<Arc<Observed>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        sorted(inner.members(&GroupKey::Controller(uid)).collect())
    }

    /// The Jobs or Pods with one of our labels, sorted by name.
    pub(crate) fn labelled(
        &self,
        label: &'static str,
        namespace: &str,
        name: &str,
        kind: ChildKind,
    ) -> Vec<Arc<Observed>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let key = GroupKey::Label(label, namespace, name);
        let labelled = inner.members(&key);
        sorted(labelled.filter(|observed| observed.kind == kind).collect())
    }
}

impl Inner {
    fn find(&self, wanted: Id<'_>) -> Option<(usize, Observed)> {
        let hash = self.hashes.hash_one(wanted);
        let mut found = None;
        self.by_id
            .find(hash, |at| {
                let entry = &self.slots[*at];
                let unpacked = (entry.hash == hash).then(|| entry.observed.unpack());
                found = unpacked.filter(|observed| id(observed) == wanted);
                found.is_some()
            })
            .copied()
            .zip(found)
    }

    /// One that is not there.
    fn put(&mut self, observed: &Observed, packed: Packed<Observed>, version: Option<u64>) {
        let hash = self.hashes.hash_one(id(observed));
        let at = self.slots.insert(Entry {
            hash,
            kind: observed.kind,
            version,
            observed: packed,
        });
        self.by_id
            .insert_unique(hash, at, |other| self.slots[*other].hash);
        self.link(at, observed);
    }

    fn take(&mut self, at: usize, observed: &Observed) {
        let hash = self.slots.remove(at).hash;
        if let Ok(found) = self.by_id.find_entry(hash, |other| *other == at) {
            found.remove();
        }
        self.unlink(at, observed);
    }

    fn members(&self, key: &GroupKey<'_>) -> impl Iterator<Item = Arc<Observed>> {
        let hash = self.hashes.hash_one(key);
        let group = self.groups.find(hash, |group| group.hash == hash);
        let members = group.map_or(&[][..], |group| &group.members);
        let members = members.iter().map(|at| self.slots[*at].observed.unpack());
        members.filter(|observed| key.is_of(observed)).map(Arc::new)
    }

    fn link(&mut self, at: usize, observed: &Observed) {
        for key in GroupKey::all(observed) {
            let hash = self.hashes.hash_one(key);
            let of_hash = |group: &Group| group.hash == hash;
            if let Some(group) = self.groups.find_mut(hash, of_hash) {
                group.members.push(at);
                continue;
            }
            let members = vec![at];
            self.groups
                .insert_unique(hash, Group { hash, members }, |group| group.hash);
        }
    }

    fn unlink(&mut self, at: usize, observed: &Observed) {
        for key in GroupKey::all(observed) {
            let hash = self.hashes.hash_one(key);
            let Ok(mut group) = self.groups.find_entry(hash, |group| group.hash == hash) else {
                continue;
            };
            let members = &mut group.get_mut().members;
            members.retain(|other| *other != at);
            if members.is_empty() {
                group.remove();
            }
        }
    }
}

/// Decisions and messages must not depend on the order of events.
fn sorted(mut found: Vec<Arc<Observed>>) -> Vec<Arc<Observed>> {
    found.sort_unstable_by(|a, b| {
        (a.kind, &a.namespace, &a.name).cmp(&(b.kind, &b.namespace, &b.name))
    });
    found
}

#[cfg(test)]
mod tests {
    use langop_desired::observed::{CompactMap, Controller, DeploymentState};

    use super::*;

    fn observed(kind: ChildKind, name: &str, uid: &str, controller: Option<&str>) -> Observed {
        Observed {
            kind,
            name: name.into(),
            namespace: "ns".into(),
            uid: uid.into(),
            controller: controller.map(|uid| Controller {
                kind: "LanguageAgent".into(),
                name: "a".into(),
                uid: uid.into(),
            }),
            labels: [(labels::AGENT, "a")].into_iter().collect(),
            annotations: CompactMap::default(),
            created: "2026-01-01T00:00:00Z".into(),
            deleting: false,
            owned_digest: String::new(),
            state: ObservedState::None,
        }
    }

    #[test]
    fn older_versions_and_equal_objects_change_nothing() {
        let index = Index::default();
        let first = observed(ChildKind::Deployment, "d", "1", Some("o"));
        assert!(matches!(
            index.upsert(first.clone(), Some("10")),
            Change::Changed { old: None, .. }
        ));
        assert_eq!(index.upsert(first.clone(), Some("12")), Change::None);
        let mut older = first.clone();
        older.deleting = true;
        assert_eq!(index.upsert(older.clone(), Some("11")), Change::None);
        assert!(
            !index
                .get(ChildKind::Deployment, "ns", "d")
                .unwrap()
                .deleting
        );
        assert!(matches!(
            index.upsert(older, Some("13")),
            Change::Changed { old: Some(_), .. }
        ));
    }

    #[test]
    fn a_late_answer_brings_nothing_back() {
        let index = Index::default();
        let live = observed(ChildKind::Deployment, "d", "1", Some("o"));
        let key = Key::of(&live);
        // The watch was faster than the answer to our own write.
        assert_eq!(index.remove(&key, "1", Some("11")), Change::None);
        assert_eq!(index.upsert(live.clone(), Some("10")), Change::None);
        assert!(index.get(ChildKind::Deployment, "ns", "d").is_none());
        // It had only left the selector.
        assert!(matches!(
            index.upsert(live, Some("12")),
            Change::Changed { .. }
        ));
    }

    #[test]
    fn the_secondary_indices_follow_changes_and_removals() {
        let index = Index::default();
        index.upsert(
            observed(ChildKind::Deployment, "d", "1", Some("o")),
            Some("1"),
        );
        index.upsert(observed(ChildKind::Pod, "p", "2", Some("rs")), Some("1"));
        assert_eq!(index.controlled_by("o").len(), 1);
        assert_eq!(
            index
                .labelled(labels::AGENT, "ns", "a", ChildKind::Pod)
                .len(),
            1
        );
        assert!(
            index
                .labelled(labels::AGENT, "ns", "a", ChildKind::Job)
                .is_empty()
        );

        index.upsert(
            observed(ChildKind::Deployment, "d", "1", Some("other")),
            Some("2"),
        );
        assert!(index.controlled_by("o").is_empty());
        assert_eq!(index.controlled_by("other").len(), 1);

        let key = Key::new(ChildKind::Deployment, "ns", "d");
        assert_eq!(index.remove(&key, "another uid", None), Change::None);
        assert!(matches!(index.remove(&key, "1", None), Change::Gone(_)));
        assert!(index.controlled_by("other").is_empty());
        assert_eq!(index.keys(ChildKind::Pod, Some("ns")).len(), 1);
        assert!(index.keys(ChildKind::Pod, Some("elsewhere")).is_empty());
    }

    #[test]
    fn each_of_many_is_found_by_all_that_it_is_found_by() {
        const MANY: usize = 1_000;
        let index = Index::default();
        let named = |n: usize, kind, what: &str| {
            let (name, uid) = (format!("{what}-{n}"), format!("{what}-uid-{n}"));
            let mut observed = observed(kind, &name, &uid, Some(&format!("owner-{}", n / 2)));
            observed.labels = [(labels::AGENT, format!("agent-{}", n / 2))]
                .into_iter()
                .collect();
            observed
        };
        for n in 0..MANY {
            index.upsert(named(n, ChildKind::Deployment, "d"), Some("1"));
            index.upsert(named(n, ChildKind::Pod, "p"), Some("1"));
        }
        let found = |n: usize| {
            let (owner, agent) = (format!("owner-{n}"), format!("agent-{n}"));
            let pods = index.labelled(labels::AGENT, "ns", &agent, ChildKind::Pod);
            (index.controlled_by(&owner).len(), pods.len())
        };
        for n in 0..MANY {
            let name = format!("d-{n}");
            let held = index.get(ChildKind::Deployment, "ns", &name).unwrap();
            assert_eq!(held.name, name);
            assert_eq!(found(n / 2), (4, 2));
        }
        for n in 0..MANY {
            let key = Key::new(ChildKind::Pod, "ns", &format!("p-{n}"));
            let gone = index.remove(&key, &format!("p-uid-{n}"), Some("2"));
            assert!(matches!(gone, Change::Gone(_)), "{n}");
            // Of each two, the second leaves its group empty.
            let left = 1 - n % 2;
            assert_eq!(found(n / 2), (2 + left, left));
        }
        assert!(index.keys(ChildKind::Pod, None).is_empty());
        assert_eq!(index.keys(ChildKind::Deployment, Some("ns")).len(), MANY);
    }

    #[test]
    fn only_a_state_that_changes_may_wait_for_more() {
        let change = |kind, change: fn(&mut Observed)| {
            let old = observed(kind, "d", "1", None);
            let mut new = old.clone();
            change(&mut new);
            let (old, new) = (Some(Arc::new(old)), Arc::new(new));
            Change::Changed { old, new }.is_of_state_alone()
        };
        let state: fn(&mut Observed) =
            |new| new.state = ObservedState::Deployment(DeploymentState::default());
        assert!(change(ChildKind::Deployment, state));
        assert!(!change(ChildKind::ConfigMap, state));
        assert!(!change(ChildKind::Deployment, |new| {
            new.owned_digest = "another".into();
        }));
        assert!(!change(ChildKind::Deployment, |new| new.deleting = true));
        let new = Arc::new(observed(ChildKind::Pod, "p", "1", None));
        assert!(
            !Change::Changed {
                old: None,
                new: new.clone()
            }
            .is_of_state_alone()
        );
        assert!(!Change::Gone(new).is_of_state_alone());
    }

    #[test]
    fn what_is_held_or_gone_is_known_unread() {
        let index = Index::default();
        let received = |version: &str| -> ReceivedAny {
            let metadata = serde_json::json!({"name": "d", "namespace": "ns", "uid": "1", "resourceVersion": version});
            serde_json::from_value(serde_json::json!({"metadata": metadata})).unwrap()
        };
        let is_known =
            |version: &str| index.has_nothing_new(ChildKind::Deployment, &received(version));
        assert!(!is_known("10"));
        index.upsert(observed(ChildKind::Deployment, "d", "1", None), Some("10"));
        assert_eq!(
            ["9", "10", "11", "x"].map(is_known),
            [true, true, false, false]
        );
        assert!(!index.has_nothing_new(ChildKind::CronJob, &received("10")));
        let key = Key::new(ChildKind::Deployment, "ns", "d");
        index.remove(&key, "1", Some("12"));
        assert_eq!(["11", "12"].map(is_known), [true, true]);
    }
}
