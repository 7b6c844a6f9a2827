//! The bounded, repeatable share of fuzzing what finds code in answers; the unbounded share is
//! `synthesizer/fuzz/run extract`.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![expect(clippy::print_stderr, reason = "the input that fails must be seen")]

#[path = "../../dsl/tests/fuzzing/bounded.rs"]
mod bounded;
mod oracle;

use std::path::Path;

use langop_synthesizer::extract;

#[test]
fn extract() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    bounded::holds(&folder, "extract", "markdown", 20_000, |answer| {
        oracle::extract(answer, extract::code);
    });
}
