//! What Language Operator wants to exist: pure functions from observed objects to desired objects,
//! decisions and statuses.
//!
//! Must not do I/O, read a clock or draw random numbers: its Cargo.toml has no tokio, no client and
//! no tonic, so it cannot. Reading order, which is the flow of data: [`observed`] → `references` →
//! `agent::validate` → `agent::decide` → `agent::build` → [`children`] → `agent::status`.

pub mod agent;
pub mod approval;
pub mod backoff;
pub mod children;
pub mod client;
pub mod cluster;
pub mod conditions;
pub mod digest;
mod endpoint;
pub mod env;
pub mod frame;
pub mod hash;
pub mod ingress;
pub mod ledger;
pub mod meta;
pub mod model;
pub mod name_conflict;
pub mod observed;
pub mod persona;
pub mod pod;
pub mod pod_health;
pub mod policy;
pub mod powers;
pub mod quantity;
pub mod reach;
pub mod references;
pub mod runners;
pub mod settings;
mod stdio;
pub mod tool;
pub mod workload;

#[cfg(test)]
mod property;
