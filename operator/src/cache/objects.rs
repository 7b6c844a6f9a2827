//! Our own kinds in memory: one store for each. Undecodable objects do not stall it, and our own
//! status writes are in it at once. What is asked of all objects together (who refers to one, what
//! their statuses add up to) is kept as they change.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use hashbrown::HashTable;
use kube::{
    Resource as _, ResourceExt as _,
    api::ObjectMeta,
    core::{DeserializeGuard, error_boundary::InvalidObject},
};
use langop_api::{
    LanguageAgent, LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool,
};
use slab::Slab;

use crate::cache::{
    budget::{self, Budget},
    kind::{LangopKind, Reference},
    packed::Packed,
    received::Received,
    tally::Sum as _,
    tombstones::Tombstones,
    triggers::Target,
    version::{is_older, parse_version},
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
    Stale { new: Arc<Guard<K>> },
    /// New or different.
    Changed {
        old: Option<Arc<Guard<K>>>,
        new: Arc<Guard<K>>,
    },
}

/// The objects of one kind.
pub(crate) struct Objects<K: LangopKind> {
    inner: RwLock<Inner<K>>,
    budget: Arc<Budget>,
}

struct Inner<K: LangopKind> {
    hashes: RandomState,
    slots: Slab<Held<K>>,
    by_id: HashTable<usize>,
    referring: HashMap<Referred, Vec<usize>>,
    sum: K::Sum,
    tombstones: Tombstones,
}

/// What objects of one namespace refer to.
#[derive(PartialEq, Eq, Hash)]
struct Referred {
    namespace: Box<str>,
    reference: Reference,
}

/// An object, and what is asked of it without a look at the whole.
struct Held<K: LangopKind> {
    /// Empty for one of the cluster.
    namespace: Box<str>,
    name: Box<str>,
    uid: Box<str>,
    version: Box<str>,
    /// What it counts in the budget.
    bytes: u64,
    whole: Whole<K>,
}

enum Whole<K: LangopKind> {
    /// Of a kind of which there are few, or one that cannot be read.
    Live(Arc<Guard<K>>),
    Packed(Packed<K>),
}

impl<K: LangopKind> Objects<K> {
    /// Empty; `budget` is shared by all kinds.
    fn new(budget: Arc<Budget>) -> Self {
        let inner = Inner {
            hashes: RandomState::default(),
            slots: Slab::default(),
            by_id: HashTable::default(),
            referring: HashMap::default(),
            sum: K::Sum::default(),
            tombstones: Tombstones::default(),
        };
        Self {
            inner: RwLock::new(inner),
            budget,
        }
    }

    pub(crate) fn get(&self, namespace: Option<&str>, name: &str) -> Option<Arc<Guard<K>>> {
        self.read().get(namespace, name).map(Held::whole)
    }

    /// Whether the object of that uid is held.
    pub(crate) fn holds(&self, target: &Target, uid: Option<&str>) -> bool {
        let inner = self.read();
        let held = inner.get(target.namespace.as_deref(), &target.name);
        held.is_some_and(|held| *held.uid == *uid.unwrap_or_default())
    }

    /// All, or those of one namespace.
    pub(crate) fn list(&self, namespace: Option<&str>) -> Vec<Arc<Guard<K>>> {
        let inner = self.read();
        inner.within(namespace).map(Held::whole).collect()
    }

    /// Who they are, with their uids: all, or those of one namespace.
    pub(crate) fn targets(&self, namespace: Option<&str>) -> Vec<(Target, Box<str>)> {
        let inner = self.read();
        let all = inner.within(namespace);
        all.map(|held| (held.target(), held.uid.clone())).collect()
    }

    /// Those that can be read and fulfil the predicate. Looks at each whole object, one at a time:
    /// meanwhile others may change them.
    pub(crate) fn select(&self, predicate: impl Fn(&K) -> bool) -> Vec<Arc<Guard<K>>> {
        let all = self.targets(None).into_iter();
        let held = all.filter_map(|(each, _)| self.get(each.namespace.as_deref(), &each.name));
        held.filter(|object| object.0.as_ref().is_ok_and(&predicate))
            .collect()
    }

    /// Those of a namespace that refer to something in it.
    pub(crate) fn referring(&self, namespace: &str, reference: Reference) -> Vec<Target> {
        let referred = Referred {
            namespace: namespace.into(),
            reference,
        };
        let inner = self.read();
        let found = inner.referring.get(&referred).into_iter().flatten();
        found.map(|at| inner.slots[*at].target()).collect()
    }

    /// What they add up to.
    pub(crate) fn sum<R>(&self, read: impl FnOnce(&K::Sum) -> R) -> R {
        read(&self.read().sum)
    }

