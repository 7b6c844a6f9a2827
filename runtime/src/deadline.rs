//! Until when a run may work. Time is tokio's, so that tests can turn it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A point in time, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

/// Kept back at the end of a Job's time, so that there is still time to tell how it ended.
const MOST_RESERVE: Duration = Duration::from_secs(10);

impl Deadline {
    /// No end.
    pub const NEVER: Self = Self(None);

    /// The end of a run of at most `timeout` that began at `start`: less 10 s or a tenth of it,
    /// whichever is less.
    pub fn of_run(start: Instant, timeout: Option<Duration>) -> Self {
        let usable = |timeout: Duration| timeout.saturating_sub(MOST_RESERVE.min(timeout / 10));
        Self(timeout.map(|timeout| start + usable(timeout)))
    }

    /// At most so far away.
    #[must_use]
    pub fn within(self, most: Duration) -> Self {
        Self(Some(Instant::now() + self.left(most)))
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        self.0.is_some_and(|end| end <= Instant::now())
    }

    /// What is left, at most `most`.
    pub fn left(self, most: Duration) -> Duration {
        self.0.map_or(most, |end| {
            end.saturating_duration_since(Instant::now()).min(most)
        })
    }

    /// `most`, but at most a tenth of what is left.
    pub fn tenth_left(self, most: Duration) -> Duration {
        let left = |end: Instant| end.saturating_duration_since(Instant::now()) / 10;
        self.0.map_or(most, |end| left(end).min(most))
    }

    /// As a time of the calendar.
    pub fn timestamp(self) -> Option<Timestamp> {
        let left = self.0?.saturating_duration_since(Instant::now());
        Timestamp::now().checked_add(left).ok()
    }

    /// Of a time of the calendar.
    pub fn at(end: Option<Timestamp>) -> Self {
        let left = |end: Timestamp| {
            let left = end.duration_since(Timestamp::now());
            Instant::now() + Duration::try_from(left).unwrap_or_default()
        };
        Self(end.map(left))
    }

    /// Waits until it is over, for ever if there is none.
    pub async fn over(self) {
        match self.0 {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tenth_or_ten_seconds_are_kept_back() {
        let start = Instant::now();
        for (timeout, left) in [(50, 45), (600, 590), (1, 0)] {
            let deadline = Deadline::of_run(start, Some(Duration::from_secs(timeout)));
            let got = deadline.left(Duration::MAX).as_secs();
            assert_eq!(got, left, "of {timeout} s");
        }
        let deadline = Deadline::of_run(start, Some(Duration::from_secs(50)));
        assert_eq!(
            deadline.tenth_left(Duration::from_mins(1)).as_millis(),
            4500
        );
        assert!(!deadline.is_over());
        deadline.over().await;
        assert!(deadline.is_over());
        assert_eq!(start.elapsed().as_secs(), 45);
        assert_eq!(Deadline::NEVER.left(Duration::from_secs(3)).as_secs(), 3);
    }
}
