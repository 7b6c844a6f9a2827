//! Growing pauses for objects that are looked at again: one row for each object, gone with its
//! success or its deletion.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use crate::cache::triggers::Target;

/// The first and the longest pause after a reconcile that failed. What fails then is the API server
/// or the way to it, and everything waits for that: so not long.
pub(crate) const FAILED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// The same after one whose writes somebody refuses, or whose names somebody has: nothing tells us
/// of the end of that, and a thousand such objects must not keep the API server busy.
pub(crate) const REFUSED: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(10));

/// The pauses of all objects that are looked at again for one of these reasons.
#[derive(Debug)]
pub(crate) struct Backoffs {
    rows: Mutex<HashMap<Target, Row>>,
    pauses: (Duration, Duration),
}

#[derive(Debug)]
struct Row {
    pauses: ExponentialBackoff,
    /// The end of the present one.
    until: Instant,
    since: Instant,
}

impl Backoffs {
    /// [`FAILED`] or [`REFUSED`].
    pub(crate) fn new(pauses: (Duration, Duration)) -> Self {
        Self {
            rows: Mutex::default(),
            pauses,
        }
    }

    /// The next pause. An earlier trigger does not lengthen the pause.
    pub(crate) fn next_pause(&self, target: Target) -> Duration {
        self.next_at(target, Instant::now())
    }

    fn next_at(&self, target: Target, now: Instant) -> Duration {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, longest) = self.pauses;
        let row = rows.entry(target).or_insert_with(|| Row {
            pauses: growing(first, longest),
            until: now,
            since: now,
        });
        if row.until <= now {
            row.until = now + row.pauses.next().unwrap_or(longest).min(longest);
        }
        row.until - now
    }

    /// For how long this is going on; nothing if it is not.
    pub(crate) fn failing_for(&self, target: &Target) -> Duration {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.get(target)
            .map(|row| row.since.elapsed())
            .unwrap_or_default()
    }

    pub(crate) fn forget(&self, target: &Target) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.remove(target);
    }

    /// How many objects wait.
    pub(crate) fn len(&self) -> usize {
        self.rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

fn growing(first: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}

/// A pause between `shortest` and `longest`, different each time, so that objects that were made
/// together part.
pub(crate) fn between(shortest: Duration, longest: Duration) -> Duration {
    shortest + longest.saturating_sub(shortest).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::kind::Kind;

    #[test]
    fn pauses_grow_to_the_longest_and_start_anew_after_success() {
        for (first, longest) in [FAILED, REFUSED] {
            let backoffs = Backoffs::new((first, longest));
            let target = || Target::new(Kind::Tool, Some("n"), "t");
            let mut now = Instant::now();
            let pause = backoffs.next_at(target(), now);
            assert!(pause >= first && pause <= first * 2);
            assert_eq!(backoffs.len(), 1);
            for _ in 0..20 {
                assert!(backoffs.next_at(target(), now) <= pause, "triggered");
            }
            for _ in 0..20 {
                now += backoffs.next_at(target(), now);
            }
            assert_eq!(backoffs.next_at(target(), now), longest);
            backoffs.forget(&target());
            assert_eq!(backoffs.len(), 0);
            assert!(backoffs.next_at(target(), now) <= first * 2);
        }
    }

    #[test]
    fn the_random_pause_keeps_its_bounds() {
        for _ in 0..100 {
            let pause = between(FAILED.0, FAILED.1);
            assert!(pause >= FAILED.0 && pause <= FAILED.1);
        }
    }
}
