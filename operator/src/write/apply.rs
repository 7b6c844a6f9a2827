//! Makes children what they should be: looks first, writes only what differs, removes what is no longer wanted.
//!
//! Order: every name is checked for ownership before the first write, so a conflict leaves everything untouched. A child is ours
//! exactly if its controller has our resource's uid (see [`Obstacle`]).

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{
    DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy,
};
use langop_api::{condition::Reason, names::managers};
use langop_desired::{
    children::{Applied, Child, Children, Prepared},
    conditions::Standing,
    digest::{self, Desired},
    meta::Owner,
    observed::{ChildKind, Facts, Observed},
    reach,
};
use serde_json::json;

use crate::{
    cache::{child, index::Key, kind::Kind},
    context::Context,
    error::{Class, ReconcileError, Refusal, classify},
    write::ownership::Obstacle,
};

/// What became of the children.
#[derive(Debug)]
pub(crate) enum Applying {
    /// All of them are in the API server.
    Done {
        children: Children<Applied>,
        written: Vec<Written>,
    },
    /// A name is not ours; nothing was written.
    Obstacle(Obstacle),
    /// The API server refuses one; those before it in order are written, and those after it that do not need it.
    Refused {
        message: String,
        written: Vec<Written>,
    },
}

/// One child that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) kind: ChildKind,
    pub(crate) name: String,
    pub(crate) verb: Verb,
}

/// How it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Created,
    Updated,
    Deleted,
}

struct Item {
    key: Key,
    desired: Desired,
    /// The live object, if there is one.
    live: Option<Arc<Observed>>,
}

impl From<Child> for Item {
    fn from(child: Child) -> Self {
        let Child {
            kind,
            namespace,
            name,
            desired,
        } = child;
        Self {
            key: Key {
                kind,
                namespace,
                name,
            },
            desired,
            live: None,
        }
    }
}

/// Applies all children of `owner`, and removes what else it controls (code and claims excepted, whose life is decided elsewhere;
/// `keep` excepted too).
pub(crate) async fn children(
    ctx: &Context,
    owner: &Owner,
    prepared: Children<Prepared>,
    keep: &[Key],
    free: &mut Free,
) -> Result<Applying, ReconcileError> {
    let mut items: Vec<Item> = prepared.in_order().into_iter().map(Item::from).collect();
    for item in &mut items {
        item.live = look(ctx, free, &item.key).await?;
    }
    let lives = items.iter().filter_map(|item| item.live.as_deref());
    if let Some(obstacle) = Obstacle::of(owner, lives) {
        return Ok(Applying::Obstacle(obstacle));
    }
    let wanted: BTreeSet<Key> = items
        .iter()
        .map(|item| item.key.clone())
        .chain(keep.iter().cloned())
        .collect();
    let mut written = Vec::new();
    let mut refused = None;
    for item in items {
        let others_go_on = others_go_on_without(&item);
        match write(ctx, &item, Force::Yes).await? {
            Step::Unchanged => {}
            Step::Written(verb) => written.push(Written {
                kind: item.key.kind,
                name: item.key.name,
                verb,
            }),
            Step::Refused(Refusal(message)) => {
                let message = format!(
                    "the API server refuses {} {}: {message}",
                    child::name(item.key.kind),
                    item.key.name
                );
                refused = refused.or(Some(message));
                if !others_go_on {
                    break;
                }
            }
        }
    }
    let place = wanted.first().map(|key| key.namespace.clone());
    if let Some(namespace) = place {
        refused = refused.or(baseline(ctx, &namespace).await?);
    }
    if let Some(message) = refused {
        return Ok(Applying::Refused { message, written });
    }
    let mut orphans = ctx.cache.index.controlled_by(&owner.uid);
    // What protects goes last, and not before what it protects.
    orphans.sort_by_key(|orphan| orphan.kind == ChildKind::NetworkPolicy);
    for orphan in orphans {
        if orphan.kind == ChildKind::NetworkPolicy && has_pods(ctx, owner, &orphan.namespace) {
            continue;
        }
        let key = Key::new(orphan.kind, &orphan.namespace, &orphan.name);
        let is_kept = matches!(orphan.facts, Facts::Code(_))
            || orphan.kind == ChildKind::PersistentVolumeClaim;
        if !is_kept && !orphan.deleting && !wanted.contains(&key) {
            delete(ctx, &orphan, PropagationPolicy::Background).await?;
            written.push(Written {
                kind: key.kind,
                name: key.name,
                verb: Verb::Deleted,
            });
        }
    }
    Ok(Applying::Done {
        children: prepared.into_applied(),
        written,
    })
}

