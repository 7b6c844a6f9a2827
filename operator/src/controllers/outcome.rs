//! What all controllers share: who owns children, how a reconcile ended, and when to look again.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use langop_api::condition::Reason;
use langop_desired::{
    backoff::Backoff,
    conditions::Standing,
    meta::{Owner, owner_of},
};

use crate::{
    cache::kind::LangopKind,
    context::{Context, now},
    error::ReconcileError,
    run::outcome::{Done, Outcome},
    write::{apply, status::Written},
};

/// The owner that a resource is for its children.
pub(super) fn owner<K: LangopKind>(object: &K) -> Result<Owner, ReconcileError> {
    owner_of(object).ok_or_else(|| ReconcileError::NoUid {
        kind: K::KIND.as_str(),
        name: object.name_any(),
    })
}

/// The pauses after failed calls of the synthesizer.
pub(super) fn backoff(ctx: &Context) -> Backoff {
    Backoff {
        initial: ctx.settings.backoff_initial,
        max: ctx.settings.backoff_max,
    }
}

/// The shortest pause before another look.
pub(super) const MOMENT: Duration = Duration::from_millis(100);

/// Looked at again then, though nothing triggers it; never sooner than in a moment.
pub(super) fn again_at(done: Done, due: Option<Timestamp>) -> Done {
    let pause = |due: Timestamp| Duration::try_from(due.duration_since(now())).unwrap_or_default();
    due.map_or(done, |due| done.again_in(pause(due).max(MOMENT)))
}

/// How a reconcile that applied children and wrote a status ended.
pub(super) fn report(
    written: &[apply::Written],
    status: Written,
    problem: Option<&Standing>,
) -> Done {
    let changed = !written.is_empty() || status == Written::Yes;
    match problem {
        Some(
            Standing::Stalled(
                Reason::NameConflict | Reason::NamespaceNotAdoptable | Reason::WorkspaceConflict,
                _,
            )
            | Standing::Progressing(Reason::NamespaceTerminating, _)
            | Standing::Failed(..),
            // Somebody else's objects are not watched, and the end of a refusal is not announced.
        ) => Done::from(Outcome::Stalled).again_now_and_then(),
        Some(Standing::Stalled(..)) => Outcome::Stalled.into(),
        _ if changed => Outcome::Changed.into(),
        Some(Standing::Progressing(..)) => Outcome::Waiting.into(),
        Some(Standing::Ready(..)) | None => Outcome::Unchanged.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_announces_is_looked_at_now_and_then() {
        let done = |standing| report(&[], Written::No, Some(&standing));
        for silent in [
            Standing::Stalled(Reason::NameConflict, String::new()),
            Standing::Stalled(Reason::WorkspaceConflict, String::new()),
            Standing::Stalled(Reason::NamespaceNotAdoptable, String::new()),
            Standing::Progressing(Reason::NamespaceTerminating, String::new()),
            Standing::Failed(Reason::ApplyFailed, String::new()),
        ] {
            let again = Done::from(Outcome::Stalled).again_now_and_then();
            assert_eq!(done(silent.clone()), again, "{silent:?}");
        }
        for (announced, outcome) in [
            (
                Standing::Stalled(Reason::InvalidSpec, String::new()),
                Outcome::Stalled,
            ),
            (
                Standing::Progressing(Reason::RolloutInProgress, String::new()),
                Outcome::Waiting,
            ),
        ] {
            assert_eq!(done(announced), outcome.into());
        }
    }
}
