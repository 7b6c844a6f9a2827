//! The runtime and the tools against programs of others: MCP servers and gateways of both eras as
//! they are published, and the protocol's conformance suite. No control plane.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

mod a2a;
mod cancelling;
mod circles;
mod clients;
mod conformance;
mod eras;
mod openai;
mod refusals;
mod restarts;
mod spy;
mod tools;
mod values;
