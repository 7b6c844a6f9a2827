//! Our own kinds in memory: one store for each. Undecodable objects do not stall it, and our own
//! status writes are in it at once.

use std::sync::{Arc, Mutex, PoisonError};

use kube::{
    Resource as _, ResourceExt as _,
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::{
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher::Event,
    },
};
use langop_api::{
    LanguageAgent, LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool,
    names::annotations,
};

use crate::cache::{
    budget::{self, Budget},
    index::{is_older, parse_version},
    kind::LangopKind,
    tombstones::Tombstones,
};

/// An object that may be undecodable.
pub(crate) type Guard<K> = DeserializeGuard<K>;

/// What an event did to a store.
#[derive(Debug)]
pub(crate) enum Change<K> {
    /// The version is the one held (our own write, or a list that repeats it), or the object is
    /// gone.
    Known,
    /// The version is older than the one held. The newer version contains it, but may not have been
    /// reconciled yet.
    Stale,
    /// New or different.
    Changed { old: Option<Arc<Guard<K>>> },
}

/// The objects of one kind.
pub(crate) struct Objects<K: LangopKind> {
    reader: Store<Guard<K>>,
    writing: Mutex<Writing<K>>,
    budget: Arc<Budget>,
}

struct Writing<K: LangopKind> {
    writer: Writer<Guard<K>>,
    tombstones: Tombstones,
}

impl<K: LangopKind> Objects<K> {
    /// Empty; `budget` is shared by all kinds.
    fn new(budget: Arc<Budget>) -> Self {
        let (reader, mut writer) = reflector::store();
        // Lists are merged by the watches themselves (there may be one for each namespace);
        // readiness is theirs too.
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        Self {
            reader,
            writing: Mutex::new(Writing {
                writer,
                tombstones: Tombstones::default(),
            }),
            budget,
        }
    }

    /// For `kube::runtime::applier`.
    pub(crate) fn reader(&self) -> Store<Guard<K>> {
        self.reader.clone()
    }

    pub(crate) fn get(&self, namespace: Option<&str>, name: &str) -> Option<Arc<Guard<K>>> {
        self.reader.get(&object_ref(namespace, name))
    }

    /// All, or those of one namespace.
    pub(crate) fn list(&self, namespace: Option<&str>) -> Vec<Arc<Guard<K>>> {
        self.reader.state_filter(|object| {
            namespace.is_none_or(|namespace| {
                object
                    .meta()
                    .namespace
                    .as_deref()
                    .is_some_and(|own| own == namespace)
            })
        })
    }

    /// Those that can be read and fulfil the predicate.
    pub(crate) fn select(&self, predicate: impl Fn(&K) -> bool) -> Vec<Arc<Guard<K>>> {
        self.reader
            .state_filter(|object| object.0.as_ref().is_ok_and(&predicate))
    }

    /// Takes an object from a watch, or from the answer to a status write.
    pub(crate) fn upsert(&self, mut object: Guard<K>) -> Change<K> {
        strip(&mut object);
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        if writing.tombstones.is_past(uid, version(&object)) {
            return Change::Known;
        }
        let old = self.reader.get(&ObjectRef::from_obj(&object));
        if let Some(old) = &old {
            // One that had no room may have some now.
            let is_again = old.0.is_ok() || object.0.is_err();
            if old.resource_version() == object.resource_version() && is_again {
                return Change::Known;
            }
            if is_older(version(&object), version(old)) {
                return Change::Stale;
            }
        }
        let object = self.within_budget(object, old.as_deref());
        if let Some(old) = &old
            && old.resource_version() == object.resource_version()
            && object.0.is_err()
        {
            return Change::Known;
        }
        writing.writer.apply_watcher_event(&Event::Apply(object));
        Change::Changed { old }
    }

