//! A retry budget: when everything is down, retries must not multiply the load on what is left.

/// Most retries saved up.
const MOST: f64 = 100.0;
/// What each request adds: one retry for five requests.
const DEPOSIT: f64 = 0.2;

/// Retries that may still be made.
pub(super) struct Budget(f64);

impl Default for Budget {
    fn default() -> Self {
        Self(MOST)
    }
}

impl Budget {
    /// A request is made.
    pub(super) fn deposit(&mut self) {
        self.0 = (self.0 + DEPOSIT).min(MOST);
    }

    /// Takes one retry, if there is one.
    pub(super) fn withdraw(&mut self) -> bool {
        let granted = self.0 >= 1.0;
        if granted {
            self.0 -= 1.0;
        }
        granted
    }
}
