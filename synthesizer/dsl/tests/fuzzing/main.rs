//! The bounded, repeatable share of fuzzing: the committed corpora of the fuzzer and inputs made of
//! them, against the fuzzer's own oracles. The unbounded share is `synthesizer/fuzz/run`.
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
#[path = "../recorder/mod.rs"]
mod recorder;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

fn holds(corpus: &str, dictionary: &str, count: usize, oracle: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    bounded::holds(&folder, corpus, dictionary, count, oracle);
}

#[test]
fn parse() {
    holds("parse", "ruby", 6_000, oracles::parse);
}

/// What is accepted of the corpora and of the inputs made of them is stored as Ruby reads it.
#[test]
fn ruby_reads_what_was_checked() {
    let accepted = RefCell::new(BTreeMap::new());
    for corpus in ["parse", "rename"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        bounded::holds(&folder, corpus, "ruby", 6_000, |code| {
            if let Some(definition) = oracles::definition(code) {
                let json = serde_json::to_string(&definition).unwrap();
                accepted.borrow_mut().insert(json, definition);
            }
        });
    }
    let accepted: Vec<_> = accepted.into_inner().into_values().collect();
    recorder::notes_what_is_defined(&accepted);
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
