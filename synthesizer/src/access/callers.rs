//! The accounts of all callers, by name. Bounded: a flood of names costs their owners, not us.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    caller::Caller,
    caller_quota::{CallerQuota, Limits},
};

/// Most callers with an account of their own.
const MOST: usize = 10_000;

/// Gives each name one account, as long as anybody uses it or has spent from it.
pub(crate) struct Callers {
    limits: Limits,
    most: usize,
    accounts: Mutex<HashMap<Box<str>, Arc<CallerQuota>>>,
    /// Of those for whom there is no place.
    shared: Arc<CallerQuota>,
}

impl Callers {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::with_places(limits, MOST)
    }

    fn with_places(limits: Limits, most: usize) -> Self {
        Self {
            limits,
            most,
            accounts: Mutex::default(),
            shared: Arc::new(CallerQuota::new(limits)),
        }
    }

    /// The caller of that name. Meant for where connections and lists of names begin, not for every
    /// request.
    pub(crate) fn named(&self, name: &str) -> Caller {
        // No code panics while it holds the lock.
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(name) {
            return Caller::with_quota(name, Arc::clone(account));
        }
        if accounts.len() >= self.most {
            accounts.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_unused());
        }
        if accounts.len() >= self.most {
            return Caller::with_quota(name, Arc::clone(&self.shared));
        }
        let account = Arc::new(CallerQuota::new(self.limits));
        accounts.insert(name.into(), Arc::clone(&account));
        Caller::with_quota(name, account)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use langop_proto::v1::Usage;

    use super::*;

    fn same(a: &Caller, b: &Caller) -> bool {
        std::ptr::eq(a.quota(), b.quota())
    }

    #[test]
    fn one_account_per_name_and_a_bounded_number_of_them() {
        let limits = Limits {
            calls: 1,
            bytes: 1 << 20,
            requests_per_minute: None,
            tokens: Some((10, Duration::from_hours(1))),
        };
        let callers = Callers::with_places(limits, 2);
        let a = callers.named("a");
        assert!(same(&a, &callers.named("a")));
        let spender = callers.named("spender");
        assert!(!same(&a, &spender));
        spender.quota().charge(Usage {
            input_tokens: 10,
            ..Usage::default()
        });
        drop(spender);
        let (x, y) = (callers.named("x"), callers.named("y"));
        assert!(same(&x, &y) && x != y, "no place left: a shared account");
        drop(a);
        assert!(
            !same(&callers.named("z"), &x),
            "a place is free again when nobody uses it"
        );
        assert!(
            callers.named("spender").quota().begin_work().is_err(),
            "a spent budget is not forgotten"
        );
    }
}
