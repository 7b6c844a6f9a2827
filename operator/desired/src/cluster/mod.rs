//! Clusters: whose namespace it is, and what frames it.
//!
//! Everything in the namespace has an owner reference to the (cluster-scoped) LanguageCluster; the
//! namespace itself has none and is never deleted.

mod build;
mod decide;
mod manage;
mod status;
mod validate;

pub use build::{build, build_namespace};
pub use decide::{NamespaceUse, decide, enforced};
pub use manage::{ObservedCluster, is_namespace_denied, managing};
pub use status::{count, phase, status};
pub use validate::{ValidatedCluster, namespace_of, validate};

#[cfg(test)]
mod tests;
