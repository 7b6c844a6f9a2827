//! `kubectl langop` on a real API server, as people use it: through kubectl, with a kubeconfig, and
//! with what the operator really says. Faults are provoked, `why` must name their causes, and
//! following its advice must cure them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

mod faults;
mod living;
mod making;
mod plugin;
mod rights;
mod screen;
mod traces;
mod watching;
