//! Feeds the stores and the index from watches, one for each kind and namespace, and triggers whoever a change concerns.
//!
//! A list that comes again (after a lost connection) is merged: what it repeats changes nothing; what was there before it began and is not
//! in it is gone. What we wrote ourselves meanwhile may be too new for it.

use std::{collections::HashMap, pin::pin, sync::Arc};

use futures::StreamExt as _;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::DynamicObject,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use langop_api::{
    LanguageAgent, LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool,
    names::labels,
};
use langop_desired::{
    digest,
    observed::{ChildKind, Observed},
};
use tokio::task::JoinSet;

use crate::{
    child,
    context::Context,
    error::watch_interrupted,
    index::{self, Index, Key},
    kind::Kind,
    objects::{self, Change, Guard, Stored},
    settings::Scope,
    triggers::{self, Target},
};

/// The namespaces to watch one by one; a single `None` is everywhere.
fn places(scope: &Scope) -> Vec<Option<String>> {
    match scope {
        Scope::Cluster => vec![None],
        Scope::Namespaces(names) => names.iter().cloned().map(Some).collect(),
    }
}

fn name(kind: &str, place: Option<&str>) -> String {
    place.map_or_else(
        || kind.to_owned(),
        |namespace| format!("{kind} in {namespace}"),
    )
}

/// The names of all watches, for readiness.
pub(crate) fn names(scope: &Scope) -> Vec<String> {
    let own = Kind::ALL
        .into_iter()
        .filter(|kind| *scope == Scope::Cluster || *kind != Kind::Cluster);
    let kinds: Vec<String> = own
        .map(|kind| kind.as_str().to_owned())
        .chain(child::watched(scope).iter().map(|kind| child::name(*kind)))
        .collect();
    let each = |place: Option<String>| {
        kinds
            .iter()
            .map(move |kind| name(kind, place.as_deref()))
            .collect::<Vec<_>>()
    };
    places(scope).into_iter().flat_map(each).collect()
}

/// Objects of one answer to a list. All kinds are listed at once, and an answer is held whole until it is reduced: of the usual 500 at a
/// time, those of a start are most of the memory that is ever used.
const PAGE: u32 = 100;

/// The same of tools, each of which may have as much as the API server takes.
const PAGE_OF_TOOLS: u32 = 16;

fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// Starts all watches. They end when the set is dropped.
pub(crate) fn start(ctx: &Arc<Context>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for place in places(&ctx.settings.scope) {
        tasks.spawn(own::<LanguageAgent>(
            ctx.clone(),
            api(&ctx.client, place.as_deref()),
            place.clone(),
        ));
        tasks.spawn(own::<LanguageClient>(
            ctx.clone(),
            api(&ctx.client, place.as_deref()),
            place.clone(),
        ));
        tasks.spawn(own::<LanguageModel>(
            ctx.clone(),
            api(&ctx.client, place.as_deref()),
            place.clone(),
        ));
        tasks.spawn(own::<LanguagePersona>(
            ctx.clone(),
            api(&ctx.client, place.as_deref()),
            place.clone(),
        ));
        tasks.spawn(own::<LanguageTool>(
            ctx.clone(),
            api(&ctx.client, place.as_deref()),
            place.clone(),
        ));
        if place.is_none() {
            tasks.spawn(own::<LanguageCluster>(
                ctx.clone(),
                Api::all(ctx.client.clone()),
                None,
            ));
        }
        for kind in child::watched(&ctx.settings.scope) {
            tasks.spawn(children(ctx.clone(), *kind, place.clone()));
        }
    }
    tasks
}