/// Whether pods of a resource are left. The end of each triggers it.
fn has_pods(ctx: &Context, owner: &Owner, namespace: &str) -> bool {
    let label = Kind::from_name(&owner.kind).and_then(Kind::label);
    label.is_some_and(|label| {
        let pods = ctx
            .index
            .labelled(label, namespace, &owner.name, ChildKind::Pod);
        !pods.is_empty()
    })
}

/// Sees to the policy that closes our pods in a namespace (see [`reach::baseline`]), which belongs to nobody: one write for a namespace.
/// Answers why it could not. One of that name that is not labelled as ours, and so is not watched, is left alone.
async fn baseline(ctx: &Context, namespace: &str) -> Result<Option<String>, ReconcileError> {
    let desired = digest::desired(&reach::baseline(namespace));
    let key = Key::new(ChildKind::NetworkPolicy, namespace, reach::BASELINE);
    let known = || ctx.cache.index.get(key.kind, &key.namespace, &key.name);
    let is_there = |live: &Arc<Observed>| {
        digest::is_current(live, &desired) || ctx.cache.server_defaults.holds(live, &desired)
    };
    if known().as_ref().is_some_and(is_there) {
        return Ok(None);
    }
    let _one = ctx.baselines.lock().await;
    let live = known();
    if live.is_none() && look(ctx, &mut Free::default(), &key).await?.is_some() {
        return Ok(Some(format!(
            "the NetworkPolicy '{}', which closes what is not named, is already there and not made by this operator; it is left alone: delete it",
            key.name
        )));
    }
    let item = Item { key, desired, live };
    Ok(match write(ctx, &item, Force::Yes).await? {
        Step::Unchanged | Step::Written(_) => None,
        Step::Refused(Refusal(message)) => Some(format!(
            "the API server refuses NetworkPolicy {}: {message}",
            item.key.name
        )),
    })
}

/// Keeps in order what a resource still has that is being deleted and cannot go, because a finalizer of somebody holds it: `closing` is
/// corrected where it exists, and what runs pods runs none. Nothing is made. Whether anything was written.
pub(crate) async fn wind_down(
    ctx: &Context,
    owner: &Owner,
    closing: &Children<Prepared>,
) -> Result<bool, ReconcileError> {
    let mut lives = ctx.cache.index.controlled_by(&owner.uid);
    lives.retain(|live| !live.deleting);
    let mut is_written = false;
    for mut item in closing.in_order().into_iter().map(Item::from) {
        let is_of =
            |live: &&Arc<Observed>| Key::new(live.kind, &live.namespace, &live.name) == item.key;
        item.live = lives.iter().find(is_of).cloned();
        if item.live.is_none() {
            continue;
        }
        match write(ctx, &item, Force::Yes).await? {
            Step::Unchanged => {}
            Step::Written(_) => is_written = true,
            Step::Refused(Refusal(why)) => {
                tracing::warn!(kind = ?item.key.kind, name = item.key.name, why, "refused to a resource that is being deleted");
            }
        }
    }
    for live in &lives {
        is_written |= stop(ctx, live).await?;
    }
    Ok(is_written)
}

