//! Why a statement does not count, in words. Decides nothing.

use crate::statement::{CODE, MAX_ENVELOPE, PAYLOAD_TYPE};

/// Why a statement does not hold. In words, with the other side's texts cleaned by who shows them.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Longer than anybody reads.
    #[error("the statement has {bytes} bytes, more than {MAX_ENVELOPE}")]
    TooLong {
        /// Of the envelope.
        bytes: usize,
    },
    /// Not the JSON of an envelope.
    #[error("the statement is not a DSSE envelope: {0}")]
    NotEnvelope(#[source] serde_json::Error),
    /// A field that is not base64.
    #[error("'{field}' of the envelope is not base64: {source}")]
    Base64 {
        /// Which.
        field: &'static str,
        /// Why.
        source: base64::DecodeError,
    },
    /// An envelope of something else.
    #[error("the envelope holds '{0}', not '{PAYLOAD_TYPE}'")]
    PayloadType(String),
    /// None, or too many.
    #[error("the envelope has {0} signatures, not 1 to 4")]
    Signatures(usize),
    /// By nobody we know.
    #[error("the statement is signed by key {0}, which is not among the public keys given")]
    UnknownKey(String),
    /// By none of our keys, although it says so.
    #[error("the signature does not fit the statement: one of the two was changed")]
    BadSignature,
    /// Signed, and not a statement.
    #[error("the envelope's payload is not a statement: {0}")]
    NotStatement(#[source] serde_json::Error),
    /// A statement of another kind.
    #[error("the statement is of type '{found}', not '{expected}'")]
    Type {
        /// What it says.
        found: String,
        /// What is read.
        expected: &'static str,
    },
    /// About nothing of that name.
    #[error("the statement is not about '{CODE}'")]
    NoSubject,
    /// Another agent's.
    #[error("the statement is about agent '{0}'")]
    OtherAgent(String),
    /// About other code.
    #[error("the statement is about other code: SHA-256 {stated}, not {actual}")]
    OtherCode {
        /// In the statement.
        stated: String,
        /// Of the code at hand.
        actual: String,
    },
    /// About other instructions.
    #[error("the statement is about other instructions: SHA-256 {stated}, not {actual}")]
    OtherInstructions {
        /// In the statement.
        stated: String,
        /// Of the instructions at hand.
        actual: String,
    },
}