fn api<K>(client: &Client, place: Option<&str>) -> Api<Guard<K>>
where
    K: Stored + Resource<Scope = NamespaceResourceScope>,
{
    match place {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn own<K: Stored>(ctx: Arc<Context>, api: Api<Guard<K>>, place: Option<String>) {
    let name = name(K::KIND.as_str(), place.as_deref());
    let mut before = HashMap::new();
    let config = match K::KIND {
        Kind::Tool => config().page_size(PAGE_OF_TOOLS),
        _ => config(),
    };
    let mut events = pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                let known = K::objects(&ctx.stores).list(place.as_deref());
                before = known
                    .into_iter()
                    .map(|object| (object.uid(), object))
                    .collect();
            }
            Ok(Event::InitApply(object)) => {
                before.remove(&object.uid());
                took(&ctx, object);
            }
            Ok(Event::Apply(object)) => {
                took(&ctx, object);
            }
            Ok(Event::Delete(object)) => lost(&ctx, &object),
            Ok(Event::InitDone) => {
                for (_, gone) in before.drain() {
                    lost(&ctx, &gone);
                }
                ctx.readiness.listed(&name);
            }
            Err(error) => watch_interrupted(&name, &error),
        }
    }
}

/// Takes one of ours and triggers it, and whom it concerns, if it is news; whether it is.
pub(crate) fn took<K: Stored>(ctx: &Context, object: Guard<K>) -> bool {
    let target = triggers::target_of(&object);
    let is_news = take(ctx, object) == News::Some;
    if is_news {
        ctx.triggers.send(target);
    }
    is_news
}

/// Whether an object brought anything that the store did not have.
#[derive(PartialEq, Eq)]
enum News {
    Some,
    None,
}

/// Takes one of ours, from a watch or from the answer to our own status write, and triggers the others it concerns. The watch brings
/// the answer again, as nothing new: so whoever sees a version first must tell.
fn take<K: Stored>(ctx: &Context, object: Guard<K>) -> News {
    let target = triggers::target_of(&object);
    let new = object.clone();
    let old = match K::objects(&ctx.stores).upsert(object) {
        Change::Known => return News::None,
        Change::Stale => None,
        Change::Changed { old } => old,
    };
    if ctx.triggers.is_open() {
        ctx.triggers
            .send_all(concerned(ctx, &target, old.as_deref(), Some(&new)));
    }
    News::Some
}

/// Takes the answer to our own status write. Whoever wrote knows what it says, unless it brings what somebody else wrote meanwhile (than
/// `written`): the watch may bring that no more, because the answer is newer.
pub(crate) fn take_own<K: Stored>(ctx: &Context, mut answer: Guard<K>, written: &K) {
    // What is written is as the store has it.
    objects::strip(&mut answer);
    let (after, before) = (answer.meta(), written.meta());
    let is_news = after.generation != before.generation
        || after.deletion_timestamp != before.deletion_timestamp
        || after.annotations != before.annotations;
    let target = triggers::target_of(&answer);
    take(ctx, answer);
    if is_news {
        ctx.triggers.send(target);
    }
}

fn lost<K: Stored>(ctx: &Context, object: &Guard<K>) {
    let Some(old) = K::objects(&ctx.stores).remove(object) else {
        return;
    };
    let target = triggers::target_of(&*old);
    ctx.forget(&target, old.uid().as_deref());
    if ctx.triggers.is_open() {
        ctx.triggers
            .send_all(concerned(ctx, &target, Some(&old), None));
    }
}

/// Whom a change of one of ours concerns beside itself.
fn concerned<K: Stored>(
    ctx: &Context,
    target: &Target,
    old: Option<&Guard<K>>,
    new: Option<&Guard<K>>,
) -> Vec<Target> {
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let mut targets = Vec::new();
    if old.is_none() || new.is_none() {
        targets.extend(triggers::namesakes(target.kind, namespace, &target.name));
    }
    if !matters_to_others(old, new) {
        return targets;
    }
    match target.kind {
        Kind::Agent => targets.extend(triggers::clusters_of(&ctx.stores, namespace)),
        Kind::Client => {}
        Kind::Cluster => {
            let named = [old, new].into_iter().flatten();
            for namespace in named.flat_map(|cluster| framed(&ctx.index, cluster)) {
                targets.extend(triggers::clusters_of(&ctx.stores, &namespace));
                targets.extend(triggers::framed(&ctx.stores, &namespace));
            }
        }
        Kind::Model | Kind::Persona | Kind::Tool => {
            targets.extend(triggers::referring(
                &ctx.stores,
                target.kind,
                namespace,
                &target.name,
            ));
        }
    }
    targets.retain(|other| other != target);
    targets.sort();
    targets.dedup();
    targets
}

