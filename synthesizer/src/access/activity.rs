//! Whether authorized calls use a connection. What follows from it is the business of
//! `connection` and `connection_limit`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

/// How long a connection without calls counts as its last caller's.
const IDLE: Duration = Duration::from_mins(1);

/// When calls use one connection.
#[derive(Default)]
pub(crate) struct ConnectionActivity(Mutex<State>);

#[derive(Default)]
struct State {
    /// Calls under way that were let in.
    calls: u32,
    /// When the last one of all ended.
    used: Option<Instant>,
}

/// A call that was let in, until it is dropped.
pub(super) struct InUse(Arc<ConnectionActivity>);

impl ConnectionActivity {
    /// An authorized call begins.
    pub(super) fn begin(self: &Arc<Self>) -> InUse {
        self.state().calls += 1;
        InUse(Arc::clone(self))
    }

    /// Whether a call was ever let in.
    pub(super) fn was_used(&self) -> bool {
        let state = self.state();
        state.calls > 0 || state.used.is_some()
    }

    /// Whether it is idle: no call was ever authorized, or none for a while.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let state = self.state();
        state.calls == 0
            && state
                .used
                .is_none_or(|used| now.saturating_duration_since(used) >= IDLE)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.calls -= 1;
        state.used = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_idle_before_the_first_call_and_a_while_after_the_last() {
        let activity = Arc::new(ConnectionActivity::default());
        let now = Instant::now();
        assert!(activity.is_idle(now) && !activity.was_used());
        let (one, other) = (activity.begin(), activity.begin());
        drop(one);
        let late = now + 10 * IDLE;
        assert!(!activity.is_idle(late), "a call may take long");
        drop(other);
        let ended = Instant::now();
        assert!(!activity.is_idle(ended) && activity.was_used());
        assert!(activity.is_idle(ended + IDLE) && activity.was_used());
    }
}
