//! A retry budget: when everything is down, retries must not multiply the load on what is left.

/// What a retry costs; a request brings 1, so there is one retry for five requests.
const PRICE: u32 = 5;
/// Most saved up: 1,000 retries, enough for all calls that one lost replica had under way, each
/// asked again and then elsewhere.
const MOST: u32 = 1000 * PRICE;

/// What there is for retries.
pub(super) struct Budget(u32);

impl Default for Budget {
    fn default() -> Self {
        Self(MOST)
    }
}

impl Budget {
    /// A request is made.
    pub(super) fn deposit(&mut self) {
        self.0 = (self.0 + 1).min(MOST);
    }

    /// Pays for one retry, if there is enough.
    pub(super) fn withdraw(&mut self) -> bool {
        let left = self.0.checked_sub(PRICE);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}
