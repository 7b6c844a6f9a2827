//! The program as it is called: what is wrong with a command line is said before any cluster is
//! looked for. What it does to Secrets is shown on a real API server, by the tests of the chart.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::process::Command;

/// What it says of these arguments; it must refuse them.
fn refused(args: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_langop-certificates"));
    let output = program
        .args(args)
        .env_remove("LANGOP_NAMESPACE")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_is_missing_or_out_of_range_is_named() {
    let missing = refused(&[]);
    for name in ["--namespace", "--server-name", "--client-name"] {
        assert!(missing.contains(name), "{missing}");
    }
    let short = refused(&["--days", "1"]);
    assert!(short.contains("3..=825"), "{short}");
}
