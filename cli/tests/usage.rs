//! The command line of both programs as a shell meets it, without a cluster. (Cargo builds a package's
//! programs for the tests of others only if it has such a test itself.)

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::process::{Command, Output};

fn run(program: &str, words: &[&str]) -> Output {
    let mut command = Command::new(program);
    // No cluster of whoever runs the tests.
    command.env("KUBECONFIG", "/dev/null").args(words);
    command.output().unwrap()
}

#[test]
fn what_cannot_be_understood_ends_in_two_and_says_what_can() {
    for words in [&[][..], &["whence", "agent/a"], &["why"]] {
        let output = run(env!("CARGO_BIN_EXE_kubectl-langop"), words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains("Usage:"), "{words:?}: {said}");
    }
}

#[test]
fn completion_offers_the_commands_and_no_files() {
    let output = run(env!("CARGO_BIN_EXE_kubectl_complete-langop"), &["w"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("why"), "{said}");
    assert!(said.ends_with(":4\n"), "{said}");
}
