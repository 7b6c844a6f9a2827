//! The orderly end of a replica: whether new calls are taken, and which are still under way. Knows
//! neither gRPC nor what a call does.

use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use crate::error::SynthesisError;

/// Shared by the service, which takes calls, and the server, which waits for their end.
#[derive(Clone, Default)]
pub struct Drain {
    begun: CancellationToken,
    calls: TaskTracker,
}

/// A call under way, for as long as it is held.
#[must_use = "the call counts as over when this is dropped"]
pub struct CallGuard(#[expect(dead_code, reason = "held, not read")] TaskTrackerToken);

impl Drain {
    /// A place for a new call.
    ///
    /// # Errors
    /// Once the drain has begun: the call belongs to another replica.
    pub fn enter(&self) -> Result<CallGuard, SynthesisError> {
        // Counted before the check: `finished` either sees this call or the call was refused.
        let place = CallGuard(self.calls.token());
        if self.begun.is_cancelled() {
            return Err(SynthesisError::Draining);
        }
        Ok(place)
    }

    /// Takes no calls from now on.
    pub fn begin(&self) {
        self.begun.cancel();
        self.calls.close();
    }

    /// Waits until the drain has begun and no call is left.
    pub async fn finished(&self) {
        self.calls.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn ends_with_the_last_call_and_takes_no_new_ones() {
        let drain = Drain::default();
        let (first, second) = (drain.enter().unwrap(), drain.enter().unwrap());
        assert!(drain.finished().now_or_never().is_none(), "not begun");
        drain.begin();
        assert!(matches!(drain.enter(), Err(SynthesisError::Draining)));
        drop(first);
        assert!(drain.finished().now_or_never().is_none(), "one is left");
        drop(second);
        assert!(drain.finished().now_or_never().is_some());
    }
}
