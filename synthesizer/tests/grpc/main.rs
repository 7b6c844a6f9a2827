//! The synthesizer through real gRPC, against an HTTP server that speaks the LLM APIs. One binary,
//! one folder: the modules share the harness, and `logs` sees what all of them log.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

mod access;
mod fake_llm;
mod habits;
mod harness;
mod keys;
mod limits;
mod logs;
mod max_tokens;
mod otlp;
mod pki;
mod program;
mod provenance;
mod providers;
mod replicas;
mod server;
mod streaming;
mod synthesis;
mod telemetry;
