//! What an answer costs, as processor time of the thread: however busy the machine is, that says
//! the same of the code. Must not be asked about work that other threads do.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Most that any input may cost.
pub(crate) const LONGEST: Duration = Duration::from_millis(50);

/// The answer, and what it cost. Where that was too much, the best of a few more tries counts:
/// caches are shared, too.
pub(crate) fn effort<T>(answer: impl Fn() -> T) -> (T, Duration) {
    let once = || {
        let before = spent();
        let answer = answer();
        (answer, spent().saturating_sub(before))
    };
    let (answer, first) = once();
    if first < LONGEST {
        return (answer, first);
    }
    let best = (0..4).map(|_| once().1).min();
    (answer, best.map_or(first, |best| best.min(first)))
}

fn spent() -> Duration {
    // It counts up from zero.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
