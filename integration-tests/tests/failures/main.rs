//! The operator through failure: whatever is cut, refused, lost or killed, the end state is the one
//! that the specs say, what runs keeps running meanwhile, and nothing is paid for twice.
//!
//! The operator reaches the API server through the harness's fault proxy. What goes wrong in
//! `random` is decided by a seed, which is printed. Three seeds run with the other tests; one of
//! six has a LanguageCluster, and a control plane that it shares with others of its sort only. One
//! seed again, with the same faults and user's actions (their interleaving with the operator's
//! requests is the machine's):
//!
//! ```text
//! LANGOP_FAULT_SEED=17 cargo test --workspace --test failures random -- --nocapture
//! ```
//!
//! Many of them, `LANGOP_FAULT_JOBS` (default 3) at a time:
//!
//! ```text
//! LANGOP_FAULT_SEEDS=200 cargo test --workspace --test failures random -- --nocapture
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

mod approval;
mod crash;
mod fault_env;
mod foreign_writer;
mod invariants;
mod leader;
mod llm;
mod outage;
mod proxy;
mod races;
mod random;
mod replicas;
mod settings;
mod steps;
mod user;
