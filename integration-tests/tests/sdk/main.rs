//! The SDK for Ruby as people get it: built, installed into an empty place and used from there; its own
//! tests; the protocol's conformance suite; and that mounted code is never evaluated. And the agents and
//! tools of `sdk/examples`, in languages that have no SDK. What its agent
//! does is in the table of behaviours, `runtime/tests/end_to_end`. No control plane.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

mod components;
mod conformance;
mod definitions;
mod examples;
mod gem;
mod hostile;
mod images;
mod peers;
mod readme;
mod ruby;
mod server;
mod suite;