    /// The object, or, if its namespace has no room for it, an error in its place.
    fn within_budget(&self, object: Guard<K>, old: Option<&Guard<K>>) -> Guard<K> {
        let namespace = object.meta().namespace.clone();
        let before = old.map_or(0, held);
        if self
            .budget
            .exchange(namespace.as_deref(), before, held(&object))
        {
            return object;
        }
        self.budget.exchange(namespace.as_deref(), before, 0);
        DeserializeGuard(Err(InvalidObject {
            error: self.budget.refusal(),
            metadata: object.meta().clone(),
        }))
    }

    /// The object is gone; another one of the same name stays. Whether anything was removed.
    pub(crate) fn remove(&self, object: &Guard<K>) -> Option<Arc<Guard<K>>> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        writing.tombstones.note(uid, version(object));
        let held = self
            .reader
            .get(&ObjectRef::from_obj(object))
            .filter(|held| held.uid() == object.uid())?;
        let event = Event::Delete((*held).clone());
        writing.writer.apply_watcher_event(&event);
        self.budget
            .exchange(held.meta().namespace.as_deref(), self::held(&held), 0);
        Some(held)
    }
}

/// Refers to an object by name.
pub(crate) fn object_ref<K: LangopKind>(
    namespace: Option<&str>,
    name: &str,
) -> ObjectRef<Guard<K>> {
    let object_ref = ObjectRef::new(name);
    match namespace {
        Some(namespace) => object_ref.within(namespace),
        None => object_ref,
    }
}

/// Bytes that an object counts; one that cannot be read is hardly more than its name.
fn held<K: LangopKind>(object: &Guard<K>) -> u64 {
    object.0.as_ref().map_or(0, budget::size)
}

/// Drops what nothing reads: at ten thousand objects it is most of the memory, and of one it may be
/// more than all of its spec.
pub(crate) fn strip<K: LangopKind>(object: &mut Guard<K>) {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    metadata.labels = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| annotations::READ.contains(&key.as_str()));
        // So much that it can be seen to be too long.
        for value in annotations.values_mut() {
            value.truncate(value.floor_char_boundary(MAX_ANNOTATION));
        }
    }
    metadata
        .annotations
        .take_if(|annotations| annotations.is_empty());
}

/// Most bytes kept of an annotation's value: more than any of those that are read may have.
const MAX_ANNOTATION: usize = 1024;

fn version<K: LangopKind>(object: &Guard<K>) -> Option<u64> {
    object
        .meta()
        .resource_version
        .as_deref()
        .and_then(parse_version)
}

/// The stores of all kinds.
pub(crate) struct Stores {
    pub(crate) agents: Objects<LanguageAgent>,
    pub(crate) clients: Objects<LanguageClient>,
    pub(crate) clusters: Objects<LanguageCluster>,
    pub(crate) models: Objects<LanguageModel>,
    pub(crate) personas: Objects<LanguagePersona>,
    pub(crate) tools: Objects<LanguageTool>,
}

impl Stores {
    /// Empty, with this many bytes for the objects of each namespace.
    pub(crate) fn new(namespace_bytes: u64) -> Self {
        let budget = Arc::new(Budget::new(namespace_bytes));
        Self {
            agents: Objects::new(budget.clone()),
            clients: Objects::new(budget.clone()),
            clusters: Objects::new(budget.clone()),
            models: Objects::new(budget.clone()),
            personas: Objects::new(budget.clone()),
            tools: Objects::new(budget),
        }
    }
}

/// A kind that [`Stores`] holds.
pub(crate) trait Stored: LangopKind {
    /// Its store.
    fn objects(stores: &Stores) -> &Objects<Self>;
}

macro_rules! stored {
    ($($type:ty => $field:ident),+ $(,)?) => {
        $(impl Stored for $type {
            fn objects(stores: &Stores) -> &Objects<Self> {
                &stores.$field
            }
        })+
    };
}

