//! The bounded, repeatable share of fuzzing: the committed corpora of the fuzzer, and a fixed number of changed ones, against
//! the fuzzer's own oracles. The unbounded share is `synthesizer/fuzz`.
#![cfg(feature = "parse")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]
#![expect(clippy::print_stderr, reason = "the input that fails must be seen")]

mod mutation;
mod oracles;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use mutation::mutations;

/// Any number; another one tries other inputs.
const SEED: u64 = 20_261_124;

const RUBY: &[&str] = &[
    "'",
    "\"",
    "#{",
    "}",
    "{",
    "(",
    ")",
    "[",
    "]",
    ",",
    ":",
    "=>",
    " do\n",
    "end\n",
    "\n",
    "\\",
    "#",
    "%w[",
    "%x(",
    "`",
    "<<~A\n",
    "A\n",
    "<<~'A'\n",
    "\u{feff}",
    "ü",
    "\0",
    "\r\n",
    "__END__\n",
    "=begin\n",
    "=end\n",
    "# coding: x\n",
    "?",
    "$'",
    "@a",
    "::",
    "..",
    "-",
    "!",
    "-1.5e-3",
    "0xff",
    "9223372036854775808",
    "1e23",
    "nil",
    "true",
    "result('A')",
    "step 'A' do ask 'x' end\n",
    "depends_on: 'A'",
    "only_if: 'x'",
    "ask 'x'",
    "use_tool 'email'",
    "params: { a: 1 }",
    "model: 'claude'",
    "objectives ['x']\n",
    "workflow do\n",
    "mode :scheduled\n",
    "schedule every: '5m'\n",
    "schedule cron: '0 9 * * 1-5', time_zone: 'Europe/Berlin'\n",
    "description ",
    "constraints max_iterations: 10, timeout: '10m'\n",
    "agent 'a' do\n",
    "require 'language_operator'\n",
    "send(:eval, 'x')",
    "A = 1;",
    "def a;",
    "$result",
    "\\u{1f600}",
    "\\xff",
    "\\\n",
    "'a' 'b'",
    ": ",
    "a: ",
    ";",
];

const CRON: &[&str] = &[
    "*",
    "/",
    ",",
    "-",
    " ",
    "\n",
    "0",
    "1",
    "5",
    "6",
    "7",
    "15",
    "23",
    "24",
    "28",
    "29",
    "30",
    "31",
    "59",
    "60",
    "*/",
    "*/5",
    "0-59/7",
    "MON",
    "fri",
    "SUN",
    "JAN",
    "feb",
    "2",
    "12",
    "L",
    "W",
    "#",
    "?",
    "@daily",
    "TZ=UTC ",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "UTC",
    "\t",
    "1,15",
    "1-5",
];

const DURATION: &[&str] = &[
    "0",
    "1",
    "9",
    "60",
    "24",
    "366",
    "d",
    "h",
    "m",
    "s",
    "1h",
    "30m",
    "18446744073709551615",
    " ",
    "-",
    ".",
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn holds(target: &str, oracle: fn(&[u8]), words: &[&str], count: usize) {
    let seeds = corpus(target);
    assert!(seeds.len() >= 5, "the corpus of {target} was not read");
    for input in seeds
        .iter()
        .cloned()
        .chain(mutations(&seeds, words, SEED, count))
    {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| oracle(&input))) {
            eprintln!("{target} fails for {:?}", String::from_utf8_lossy(&input));
            resume_unwind(panic);
        }
    }
}

#[test]
fn parse() {
    holds("parse", oracles::parse, RUBY, 6_000);
}

#[test]
fn rename() {
    holds("rename", oracles::renamed, RUBY, 3_000);
}

#[test]
fn cron() {
    holds("cron", oracles::cron, CRON, 20_000);
}

#[test]
fn duration() {
    holds("duration", oracles::duration, DURATION, 20_000);
}
