//! Makes children what they should be: looks first, writes only what differs, removes what is no longer wanted.
//!
//! Order: every name is checked for ownership before the first write, so a conflict leaves everything untouched. A child is ours
//! exactly if its controller has our resource's uid (claims that were kept: see [`Ownership`]).

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{
    DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy,
};
use langop_api::{
    condition::Reason,
    names::{labels, managers},
};
use langop_desired::{
    children::{Applied, Child, Children, Prepared},
    conditions::Standing,
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
    Done {
        children: Children<Applied>,
        written: Vec<Written>,
    },
    /// Names that somebody else's objects have; nothing was written.
    Conflict(Vec<Taken>),
    /// A child of a former object of the same name is still being removed; nothing was written.
    Former(ChildKind, String),
    /// The API server refuses one; those before it in order are written.
    Refused {
        message: String,
        written: Vec<Written>,
    },
}

/// A name that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    kind: ChildKind,
    name: String,
    /// Kind and name of whoever controls it.
    controller: Option<(String, String)>,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}'", child::name(self.kind), self.name)?;
        match &self.controller {
            Some((kind, name)) => write!(f, " of {kind} '{name}'"),
            None => Ok(()),
        }
    }
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
        rows.get(&observed.uid)
            .is_some_and(|(hash, digest)| *hash == desired.hash && *digest == observed.owned_digest)
    }

    fn note(&self, observed: &Observed, desired: &Desired) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if digest::is_current(observed, desired) {
            rows.remove(&observed.uid);
            return;
        }
        tracing::warn!(kind = ?observed.kind, name = observed.name, "the API server's form of this object differs from ours");
        rows.insert(
            observed.uid.clone(),
            (desired.hash.clone(), observed.owned_digest.clone()),
        );
    }

    /// That object is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
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
) -> Result<Applying, ReconcileError> {
    let mut items: Vec<Item> = prepared.in_order().into_iter().map(Item::from).collect();
    for item in &mut items {
        item.live = look(ctx, &item.key).await?;
    }
    let lives = items.iter().filter_map(|item| item.live.as_deref());
    if let Some(obstacle) = obstacle(owner, lives) {
        return Ok(obstacle);
    }
    let wanted: BTreeSet<Key> = items
        .iter()
        .map(|item| item.key.clone())
        .chain(keep.iter().cloned())
        .collect();
    let mut written = Vec::new();
    for item in items {
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
                return Ok(Applying::Refused { message, written });
            }
        }
    }
    for orphan in ctx.index.controlled_by(&owner.uid) {
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

impl Applying {
    /// What is written, and either the applied children or how the resource stands without them.
    pub(crate) fn settle(self) -> (Vec<Written>, Result<Children<Applied>, Standing>) {
        match self {
            Self::Done { children, written } => (written, Ok(children)),
            Self::Conflict(taken) => (Vec::new(), Err(name_conflict(&taken))),
            Self::Former(kind, name) => {
                let message = format!(
                    "the {} '{name}' of a former object of this name is still being removed",
                    child::name(kind)
                );
                (
                    Vec::new(),
                    Err(Standing::Progressing(Reason::NameConflict, message)),
                )
            }
            Self::Refused { message, written } => {
                (written, Err(Standing::Failed(Reason::ApplyFailed, message)))
            }
        }
    }
}

fn name_conflict(taken: &[Taken]) -> Standing {
    let mut names: Vec<String> = taken.iter().map(Taken::to_string).collect();
    names.sort_unstable();
    let message = format!(
        "already there and not made for this object: {}; it is left alone: delete it, or choose another name for this object",
        names.join(", ")
    );
    Standing::Stalled(Reason::NameConflict, message)
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
) -> Result<Option<Applying>, ReconcileError> {
    let mut lives = Vec::new();
    for key in keys {
        lives.extend(look(ctx, key).await?);
    }
    Ok(obstacle(owner, lives.iter().map(AsRef::as_ref)))
}

fn obstacle<'a>(owner: &Owner, lives: impl Iterator<Item = &'a Observed>) -> Option<Applying> {
    let mut taken = Vec::new();
    for live in lives {
        match Ownership::of(live, owner) {
            Ownership::Ours => {}
            Ownership::Former => return Some(Applying::Former(live.kind, live.name.clone())),
            Ownership::Foreign => taken.push(Taken {
                kind: live.kind,
                name: live.name.clone(),
                controller: live
                    .controller
                    .as_ref()
                    .map(|controller| (controller.kind.clone(), controller.name.clone())),
            }),
        }
    }
    (!taken.is_empty()).then_some(Applying::Conflict(taken))
}

