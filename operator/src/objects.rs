//! Our own kinds in memory: one store for each, that undecodable objects do not stall and that takes our own status writes at once.

use std::sync::{Arc, Mutex, PoisonError};

use kube::{
    Resource as _, ResourceExt as _,
    core::DeserializeGuard,
    runtime::{
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher::Event,
    },
};
use langop_api::{
    LanguageAgent, LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool,
};

use crate::{
    gone::Gone,
    index::{is_older, parse_version},
    kind::LangopKind,
};

/// An object that may be undecodable.
pub(crate) type Guard<K> = DeserializeGuard<K>;

/// What an event did to a store.
#[derive(Debug)]
pub(crate) enum Change<K> {
    /// The version is the one held (our own write, or a list that repeats it), or the object is gone.
    Known,
    /// The version is older than the one held. What it says is in the newer one, which nobody may have looked at.
    Stale,
    /// New or different.
    Changed { old: Option<Arc<Guard<K>>> },
}

/// The objects of one kind.
pub(crate) struct Objects<K: LangopKind> {
    reader: Store<Guard<K>>,
    writing: Mutex<Writing<K>>,
}

struct Writing<K: LangopKind> {
    writer: Writer<Guard<K>>,
    gone: Gone,
}

impl<K: LangopKind> Default for Objects<K> {
    fn default() -> Self {
        let (reader, mut writer) = reflector::store();
        // Lists are merged by the watches themselves (there may be one for each namespace); readiness is theirs too.
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        Self {
            reader,
            writing: Mutex::new(Writing {
                writer,
                gone: Gone::default(),
            }),
        }
    }
}

impl<K: LangopKind> Objects<K> {
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
        if writing.gone.is_past(uid, version(&object)) {
            return Change::Known;
        }
        let old = self.reader.get(&ObjectRef::from_obj(&object));
        if let Some(old) = &old {
            if old.resource_version() == object.resource_version() {
                return Change::Known;
            }
            if is_older(version(&object), version(old)) {
                return Change::Stale;
            }
        }
        writing.writer.apply_watcher_event(&Event::Apply(object));
        Change::Changed { old }
    }

    /// The object is gone; another one of the same name stays. Whether anything was removed.
    pub(crate) fn remove(&self, object: &Guard<K>) -> Option<Arc<Guard<K>>> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        writing.gone.note(uid, version(object));
        let held = self
            .reader
            .get(&ObjectRef::from_obj(object))
            .filter(|held| held.uid() == object.uid())?;
        let event = Event::Delete((*held).clone());
        writing.writer.apply_watcher_event(&event);
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

/// Drops what nothing reads: at ten thousand objects it is most of the memory.
fn strip<K: LangopKind>(object: &mut Guard<K>) {
    object.managed_fields_mut().clear();
    if object.meta().annotations.is_some() {
        object
            .annotations_mut()
            .remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    object.meta_mut().managed_fields = None;
}

fn version<K: LangopKind>(object: &Guard<K>) -> Option<u64> {
    object
        .meta()
        .resource_version
        .as_deref()
        .and_then(parse_version)
}

/// The stores of all kinds.
#[derive(Default)]
pub(crate) struct Stores {
    pub(crate) agents: Objects<LanguageAgent>,
    pub(crate) clients: Objects<LanguageClient>,
    pub(crate) clusters: Objects<LanguageCluster>,
    pub(crate) models: Objects<LanguageModel>,
    pub(crate) personas: Objects<LanguagePersona>,
    pub(crate) tools: Objects<LanguageTool>,
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
        let tools = Objects::<LanguageTool>::default();
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

    #[test]
    fn removal_spares_a_successor() {
        let tools = Objects::<LanguageTool>::default();
        tools.upsert(tool("new", "9"));
        assert!(tools.remove(&tool("old", "8")).is_none());
        assert!(tools.remove(&tool("new", "10")).is_some());
        assert!(tools.get(Some("n"), "t").is_none());
    }
}
