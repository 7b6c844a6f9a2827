//! Feeds the cache from watches, one for each kind and namespace.
//!
//! A list that comes again (after a lost connection) is merged: what it repeats changes nothing;
//! what was there before it began and is not in it is gone. What we wrote ourselves meanwhile may
//! be too new for it.

use std::{collections::HashMap, pin::pin, sync::Arc};

use futures::StreamExt as _;
use kube::{
    Api, Client, Resource,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use langop_api::{
    LanguageAgent, LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool,
};
use langop_desired::observed::ChildKind;
use tokio::task::JoinSet;

use crate::{
    cache::{
        child,
        index::Key,
        kind::Kind,
        objects::Stored,
        received::{Received, ReceivedAny},
        triggers::Target,
    },
    context::Context,
    error::watch_interrupted,
    settings::Scope,
};

/// The namespaces to watch one by one; a single `None` is everywhere.
fn watch_scopes(scope: &Scope) -> Vec<Option<String>> {
    match scope {
        Scope::Cluster => vec![None],
        Scope::Namespaces(names) => names.iter().cloned().map(Some).collect(),
    }
}

fn name(kind: &str, scope: Option<&str>) -> String {
    scope.map_or_else(
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
    let each = |scope: Option<String>| {
        kinds
            .iter()
            .map(move |kind| name(kind, scope.as_deref()))
            .collect::<Vec<_>>()
    };
    watch_scopes(scope).into_iter().flat_map(each).collect()
}

/// Objects of one answer to a list. All kinds are listed at once, and an answer is held whole until
/// it is reduced: of the usual 500 at a time, those of a start are most of the memory that is ever
/// used.
const PAGE: u32 = 100;

/// The same of tools, each of which may have as much as the API server takes.
const PAGE_OF_TOOLS: u32 = 16;

fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// Starts all watches. They end when the set is dropped.
pub(crate) fn start(ctx: &Arc<Context>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for scope in watch_scopes(&ctx.settings.scope) {
        tasks.spawn(own::<LanguageAgent>(
            ctx.clone(),
            api(&ctx.client, scope.as_deref()),
            scope.clone(),
        ));
        tasks.spawn(own::<LanguageClient>(
            ctx.clone(),
            api(&ctx.client, scope.as_deref()),
            scope.clone(),
        ));
        tasks.spawn(own::<LanguageModel>(
            ctx.clone(),
            api(&ctx.client, scope.as_deref()),
            scope.clone(),
        ));
        tasks.spawn(own::<LanguagePersona>(
            ctx.clone(),
            api(&ctx.client, scope.as_deref()),
            scope.clone(),
        ));
        tasks.spawn(own::<LanguageTool>(
            ctx.clone(),
            api(&ctx.client, scope.as_deref()),
            scope.clone(),
        ));
        if scope.is_none() {
            tasks.spawn(own::<LanguageCluster>(
                ctx.clone(),
                Api::all(ctx.client.clone()),
                None,
            ));
        }
        for kind in child::watched(&ctx.settings.scope) {
            tasks.spawn(children(ctx.clone(), *kind, scope.clone()));
        }
    }
    tasks
}

fn api<K>(client: &Client, scope: Option<&str>) -> Api<Received<K>>
where
    K: Stored + Resource<Scope = NamespaceResourceScope>,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn own<K: Stored>(ctx: Arc<Context>, api: Api<Received<K>>, scope: Option<String>) {
    let name = name(K::KIND.as_str(), scope.as_deref());
    let mut before = HashMap::<Box<str>, Target>::new();
    let config = match K::KIND {
        Kind::Tool => config().page_size(PAGE_OF_TOOLS),
        _ => config(),
    };
    let mut events = pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                let known = K::objects(&ctx.cache.stores).targets(scope.as_deref());
                before = known
                    .into_iter()
                    .map(|(target, uid)| (uid, target))
                    .collect();
            }
            Ok(Event::InitApply(object)) => {
                before.remove(object.uid());
                ctx.cache.upsert(&object);
            }
            Ok(Event::Apply(object)) => {
                ctx.cache.upsert(&object);
            }
            Ok(Event::Delete(object)) => {
                let target = Target::of::<K>(&object);
                remove::<K>(&ctx, &target, object.uid(), object.version());
            }
            Ok(Event::InitDone) => {
                for (uid, gone) in before.drain() {
                    remove::<K>(&ctx, &gone, &uid, None);
                }
                ctx.readiness.listed(&name);
            }
            Err(error) => watch_interrupted(&name, &error),
        }
    }
}

fn remove<K: Stored>(ctx: &Context, target: &Target, uid: &str, version: Option<&str>) {
    if ctx.cache.remove::<K>(target, uid, version) {
        ctx.forget(target, Some(uid));
    }
}

async fn children(ctx: Arc<Context>, kind: ChildKind, scope: Option<String>) {
    let name = name(&child::name(kind), scope.as_deref());
    let config = config().labels(&child::selector(kind));
    let mut before = HashMap::new();
    let api: Api<ReceivedAny> = child::api(&ctx.client, kind, scope.as_deref());
    let mut events = pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                let known = ctx.cache.index.keys(kind, scope.as_deref());
                before = known.into_iter().map(|(key, uid)| (uid, key)).collect();
            }
            Ok(Event::InitApply(object)) => {
                before.remove(object.uid());
                ctx.cache.observe_child(kind, &object);
            }
            Ok(Event::Apply(object)) => ctx.cache.observe_child(kind, &object),
            Ok(Event::Delete(object)) => {
                let key = Key::new(kind, object.namespace(), object.name());
                ctx.cache.observe_end(&key, object.uid(), object.version());
            }
            Ok(Event::InitDone) => {
                for (uid, key) in before.drain() {
                    ctx.cache.observe_end(&key, &uid, None);
                }
                ctx.readiness.listed(&name);
            }
            Err(error) => watch_interrupted(&name, &error),
        }
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
