//! Growing pauses for objects whose reconcile fails: 1 s to 1 min, one row for each object, gone with its success or its deletion.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use crate::{metrics::Metrics, triggers::Target};

const FIRST: Duration = Duration::from_secs(1);
/// What fails here is the API server or the way to it, and everything waits for that: so not long.
const LONGEST: Duration = Duration::from_mins(1);

/// The pauses of all failing objects.
#[derive(Debug)]
pub(crate) struct Backoffs {
    rows: Mutex<HashMap<Target, Row>>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Row {
    pauses: ExponentialBackoff,
    /// The end of the present one.
    until: Instant,
}

impl Backoffs {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            rows: Mutex::default(),
            metrics: metrics.clone(),
        }
    }

    /// How long to wait after one more failure. One that comes before the pause is over, because something else triggered it, makes it
    /// no longer.
    pub(crate) fn failed(&self, target: Target) -> Duration {
        self.failed_at(target, Instant::now())
    }

    fn failed_at(&self, target: Target, now: Instant) -> Duration {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows.entry(target).or_insert_with(|| Row {
            pauses: pauses(),
            until: now,
        });
        if row.until <= now {
            row.until = now + row.pauses.next().unwrap_or(LONGEST).min(LONGEST);
        }
        let pause = row.until - now;
        self.metrics.set_retrying(rows.len());
        pause
    }

    pub(crate) fn forget(&self, target: &Target) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.remove(target).is_some() {
            self.metrics.set_retrying(rows.len());
        }
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST)
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build()
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
        let metrics = Metrics::new();
        let backoffs = Backoffs::new(&metrics);
        let target = || Target::new(Kind::Tool, Some("n"), "t");
        let mut now = Instant::now();
        let first = backoffs.failed_at(target(), now);
        assert!(first >= FIRST && first <= FIRST * 2);
        assert!(rendered(&metrics).contains("langop_reconcile_retrying 1"));
        for _ in 0..20 {
            assert!(
                backoffs.failed_at(target(), now) <= first,
                "something triggered it"
            );
        }
        for _ in 0..20 {
            now += backoffs.failed_at(target(), now);
        }
        assert_eq!(backoffs.failed_at(target(), now), LONGEST);
        backoffs.forget(&target());
        assert!(rendered(&metrics).contains("langop_reconcile_retrying 0"));
        assert!(backoffs.failed_at(target(), now) <= FIRST * 2);
    }

    fn rendered(metrics: &Metrics) -> String {
        metrics.render(std::iter::empty()).unwrap()
    }

    #[test]
    fn the_random_pause_keeps_its_bounds() {
        for _ in 0..100 {
            let pause = between(FIRST, LONGEST);
            assert!(pause >= FIRST && pause <= LONGEST);
        }
    }
}
