//! Children before status: when many agents change at once (a tool's port, a model's address),
//! those that have written their children hold back status and events until the others have written
//! theirs. Order only: it must not keep anything from being written.

use std::{collections::BTreeSet, time::Duration};

use tokio::sync::watch;

/// The longest wait: one slow write of a child must not hold back the statuses of all others.
const PATIENCE: Duration = Duration::from_millis(100);

/// The reconciles that are writing children.
#[derive(Debug, Default)]
pub(crate) struct WritePriority {
    writing: watch::Sender<Writing>,
}

#[derive(Debug, Default)]
struct Writing {
    /// Numbers in the order in which they began.
    begun: BTreeSet<u64>,
    next: u64,
}

/// Children are being written until this is dropped.
#[derive(Debug)]
pub(crate) struct WriteGuard<'a> {
    priority: &'a WritePriority,
    number: u64,
}

impl WritePriority {
    /// To be held while children are written.
    pub(crate) fn begin(&self) -> WriteGuard<'_> {
        let mut number = 0;
        self.writing.send_if_modified(|writing| {
            number = writing.next;
            writing.next += 1;
            writing.begun.insert(number);
            false
        });
        WriteGuard {
            priority: self,
            number,
        }
    }

    /// Waits for those that write children now, not for those that begin later, and never long.
    pub(crate) async fn yield_to_writers(&self) {
        let mut writing = self.writing.subscribe();
        let later = writing.borrow().next;
        let are_done =
            |writing: &Writing| writing.begun.first().is_none_or(|first| *first >= later);
        // Neither too long a wait nor a closed channel is a reason not to go on.
        let _ = tokio::time::timeout(PATIENCE, writing.wait_for(are_done)).await;
    }
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        self.priority.writing.send_modify(|writing| {
            writing.begun.remove(&self.number);
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn only_those_that_began_before_are_waited_for() {
        let priority = WritePriority::default();
        priority.yield_to_writers().await;
        let (first, second) = (priority.begin(), priority.begin());
        let mut waiting = Box::pin(priority.yield_to_writers());
        assert!((&mut waiting).now_or_never().is_none(), "two are writing");
        let later = priority.begin();
        drop(second);
        assert!((&mut waiting).now_or_never().is_none(), "one still is");
        drop(first);
        assert!(waiting.now_or_never().is_some(), "the later one is not");
        drop(later);
        assert!(priority.writing.borrow().begun.is_empty());
    }

    #[tokio::test]
    async fn nobody_is_silenced() {
        let priority = WritePriority::default();
        let _hanging = priority.begin();
        priority.yield_to_writers().await;
    }
}
