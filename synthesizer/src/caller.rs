//! Who asks. Answers are cached per caller, so that nobody learns from the speed of an answer what another one asked, and
//! each caller's limits are its own.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use langop_proto::v1::Usage;

use crate::{access::Account, error::Failure};

/// The identity of a caller, as far as the server could establish it. Two are equal if their names are.
#[derive(Clone)]
pub struct Caller(Arc<Known>);

struct Known {
    name: Box<str>,
    account: Arc<Account>,
}

impl Caller {
    /// Somebody the server knows by `name`, without limits.
    pub fn named(name: &str) -> Self {
        Self::with_account(name, Arc::default())
    }

    /// Somebody the server knows by `name`, within the limits of `account`.
    pub fn with_account(name: &str, account: Arc<Account>) -> Self {
        let name = name.into();
        Self(Arc::new(Known { name, account }))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the caller may still do.
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// Does work that may cost tokens, at this caller's expense; `cost` says what it came to. Nothing is begun once the budget is
    /// spent, or while too much is under way; work that was begun is finished, and paid for even when it fails.
    ///
    /// # Errors
    /// The work's own, or a [`Denied`](crate::access::Denied).
    pub async fn pay<T>(
        self,
        work: impl Future<Output = Result<T, Failure>>,
        cost: impl FnOnce(&T) -> Usage,
    ) -> Result<T, Failure> {
        let _pass = self.account().begin_work()?;
        let result = work.await;
        let usage = match &result {
            Ok(value) => cost(value),
            Err(failure) => failure.usage,
        };
        self.account()
            .charge(usage.input_tokens.saturating_add(usage.output_tokens));
        result
    }
}

impl PartialEq for Caller {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Caller {}

impl Hash for Caller {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&self.0.name).finish()
    }
}
