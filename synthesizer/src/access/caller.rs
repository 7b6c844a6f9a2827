//! Who asks. Answers are cached per caller, so that the speed of an answer does not reveal what
//! another caller asked, and each caller's limits are its own.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::caller_quota::CallerQuota;

/// The identity of a caller, as far as the server could establish it. Two are equal if their names
/// are.
#[derive(Clone)]
pub struct Caller(Arc<Known>);

struct Known {
    name: Box<str>,
    quota: Arc<CallerQuota>,
}

impl Caller {
    /// The caller of that name, without limits.
    pub fn named(name: &str) -> Self {
        Self::with_quota(name, Arc::default())
    }

    /// The caller of that name, within the limits of `quota`.
    pub fn with_quota(name: &str, quota: Arc<CallerQuota>) -> Self {
        let name = name.into();
        Self(Arc::new(Known { name, quota }))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the caller may still do.
    pub fn quota(&self) -> &CallerQuota {
        &self.0.quota
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
