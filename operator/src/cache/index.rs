//! Live children in memory, reduced at ingest, found by name, by controller and by the
//! resource whose pods and runs they are.
//!
//! Our own writes are put in at once (see [`Index::upsert`]), so a second reconcile never repeats a
//! write that the watch has not shown yet; what the watch then brings is taken by resource version,
//! so nothing older overwrites it.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::cache::tombstones::Tombstones;
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

#[derive(Debug, Default)]
struct Inner {
    objects: HashMap<Key, Entry>,
    by_controller: HashMap<String, Vec<Arc<Observed>>>,
    by_label: HashMap<Labelled, Vec<Arc<Observed>>>,
    tombstones: Tombstones,
}

/// A resource by one of our labels: label, namespace, name.
type Labelled = (&'static str, String, String);

/// The labels that pods and Jobs carry.
const LABELS: [&str; 4] = [labels::AGENT, labels::CLIENT, labels::MODEL, labels::TOOL];

#[derive(Debug)]
struct Entry {
    observed: Arc<Observed>,
    version: Option<u64>,
}

impl Index {
    /// Takes an object from a watch or from the answer to a write. An older version than the one
    /// held, or than the object's end, is dropped.
    pub(crate) fn upsert(&self, observed: Observed, version: Option<&str>) -> Change {
        let version = version.and_then(parse_version);
        let key = Key::of(&observed);
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if inner.tombstones.is_past(&observed.uid, version) {
            return Change::None;
        }
        let old = match inner.objects.get_mut(&key) {
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
        inner.objects.insert(
            key,
            Entry {
                observed: new.clone(),
                version,
            },
        );
        Change::Changed { old, new }
    }

    /// The object of that uid is gone, at that version (`None`: at the one held); another one of
    /// the same name stays.
    pub(crate) fn remove(&self, key: &Key, uid: &str, version: Option<&str>) -> Change {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let held = inner.objects.get(key);
        let held = held.filter(|entry| entry.observed.uid == uid);
        let (is_held, held_version) = (held.is_some(), held.and_then(|entry| entry.version));
        let version = version.and_then(parse_version).or(held_version);
        inner.tombstones.note(uid, version);
        if !is_held {
            return Change::None;
        }
        match inner.objects.remove(key) {
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
        let in_scope = |key: &Key| {
            key.kind == kind && namespace.is_none_or(|namespace| key.namespace == namespace)
        };
        inner
            .objects
            .iter()
            .filter(|(key, _)| in_scope(key))
            .map(|(key, entry)| (key.clone(), entry.observed.uid.clone()))
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
            .objects
            .get(&Key::new(kind, namespace, name))
            .map(|entry| entry.observed.clone())
    }

    /// Everything whose controller has that uid, sorted by kind and name.
    pub(crate) fn controlled_by(&self, uid: &str) -> Vec<Arc<Observed>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        sorted(inner.by_controller.get(uid).cloned().unwrap_or_default())
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
        let labelled = inner
            .by_label
            .get(&(label, namespace.to_owned(), name.to_owned()));
        let of_kind = labelled.into_iter().flatten();
        sorted(
            of_kind
                .filter(|observed| observed.kind == kind)
                .cloned()
                .collect(),
        )
    }
}

impl Inner {
    fn link(&mut self, observed: &Arc<Observed>) {
        if let Some(controller) = &observed.controller {
            let controlled = self.by_controller.entry(controller.uid.clone());
            controlled.or_default().push(observed.clone());
        }
        for labelled in labelled(observed) {
            let labelled = self.by_label.entry(labelled);
            labelled.or_default().push(observed.clone());
        }
    }

    fn unlink(&mut self, observed: &Arc<Observed>) {
        if let Some(controller) = &observed.controller {
            remove_from(&mut self.by_controller, &controller.uid, observed);
        }
        for labelled in labelled(observed) {
            remove_from(&mut self.by_label, &labelled, observed);
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

/// Only what does not hang on the resource itself: Pods hang on ReplicaSets and Jobs, Jobs on
/// CronJobs.
fn labelled(observed: &Observed) -> Vec<Labelled> {
    if !matches!(observed.kind, ChildKind::Pod | ChildKind::Job) {
        return Vec::new();
    }
    let of = |label: &'static str| {
        observed
            .labels
            .get(label)
            .map(|name| (label, observed.namespace.clone(), name.to_owned()))
    };
    LABELS.into_iter().filter_map(of).collect()
}

fn remove_from<K: std::hash::Hash + Eq>(
    map: &mut HashMap<K, Vec<Arc<Observed>>>,
    at: &K,
    observed: &Arc<Observed>,
) {
    if let Some(linked) = map.get_mut(at) {
        linked.retain(|other| !Arc::ptr_eq(other, observed));
        if linked.is_empty() {
            map.remove(at);
        }
    }
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
}
