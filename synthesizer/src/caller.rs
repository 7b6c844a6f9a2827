//! Who asks. Answers are cached per caller, so that nobody learns from the speed of an answer what another one asked.

use std::sync::Arc;

/// The identity of a caller, as far as the server could establish it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller(Arc<str>);

impl Caller {
    /// Somebody on a listener that asks for no identity.
    pub fn anonymous() -> Self {
        Self::named("anonymous")
    }

    /// Somebody the server knows by `name`.
    pub fn named(name: &str) -> Self {
        Self(name.into())
    }
}
