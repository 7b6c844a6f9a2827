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
    child,
    context::Context,
    error::{Class, ReconcileError, Refusal, classify},
    index::Key,
    kind::Kind,
    ownership::Obstacle,
    watch,
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
    let mut orphans = ctx.index.controlled_by(&owner.uid);
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
    let known = || ctx.index.get(key.kind, &key.namespace, &key.name);
    let is_there = |live: &Arc<Observed>| {
        digest::is_current(live, &desired) || ctx.accepted.holds(live, &desired)
    };
    if known().as_ref().is_some_and(is_there) {
        return Ok(None);
    }
    let _one = ctx.closing.lock().await;
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
    if let Some(known) = ctx.index.get(key.kind, &key.namespace, &key.name) {
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

async fn write(ctx: &Context, item: &Item, force: Force) -> Result<Step, ReconcileError> {
    let is_as_wanted = |live: &Arc<Observed>| {
        digest::is_current(live, &item.desired) || ctx.accepted.holds(live, &item.desired)
    };
    if item.live.as_ref().is_some_and(is_as_wanted) {
        return Ok(Step::Unchanged);
    }
    let mut body = item.desired.body.clone();
    if let Some(live) = &item.live {
        body["metadata"]["uid"] = json!(live.uid);
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
        Ok(answer) => {
            take(ctx, item, answer);
            Ok(Step::Written(if item.live.is_some() {
                Verb::Updated
            } else {
                Verb::Created
            }))
        }
        Err(error) => match classify(&error) {
            Class::Refused(refusal) => Ok(Step::Refused(refusal)),
            Class::Gone | Class::Transient => {
                let act = format!(
                    "apply {} {}/{}",
                    child::name(item.key.kind),
                    item.key.namespace,
                    item.key.name
                );
                Err(ReconcileError::api(act, error))
            }
        },
    }
}

/// Judged by the answer itself: what the index holds may have been changed by others meanwhile.
fn take(ctx: &Context, item: &Item, answer: DynamicObject) {
    let version = answer.metadata.resource_version.clone();
    if let Some(observed) = digest::reduce_object(item.key.kind, answer) {
        ctx.accepted.note(&observed, &item.desired);
        ctx.index.upsert(observed, version.as_deref());
    }
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
                .map_left(|object| watch::ingest(ctx, observed.kind, object))
                .map_right(|_| forget(ctx, &key, &observed.uid));
            Ok(())
        }
        Err(error) if matches!(classify(&error), Class::Gone) => {
            forget(ctx, &key, &observed.uid);
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

/// The watch will bring no news of its end.
fn forget(ctx: &Context, key: &Key, uid: &str) {
    ctx.index.remove(key, uid, None);
    ctx.accepted.forget(uid);
}
