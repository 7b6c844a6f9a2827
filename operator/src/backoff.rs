//! Growing pauses for objects whose reconcile fails: 1 s to 5 min, one row for each object, gone with its success or its deletion.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use crate::triggers::Target;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// The pauses of all failing objects.
#[derive(Debug, Default)]
pub(crate) struct Backoffs(Mutex<HashMap<Target, ExponentialBackoff>>);

impl Backoffs {
    /// How long to wait after one more failure.
    pub(crate) fn failed(&self, target: Target) -> Duration {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let builder = ExponentialBuilder::default()
            .with_min_delay(FIRST)
            .with_max_delay(LONGEST)
            .with_jitter()
            .without_max_times();
        rows.entry(target)
            .or_insert_with(|| builder.build())
            .next()
            .unwrap_or(LONGEST)
            .min(LONGEST)
    }

    pub(crate) fn forget(&self, target: &Target) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(target);
    }
}

/// A pause between `shortest` and `longest`, different each time, so that objects that were made together part.
pub(crate) fn between(shortest: Duration, longest: Duration) -> Duration {
    use std::hash::BuildHasher as _;
    let random = std::hash::RandomState::new().hash_one(0_u8);
    let share = f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX);
    shortest + longest.saturating_sub(shortest).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    #[test]
    fn pauses_grow_to_the_longest_and_start_anew_after_success() {
        let backoffs = Backoffs::default();
        let target = || Target::new(Kind::Tool, Some("n"), "t");
        let first = backoffs.failed(target());
        assert!(first >= FIRST && first <= FIRST * 2);
        for _ in 0..20 {
            backoffs.failed(target());
        }
        assert_eq!(backoffs.failed(target()), LONGEST);
        backoffs.forget(&target());
        assert!(backoffs.failed(target()) <= FIRST * 2);
    }

    #[test]
    fn the_random_pause_keeps_its_bounds() {
        for _ in 0..100 {
            let pause = between(FIRST, LONGEST);
            assert!(pause >= FIRST && pause <= LONGEST);
        }
    }
}