    /// Takes an object from a watch.
    pub(crate) fn upsert(&self, received: &Received<K>) -> Change<K> {
        if self.read().is_known(received.meta(), false) {
            return Change::Known;
        }
        self.upsert_read(received.read())
    }

    /// Takes an object that has been read.
    pub(crate) fn upsert_read(&self, object: Guard<K>) -> Change<K> {
        // Before anybody has to wait for it.
        let mut new = Arc::new(object);
        let (mut whole, mut bytes) = Whole::of(&new);
        let mut inner = self.write();
        if inner.is_known(new.meta(), new.0.is_err()) {
            return Change::Known;
        }
        let namespace = new.meta().namespace.as_deref();
        let held = inner.get(namespace, &new.name_any());
        if held.is_some_and(|held| is_older(version(new.meta()), parse_version(&held.version))) {
            return Change::Stale { new };
        }
        let before = held.map_or(0, |held| held.bytes);
        if !self.budget.exchange(namespace, before, bytes) {
            if held.is_some_and(|held| held.is_of_version(new.meta())) {
                return Change::Known;
            }
            self.budget.exchange(namespace, before, 0);
            new = Arc::new(self.refused(&new));
            (whole, bytes) = Whole::of(&new);
        }
        let old = inner.put(&new, whole, bytes);
        Change::Changed { old, new }
    }

    /// What is held in the place of an object that its namespace has no room for.
    fn refused(&self, object: &Guard<K>) -> Guard<K> {
        DeserializeGuard(Err(InvalidObject {
            error: self.budget.refusal(),
            metadata: object.meta().clone(),
        }))
    }

