//! What one caller may do: requests per minute, calls at a time, tokens per window. State of fixed
//! size; waits for nothing.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock as _};
use langop_proto::v1::Usage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    error::AccessError,
    load::{Load, Scale},
};

/// The limits of every caller.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most calls at a time, and most answers being made at a time.
    pub calls: u32,
    /// Most bytes of requests held at a time.
    pub bytes: u64,
    /// Most requests in a minute; `None`: any number.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Most tokens, and the time they are for; `None`: any number.
    pub tokens: Option<(u64, Duration)>,
}

/// One caller's limits, and how far they are used up.
pub struct CallerQuota {
    calls: Arc<Semaphore>,
    /// Apart from the calls, because work goes on when its caller hangs up.
    work: Arc<Semaphore>,
    bytes: Scale,
    rate: Option<DefaultDirectRateLimiter>,
    budget: Option<Budget>,
}

impl Default for CallerQuota {
    /// Without limits.
    fn default() -> Self {
        Self::new(Limits {
            calls: u32::MAX,
            bytes: u64::MAX,
            requests_per_minute: None,
            tokens: None,
        })
    }
}

impl CallerQuota {
    /// An unused account.
    pub fn new(limits: Limits) -> Self {
        Self {
            calls: concurrency_limit(limits.calls),
            work: concurrency_limit(limits.calls),
            bytes: Scale::new(limits.bytes),
            rate: limits
                .requests_per_minute
                .map(|count| RateLimiter::direct(Quota::per_minute(count))),
            budget: limits
                .tokens
                .map(|(tokens, window)| Budget::new(tokens, window)),
        }
    }

    /// A call begins, and ends when the permit is dropped.
    pub(super) fn begin_call(&self) -> Result<OwnedSemaphorePermit, AccessError> {
        if let Some(rate) = &self.rate {
            rate.check().map_err(|until| AccessError::TooManyRequests {
                retry_after: until.wait_time_from(rate.clock().now()),
            })?;
        }
        enter(&self.calls).ok_or(AccessError::TooManyCalls)
    }

    /// A message of `message` bytes begins to arrive. The work that it leads to holds the load,
    /// too.
    pub(super) fn hold(&self, load: &Load, message: u32, all: &Scale) -> Result<(), AccessError> {
        load.take(message, all, &self.bytes)
    }

    /// Work that costs tokens begins, and ends when the permit is dropped.
    pub(crate) fn begin_work(&self) -> Result<OwnedSemaphorePermit, AccessError> {
        self.check_budget()?;
        enter(&self.work).ok_or(AccessError::TooManyCalls)
    }

    /// Whether tokens may be spent. Asked again before each request to the LLM, in its place among
    /// the concurrent ones, and what that request costs is charged before the place is free: so
    /// what goes over the budget is at most one request for each place.
    pub(crate) fn check_budget(&self) -> Result<(), AccessError> {
        let Some(budget) = &self.budget else {
            return Ok(());
        };
        budget
            .check(Instant::now())
            .map_err(|retry_after| AccessError::BudgetSpent { retry_after })
    }

    /// Tokens were spent.
    pub(crate) fn charge(&self, usage: Usage) {
        if let Some(budget) = &self.budget {
            let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
            budget.charge(tokens, Instant::now());
        }
    }

    /// Whether a new account would do as well.
    pub(super) fn is_unused(&self) -> bool {
        self.budget
            .as_ref()
            .is_none_or(|budget| budget.is_whole(Instant::now()))
    }
}

/// A semaphore of `limit` permits, or of the most it can have.
pub(super) fn concurrency_limit(limit: u32) -> Arc<Semaphore> {
    let permits = usize::try_from(limit).unwrap_or(usize::MAX);
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

/// A permit, if one is free.
pub(super) fn enter(limit: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(limit).try_acquire_owned().ok()
}

/// Tokens per window, paid for afterwards, because the cost of an answer is known only afterwards.
/// So the last ones may go over, and this is why a rate limiter, which only grants beforehand, does
/// not serve here. The first spending opens a window.
struct Budget {
    tokens: u64,
    window: Duration,
    spent: Mutex<Spent>,
}

#[derive(Default)]
struct Spent {
    since: Option<Instant>,
    tokens: u64,
}

impl Budget {
    fn new(tokens: u64, window: Duration) -> Self {
        Self {
            tokens,
            window,
            spent: Mutex::default(),
        }
    }

    /// Whether anything is left; else how long until there is.
    fn check(&self, now: Instant) -> Result<(), Duration> {
        self.with(now, |spent| match spent.since {
            Some(since) if spent.tokens >= self.tokens => {
                Err(self.window.saturating_sub(now.duration_since(since)))
            }
            _ => Ok(()),
        })
    }

    fn charge(&self, tokens: u64, now: Instant) {
        if tokens > 0 {
            self.with(now, |spent| {
                spent.since.get_or_insert(now);
                spent.tokens = spent.tokens.saturating_add(tokens);
            });
        }
    }

    fn is_whole(&self, now: Instant) -> bool {
        self.with(now, |spent| spent.since.is_none())
    }

    /// What was spent in the window of `now`.
    fn with<T>(&self, now: Instant, f: impl FnOnce(&mut Spent) -> T) -> T {
        // No code panics while it holds the lock.
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent
            .since
            .is_some_and(|since| now.duration_since(since) >= self.window)
        {
            *spent = Spent::default();
        }
        f(&mut spent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lasts_until_it_is_spent_and_comes_back_with_the_next_window() {
        let (start, minute) = (Instant::now(), Duration::from_mins(1));
        let budget = Budget::new(100, minute);
        let at = |seconds| start + Duration::from_secs(seconds);
        budget.charge(0, at(0));
        assert!(budget.is_whole(at(0)), "nothing spent opens no window");
        budget.charge(99, at(10));
        assert_eq!(budget.check(at(11)), Ok(()));
        budget.charge(500, at(12));
        assert_eq!(budget.check(at(20)), Err(Duration::from_secs(50)));
        assert_eq!(budget.check(at(69)), Err(Duration::from_secs(1)));
        assert_eq!(budget.check(at(70)), Ok(()));
        assert!(budget.is_whole(at(70)));
        budget.charge(u64::MAX, at(80));
        budget.charge(u64::MAX, at(80));
        assert_eq!(budget.check(at(81)), Err(Duration::from_secs(59)));
    }

    #[test]
    fn a_limit_lets_in_so_many_and_again_after_they_left() {
        let limit = concurrency_limit(2);
        let first = enter(&limit);
        let second = enter(&limit);
        assert!(first.is_some() && second.is_some() && enter(&limit).is_none());
        drop(first);
        assert!(enter(&limit).is_some());
    }

    #[test]
    fn the_rate_says_when_to_come_back() {
        let account = CallerQuota::new(Limits {
            requests_per_minute: NonZeroU32::new(2),
            ..limits()
        });
        assert!(account.begin_call().is_ok() && account.begin_call().is_ok());
        let denied = account.begin_call().err().unwrap();
        let AccessError::TooManyRequests { retry_after } = denied else {
            panic!("{denied}")
        };
        assert!(
            (25..=30).contains(&retry_after.as_secs()),
            "{retry_after:?}"
        );
    }

    fn limits() -> Limits {
        Limits {
            calls: 10,
            bytes: 1 << 20,
            requests_per_minute: None,
            tokens: None,
        }
    }
}
