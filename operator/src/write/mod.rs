//! Everything that this process writes to the API server: children, revisions of code, statuses and
//! events, and the client through which each write passes the fence. What to write is decided
//! elsewhere.
//!
//! [`Writer`] has its methods in the file of what they write.

pub(crate) mod apply;
pub(crate) mod client;
pub(crate) mod effects;
pub(crate) mod events;
mod halt;
pub(crate) mod item;
mod ledger;
pub(crate) mod look;
mod merge;
pub(crate) mod ownership;
pub(crate) mod priority;
mod reclaim;
mod remove;
pub(crate) mod revisions;
pub(crate) mod status;
mod suspend;

use std::sync::Arc;

use kube::Client;

use crate::cache::Cache;

/// Writes to the API server, and puts what comes back into the cache at once, so that no later
/// reconcile repeats a write that the watches have not shown yet.
pub(crate) struct Writer {
    client: Client,
    cache: Arc<Cache>,
    /// Held while a namespace's baseline is looked for and written, so that of many at once only
    /// one does.
    baselines: tokio::sync::Mutex<()>,
}

impl Writer {
    pub(crate) fn new(client: Client, cache: Arc<Cache>) -> Self {
        Self {
            client,
            cache,
            baselines: tokio::sync::Mutex::default(),
        }
    }
}
