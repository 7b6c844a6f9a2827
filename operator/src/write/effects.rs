//! What one reconcile has done so far: counted, and published as events, however the reconcile
//! ends.

use langop_api::condition::Reason;

use crate::write::{
    events::{Event, Severity},
    item::AppliedChild,
};

/// Collected during one reconcile.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Whether a child, code's annotations or a status was written.
    pub(crate) changed: bool,
    /// Children that were written, in order.
    pub(crate) applied: Vec<AppliedChild>,
    /// What is to be published about the object, in order.
    pub(crate) events: Vec<Event>,
}

impl Effects {
    pub(crate) fn normal(&mut self, reason: Reason, note: impl Into<String>) {
        self.event(Severity::Normal, reason, note);
    }

    pub(crate) fn warning(&mut self, reason: Reason, note: impl Into<String>) {
        self.event(Severity::Warning, reason, note);
    }

    pub(crate) fn applied(&mut self, child: AppliedChild) {
        self.changed = true;
        self.applied.push(child);
    }

    fn event(&mut self, severity: Severity, reason: Reason, note: impl Into<String>) {
        self.events.push(Event {
            severity,
            reason,
            note: note.into(),
        });
    }
}
