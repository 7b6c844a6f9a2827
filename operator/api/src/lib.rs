//! The six kinds of `langop.io/v1alpha1`, with their CEL rules, and every name the API is known by:
//! labels, annotations, environment variables, condition types and reasons.
//!
//! Must not do I/O: anyone may link this crate to read or write our objects. Every string and list
//! is bounded, because the API server's CEL cost budget is computed from the bounds.

#![allow(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function"
)]

pub mod agent;
pub mod approval;
pub mod bounds;
pub mod budget;
pub mod client;
pub mod cluster;
pub mod condition;
pub mod crds;
pub mod model;
pub mod names;
pub mod persona;
pub mod pod;
pub mod policy;
pub mod quantity;
pub mod shared;
pub mod tool;

pub use agent::{LanguageAgent, LanguageAgentSpec, LanguageAgentStatus};
pub use client::{LanguageClient, LanguageClientSpec, LanguageClientStatus};
pub use cluster::{LanguageCluster, LanguageClusterSpec, LanguageClusterStatus};
pub use model::{LanguageModel, LanguageModelSpec, LanguageModelStatus};
pub use persona::{LanguagePersona, LanguagePersonaSpec, LanguagePersonaStatus};
pub use tool::{LanguageTool, LanguageToolSpec, LanguageToolStatus};

/// The API group of all kinds.
pub const GROUP: &str = "langop.io";
/// The only version so far.
pub const VERSION: &str = "v1alpha1";