/// Stops a workload, unless it is one that stands still, or none.
async fn stop(ctx: &Context, live: &Observed) -> Result<bool, ReconcileError> {
    let Some(spec) = standstill(live) else {
        return Ok(false);
    };
    let api = child::api(&ctx.client, live.kind, Some(&live.namespace));
    let body = json!({"metadata": {"uid": live.uid}, "spec": spec});
    let params = PatchParams {
        field_manager: Some(managers::CHILDREN.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(&live.name, &params, &Patch::Merge(&body)).await {
        Ok(answer) => {
            ctx.cache.upsert_child(live.kind, answer);
            Ok(true)
        }
        Err(error) => match classify(&error) {
            Class::Gone => Ok(false),
            Class::Refused(Refusal(why)) => {
                tracing::warn!(kind = ?live.kind, name = live.name, why, "a workload of a resource that is being deleted cannot be stopped");
                Ok(false)
            }
            Class::Transient => {
                let kind = child::name(live.kind);
                let act = format!("stop {kind} {}/{}", live.namespace, live.name);
                Err(ReconcileError::api(act, error))
            }
        },
    }
}

/// What of the spec makes a workload that runs, or will, stand still.
fn standstill(live: &Observed) -> Option<serde_json::Value> {
    match &live.facts {
        Facts::Deployment(facts) if facts.desired > 0 => Some(json!({"replicas": 0})),
        Facts::CronJob(facts) if !facts.suspended => Some(json!({"suspend": true})),
        _ => None,
    }
}

/// Whether the others are written although the API server refuses this one. A claim that is there stays as it is, and so may be mounted.
fn others_go_on_without(item: &Item) -> bool {
    match item.key.kind {
        ChildKind::PersistentVolumeClaim => item.live.is_some(),
        ChildKind::ResourceQuota | ChildKind::LimitRange => true,
        _ => false,
    }
}

impl Applying {
    /// What is written, and either the applied children or how the resource stands without them.
    pub(crate) fn settle(self) -> (Vec<Written>, Result<Children<Applied>, Standing>) {
        match self {
            Self::Done { children, written } => (written, Ok(children)),
            Self::Obstacle(obstacle) => (Vec::new(), Err(obstacle.standing())),
            Self::Refused { message, written } => {
                (written, Err(Standing::Failed(Reason::ApplyFailed, message)))
            }
        }
    }
}

/// Applies a namespace: no owner, and no label taken from another manager.
pub(crate) async fn namespace(
    ctx: &Context,
    namespace: &Namespace,
    live: Option<Arc<Observed>>,
) -> Result<Result<(), Standing>, ReconcileError> {
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    let item = Item {
        key: Key::new(ChildKind::Namespace, "", name),
        desired: digest::desired(namespace),
        live,
    };
    Ok(match write(ctx, &item, Force::No).await? {
        Step::Unchanged | Step::Written(_) => Ok(()),
        Step::Refused(Refusal(message)) => Err(Standing::Failed(
            Reason::ApplyFailed,
            format!("the API server refuses the namespace '{name}': {message}"),
        )),
    })
}

/// What keeps us from writing any of these names, if anything; looks at the API server for those that the index does not know.
pub(crate) async fn obstacle_at(
    ctx: &Context,
    owner: &Owner,
    keys: &[Key],
    free: &mut Free,
) -> Result<Option<Obstacle>, ReconcileError> {
    let mut lives = Vec::new();
    for key in keys {
        lives.extend(look(ctx, free, key).await?);
    }
    Ok(Obstacle::of(owner, lives.iter().map(AsRef::as_ref)))
}

/// Names at which one reconcile has found nothing, so that it asks for each once. Not for longer: somebody may take them.
#[derive(Debug, Default)]
pub(crate) struct Free(BTreeSet<Key>);

/// The live object of that name. What the index does not know is asked for: it may be somebody else's, which a forced apply would
/// take over without a word.
pub(crate) async fn look(
    ctx: &Context,
    free: &mut Free,
    key: &Key,
) -> Result<Option<Arc<Observed>>, ReconcileError> {
    if let Some(known) = ctx.cache.index.get(key.kind, &key.namespace, &key.name) {
        return Ok(Some(known));
    }
    if free.0.contains(key) {
        return Ok(None);
    }
    let api = child::api(&ctx.client, key.kind, Some(&key.namespace));
    let act = || {
        format!(
            "look for {} {}/{}",
            child::name(key.kind),
            key.namespace,
            key.name
        )
    };
    let live = api
        .get_opt(&key.name)
        .await
        .map_err(|error| ReconcileError::api(act(), error))?;
    if live.is_none() {
        free.0.insert(key.clone());
    }
    Ok(live
        .and_then(|live| digest::reduce_object(key.kind, live))
        .map(Arc::new))
}

enum Step {
    Unchanged,
    Written(Verb),
    Refused(Refusal),
}

/// Whether fields that another manager owns are taken over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Force {
    Yes,
    No,
}

/// A version that no object has, so that only a creation can be of it: what appeared at the name since we looked is a conflict, and not
/// taken over.
const NO_VERSION: &str = "1";

async fn write(ctx: &Context, item: &Item, force: Force) -> Result<Step, ReconcileError> {
    let is_as_wanted = |live: &Arc<Observed>| {
        digest::is_current(live, &item.desired)
            || ctx.cache.server_defaults.holds(live, &item.desired)
    };
    if item.live.as_ref().is_some_and(is_as_wanted) {
        return Ok(Step::Unchanged);
    }
    let is_shared = item.live.as_deref().is_some_and(digest::is_shared);
    let mut is_reclaimed = is_shared && reclaim(ctx, item, Extent::Beside).await?;
    loop {
        match apply(ctx, item, force).await? {
            // The other half of a one-of may be of nobody but who wrote the first.
            Err(_) if is_shared && !is_reclaimed => {
                is_reclaimed = true;
                if !reclaim(ctx, item, Extent::All).await? {
                    return Err(overtaken(item));
                }
            }
            Err(refusal) => return Ok(Step::Refused(refusal)),
            Ok(answer) => {
                let is_still_shared = take(ctx, item, answer);
                if is_still_shared && !is_reclaimed {
                    reclaim(ctx, item, Extent::All).await?;
                }
                let verb = match item.live {
                    Some(_) => Verb::Updated,
                    None => Verb::Created,
                };
                return Ok(Step::Written(verb));
            }
        }
    }
}

/// One apply, or why the API server refuses it.
async fn apply(
    ctx: &Context,
    item: &Item,
    force: Force,
) -> Result<Result<DynamicObject, Refusal>, ReconcileError> {
    let mut body = item.desired.body.clone();
    match &item.live {
        Some(live) => body["metadata"]["uid"] = json!(live.uid),
        None => body["metadata"]["resourceVersion"] = json!(NO_VERSION),
    }
    let api = child::api(&ctx.client, item.key.kind, Some(&item.key.namespace));
    let params = PatchParams {
        force: force == Force::Yes,
        ..PatchParams::apply(managers::CHILDREN)
    };
    match api
        .patch(&item.key.name, &params, &Patch::Apply(&body))
        .await
    {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) => match classify(&error) {
            Class::Refused(refusal) => Ok(Err(refusal)),
            Class::Gone | Class::Transient => Err(ReconcileError::api(act("apply", item), error)),
        },
    }
}

