//! Why a call is not allowed, or not now. How gRPC says it is `error`'s business.

use std::time::Duration;

/// Why a call is turned away before it costs anything. No text holds a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// No credentials.
    #[error(
        "credentials are missing; send the metadata `authorization: Bearer TOKEN`, or present a client certificate"
    )]
    NoCredentials,
    /// A token that is not in the file.
    #[error(
        "the bearer token is unknown; its SHA-256 must be in the synthesizer's LANGOP_TOKENS_FILE"
    )]
    UnknownToken,
    /// A token that anybody might guess.
    #[error(
        "the bearer token is shorter than 16 bytes; make one with `openssl rand -hex 32` and write its SHA-256 to LANGOP_TOKENS_FILE"
    )]
    ShortToken,
    /// Something other than a bearer token.
    #[error("the authorization metadata cannot be read; write `authorization: Bearer TOKEN`")]
    NotBearer,
    /// A trusted certificate without a usable name.
    #[error(
        "the client certificate names nobody; give it a URI or DNS subject alternative name, or a common name, of at most 256 bytes"
    )]
    NamelessCertificate,
    /// A trusted certificate whose name is not listed.
    #[error("the client certificate's name is not in the synthesizer's LANGOP_TLS_CLIENT_NAMES")]
    UnlistedCertificate,
    /// An account that is no name.
    #[error(
        "the metadata `langop-account` cannot be read; write a namespace: letters, digits, `.`, `_` and `-`, at most 253"
    )]
    AccountUnreadable,
    /// Over the rate.
    #[error("too many requests; this caller's limit is LANGOP_CALLER_REQUESTS_PER_MINUTE")]
    TooManyRequests {
        /// When the next is let in.
        retry_after: Duration,
    },
    /// Over the budget.
    #[error("the token budget is spent; this caller's limit is LANGOP_CALLER_TOKENS")]
    BudgetSpent {
        /// When the next window begins.
        retry_after: Duration,
    },
    /// Too much of this caller at a time.
    #[error("too many calls at a time; this caller's limit is LANGOP_MAX_CALLS_PER_CALLER")]
    TooManyCalls,
    /// Too many bytes of this caller at a time.
    #[error(
        "too much is held of this caller's requests; its limit is LANGOP_MAX_HELD_BYTES_PER_CALLER"
    )]
    TooMuchHeld,
    /// Too much of one connection at a time.
    #[error("too many health calls of one connection at a time")]
    TooManyHealthCalls,
    /// Too much of all callers at a time.
    #[error("the server is busy; its limits are LANGOP_MAX_CALLS and LANGOP_MAX_HELD_BYTES")]
    Busy,
}
