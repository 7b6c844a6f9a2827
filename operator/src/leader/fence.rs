//! The gate before every write to the API server: closed from the moment at which this process may
//! no longer be the leader, even if it had no time to notice (a process that was stopped for a
//! while). It must not decide when that is.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// Shared by the leader election and the client. Open at first, for processes without election.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fence(Arc<Mutex<Gate>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gate {
    #[default]
    Open,
    Until(Instant),
    Closed,
}

/// A write that was held back.
#[derive(Debug, thiserror::Error)]
#[error("this process is not the leader, so it must not write")]
pub(crate) struct NotLeading;

impl Fence {
    pub(crate) fn open_until(&self, end: Instant) {
        self.set(Gate::Until(end));
    }

    pub(crate) fn close(&self) {
        self.set(Gate::Closed);
    }

    /// Whether a write may begin now.
    pub(crate) fn pass(&self) -> Result<(), NotLeading> {
        let gate = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match gate {
            Gate::Open => Ok(()),
            Gate::Until(end) if Instant::now() < end => Ok(()),
            Gate::Until(_) | Gate::Closed => Err(NotLeading),
        }
    }

    fn set(&self, gate: Gate) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = gate;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_closes_by_itself() {
        let fence = Fence::default();
        assert!(fence.pass().is_ok());
        fence.open_until(Instant::now() + Duration::from_mins(1));
        assert!(fence.clone().pass().is_ok());
        fence.open_until(Instant::now());
        assert!(fence.pass().is_err());
        fence.close();
        assert!(fence.pass().is_err());
    }
}
