//! End to end on a real API server: what the design promises about one namespace, seen only through
//! the interfaces users have.
//!
//! Every test has its own namespace, its own operator (limited to it, under its own service
//! account) and its own synthesizer before a fake LLM, so writes and calls are counted exactly.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "helpers of tests are tests, too"
)]

mod admin;
mod adversity;
mod approval;
mod bad_input;
mod contract;
mod disabled;
mod foreign_edits;
mod forged;
mod held;
mod in_flight;
mod inputs;
mod instructions;
mod lifecycle;
mod living_with_agents;
mod order;
mod ownership;
mod powers;
mod provenance;
mod rude_llm;
mod schedules;
mod trace;
mod workspace;
