//! Makes children what they should be: looks first, writes only what differs, removes what is no longer wanted.
//!
//! Order: every name is checked for ownership before the first write, so a conflict leaves everything untouched. A child is ours
//! exactly if its controller has our resource's uid (claims that were kept: see [`Ownership`]).

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy};
use langop_api::names::{labels, managers};
use langop_desired::{
    children::{Applied, Child, Children, Prepared},
    digest::{self, Desired},
    meta::Owner,
    observed::{ChildKind, Facts, Observed},
};
use serde_json::json;

use crate::{
    child,
    context::Context,
    error::{Class, ReconcileError, Refusal, classify},
    index::Key,
    watch,
};

/// What became of the children.
#[derive(Debug)]
pub(crate) enum Applying {
    /// All of them are in the API server.
    Done { children: Children<Applied>, written: Vec<Written> },
    /// Names that somebody else's objects have; nothing was written.
    Conflict(Vec<(ChildKind, String)>),
    /// The API server refuses one; those before it in order are written.
    Refused { message: String, written: Vec<Written> },
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

/// Normal forms that the API server made of what we applied, where they differ from ours: hash and digest by uid. Without it such a
/// child would be applied again each time.
#[derive(Debug, Default)]
pub(crate) struct Accepted(Mutex<HashMap<String, (String, String)>>);

impl Accepted {
    fn holds(&self, observed: &Observed, desired: &Desired) -> bool {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.get(&observed.uid).is_some_and(|(hash, digest)| *hash == desired.hash && *digest == observed.owned_digest)
    }

    fn note(&self, observed: &Observed, desired: &Desired) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if digest::is_current(observed, desired) {
            rows.remove(&observed.uid);
            return;
        }
        tracing::warn!(kind = ?observed.kind, name = observed.name, "the API server's form of this object differs from ours");
        rows.insert(observed.uid.clone(), (desired.hash.clone(), observed.owned_digest.clone()));
    }

    /// That object is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

struct Item {
    key: Key,
    desired: Desired,
    /// The live object, if there is one.
    live: Option<Arc<Observed>>,
}

impl From<Child> for Item {
    fn from(child: Child) -> Self {
        let Child { kind, namespace, name, desired } = child;
        Self { key: Key { kind, namespace, name }, desired, live: None }
    }
}

/// Applies all children of `owner`, and removes what else it controls (code and claims excepted, whose life is decided elsewhere;
/// `keep` excepted too).
pub(crate) async fn children(
    ctx: &Context,
    owner: &Owner,
    prepared: Children<Prepared>,
    keep: &[Key],
) -> Result<Applying, ReconcileError> {
    let mut items: Vec<Item> = prepared.in_order().into_iter().map(Item::from).collect();
    let mut conflicts = Vec::new();
    for item in &mut items {
        item.live = look(ctx, &item.key).await?;
        let foreign = item.live.as_ref().is_some_and(|live| !Ownership::of(live, owner).is_ours());
        if foreign {
            conflicts.push((item.key.kind, item.key.name.clone()));
        }
    }
    if !conflicts.is_empty() {
        return Ok(Applying::Conflict(conflicts));
    }
    let wanted: BTreeSet<Key> = items.iter().map(|item| item.key.clone()).chain(keep.iter().cloned()).collect();
    let mut written = Vec::new();
    for item in items {
        match write(ctx, &item).await? {
            Step::Unchanged => {}
            Step::Written(verb) => written.push(Written { kind: item.key.kind, name: item.key.name, verb }),
            Step::Refused(Refusal(message)) => {
                let message = format!("the API server refuses {} {}: {message}", child::name(item.key.kind), item.key.name);
                return Ok(Applying::Refused { message, written });
            }
        }
    }
    for orphan in ctx.index.controlled_by(&owner.uid) {
        let key = Key::new(orphan.kind, &orphan.namespace, &orphan.name);
        let is_kept = matches!(orphan.facts, Facts::Code(_)) || orphan.kind == ChildKind::PersistentVolumeClaim;
        if !is_kept && !orphan.deleting && !wanted.contains(&key) {
            delete(ctx, &orphan, PropagationPolicy::Background).await?;
            written.push(Written { kind: key.kind, name: key.name, verb: Verb::Deleted });
        }
    }
    Ok(Applying::Done { children: prepared.into_applied(), written })
}

/// Names among `keys` that somebody else's objects have; looks at the API server for those that the index does not know.
pub(crate) async fn conflicts(ctx: &Context, owner: &Owner, keys: &[Key]) -> Result<Vec<(ChildKind, String)>, ReconcileError> {
    let mut conflicts = Vec::new();
    for key in keys {
        let live = look(ctx, key).await?;
        if live.is_some_and(|live| !Ownership::of(&live, owner).is_ours()) {
            conflicts.push((key.kind, key.name.clone()));
        }
    }
    Ok(conflicts)
}

/// The live object of that name. What the index does not know is asked for: it may be somebody else's, which a forced apply would
/// take over without a word.
async fn look(ctx: &Context, key: &Key) -> Result<Option<Arc<Observed>>, ReconcileError> {
    if let Some(known) = ctx.index.get(key.kind, &key.namespace, &key.name) {
        return Ok(Some(known));
    }
    let api = child::api(&ctx.client, key.kind, Some(&key.namespace));
    let act = || format!("look for {} {}/{}", child::name(key.kind), key.namespace, key.name);
    let live = api.get_opt(&key.name).await.map_err(|error| ReconcileError::api(act(), error))?;
    Ok(live.and_then(|live| digest::reduce_object(key.kind, live)).map(Arc::new))
}

/// Whose a live object is.
enum Ownership {
    /// Our resource controls it, or it is a claim that an agent of this name left behind.
    Ours,
    Foreign,
}

impl Ownership {
    fn of(live: &Observed, owner: &Owner) -> Self {
        let kept_claim = || {
            live.kind == ChildKind::PersistentVolumeClaim
                && owner.kind == "LanguageAgent"
                && live.labels.get(labels::AGENT) == Some(&owner.name)
        };
        match &live.controller {
            Some(controller) if controller.uid == owner.uid => Self::Ours,
            None if kept_claim() => Self::Ours,
            _ => Self::Foreign,
        }
    }

