//! Limits how often one object may call the synthesizer, whatever it asks: each new text is a new
//! request with its own back-off, so a loop of edits would call without end. Pure: the time is a
//! parameter.

use std::time::{Duration, Instant};

/// Questions that may follow each other at once: people edit several times until they are content.
const BURST: u32 = 10;

/// The questions of one object.
#[derive(Debug)]
pub(crate) struct Pace {
    left: u32,
    /// When the last of the missing ones came back.
    since: Instant,
}

impl Pace {
    /// Nothing was asked yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            since: now,
        }
    }

    /// How long the next question has to wait, if it has to. One more may be asked after each
    /// `pause`.
    pub(crate) fn wait(&self, pause: Duration, now: Instant) -> Option<Duration> {
        if self.left > 0 {
            return None;
        }
        let left = pause.saturating_sub(now.saturating_duration_since(self.since));
        (!left.is_zero()).then_some(left)
    }

    /// A question is asked.
    pub(crate) fn record(&mut self, pause: Duration, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        let came = passed.as_millis() / pause.as_millis().max(1);
        let came = u32::try_from(came).unwrap_or(BURST).min(BURST);
        if self.left + came >= BURST {
            *self = Self::new(now);
        } else {
            self.left += came;
            self.since += pause * came;
        }
        self.left = self.left.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(30);

    #[test]
    fn some_edits_are_answered_at_once_and_a_loop_of_them_is_not() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for _ in 0..BURST {
            assert_eq!(pace.wait(PAUSE, start), None);
            pace.record(PAUSE, start);
        }
        assert_eq!(pace.wait(PAUSE, start), Some(PAUSE));
        // One that asks as often as it may, for an hour.
        let (mut now, mut asked) = (start, 0);
        while now < start + 120 * PAUSE {
            if let Some(wait) = pace.wait(PAUSE, now) {
                now += wait;
            }
            pace.record(PAUSE, now);
            asked += 1;
        }
        assert_eq!(asked, 120);
        let later = now + PAUSE * BURST;
        for _ in 0..BURST {
            assert_eq!(pace.wait(PAUSE, later), None, "rested");
            pace.record(PAUSE, later);
        }
        assert!(pace.wait(PAUSE, later).is_some());
    }
}
