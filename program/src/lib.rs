//! What both programs of this project have in common as processes: the admin port, traces, and
//! places that are shared fairly.
//!
//! Knows nothing of Kubernetes, of LLMs, or of what the programs do, and holds no HTTP client that
//! could reach an LLM unasked: the one of [`telemetry`] sends to the OTLP endpoint alone.

pub mod admin;
pub mod connections;
pub mod fair;
pub mod telemetry;
pub mod timed_io;
pub mod trace;
