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

use crate::cache::tombstones::Tombstones;
use hashbrown::HashTable;
use langop_api::names::labels;
use langop_desired::observed::{ChildKind, Observed};

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

/// All live children.
#[derive(Debug, Default)]
pub(crate) struct Index {
    inner: RwLock<Inner>,
}

/// Its tables hold no keys: these are read off the objects, of which there are a few for each of a
/// hundred thousand agents.
#[derive(Debug, Default)]
struct Inner {
    hashes: RandomState,
    objects: HashTable<Entry>,
    groups: HashTable<Group>,
    tombstones: Tombstones,
}

/// Those that have something in common; never empty.
#[derive(Debug)]
struct Group {
    by: By,
    members: Vec<Arc<Observed>>,
}

/// What objects are found by together.
#[derive(Clone, Copy, Debug)]
enum By {
    Controller,
    /// The resource that one of our labels names.
    Label(&'static str),
}

/// What the members of one group have in common.
#[derive(PartialEq, Eq, Hash)]
enum GroupKey<'a> {
    /// The uid.
    Controller(&'a str),
    /// Label, namespace and name.
    Label(&'static str, &'a str, &'a str),
}

/// All that objects are found by: the labels are those that pods and Jobs carry.
const BY: [By; 5] = [
    By::Controller,
    By::Label(labels::AGENT),
    By::Label(labels::CLIENT),
    By::Label(labels::MODEL),
    By::Label(labels::TOOL),
];

impl By {
    fn key(self, observed: &Observed) -> Option<GroupKey<'_>> {
        match self {
            Self::Controller => {
                let controller = observed.controller.as_ref()?;
                Some(GroupKey::Controller(&controller.uid))
            }
            // Only what does not hang on the resource itself: Pods hang on ReplicaSets and Jobs,
            // Jobs on CronJobs.
            Self::Label(_) if !matches!(observed.kind, ChildKind::Pod | ChildKind::Job) => None,
            Self::Label(label) => {
                let name = observed.labels.get(label)?;
                Some(GroupKey::Label(label, &observed.namespace, name))
            }
        }
    }
}

impl Group {
    fn is_of(&self, key: &GroupKey<'_>) -> bool {
        self.key().as_ref() == Some(key)
    }

    fn key(&self) -> Option<GroupKey<'_>> {
        self.by.key(self.members.first()?)
    }
}

#[derive(Debug)]
struct Entry {
    observed: Arc<Observed>,
    version: Option<u64>,
}

/// Kind, namespace and name.
type Id<'a> = (ChildKind, &'a str, &'a str);

fn id(observed: &Observed) -> Id<'_> {
    (observed.kind, &observed.namespace, &observed.name)
}

impl Index {
    /// Takes an object from a watch or from the answer to a write. An older version than the one
    /// held, or than the object's end, is dropped.
    pub(crate) fn upsert(&self, observed: Observed, version: Option<&str>) -> Change {
        let version = version.and_then(parse_version);
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if inner.tombstones.is_past(&observed.uid, version) {
            return Change::None;
        }
        let old = match inner.get_mut(id(&observed)) {
            Some(entry) if is_older(version, entry.version) => return Change::None,
            Some(entry) if *entry.observed == observed => {
                entry.version = version;
                return Change::None;
            }
            Some(entry) => Some(entry.observed.clone()),
            None => None,
        };
        if let Some(old) = &old {
            inner.unlink(old);
        }
        let new = Arc::new(observed);
        inner.link(&new);
        inner.put(Entry {
            observed: new.clone(),
            version,
        });
        Change::Changed { old, new }
    }

    /// The object of that uid is gone, at that version (`None`: at the one held); another one of
    /// the same name stays.
    pub(crate) fn remove(&self, key: &Key, uid: &str, version: Option<&str>) -> Change {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let held = inner.get(key.id());
        let held = held.filter(|entry| entry.observed.uid == uid);
        let (is_held, held_version) = (held.is_some(), held.and_then(|entry| entry.version));
        let version = version.and_then(parse_version).or(held_version);
        inner.tombstones.note(uid, version);
        if !is_held {
            return Change::None;
        }
        match inner.take(key.id()) {
            Some(entry) => {
                inner.unlink(&entry.observed);
                Change::Gone(entry.observed)
            }
            None => Change::None,
        }
    }

