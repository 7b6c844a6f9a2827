//! What one request may cost: each try takes the most that it can cost out of it, and puts back what
//! it did not. So the sum of all tries is never more, whatever becomes of them. Pure.

use std::sync::{Mutex, MutexGuard, PoisonError};

use langop_proto::v1::Usage;

use super::{error::ProviderError, usage};

/// A shorter answer holds no agent, so it is not even asked for.
const LEAST_ANSWER: u64 = 256;

/// What one request may cost, over all its attempts and their retries.
#[derive(Debug)]
pub struct Purse {
    most: Option<u64>,
    spent: Mutex<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    /// Taken out and not put back.
    tokens: u64,
    /// Of it, what tries took whose price nobody told.
    untold: Usage,
}

/// What one try may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Try {
    most: Usage,
    /// The longest answer to ask for, in tokens.
    pub(super) limit: u32,
}

impl Purse {
    /// A purse of so many tokens; `None`: without end.
    pub fn new(most: Option<u64>) -> Self {
        Self {
            most,
            spent: Mutex::default(),
        }
    }

    /// Whether there is an end to it.
    pub(super) fn is_bounded(&self) -> bool {
        self.most.is_some()
    }

    /// Takes out the most that a request of so many `bytes` can cost whose answer has up to `limit`
    /// tokens: fewer if no more are left.
    pub(super) fn take(&self, bytes: usize, limit: u32) -> Result<Try, ProviderError> {
        let input_tokens = usage::most_input(bytes);
        let mut spent = self.spent();
        let mut output_tokens = u64::from(limit);
        if let Some(most) = self.most {
            let left = most.saturating_sub(spent.tokens);
            output_tokens = output_tokens.min(left.saturating_sub(input_tokens));
            let least = LEAST_ANSWER.min(limit.into());
            if output_tokens < least {
                let needed = input_tokens.saturating_add(least);
                return Err(ProviderError::TooFewTokens { needed, left });
            }
        }
        let most = Usage {
            input_tokens,
            output_tokens,
            ..Usage::default()
        };
        spent.tokens = spent.tokens.saturating_add(total(most));
        Ok(Try {
            most,
            limit: u32::try_from(output_tokens).unwrap_or(limit),
        })
    }

    /// Puts back what a try did not cost.
    pub(super) fn settle(&self, taken: Try, cost: Usage) {
        let mut spent = self.spent();
        spent.tokens = (spent.tokens.saturating_sub(total(taken.most))).saturating_add(total(cost));
    }

    /// A try that may have been paid for, nobody knows with how much: with all of it, beyond what
    /// was told.
    pub(super) fn keep(&self, taken: Try, told: Usage) {
        let mut spent = self.spent();
        let Usage {
            input_tokens,
            output_tokens,
            ..
        } = &mut spent.untold;
        let input = taken.most.input_tokens.saturating_sub(told.input_tokens);
        let output = taken.most.output_tokens.saturating_sub(told.output_tokens);
        *input_tokens = input_tokens.saturating_add(input);
        *output_tokens = output_tokens.saturating_add(output);
    }

    /// What tries may have cost beyond what was told; nothing where there is no bound to keep.
    pub fn untold(&self) -> Usage {
        self.most
            .map_or_else(Usage::default, |_| self.spent().untold)
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        // No code panics while it holds the lock.
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn total(usage: Usage) -> u64 {
    usage.input_tokens.saturating_add(usage.output_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(input_tokens: u64, output_tokens: u64) -> Usage {
        Usage {
            input_tokens,
            output_tokens,
            ..Usage::default()
        }
    }

    #[test]
    fn a_try_gets_what_is_left_and_the_rest_comes_back() {
        let purse = Purse::new(Some(10_000));
        let first = purse.take(1000, 8192).unwrap();
        assert_eq!(first.limit, 10_000 - 1000 - 4096, "all that is left");
        assert!(purse.take(0, 8192).is_err(), "nothing is left meanwhile");
        purse.settle(first, cost(300, 200));
        let second = purse.take(1000, 1024).unwrap();
        assert_eq!(second.limit, 1024);
        purse.keep(second, cost(0, 0));
        assert_eq!(purse.untold(), cost(5096, 1024));
        let Err(ProviderError::TooFewTokens { needed, left }) = purse.take(0, 1024) else {
            panic!("more was given than there is")
        };
        assert_eq!((needed, left), (4096 + 256, 10_000 - 500 - 5096 - 1024));
    }

    #[test]
    fn without_a_bound_nothing_is_refused_or_added() {
        let purse = Purse::new(None);
        for _ in 0..3 {
            let taken = purse.take(usize::MAX, 8192).unwrap();
            assert_eq!(taken.limit, 8192);
            purse.keep(taken, Usage::default());
        }
        assert_eq!(purse.untold(), Usage::default());
    }
}
