//! What every part of the operator shares. Made once; passed, never global.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use langop_desired::backoff::Backoff;
use tokio::sync::OnceCell;

use crate::{
    cache::{Cache, kind::Kind, triggers::Target},
    run::{backoff::Backoffs, metrics::Metrics, readiness::Readiness},
    settings::Settings,
    synthesis::{attest::Attestor, budget::Budgets, calls::Synthesis},
    write::{Writer, events::EventPublisher, priority::WritePriority},
};

/// Shared by all tasks.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) client: Client,
    pub(crate) cache: Arc<Cache>,
    pub(crate) readiness: Readiness,
    /// Back-off for objects whose reconcile failed.
    pub(crate) error_backoff: Backoffs,
    /// Back-off for objects that the API server rejects or whose child names are taken.
    pub(crate) rejection_backoff: Backoffs,
    pub(crate) writer: Writer,
    pub(crate) events: EventPublisher,
    pub(crate) metrics: Metrics,
    pub(crate) synthesis: Synthesis,
    /// What calls are paid from.
    pub(crate) budgets: Budgets,
    /// Signs the code that this process stores.
    pub(crate) attestor: Attestor,
    /// Agents' children before their statuses and events.
    pub(crate) priority: WritePriority,
    /// Set once the API server is known to be new enough for approvals.
    pub(crate) approvals: OnceCell<()>,
    /// When the agents of a LanguageCluster (by name) were last counted in its status.
    pub(crate) counted: Mutex<HashMap<String, Instant>>,
}

impl Context {
    /// Drops what is remembered of a resource that is gone.
    pub(crate) fn forget(&self, target: &Target, uid: Option<&str>) {
        self.error_backoff.forget(target);
        self.rejection_backoff.forget(target);
        if target.kind == Kind::Cluster {
            self.counted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&target.name);
            self.budgets.forget(&target.name);
        }
        if let Some(uid) = uid {
            self.synthesis.forget(uid);
        }
    }

    /// The pauses after failed calls of the synthesizer.
    pub(crate) fn synthesis_backoff(&self) -> Backoff {
        Backoff {
            initial: self.settings.backoff_initial,
            max: self.settings.backoff_max,
        }
    }
}

/// The time in statuses: whole seconds, as `metav1.Time` has it, so that what is read back equals
/// what was written.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}
