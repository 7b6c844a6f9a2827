//! The answers of one connection that wait for their client to read on. Knows since when; what
//! follows from it is `connection`'s business.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

/// The answers that wait, by number. A connection has few of them, and they are looked through
/// seldom.
#[derive(Default)]
pub(crate) struct UnreadResponses {
    last: AtomicU64,
    waiting: Mutex<HashMap<u64, Instant>>,
}

/// One answer, until it is sent.
pub(crate) struct UnreadResponse {
    answers: Arc<UnreadResponses>,
    number: u64,
}

impl UnreadResponses {
    /// An answer of which something is ready.
    pub(crate) fn begin(self: &Arc<Self>) -> UnreadResponse {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let answers = Arc::clone(self);
        let answer = UnreadResponse { answers, number };
        answer.is_ready();
        answer
    }

    /// Since when the one that waits longest does.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiting().values().min().copied()
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        // No code panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnreadResponse {
    /// Something is ready: it is the client's turn.
    pub(crate) fn is_ready(&self) {
        self.answers.waiting().insert(self.number, Instant::now());
    }

    /// The client has room for more: it is our turn.
    pub(crate) fn is_wanted(&self) {
        self.answers.waiting().remove(&self.number);
    }
}

impl Drop for UnreadResponse {
    fn drop(&mut self) {
        self.is_wanted();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_the_one_that_waits_longest() {
        let answers = Arc::new(UnreadResponses::default());
        assert_eq!(answers.oldest(), None);
        let first = answers.begin();
        let since = answers.oldest();
        let second = answers.begin();
        assert!(since.is_some() && answers.oldest() == since);
        first.is_wanted();
        assert!(answers.oldest() >= since, "the second's turn came later");
        drop(second);
        assert_eq!(answers.oldest(), None);
        first.is_ready();
        assert!(answers.oldest() >= since);
        drop(first);
        assert_eq!(answers.oldest(), None, "nothing is kept of who left");
    }
}
