//! Pages of the book that are made from the code: the API, settings, reasons, metrics and spans.
//! `LANGOP_UPDATE=1` writes them anew; otherwise each test fails where its page differs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

mod api;
mod metrics;
mod reasons;
mod settings;
mod spans;

use std::{env, fs};

use langop_integration_tests::workspace_root;

/// The end of each page's first paragraph.
const WRITTEN: &str =
    "Written from the code by `LANGOP_UPDATE=1 cargo test --workspace --test reference`.\n";

/// Writes the page, or holds it to what it should be.
#[track_caller]
fn hold(page: &str, expected: &str) {
    let path = workspace_root().unwrap().join(page);
    if env::var_os("LANGOP_UPDATE").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{page} differs; write it anew: LANGOP_UPDATE=1 cargo test --workspace --test reference"
    );
}

/// A text of the code as Markdown shows it word for word, also in a table. What is between
/// backticks stays.
fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = text.replace('|', "\\|");
    let parts = parts.split('`').enumerate();
    let escaped = parts.map(|(number, part)| match number % 2 {
        0 => part.replace('<', "\\<").replace('*', "\\*"),
        _ => part.to_owned(),
    });
    escaped.collect::<Vec<_>>().join("`")
}

#[test]
fn texts_are_shown_word_for_word() {
    assert_eq!(
        cell("a | b\n <c> `<d>` AGENT_*"),
        r"a \| b \<c> `<d>` AGENT_\*"
    );
}