    /// Keys and uids of a kind, in one namespace or everywhere: to find out what a new list no
    /// longer has.
    pub(crate) fn keys(&self, kind: ChildKind, namespace: Option<&str>) -> Vec<(Key, String)> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let in_scope = |observed: &Observed| {
            observed.kind == kind
                && namespace.is_none_or(|namespace| observed.namespace == namespace)
        };
        let held = inner.objects.iter().map(|entry| &*entry.observed);
        held.filter(|observed| in_scope(observed))
            .map(|observed| (Key::of(observed), observed.uid.clone()))
            .collect()
    }

    pub(crate) fn get(
        &self,
        kind: ChildKind,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Observed>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner
            .get((kind, namespace, name))
            .map(|entry| entry.observed.clone())
    }

    /// Everything whose controller has that uid, sorted by kind and name.
    pub(crate) fn controlled_by(&self, uid: &str) -> Vec<Arc<Observed>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        sorted(inner.members(&GroupKey::Controller(uid)).to_vec())
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
        let labelled = inner.members(&GroupKey::Label(label, namespace, name));
        let of_kind = labelled.iter().filter(|observed| observed.kind == kind);
        sorted(of_kind.cloned().collect())
    }
}

impl Inner {
    fn get(&self, wanted: Id<'_>) -> Option<&Entry> {
        let hash = self.hashes.hash_one(wanted);
        self.objects
            .find(hash, |entry| id(&entry.observed) == wanted)
    }

    fn get_mut(&mut self, wanted: Id<'_>) -> Option<&mut Entry> {
        let hash = self.hashes.hash_one(wanted);
        self.objects
            .find_mut(hash, |entry| id(&entry.observed) == wanted)
    }

    /// In the place of the one with its id, if there is one.
    fn put(&mut self, entry: Entry) {
        if let Some(held) = self.get_mut(id(&entry.observed)) {
            *held = entry;
            return;
        }
        let hash = |entry: &Entry| self.hashes.hash_one(id(&entry.observed));
        self.objects.insert_unique(hash(&entry), entry, hash);
    }

    fn take(&mut self, wanted: Id<'_>) -> Option<Entry> {
        let hash = self.hashes.hash_one(wanted);
        let held = self
            .objects
            .find_entry(hash, |entry| id(&entry.observed) == wanted);
        Some(held.ok()?.remove().0)
    }

    fn members(&self, key: &GroupKey<'_>) -> &[Arc<Observed>] {
        let group = self
            .groups
            .find(self.hashes.hash_one(key), |group| group.is_of(key));
        group.map_or(&[], |group| &group.members)
    }

    fn link(&mut self, observed: &Arc<Observed>) {
        for by in BY {
            let Some(key) = by.key(observed) else {
                continue;
            };
            let hash = self.hashes.hash_one(&key);
            if let Some(group) = self.groups.find_mut(hash, |group| group.is_of(&key)) {
                group.members.push(observed.clone());
                continue;
            }
            let group = Group {
                by,
                members: vec![observed.clone()],
            };
            self.groups.insert_unique(hash, group, |group| {
                // One that is empty is nobody's, and found by nobody.
                group.key().map_or(0, |key| self.hashes.hash_one(key))
            });
        }
    }

    fn unlink(&mut self, observed: &Arc<Observed>) {
        for by in BY {
            let Some(key) = by.key(observed) else {
                continue;
            };
            let hash = self.hashes.hash_one(&key);
            let Ok(mut group) = self.groups.find_entry(hash, |group| group.is_of(&key)) else {
                continue;
            };
            let members = &mut group.get_mut().members;
            let is_last = matches!(&members[..], [last] if Arc::ptr_eq(last, observed));
            if is_last {
                group.remove();
            } else {
                members.retain(|other| !Arc::ptr_eq(other, observed));
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

/// Resource versions of one kind are numbers that grow (KEP-5504; etcd's revision before it).
/// Anything else is not compared.
pub(crate) fn parse_version(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// Whether `incoming` is certainly older than `held`.
pub(crate) fn is_older(incoming: Option<u64>, held: Option<u64>) -> bool {
    matches!((incoming, held), (Some(incoming), Some(held)) if incoming < held)
}

#[cfg(test)]
mod tests {
    use langop_desired::observed::{CompactMap, Controller, ObservedState};

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
}