/// The namespaces that a LanguageCluster frames. One that cannot be read may frame that of its name, and those that name it.
fn framed<K: Stored>(index: &Index, cluster: &Guard<K>) -> Vec<String> {
    if let Ok(readable) = &cluster.0 {
        return readable.framed_namespace().into_iter().collect();
    }
    let name = cluster.name_any();
    let names_it =
        |namespace: &Observed| namespace.labels.get(labels::CLUSTER) == Some(name.as_str());
    index
        .keys(ChildKind::Namespace, None)
        .into_iter()
        .filter_map(|(key, _)| index.get(key.kind, &key.namespace, &key.name))
        .filter(|namespace| names_it(namespace))
        .map(|namespace| namespace.name.clone())
        .chain([name.clone()])
        .collect()
}

/// Whether others read what changed: its existence, its spec, or that part of its status that they use.
fn matters_to_others<K: Stored>(old: Option<&Guard<K>>, new: Option<&Guard<K>>) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        return true;
    };
    let (Ok(before), Ok(after)) = (&old.0, &new.0) else {
        return true;
    };
    old.meta().generation != new.meta().generation
        || old.uid() != new.uid()
        || !before.same_for_others(after)
}

async fn children(ctx: Arc<Context>, kind: ChildKind, place: Option<String>) {
    let name = name(&child::name(kind), place.as_deref());
    let config = config().labels(&child::selector(kind));
    let mut before = HashMap::new();
    let mut events =
        pin!(watcher(child::api(&ctx.client, kind, place.as_deref()), config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                let known = ctx.index.keys(kind, place.as_deref());
                before = known.into_iter().map(|(key, uid)| (uid, key)).collect();
            }
            Ok(Event::InitApply(object)) => {
                before.remove(object.meta().uid.as_deref().unwrap_or_default());
                concern(&ctx, &ingest(&ctx, kind, object));
            }
            Ok(Event::Apply(object)) => concern(&ctx, &ingest(&ctx, kind, object)),
            Ok(Event::Delete(object)) => {
                let namespace = object.namespace().unwrap_or_default();
                let key = Key::new(kind, &namespace, &object.name_any());
                let (uid, version) = (object.uid().unwrap_or_default(), object.resource_version());
                concern(&ctx, &ctx.index.remove(&key, &uid, version.as_deref()));
            }
            Ok(Event::InitDone) => {
                for (uid, key) in before.drain() {
                    concern(&ctx, &ctx.index.remove(&key, &uid, None));
                }
                ctx.readiness.listed(&name);
            }
            Err(error) => watch_interrupted(&name, &error),
        }
    }
}

fn concern(ctx: &Context, change: &index::Change) {
    if let index::Change::Gone(old) = change {
        ctx.accepted.forget(&old.uid);
    }
    if ctx.triggers.is_open() {
        ctx.triggers.send_all(triggers::of_child(change));
        ctx.triggers
            .send_all(triggers::of_baseline(&ctx.stores, change));
    }
}

/// Puts a live child into the index: from a watch, or from the answer to one of our own writes.
pub(crate) fn ingest(ctx: &Context, kind: ChildKind, object: DynamicObject) -> index::Change {
    let version = object.metadata.resource_version.clone();
    match digest::reduce_object(kind, object) {
        Some(observed) => ctx.index.upsert(observed, version.as_deref()),
        None => index::Change::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_single_namespaces_nothing_of_the_cluster_is_watched() {
        let everywhere = names(&Scope::Cluster);
        for name in [
            "LanguageCluster",
            "Namespace",
            "ResourceQuota",
            "RoleBinding",
            "LimitRange",
            "LanguageAgent",
        ] {
            assert!(everywhere.contains(&name.to_owned()), "{name}");
        }
        let limited = names(&Scope::Namespaces(vec!["a".into(), "b".into()]));
        assert!(
            limited.contains(&"LanguageAgent in a".to_owned())
                && limited.contains(&"Pod in b".to_owned())
        );
        assert!(
            !limited
                .iter()
                .any(|name| name.starts_with("LanguageCluster")
                    || name.starts_with("Namespace")
                    || name.starts_with("RoleBinding"))
        );
    }
}