stored! {
    LanguageAgent => agents,
    LanguageClient => clients,
    LanguageCluster => clusters,
    LanguageModel => models,
    LanguagePersona => personas,
    LanguageTool => tools,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(uid: &str, version: &str) -> Guard<LanguageTool> {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool",
            "metadata": {
                "name": "t", "namespace": "n", "uid": uid, "resourceVersion": version,
                "managedFields": [{"manager": "someone"}],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
            },
            "spec": {"image": "i"}
        }))
        .unwrap()
    }

    #[test]
    fn versions_decide_and_bulk_is_dropped() {
        let tools = Objects::<LanguageTool>::new(Arc::default());
        assert!(matches!(
            tools.upsert(tool("u", "5")),
            Change::Changed { old: None }
        ));
        assert!(matches!(tools.upsert(tool("u", "5")), Change::Known));
        assert!(matches!(tools.upsert(tool("u", "4")), Change::Stale));
        assert!(matches!(
            tools.upsert(tool("u", "6")),
            Change::Changed { old: Some(_) }
        ));
        let held = tools.get(Some("n"), "t").unwrap();
        assert!(held.meta().managed_fields.is_none() && held.annotations().is_empty());
        assert_eq!(tools.list(Some("n")).len(), 1);
        assert!(tools.list(Some("elsewhere")).is_empty());
    }

    fn large(name: &str, version: &str, length: usize) -> Guard<LanguageTool> {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool",
            "metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": version},
            "spec": {"image": "i", "description": "d".repeat(length)}
        }))
        .unwrap()
    }

    #[test]
    fn what_a_namespace_has_no_room_for_is_told_so_until_it_has() {
        let tools = Objects::<LanguageTool>::new(Arc::new(Budget::new(10_000)));
        let is_held = |name: &str| {
            tools
                .get(Some("n"), name)
                .is_some_and(|held| held.0.is_ok())
        };
        tools.upsert(large("a", "1", 6_000));
        assert!(matches!(
            tools.upsert(large("b", "2", 6_000)),
            Change::Changed { old: None }
        ));
        assert_eq!(["a", "b"].map(is_held), [true, false]);
        let refused = tools.get(Some("n"), "b").unwrap();
        let error = refused.0.as_ref().unwrap_err();
        assert!(
            error.error.contains("LANGOP_NAMESPACE_MEBIBYTES"),
            "{error}"
        );
        assert!(
            matches!(tools.upsert(large("b", "2", 6_000)), Change::Known),
            "still no room"
        );
        tools.upsert(large("a", "3", 600));
        assert!(matches!(
            tools.upsert(large("b", "2", 6_000)),
            Change::Changed { .. }
        ));
        assert_eq!(["a", "b"].map(is_held), [true, true]);
        tools.remove(&large("b", "9", 6_000));
        tools.upsert(large("c", "10", 8_000));
        assert!(is_held("c"), "what is gone takes no room");
    }

    #[test]
    fn of_annotations_and_labels_only_those_that_are_read_are_held() {
        let tools = Objects::<LanguageTool>::new(Arc::default());
        let mut object = tool("u", "5");
        object.labels_mut().insert("team".into(), "a".into());
        let annotations = object.annotations_mut();
        annotations.insert("example.com/note".into(), "x".repeat(100_000));
        annotations.insert("langop.io/resynthesize".into(), "ü".repeat(100_000));
        tools.upsert(object);
        let held = tools.get(Some("n"), "t").unwrap();
        assert!(held.labels().is_empty());
        let kept: Vec<_> = held
            .annotations()
            .iter()
            .map(|(key, value)| (key.as_str(), value.len()))
            .collect();
        assert_eq!(kept, [("langop.io/resynthesize", 1024)]);
    }

    #[test]
    fn removal_spares_a_successor() {
        let tools = Objects::<LanguageTool>::new(Arc::default());
        tools.upsert(tool("new", "9"));
        assert!(tools.remove(&tool("old", "8")).is_none());
        assert!(tools.remove(&tool("new", "10")).is_some());
        assert!(tools.get(Some("n"), "t").is_none());
    }
}
