//! The real agent as a process, that of this package and the Ruby SDK's, against real MCP servers and a scripted model, all on
//! loopback.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod a2a;
mod agent;
mod asked;
mod chat;
mod connections;
mod habits;
mod implementation;
mod kills;
mod model;
mod objectives;
mod peer;
mod restarts;
mod tls;
mod traces;
mod workflows;
