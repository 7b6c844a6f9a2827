//! When to try again: delays that double, with jitter that is a function of the object, so that
//! this crate draws no random numbers and an operator that restarts comes to the same time.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

/// The bounds of the delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub initial: Duration,
    /// At most.
    pub max: Duration,
}

impl Backoff {
    /// How long to wait after `attempts` failures in a row (at least one): `initial` ·
    /// 2^(attempts-1), at most `max`, ±20 %.
    pub fn delay(&self, uid: &str, attempts: i32) -> Duration {
        let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or_default();
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        jittered(
            self.initial.saturating_mul(factor).min(self.max),
            uid,
            attempts,
        )
    }

    /// How long to wait where only an administrator can help: the longest delay, ±20 %.
    pub fn longest(&self, uid: &str, attempts: i32) -> Duration {
        jittered(self.max, uid, attempts)
    }
}

/// The time `delay` after `since`; the end of time where that is too far.
pub fn due(since: Timestamp, delay: Duration) -> Timestamp {
    SignedDuration::try_from(delay)
        .ok()
        .and_then(|delay| since.checked_add(delay).ok())
        .unwrap_or(Timestamp::MAX)
}

/// Between 80 and 120 % of a delay, the same for the same object and attempt.
fn jittered(delay: Duration, uid: &str, attempts: i32) -> Duration {
    let digest = Sha256::digest(format!("{uid}/{attempts}").as_bytes());
    let percent =
        80 + u32::from(u16::from_be_bytes([digest[0], digest[1]])) * 40 / u32::from(u16::MAX);
    delay.saturating_mul(percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        initial: Duration::from_secs(30),
        max: Duration::from_hours(1),
    };

    #[test]
    fn delays_double_up_to_the_longest_with_jitter() {
        for (attempts, seconds) in [
            (1, 30),
            (2, 60),
            (3, 120),
            (7, 1920),
            (8, 3600),
            (31, 3600),
            (64, 3600),
            (i32::MAX, 3600),
        ] {
            for uid in ["a", "b", "c", "d"] {
                let delay = BACKOFF.delay(uid, attempts).as_secs_f64();
                let exact = f64::from(seconds);
                assert!(
                    delay >= exact * 0.8 && delay <= exact * 1.2,
                    "{attempts}: {delay}"
                );
            }
        }
        assert_eq!(BACKOFF.longest("a", 60), BACKOFF.delay("a", 60));
    }

    #[test]
    fn jitter_is_a_function_of_object_and_attempt() {
        assert_eq!(BACKOFF.delay("a", 3), BACKOFF.delay("a", 3));
        let delays: std::collections::BTreeSet<_> = (0..50)
            .map(|n| BACKOFF.delay(&format!("uid-{n}"), 1))
            .collect();
        assert!(delays.len() > 10, "{delays:?}");
    }

    #[test]
    fn due_times_do_not_overflow() {
        let since = Timestamp::from_second(1000).unwrap();
        assert_eq!(
            due(since, Duration::from_secs(5)),
            Timestamp::from_second(1005).unwrap()
        );
        assert_eq!(due(since, Duration::MAX), Timestamp::MAX);
    }
}
