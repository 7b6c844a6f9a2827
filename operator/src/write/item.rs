//! One child on its way to the API server: what is wanted, what is there, and what became of it.

use std::sync::Arc;

use langop_desired::{
    children::Child,
    digest::Desired,
    observed::{ChildKind, Observed},
};

use crate::{
    cache::{child, index::Key},
    error::{ReconcileError, Refusal},
};

/// One child that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppliedChild {
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

/// A child that is wanted, and the live object of its name, if there is one.
pub(super) struct Item {
    pub(super) key: Key,
    pub(super) desired: Desired,
    pub(super) live: Option<Arc<Observed>>,
}

impl Item {
    /// For messages: `apply Deployment demo/a`.
    pub(super) fn act(&self, verb: &str) -> String {
        let Key {
            kind,
            namespace,
            name,
        } = &self.key;
        format!("{verb} {} {namespace}/{name}", child::name(*kind))
    }

    /// It is not the object that was looked at any more.
    pub(super) fn overtaken(&self) -> ReconcileError {
        ReconcileError::Changed(self.act("").trim_start().to_owned())
    }
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

/// What became of one child.
pub(super) enum Write {
    Unchanged,
    Written(Verb),
    Refused(Refusal),
}

/// Whether fields that another manager owns are taken over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Force {
    Yes,
    No,
}
