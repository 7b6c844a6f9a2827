//! How much is held of requests, in bytes: a bound for all, and a share of each caller. Taken when
//! a message says how long it is, before it is decoded, and given back when nothing that was made
//! of it is held any more.

use std::sync::{Arc, OnceLock};

use langop_proto::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::AccessError;

/// How often a byte of a message is held at most: decoded, in a prompt, and in what is sent to the
/// provider.
pub(crate) const COPIES: u64 = 3;
/// The unit that is counted. Less than one is one.
const UNIT: u64 = 1024;

/// A bound of bytes.
#[derive(Clone)]
pub(super) struct Scale(Arc<Semaphore>);

/// What is held of one request, as long as it is held. Empty until its message begins to arrive.
#[derive(Clone, Default)]
pub struct Load(Arc<OnceLock<[OwnedSemaphorePermit; 2]>>);

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Load")
    }
}

impl Scale {
    pub(super) fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes / UNIT).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))))
    }

    fn take(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_many_owned(units).ok()
    }
}

impl Load {
    /// A message of `message` bytes begins to arrive, from a caller with the scale `own`.
    pub(super) fn take(&self, message: u32, all: &Scale, own: &Scale) -> Result<(), AccessError> {
        // One that is too long is refused unread.
        if usize::try_from(message).is_ok_and(|bytes| bytes > limits::MESSAGE) {
            return Ok(());
        }
        let units = (u64::from(message) * COPIES).div_ceil(UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let own = own.take(units).ok_or(AccessError::TooMuchHeld)?;
        let all = all.take(units).ok_or(AccessError::Busy)?;
        // A call has one message; of another, the library reads nothing.
        let _ = self.0.set([all, own]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_of_all_and_of_the_own_and_given_back_with_the_last_copy() {
        let (all, a, b) = (
            Scale::new(12 << 10),
            Scale::new(9 << 10),
            Scale::new(9 << 10),
        );
        let take = |own: &Scale, bytes| {
            let load = Load::default();
            load.take(bytes, &all, own).map(|()| load)
        };
        let first = take(&a, 2 << 10).unwrap();
        assert_eq!(take(&a, 2 << 10).err(), Some(AccessError::TooMuchHeld));
        let second = take(&b, 2 << 10).unwrap();
        assert_eq!(take(&a, 1).err(), Some(AccessError::Busy));
        let copy = first.clone();
        drop(first);
        assert!(take(&a, 1).is_err(), "it is held still");
        drop(copy);
        assert!(take(&a, 1).is_ok());
        drop(second);
        assert!(take(&b, u32::MAX).is_ok(), "refused by its length, later");
    }
}
