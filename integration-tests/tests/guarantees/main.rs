//! What people and their tools rely on, shown on a real control plane: rights that are exactly
//! those used, executions that are counted once, conditions that are true to the pods, tokens that
//! add up, boards that have something to show, and what an agent may cost the API server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "helpers of tests are tests, too"
)]

mod admission;
mod approval;
mod boards;
mod conditions;
mod executions;
mod gates;
mod history;
mod kubelet;
mod rbac;
mod shares;
mod tokens;
