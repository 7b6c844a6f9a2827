//! Where agent code comes from: an in-toto Statement v1 about it in a DSSE envelope, signed by the
//! synthesizer with Ed25519, and the one check of it that operator, plugin and client share.
//!
//! Pure: keys and envelopes are texts that somebody else has read. Must not do I/O, read a clock, or
//! depend on Kubernetes or gRPC.

mod envelope;
mod key;
mod refusal;
mod statement;
mod verify;

pub use self::{
    key::{KeyError, Keyring, MAX_KEYS, SigningKey},
    refusal::Refusal,
    statement::{
        CODE, Digest, MAX_ENVELOPE, Outcome, PAYLOAD_TYPE, PLACEHOLDER_CODE, PREDICATE_TYPE,
        Predicate, STATEMENT_TYPE, Statement, Subject,
    },
    verify::{Claim, Verified, read, verify},
};