/// The live object of that name. What the index does not know is asked for: it may be somebody else's, which a forced apply would
/// take over without a word.
pub(crate) async fn look(
    ctx: &Context,
    key: &Key,
) -> Result<Option<Arc<Observed>>, ReconcileError> {
    if let Some(known) = ctx.index.get(key.kind, &key.namespace, &key.name) {
        return Ok(Some(known));
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
    Ok(live
        .and_then(|live| digest::reduce_object(key.kind, live))
        .map(Arc::new))
}

/// Whose a live object is.
#[derive(Debug, PartialEq, Eq)]
enum Ownership {
    /// Our resource controls it, or it is a claim that an agent of this name left behind.
    Ours,
    /// It belonged to a resource of our kind and name that is gone: the garbage collector is about to remove it.
    Former,
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
            Some(controller) if controller.kind == owner.kind && controller.name == owner.name => {
                Self::Former
            }
            None if kept_claim() => Self::Ours,
            _ => Self::Foreign,
        }
    }
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
            Class::Moved | Class::Transient => {
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

fn take(ctx: &Context, item: &Item, answer: DynamicObject) {
    watch::ingest(ctx, item.key.kind, answer);
    if let Some(observed) = ctx
        .index
        .get(item.key.kind, &item.key.namespace, &item.key.name)
    {
        ctx.accepted.note(&observed, &item.desired);
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
                .map_right(|_| ctx.index.remove(&key, &observed.uid));
            Ok(())
        }
        Err(error) if matches!(classify(&error), Class::Moved) => {
            ctx.index.remove(&key, &observed.uid);
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
            controller: controller.map(|uid| Controller {
                kind: "K".into(),
                name: "o".into(),
                uid: uid.into(),
            }),
            labels: agent
                .iter()
                .map(|agent| (labels::AGENT.to_owned(), (*agent).to_owned()))
                .collect(),
            annotations: [].into(),
            created: String::new(),
            deleting: false,
            owned_digest: "digest".into(),
            facts: Facts::None,
        }
    }

    fn owner() -> Owner {
        Owner {
            api_version: "langop.io/v1alpha1".into(),
            kind: "LanguageAgent".into(),
            name: "a".into(),
            uid: "ours".into(),
        }
    }

    #[test]
    fn only_our_uid_or_a_kept_claim_of_our_name_is_ours() {
        use Ownership::{Foreign, Former, Ours};
        let (deployment, claim) = (ChildKind::Deployment, ChildKind::PersistentVolumeClaim);
        for (live, whose) in [
            (live(deployment, Some("ours"), None), Ours),
            (live(deployment, Some("another uid"), Some("a")), Foreign),
            (live(deployment, None, Some("a")), Foreign),
            (live(claim, None, Some("a")), Ours),
            (live(claim, None, Some("b")), Foreign),
            (live(claim, None, None), Foreign),
            (live(claim, Some("other"), Some("a")), Foreign),
        ] {
            assert_eq!(Ownership::of(&live, &owner()), whose, "{live:?}");
        }
        let former = Controller {
            kind: "LanguageAgent".into(),
            name: "a".into(),
            uid: "former".into(),
        };
        let left = Observed {
            controller: Some(former),
            ..live(deployment, None, None)
        };
        assert_eq!(Ownership::of(&left, &owner()), Former);
    }

    #[test]
    fn an_accepted_form_holds_until_either_side_changes() {
        let accepted = Accepted::default();
        let desired = Desired {
            body: json!({}),
            hash: "h".into(),
            owned_digest: "ours".into(),
        };
        let observed = live(ChildKind::Service, Some("ours"), None);
        assert!(!accepted.holds(&observed, &desired));
        accepted.note(&observed, &desired);
        assert!(accepted.holds(&observed, &desired));
        let drifted = Observed {
            owned_digest: "someone's".into(),
            ..observed.clone()
        };
        assert!(!accepted.holds(&drifted, &desired));
        let edited = Desired {
            hash: "other".into(),
            ..desired
        };
        assert!(!accepted.holds(&observed, &edited));
        accepted.forget("live");
        assert!(accepted.0.lock().unwrap().is_empty());
    }
}
