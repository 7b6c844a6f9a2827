//! The SDK's own tests, and that what it says of its types is so.

use super::ruby::{on_sources, run, run_well};

#[tokio::test]
async fn its_own_tests_pass_without_a_warning() {
    let said = run_well(on_sources().arg("test/all.rb")).await;
    assert!(said.contains(" 0 failures, 0 errors, 0 skips"), "{said}");
    assert!(!said.contains("warning:"), "{said}");
}

/// The same tests, with each call and what it gives compared with the signatures.
#[tokio::test]
async fn its_signatures_are_so() {
    let is_there = run(on_sources().args(["-e", "require 'rbs'"])).await;
    assert_eq!(
        is_there.code,
        Some(0),
        "rbs is a gem that Debian's ruby brings: {}",
        is_there.text
    );
    let mut command = on_sources();
    command
        .args(["-W0", "-rrbs/test/setup", "test/all.rb"])
        .envs([
            ("RBS_TEST_TARGET", "Langop::*"),
            ("RBS_TEST_OPT", "-I sig"),
            ("RBS_TEST_RAISE", "true"),
            ("RBS_TEST_LOGLEVEL", "error"),
        ]);
    let said = run_well(&mut command).await;
    assert!(said.contains(" 0 failures, 0 errors, 0 skips"), "{said}");
}