/// Which fields of others are to be ours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All where only we may write, if there are any that an apply would leave as they are.
    Beside,
    /// All where only we may write.
    All,
}

/// Makes the fields ours that others have where only we may write, so that the next apply removes them; whether there were any. Nothing
/// but their owner changes.
async fn reclaim(ctx: &Context, item: &Item, extent: Extent) -> Result<bool, ReconcileError> {
    let mut tries = 1;
    loop {
        match try_reclaim(ctx, item, extent).await {
            // Its controller writes its status all the time while it rolls out.
            Err(error) if error.is_conflict() && tries < RECLAIMS => tries += 1,
            outcome => return outcome,
        }
    }
}

/// How often that is tried at once.
const RECLAIMS: u32 = 8;

async fn try_reclaim(ctx: &Context, item: &Item, extent: Extent) -> Result<bool, ReconcileError> {
    let api = child::api(&ctx.client, item.key.kind, Some(&item.key.namespace));
    let failed = |error| ReconcileError::api(act("take back the fields of", item), error);
    let live = api.get(&item.key.name).await.map_err(failed)?;
    if live.metadata.uid.as_deref() != item.live.as_ref().map(|live| live.uid.as_str()) {
        return Err(overtaken(item));
    }
    let kind = item.key.kind;
    let managed = live.metadata.managed_fields.unwrap_or_default();
    if extent == Extent::Beside && !digest::is_beside(kind, &managed, &item.desired.body) {
        return Ok(false);
    }
    let Some(reclaimed) = digest::reclaimed(kind, &managed) else {
        return Ok(false);
    };
    let patch = json!({"metadata": {
        "uid": live.metadata.uid,
        "resourceVersion": live.metadata.resource_version,
        "managedFields": reclaimed,
    }});
    let params = PatchParams {
        field_manager: Some(managers::CHILDREN.to_owned()),
        ..PatchParams::default()
    };
    let answer = api
        .patch(&item.key.name, &params, &Patch::Merge(&patch))
        .await
        .map_err(failed)?;
    let version = answer.metadata.resource_version.clone();
    if let Some(observed) = digest::reduce_object(kind, answer) {
        ctx.cache.index.upsert(observed, version.as_deref());
    }
    Ok(true)
}