    const fn is_ours(&self) -> bool {
        matches!(self, Self::Ours)
    }
}

enum Step {
    Unchanged,
    Written(Verb),
    Refused(Refusal),
}

async fn write(ctx: &Context, item: &Item) -> Result<Step, ReconcileError> {
    if let Some(live) = &item.live {
        if digest::is_current(live, &item.desired) || ctx.accepted.holds(live, &item.desired) {
            return Ok(Step::Unchanged);
        }
    }
    let mut body = item.desired.body.clone();
    if let Some(live) = &item.live {
        body["metadata"]["uid"] = json!(live.uid);
    }
    let api = child::api(&ctx.client, item.key.kind, Some(&item.key.namespace));
    let params = PatchParams::apply(managers::CHILDREN).force();
    match api.patch(&item.key.name, &params, &Patch::Apply(&body)).await {
        Ok(answer) => {
            take(ctx, item, answer);
            Ok(Step::Written(if item.live.is_some() { Verb::Updated } else { Verb::Created }))
        }
        Err(error) => match classify(&error) {
            Class::Refused(refusal) => Ok(Step::Refused(refusal)),
            Class::Moved | Class::Transient => {
                let act = format!("apply {} {}/{}", child::name(item.key.kind), item.key.namespace, item.key.name);
                Err(ReconcileError::api(act, error))
            }
        },
    }
}

fn take(ctx: &Context, item: &Item, answer: DynamicObject) {
    watch::ingest(ctx, item.key.kind, answer);
    if let Some(observed) = ctx.index.get(item.key.kind, &item.key.namespace, &item.key.name) {
        ctx.accepted.note(&observed, &item.desired);
    }
}

/// Deletes exactly that object. One that is gone already is fine.
pub(crate) async fn delete(ctx: &Context, observed: &Observed, propagation: PropagationPolicy) -> Result<(), ReconcileError> {
    let api = child::api(&ctx.client, observed.kind, Some(&observed.namespace));
    let params = DeleteParams {
        propagation_policy: Some(propagation),
        preconditions: Some(Preconditions { uid: Some(observed.uid.clone()), resource_version: None }),
        ..DeleteParams::default()
    };
    let key = Key::new(observed.kind, &observed.namespace, &observed.name);
    match api.delete(&observed.name, &params).await {
        Ok(answer) => {
            // Either the object on its way out, or word that it is gone.
            answer.map_left(|object| watch::ingest(ctx, observed.kind, object)).map_right(|_| ctx.index.remove(&key, &observed.uid));
            Ok(())
        }
        Err(error) if matches!(classify(&error), Class::Moved) => {
            ctx.index.remove(&key, &observed.uid);
            Ok(())
        }
        Err(error) => {
            let act = format!("delete {} {}/{}", child::name(observed.kind), observed.namespace, observed.name);
            Err(ReconcileError::api(act, error))
        }
    }
}

#[cfg(test)]
mod tests {
    use langop_desired::observed::Controller;

    use super::*;

    fn live(kind: ChildKind, controller: Option<&str>, agent: Option<&str>) -> Observed {
        Observed {
            kind,
            name: "x".into(),
            namespace: "n".into(),
            uid: "live".into(),
            controller: controller.map(|uid| Controller { kind: "K".into(), name: "o".into(), uid: uid.into() }),
            labels: agent.iter().map(|agent| (labels::AGENT.to_owned(), (*agent).to_owned())).collect(),
            annotations: [].into(),
            created: String::new(),
            deleting: false,
            owned_digest: "digest".into(),
            facts: Facts::None,
        }
    }

    fn owner() -> Owner {
        Owner { api_version: "langop.io/v1alpha1".into(), kind: "LanguageAgent".into(), name: "a".into(), uid: "ours".into() }
    }

    #[test]
    fn only_our_uid_or_a_kept_claim_of_our_name_is_ours() {
        let (deployment, claim) = (ChildKind::Deployment, ChildKind::PersistentVolumeClaim);
        for (live, ours) in [
            (live(deployment, Some("ours"), None), true),
            (live(deployment, Some("former uid of the same name"), Some("a")), false),
            (live(deployment, None, Some("a")), false),
            (live(claim, None, Some("a")), true),
            (live(claim, None, Some("b")), false),
            (live(claim, None, None), false),
            (live(claim, Some("other"), Some("a")), false),
        ] {
            assert_eq!(Ownership::of(&live, &owner()).is_ours(), ours, "{live:?}");
        }
    }

    #[test]
    fn an_accepted_form_holds_until_either_side_changes() {
        let accepted = Accepted::default();
        let desired = Desired { body: json!({}), hash: "h".into(), owned_digest: "ours".into() };
        let observed = live(ChildKind::Service, Some("ours"), None);
        assert!(!accepted.holds(&observed, &desired));
        accepted.note(&observed, &desired);
        assert!(accepted.holds(&observed, &desired));
        let drifted = Observed { owned_digest: "someone's".into(), ..observed.clone() };
        assert!(!accepted.holds(&drifted, &desired));
        let edited = Desired { hash: "other".into(), ..desired };
        assert!(!accepted.holds(&observed, &edited));
        accepted.forget("live");
        assert!(accepted.0.lock().unwrap().is_empty());
    }
}
