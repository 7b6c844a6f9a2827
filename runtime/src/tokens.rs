//! Sums of the tokens that models say they used. Nothing is estimated: an answer without usage is
//! counted as missing. Pure.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Tokens used, and how many answers did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tokens {
    /// Read by the model, cached ones included.
    pub input: u64,
    /// Written by the model.
    pub output: u64,
    /// Of those read, how many came from the provider's cache.
    pub cached_input: u64,
    /// Answers without usage.
    pub missing: u64,
}

impl Tokens {
    /// What one answer without usage adds.
    pub const MISSING: Self = Self {
        input: 0,
        output: 0,
        cached_input: 0,
        missing: 1,
    };

    /// Read and written together, for the limit.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cached_input = self.cached_input.saturating_add(other.cached_input);
        self.missing = self.missing.saturating_add(other.missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_what_is_missing_apart() {
        let mut sum = Tokens::default();
        sum += Tokens {
            input: 10,
            output: 2,
            cached_input: 5,
            missing: 0,
        };
        sum += Tokens::MISSING;
        assert_eq!(sum.total(), 12);
        assert_eq!((sum.cached_input, sum.missing), (5, 1));
        sum += Tokens {
            input: u64::MAX,
            ..Tokens::default()
        };
        assert_eq!(sum.total(), u64::MAX);
    }
}