    /// The object of that uid is gone, at that version (`None`: at the one held); another one of
    /// the same name stays. What was held.
    pub(crate) fn remove(
        &self,
        target: &Target,
        uid: &str,
        version: Option<&str>,
    ) -> Option<Arc<Guard<K>>> {
        let mut inner = self.write();
        let namespace = target.namespace.as_deref();
        let held = inner.get(namespace, &target.name);
        let held = held.filter(|held| *held.uid == *uid);
        let version = version.or(held.map(|held| &*held.version));
        let version = version.and_then(parse_version);
        let bytes = held.map(|held| held.bytes);
        inner.tombstones.note(uid, version);
        self.budget.exchange(namespace, bytes?, 0);
        inner.take(namespace, &target.name)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner<K>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<K>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: LangopKind> Inner<K> {
    fn at(&self, namespace: Option<&str>, name: &str) -> Option<usize> {
        let wanted = (namespace.unwrap_or_default(), name);
        let hash = self.hashes.hash_one(wanted);
        let is_wanted = |at: &usize| self.slots[*at].id() == wanted;
        self.by_id.find(hash, is_wanted).copied()
    }

    fn get(&self, namespace: Option<&str>, name: &str) -> Option<&Held<K>> {
        Some(&self.slots[self.at(namespace, name)?])
    }

    /// All, or those of one namespace.
    fn within(&self, namespace: Option<&str>) -> impl Iterator<Item = &Held<K>> {
        let all = self.slots.iter().map(|(_, held)| held);
        all.filter(move |held| namespace.is_none_or(|namespace| *held.namespace == *namespace))
    }

    /// Whether an object says nothing, by its metadata alone: it is gone, or held just so. One that had
    /// no room may have some now, unless it is known to be unreadable.
    fn is_known(&self, object: &ObjectMeta, is_unreadable: bool) -> bool {
        let uid = object.uid.as_deref().unwrap_or_default();
        if self.tombstones.is_past(uid, version(object)) {
            return true;
        }
        let name = object.name.as_deref().unwrap_or_default();
        let held = self.get(object.namespace.as_deref(), name);
        held.is_some_and(|held| held.is_of_version(object) && (held.is_readable() || is_unreadable))
    }

    /// Holds an object in the place of the one of its name, which it gives back.
    fn put(&mut self, new: &Guard<K>, whole: Whole<K>, bytes: u64) -> Option<Arc<Guard<K>>> {
        let held = Held::new(new, whole, bytes);
        if let Some(at) = self.at(new.meta().namespace.as_deref(), &held.name) {
            let old = std::mem::replace(&mut self.slots[at], held).whole();
            self.exchange(at, Some(&old), Some(new));
            return Some(old);
        }
        let hash = |held: &Held<K>| self.hashes.hash_one(held.id());
        let hashed = hash(&held);
        let at = self.slots.insert(held);
        self.by_id
            .insert_unique(hashed, at, |other| hash(&self.slots[*other]));
        self.exchange(at, None, Some(new));
        None
    }

    fn take(&mut self, namespace: Option<&str>, name: &str) -> Option<Arc<Guard<K>>> {
        let at = self.at(namespace, name)?;
        let hash = self.hashes.hash_one(self.slots[at].id());
        if let Ok(found) = self.by_id.find_entry(hash, |other| *other == at) {
            found.remove();
        }
        let old = self.slots.remove(at).whole();
        self.exchange(at, Some(&old), None);
        Some(old)
    }

    /// What is kept of all together follows a change of one.
    fn exchange(&mut self, at: usize, old: Option<&Guard<K>>, new: Option<&Guard<K>>) {
        let [old, new] = [old, new].map(|object| object.and_then(|object| object.0.as_ref().ok()));
        self.sum.exchange(old, new);
        let (before, after) = (referred(old), referred(new));
        if before == after {
            return;
        }
        for gone in before {
            if let Some(members) = self.referring.get_mut(&gone) {
                members.retain(|member| *member != at);
                if members.is_empty() {
                    self.referring.remove(&gone);
                }
            }
        }
        for come in after {
            self.referring.entry(come).or_default().push(at);
        }
    }
}

fn referred<K: LangopKind>(object: Option<&K>) -> Vec<Referred> {
    let Some(object) = object else {
        return Vec::new();
    };
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    let mut references = object.references();
    references.sort_unstable();
    references.dedup();
    let referred = references.into_iter().map(|reference| Referred {
        namespace: namespace.into(),
        reference,
    });
    referred.collect()
}

impl<K: LangopKind> Held<K> {
    fn new(object: &Guard<K>, whole: Whole<K>, bytes: u64) -> Self {
        let meta = object.meta();
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        Self {
            namespace: text(&meta.namespace),
            name: text(&meta.name),
            uid: text(&meta.uid),
            version: text(&meta.resource_version),
            bytes,
            whole,
        }
    }

    fn id(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    fn target(&self) -> Target {
        let namespace = Some(&*self.namespace).filter(|namespace| !namespace.is_empty());
        Target::new(K::KIND, namespace, &self.name)
    }

    fn is_of_version(&self, object: &ObjectMeta) -> bool {
        let version = object.resource_version.as_deref();
        *self.version == *version.unwrap_or_default()
    }

    fn is_readable(&self) -> bool {
        match &self.whole {
            Whole::Live(object) => object.0.is_ok(),
            Whole::Packed(_) => true,
        }
    }

    fn whole(&self) -> Arc<Guard<K>> {
        match &self.whole {
            Whole::Live(object) => object.clone(),
            Whole::Packed(packed) => Arc::new(DeserializeGuard(Ok(packed.unpack()))),
        }
    }
}

impl<K: LangopKind> Whole<K> {
    /// With the bytes that it counts in the budget; one that cannot be read is hardly more than its
    /// name.
    fn of(object: &Arc<Guard<K>>) -> (Self, u64) {
        let live = || Self::Live(object.clone());
        match &object.0 {
            Ok(readable) if K::IS_NUMEROUS => match Packed::new(readable) {
                Some(packed) => {
                    let bytes = packed.json_length() as u64;
                    (Self::Packed(packed), bytes)
                }
                None => (live(), budget::size(readable)),
            },
            Ok(readable) => (live(), budget::size(readable)),
            Err(_) => (live(), 0),
        }
    }
}

fn version(object: &ObjectMeta) -> Option<u64> {
    object.resource_version.as_deref().and_then(parse_version)
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
    use serde_json::json;

    use crate::cache::kind::Kind;

    use super::*;

    fn tool(uid: &str, version: &str) -> Received<LanguageTool> {
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
            tools.upsert(&tool("u", "5")),
            Change::Changed { old: None, .. }
        ));
        assert!(matches!(tools.upsert(&tool("u", "5")), Change::Known));
        assert!(matches!(
            tools.upsert(&tool("u", "4")),
            Change::Stale { .. }
        ));
        assert!(matches!(
            tools.upsert(&tool("u", "6")),
            Change::Changed { old: Some(_), .. }
        ));
        let held = tools.get(Some("n"), "t").unwrap();
        assert!(held.meta().managed_fields.is_none() && held.annotations().is_empty());
        assert_eq!(tools.list(Some("n")).len(), 1);
        assert!(tools.list(Some("elsewhere")).is_empty());
    }

    fn large(name: &str, version: &str, length: usize) -> Received<LanguageTool> {
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
        tools.upsert(&large("a", "1", 6_000));
        assert!(matches!(
            tools.upsert(&large("b", "2", 6_000)),
            Change::Changed { old: None, .. }
        ));
        assert_eq!(["a", "b"].map(is_held), [true, false]);
        let refused = tools.get(Some("n"), "b").unwrap();
        let error = refused.0.as_ref().unwrap_err();
        assert!(
            error.error.contains("LANGOP_NAMESPACE_MEBIBYTES"),
            "{error}"
        );
        assert!(
            matches!(tools.upsert(&large("b", "2", 6_000)), Change::Known),
            "still no room"
        );
        tools.upsert(&large("a", "3", 600));
        assert!(matches!(
            tools.upsert(&large("b", "2", 6_000)),
            Change::Changed { .. }
        ));
        assert_eq!(["a", "b"].map(is_held), [true, true]);
        tools.remove(&Target::new(Kind::Tool, Some("n"), "b"), "b", Some("9"));
        tools.upsert(&large("c", "10", 8_000));
        assert!(is_held("c"), "what is gone takes no room");
    }

    #[test]
    fn of_annotations_and_labels_only_those_that_are_read_are_held() {
        let tools = Objects::<LanguageTool>::new(Arc::default());
        let mut object = tool("u", "5").value().unwrap();
        object["metadata"]["labels"] = json!({"team": "a"});
        let annotations = &mut object["metadata"]["annotations"];
        annotations["example.com/note"] = json!("x".repeat(100_000));
        annotations["langop.io/resynthesize"] = json!("ü".repeat(100_000));
        tools.upsert(&serde_json::from_value(object).unwrap());
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
        tools.upsert(&tool("new", "9"));
        let target = Target::new(Kind::Tool, Some("n"), "t");
        assert!(tools.remove(&target, "old", Some("8")).is_none());
        assert!(tools.holds(&target, Some("new")) && !tools.holds(&target, Some("old")));
        assert!(tools.remove(&target, "new", Some("10")).is_some());
        assert!(tools.get(Some("n"), "t").is_none());
        assert!(
            matches!(tools.upsert(&tool("new", "9")), Change::Known),
            "a late answer brings nothing back"
        );
    }

    fn agent(name: &str, version: &str, tools: &[&str], phase: &str) -> Received<LanguageAgent> {
        let refs: Vec<_> = tools.iter().map(|name| json!({"name": name})).collect();
        serde_json::from_value(json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
            "metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": version},
            "spec": {"instructions": "x", "toolRefs": refs, "modelRefs": [{"name": "m"}]},
            "status": {"phase": phase}
        }))
        .unwrap()
    }

    #[test]
    fn who_refers_to_what_follows_each_change() {
        let agents = Objects::<LanguageAgent>::new(Arc::default());
        let users = |kind, name: &str| {
            let mut found: Vec<_> = agents
                .referring("n", Reference::new(kind, name))
                .into_iter()
                .map(|target| target.name)
                .collect();
            found.sort_unstable();
            found
        };
        for name in ["a", "b", "c"] {
            agents.upsert(&agent(name, "1", &["t", "t"], "Pending"));
        }
        assert_eq!(users(Kind::Tool, "t"), ["a", "b", "c"]);
        agents.upsert(&agent("b", "2", &["u"], "Pending"));
        agents.remove(&Target::new(Kind::Agent, Some("n"), "a"), "a", None);
        assert_eq!(users(Kind::Tool, "t"), ["c"]);
        assert_eq!(users(Kind::Tool, "u"), ["b"]);
        // In the place that another left.
        agents.upsert(&agent("d", "1", &["u"], "Pending"));
        assert_eq!(users(Kind::Tool, "u"), ["b", "d"]);
        assert_eq!(users(Kind::Model, "m"), ["b", "c", "d"]);
        assert!(
            agents
                .referring("elsewhere", Reference::new(Kind::Model, "m"))
                .is_empty()
        );
        for name in ["b", "c", "d"] {
            agents.remove(&Target::new(Kind::Agent, Some("n"), name), name, None);
        }
        assert!(agents.read().referring.is_empty() && agents.targets(None).is_empty());
    }

    #[test]
    fn an_agent_at_rest_is_the_agent() {
        let agents = Objects::<LanguageAgent>::new(Arc::default());
        let live = agent("a", "1", &["t"], "Running");
        agents.upsert(&live);
        let held = agents.get(Some("n"), "a").unwrap();
        assert_eq!(
            serde_json::to_value(held.0.as_ref().unwrap()).unwrap(),
            serde_json::to_value(live.read().0.unwrap()).unwrap()
        );
        let Change::Changed { old: Some(old), .. } = agents.upsert(&agent("a", "2", &[], "Failed"))
        else {
            panic!("not changed")
        };
        assert_eq!(old.resource_version().as_deref(), Some("1"));
    }
}
