//! Ownership a live object is, which decides whether it may be written: only our own may. Pure.

use std::fmt;

use kube::ResourceExt as _;
use langop_api::{condition::Reason, names::labels};
use langop_desired::{
    conditions::Summary,
    meta::{Owner, owner_of},
    observed::{ChildKind, Observed},
};

use crate::{
    cache::{child, kind::LangopKind},
    error::{ReconcileError, Stopped},
};

/// What keeps us from writing a resource's children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnershipConflict {
    /// Names of objects with other owners.
    Conflict(Vec<Taken>),
    /// A child of a former object of the same name is still being removed.
    Former(ChildKind, String),
}

impl OwnershipConflict {
    /// The obstacle that these live objects are to `owner`, if any is one.
    pub(crate) fn of<'a>(owner: &Owner, lives: impl Iterator<Item = &'a Observed>) -> Option<Self> {
        let mut taken = Vec::new();
        for live in lives {
            match Ownership::of(live, owner) {
                Ownership::Owned => {}
                Ownership::Former => return Some(Self::Former(live.kind, live.name.clone())),
                Ownership::Foreign => taken.push(Taken::from(live)),
            }
        }
        (!taken.is_empty()).then_some(Self::Conflict(taken))
    }

    /// How the resource stands because of it.
    fn summary(self) -> Summary {
        match self {
            Self::Former(kind, name) => {
                let kind = child::name(kind);
                let message = format!(
                    "the {kind} '{name}' of a former object of this name is still being removed"
                );
                Summary::Progressing(Reason::NameConflict, message)
            }
            Self::Conflict(taken) => {
                let mut names: Vec<String> = taken.iter().map(Taken::to_string).collect();
                names.sort_unstable();
                let message = format!(
                    "already exists and is not owned by this object: {}; delete it, or rename this object",
                    names.join(", ")
                );
                Summary::Stalled(Reason::NameConflict, message)
            }
        }
    }
}

impl From<OwnershipConflict> for Stopped {
    fn from(conflict: OwnershipConflict) -> Self {
        Self::Blocked(conflict.summary())
    }
}

/// The owner that a resource is for its children.
pub(crate) fn owner<K: LangopKind>(object: &K) -> Result<Owner, ReconcileError> {
    owner_of(object).ok_or_else(|| ReconcileError::NoUid {
        kind: K::KIND.as_str(),
        name: object.name_any(),
    })
}

/// A name that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    kind: ChildKind,
    name: String,
    /// Kind and name of its controller.
    controller: Option<(String, String)>,
}

impl From<&Observed> for Taken {
    fn from(live: &Observed) -> Self {
        let controller = live.controller.as_ref();
        Self {
            kind: live.kind,
            name: live.name.clone(),
            controller: controller
                .map(|controller| (controller.kind.clone(), controller.name.clone())),
        }
    }
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

/// Ownership a live object is.
#[derive(Debug, PartialEq, Eq)]
enum Ownership {
    /// Our resource controls it, or it is a claim that an agent of this name left behind.
    Owned,
    /// It belonged to a resource of our kind and name that is gone: the garbage collector is about
    /// to remove it.
    Former,
    Foreign,
}

impl Ownership {
    fn of(live: &Observed, owner: &Owner) -> Self {
        let kept_claim = || {
            live.kind == ChildKind::PersistentVolumeClaim
                && owner.kind == "LanguageAgent"
                && live.labels.get(labels::AGENT) == Some(owner.name.as_str())
        };
        match &live.controller {
            Some(controller) if controller.uid == owner.uid => Self::Owned,
            Some(controller) if controller.kind == owner.kind && controller.name == owner.name => {
                Self::Former
            }
            None if kept_claim() => Self::Owned,
            _ => Self::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use langop_desired::observed::{CompactMap, Controller, ObservedState};

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
            annotations: CompactMap::default(),
            created: String::new(),
            deleting: false,
            owned_digest: "digest".into(),
            state: ObservedState::None,
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
        use Ownership::{Foreign, Former, Owned};
        let (deployment, claim) = (ChildKind::Deployment, ChildKind::PersistentVolumeClaim);
        for (live, whose) in [
            (live(deployment, Some("ours"), None), Owned),
            (live(deployment, Some("another uid"), Some("a")), Foreign),
            (live(deployment, None, Some("a")), Foreign),
            (live(claim, None, Some("a")), Owned),
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
    fn a_conflict_names_every_object_and_its_owner() {
        let taken = [
            live(ChildKind::Service, None, None),
            live(ChildKind::Deployment, Some("u"), None),
        ];
        let obstacle = OwnershipConflict::of(&owner(), taken.iter()).unwrap();
        let Summary::Stalled(Reason::NameConflict, message) = obstacle.summary() else {
            panic!("not stalled")
        };
        assert!(
            message.contains("Deployment 'x' of K 'o', Service 'x';"),
            "{message}"
        );
        assert_eq!(
            OwnershipConflict::of(
                &owner(),
                [live(ChildKind::Service, Some("ours"), None)].iter()
            ),
            None
        );
    }
}
