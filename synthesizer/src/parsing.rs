//! Work that keeps a processor busy, such as parsing what others wrote: on threads of its own, as
//! many at a time as there are processors, and the callers take turns. So it delays neither the
//! network nor another caller.

use std::{num::NonZero, thread};

use langop_program::fair::Places;
use tracing::Span;

use crate::{access::caller::Caller, error::SynthesisError};

/// The threads.
#[derive(Clone)]
pub(crate) struct Pool(Places<Caller>);

impl Default for Pool {
    fn default() -> Self {
        Self(Places::new(
            thread::available_parallelism().map_or(1, NonZero::get),
        ))
    }
}

impl Pool {
    /// Does `work` for `caller`, within the span that is current.
    ///
    /// # Errors
    /// If it panics: a bug.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, SynthesisError> {
        let place = self.0.take(caller.clone()).await;
        let span = Span::current();
        let done = tokio::task::spawn_blocking(move || {
            // Held by the thread: it goes on when no caller waits for it any more.
            let _place = place;
            span.in_scope(work)
        });
        done.await.map_err(|_| SynthesisError::Internal)
    }
}
