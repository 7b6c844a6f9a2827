//! The tool servers as processes, called by clients of both eras.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod adapter;
mod both_eras;
mod process;
