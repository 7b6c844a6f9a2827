//! Whether every watch has listed what exists. Nothing is reconciled before that: an incomplete
//! cache would close policies and synthesize code that is stored already.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

/// The watches that have not listed yet.
#[derive(Debug)]
pub(crate) struct Readiness {
    pending: Mutex<BTreeSet<String>>,
    ready: watch::Sender<bool>,
}

impl Readiness {
    pub(crate) fn new(watches: impl IntoIterator<Item = String>) -> Self {
        let pending: BTreeSet<_> = watches.into_iter().collect();
        let ready = watch::Sender::new(pending.is_empty());
        Self {
            pending: Mutex::new(pending),
            ready,
        }
    }

    /// That watch has listed everything.
    pub(crate) fn listed(&self, name: &str) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.remove(name) && pending.is_empty() {
            self.ready.send_replace(true);
        }
    }

    /// The watches that have not listed yet, sorted.
    pub(crate) fn pending(&self) -> Vec<String> {
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// Until all have listed.
    pub(crate) async fn wait(&self) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_ready_when_the_last_watch_has_listed() {
        let readiness = Readiness::new(["a".to_owned(), "b".to_owned()]);
        readiness.listed("a");
        readiness.listed("a");
        assert_eq!(readiness.pending(), ["b"]);
        assert!(!*readiness.ready.borrow());
        readiness.listed("b");
        readiness.wait().await;
    }
}
