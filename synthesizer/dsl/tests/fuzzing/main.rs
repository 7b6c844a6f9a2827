//! The bounded, repeatable share of fuzzing: the committed corpora of the fuzzer and inputs made of them, against the fuzzer's
//! own oracles. The unbounded share is `synthesizer/fuzz/run`.
#![cfg(feature = "parse")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]
#![expect(clippy::print_stderr, reason = "the input that fails must be seen")]

mod bounded;
mod oracles;

use std::path::Path;

fn holds(corpus: &str, dictionary: &str, count: usize, oracle: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    bounded::holds(&folder, corpus, dictionary, count, oracle);
}

#[test]
fn parse() {
    holds("parse", "ruby", 6_000, oracles::parse);
}

#[test]
fn rename() {
    holds("rename", "ruby", 3_000, oracles::renamed);
}

#[test]
fn cron() {
    holds("cron", "cron", 20_000, oracles::cron);
}

#[test]
fn duration() {
    holds("duration", "duration", 20_000, oracles::duration);
}
