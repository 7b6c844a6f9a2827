//! What an answer is kept under.

use crate::{access::caller::Caller, key::RequestKey};

/// A request of a caller. Callers never see each other's entries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose.
    pub caller: Caller,
    /// What.
    pub request: RequestKey,
}
