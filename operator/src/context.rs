//! What every part of the operator shares. Made once; passed, never global.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use k8s_openapi::jiff::Timestamp;
use kube::Client;

use crate::{
    cache::{Cache, kind::Kind, triggers::Target},
    run::{backoff::Backoffs, metrics::Metrics, readiness::Readiness},
    settings::Settings,
    synthesis::{attest::Attestor, calls::Synthesis},
    write::{events::Events, priority::Precedence},
};

/// Shared by all tasks.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) client: Client,
    pub(crate) cache: Arc<Cache>,
    pub(crate) readiness: Readiness,
    /// Objects whose reconcile failed.
    pub(crate) failing: Backoffs,
    /// Objects that somebody refuses, or whose names somebody has.
    pub(crate) refused: Backoffs,
    pub(crate) events: Events,
    pub(crate) metrics: Metrics,
    pub(crate) synthesis: Synthesis,
    /// Signs the code that this process stores.
    pub(crate) attestor: Attestor,
    /// Of agents.
    pub(crate) precedence: Precedence,
    /// When the agents of a LanguageCluster (by name) were last counted in its status.
    pub(crate) counted: Mutex<HashMap<String, Instant>>,
    /// Held while a namespace's baseline is looked for and written, so that of many at once only one does.
    pub(crate) baselines: tokio::sync::Mutex<()>,
}

impl Context {
    /// Drops what is remembered of a resource that is gone.
    pub(crate) fn forget(&self, target: &Target, uid: Option<&str>) {
        self.failing.forget(target);
        self.refused.forget(target);
        if target.kind == Kind::Cluster {
            self.counted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&target.name);
        }
        if let Some(uid) = uid {
            self.synthesis.forget(uid);
        }
    }
}

/// The time in statuses: whole seconds, as `metav1.Time` has it, so that what is read back equals what was written.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}