fn act(what: &str, item: &Item) -> String {
    let Key {
        kind,
        namespace,
        name,
    } = &item.key;
    format!("{what} {} {namespace}/{name}", child::name(*kind))
}

fn overtaken(item: &Item) -> ReconcileError {
    ReconcileError::Changed(act("", item).trim_start().to_owned())
}

/// Judged by the answer itself: what the index holds may have been changed by others meanwhile. Whether others own what is ours alone.
fn take(ctx: &Context, item: &Item, answer: DynamicObject) -> bool {
    let version = answer.metadata.resource_version.clone();
    let Some(observed) = digest::reduce_object(item.key.kind, answer) else {
        return false;
    };
    let is_shared = digest::is_shared(&observed);
    if !is_shared {
        ctx.cache.server_defaults.note(&observed, &item.desired);
    }
    ctx.cache.index.upsert(observed, version.as_deref());
    is_shared
}

/// Deletes exactly that object. One that is gone already is fine.
pub(crate) async fn delete(
    ctx: &Context,
    observed: &Observed,
    propagation: PropagationPolicy,
) -> Result<(), ReconcileError> {
    let api = child::api(&ctx.client, observed.kind, Some(&observed.namespace));
    let params = DeleteParams {
        propagation_policy: Some(propagation),
        preconditions: Some(Preconditions {
            uid: Some(observed.uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let key = Key::new(observed.kind, &observed.namespace, &observed.name);
    match api.delete(&observed.name, &params).await {
        Ok(answer) => {
            // Either the object on its way out, or word that it is gone.
            answer
                .map_left(|object| ctx.cache.upsert_child(observed.kind, object))
                .map_right(|_| ctx.cache.forget_child(&key, &observed.uid));
            Ok(())
        }
        Err(error) if matches!(classify(&error), Class::Gone) => {
            ctx.cache.forget_child(&key, &observed.uid);
            Ok(())
        }
        Err(error) => {
            let act = format!(
                "delete {} {}/{}",
                child::name(observed.kind),
                observed.namespace,
                observed.name
            );
            Err(ReconcileError::api(act, error))
        }
    }
}
