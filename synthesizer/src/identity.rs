//! Who answers. Knows no provider.

use crate::settings::ProviderKind;

/// Who answers, as far as it decides what the answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The API.
    pub provider: ProviderKind,
    /// The model, as the provider names it.
    pub model: String,
}
