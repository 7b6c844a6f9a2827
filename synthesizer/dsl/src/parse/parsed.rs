//! What came of parsing, and the bounds that are part of the language.

use crate::definition::AgentDefinition;
use crate::diagnostic::Diagnostic;

/// Largest code in bytes: what the code ConfigMap holds.
pub const MAX_CODE_BYTES: usize = 128 * 1024;

/// Most diagnostics returned.
pub const MAX_DIAGNOSTICS: usize = 50;

/// Deepest nesting of arrays and hashes in a value.
pub const MAX_VALUE_DEPTH: usize = 32;

/// What came of parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Present exactly when no diagnostic is an error.
    pub definition: Option<AgentDefinition>,
    /// In the order of the code, at most [`MAX_DIAGNOSTICS`]; errors are kept before warnings.
    pub diagnostics: Vec<Diagnostic>,
}
