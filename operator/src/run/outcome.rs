//! How a reconcile ended, and when its object is to be looked at again.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use langop_api::condition::Reason;
use langop_desired::conditions::Summary;

use crate::context::now;

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing was to be done.
    Unchanged,
    /// Something was written.
    Changed,
    /// Something outside must happen first.
    Waiting,
    /// Somebody must act.
    Stalled,
}

impl Outcome {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Waiting => "waiting",
            Self::Stalled => "stalled",
        }
    }
}

/// What a reconcile says at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    /// When to reconcile again even if nothing triggers it; `None`: the resync suffices.
    pub(crate) requeue_after: Option<Duration>,
    /// Whether to reconcile again after pauses that grow with each such end.
    pub(crate) with_backoff: bool,
}

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            requeue_after: None,
            with_backoff: false,
        }
    }
}

/// The shortest pause before an object is looked at again.
pub(crate) const MIN_REQUEUE: Duration = Duration::from_millis(100);

impl Done {
    /// The end of a reconcile that wrote something, or not, and left the object so; `None`: as its
    /// spec says.
    pub(crate) fn of(changed: bool, summary: Option<&Summary>) -> Self {
        match summary {
            Some(
                Summary::Stalled(
                    Reason::NameConflict
                    | Reason::NamespaceNotAdoptable
                    | Reason::WorkspaceConflict,
                    _,
                )
                | Summary::Progressing(Reason::NamespaceTerminating, _)
                | Summary::Failed(Reason::ApplyFailed, _),
                // Other owners' objects are not watched, and the end of a refusal is not announced.
            ) => Self::from(Outcome::Stalled).requeue_with_backoff(),
            Some(Summary::Stalled(..)) => Outcome::Stalled.into(),
            _ if changed => Outcome::Changed.into(),
            Some(Summary::Progressing(..) | Summary::Failed(..)) => Outcome::Waiting.into(),
            Some(Summary::Ready(..)) | None => Outcome::Unchanged.into(),
        }
    }

    /// Reconciles again at that time even if nothing triggers it; never sooner than after the
    /// shortest pause.
    pub(crate) fn requeue_at(self, due: Option<Timestamp>) -> Self {
        let pause =
            |due: Timestamp| Duration::try_from(due.duration_since(now())).unwrap_or_default();
        due.map_or(self, |due| self.requeue_after(pause(due).max(MIN_REQUEUE)))
    }

    /// Nothing will notify us when this condition clears.
    pub(crate) fn requeue_with_backoff(self) -> Self {
        Self {
            with_backoff: true,
            ..self
        }
    }

    pub(crate) fn requeue_after(self, pause: Duration) -> Self {
        Self {
            requeue_after: Some(self.requeue_after.map_or(pause, |before| before.min(pause))),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_announces_is_looked_at_now_and_then() {
        let done = |summary| Done::of(false, Some(&summary));
        for silent in [
            Summary::Stalled(Reason::NameConflict, String::new()),
            Summary::Stalled(Reason::WorkspaceConflict, String::new()),
            Summary::Stalled(Reason::NamespaceNotAdoptable, String::new()),
            Summary::Progressing(Reason::NamespaceTerminating, String::new()),
            Summary::Failed(Reason::ApplyFailed, String::new()),
        ] {
            let again = Done::from(Outcome::Stalled).requeue_with_backoff();
            assert_eq!(done(silent.clone()), again, "{silent:?}");
        }
        for (announced, outcome) in [
            (
                Summary::Stalled(Reason::InvalidSpec, String::new()),
                Outcome::Stalled,
            ),
            (
                Summary::Progressing(Reason::RolloutInProgress, String::new()),
                Outcome::Waiting,
            ),
        ] {
            assert_eq!(done(announced), outcome.into());
        }
    }
}
