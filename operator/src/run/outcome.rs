//! How a reconcile ended, and when its object is to be looked at again.

use std::time::Duration;

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
    /// When to look again though nothing triggers it; `None`: the safety net suffices.
    pub(crate) again: Option<Duration>,
    /// Whether to look again after pauses that grow with each look that ends so.
    pub(crate) now_and_then: bool,
}

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            again: None,
            now_and_then: false,
        }
    }
}

impl Done {
    /// What ends this is not announced to us.
    pub(crate) fn again_now_and_then(self) -> Self {
        Self {
            now_and_then: true,
            ..self
        }
    }

    pub(crate) fn again_in(self, pause: Duration) -> Self {
        Self {
            again: Some(self.again.map_or(pause, |again| again.min(pause))),
            ..self
        }
    }
}
