//! The calls under way that this process pays from budgets of namespaces. What is spent lives in the
//! LanguageClusters' statuses; here is only which of the calls there are ours, and will be settled.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// Bytes of the process's key that tell its calls from those of others.
const PREFIX: usize = 16;

/// All budgets.
pub(crate) struct Budgets {
    process: String,
    next: AtomicU64,
    by_cluster: Mutex<HashMap<String, Arc<Paying>>>,
}

/// The calls that are paid from one budget.
#[derive(Debug, Default)]
pub(crate) struct Paying {
    /// Held while the ledger is read and written, so that calls take turns.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// One of them has ended.
    pub(crate) ended: Notify,
    open: Mutex<BTreeSet<String>>,
}

/// A call that its budget pays. Dropped, in whatever way it ended, nobody will settle it any more.
#[derive(Debug)]
pub(crate) struct OpenCall {
    paying: Arc<Paying>,
    /// Its name.
    pub(crate) id: String,
}

impl Paying {
    /// Begins a call.
    pub(crate) fn open(self: &Arc<Self>, id: String) -> OpenCall {
        self.lock().insert(id.clone());
        OpenCall {
            paying: self.clone(),
            id,
        }
    }

    /// Whether a call will yet be settled.
    pub(crate) fn is_open(&self, id: &str) -> bool {
        self.lock().contains(id)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // Every lock is held for one step that leaves the set whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.paying.lock().remove(&self.id);
        self.paying.ended.notify_waiters();
    }
}

impl Budgets {
    /// `process` is a text that no other process has.
    pub(crate) fn new(process: &str) -> Self {
        Self {
            process: process.chars().take(PREFIX).collect(),
            next: AtomicU64::default(),
            by_cluster: Mutex::default(),
        }
    }

    /// The calls that the budget of a LanguageCluster pays.
    pub(crate) fn of(&self, cluster: &str) -> Arc<Paying> {
        let mut all = self
            .by_cluster
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.entry(cluster.to_owned()).or_default().clone()
    }

    /// A name for a call that none ever had.
    pub(crate) fn name_call(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.process)
    }

    /// The LanguageCluster is gone.
    pub(crate) fn forget(&self, cluster: &str) {
        self.by_cluster
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(cluster);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_is_dropped_is_open_no_more_and_lets_others_look() {
        let budgets = Budgets::new("0123456789abcdef0123");
        let (first, second) = (budgets.name_call(), budgets.name_call());
        assert_ne!(first, second);
        assert!(first.len() <= 64, "as long as the ledger takes");
        let paying = budgets.of("team");
        let mut ended = std::pin::pin!(paying.ended.notified());
        ended.as_mut().enable();
        let call = paying.open(first.clone());
        assert!(budgets.of("team").is_open(&first) && !budgets.of("other").is_open(&first));
        drop(call);
        ended.await;
        assert!(!paying.is_open(&first));
    }
}
