//! `langop.synthesis.v1`: generated types, and what every side of the contract must do in the same
//! way: compute the routing key, translate the checked definition.
//!
//! Must not depend on Kubernetes or on an HTTP client for LLMs: operator and synthesizer both link
//! this crate.

pub mod definition;
pub mod limits;
pub mod routing;

/// Generated from `langop/synthesis/v1/synthesis.proto`.
#[allow(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    clippy::use_self,
    reason = "generated code: which of these it earns changes with the generator"
)]
pub mod v1 {
    tonic::include_proto!("langop.synthesis.v1");
}

/// How messages are read and written.
pub use tonic_prost::ProstCodec;

/// The descriptors of the .proto, for the reflection service.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// Metadata of a call with the account it is made for, a namespace: heeded where the caller may
/// speak for accounts.
pub const ACCOUNT: &str = "langop-account";

/// `ErrorInfo.domain` of every error of this service.
pub const ERROR_DOMAIN: &str = "langop.io";

/// `ErrorInfo.reason` of a replica that is about to stop: the request is whole and belongs
/// elsewhere.
pub const DRAINING: &str = "DRAINING";

/// `ErrorInfo.reason` where the provider refuses one request, say for its length or by its filter:
/// nothing about any other.
pub const PROVIDER_REFUSED_REQUEST: &str = "PROVIDER_REFUSED_REQUEST";

/// `ErrorInfo.reason` where not even one attempt fits into a request's `max_tokens`.
pub const TOO_FEW_TOKENS: &str = "TOO_FEW_TOKENS";

/// `ErrorInfo.reason` where the caller's time was over before the work's, which goes on.
pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";

/// The service's full name, as health checks and spans use it.
pub const SERVICE_NAME: &str = "langop.synthesis.v1.SynthesisService";
