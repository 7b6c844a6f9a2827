//! The synthesizer: plain language in, validated agent code out, over gRPC.
//!
//! Stands between its callers and an LLM provider. Knows nothing of Kubernetes, keeps nothing on
//! disk, and never runs the code it makes. Modules are public for the tests and benchmarks of this
//! workspace; the interface of the crate is [`serve`].

pub mod access;
pub mod admin;
pub mod cache;
pub mod diagnostics;
pub mod distill;
pub mod drain;
pub mod error;
pub mod extract;
pub mod generate;
pub mod grpc;
pub mod identity;
pub mod key;
pub mod llm;
pub mod metrics;
pub mod offer;
pub mod origin;
mod parsing;
pub mod pipeline;
pub mod prompt;
pub mod providers;
mod question;
pub mod request;
pub mod rpc;
pub mod server;
pub mod service;
pub mod settings;
pub mod telemetry;

pub use server::{Listeners, ServeError, serve};
