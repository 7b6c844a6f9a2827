//! What Prometheus' own tool says of the alerts: that it can read them, and that each fires when it
//! should and else is silent (`alerts.test.yaml`).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

use std::{fs, path::PathBuf, process::Command};

use langop_dashboards::alerts;
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn promtool(args: &[&str]) {
    let mut command = Command::new("promtool");
    let output = command.args(args).current_dir(folder()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("cannot run promtool ({error}): install Debian's package prometheus")
    });
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "promtool {args:?}: {said}");
    assert!(said.contains("SUCCESS"), "promtool {args:?}: {said}");
}

#[test]
fn prometheus_reads_the_alerts_and_has_nothing_against_them() {
    promtool(&[
        "check",
        "rules",
        "--lint=all",
        "--lint-fatal",
        "../charts/language-operator/files/alerts.yaml",
    ]);
}

#[test]
fn each_alert_fires_when_it_should_and_else_is_silent() {
    promtool(&["test", "rules", "tests/alerts.test.yaml"]);
}

/// A test that forgot one would pass.
#[test]
fn each_alert_is_tried_both_ways() {
    let text = fs::read_to_string(folder().join("tests/alerts.test.yaml")).unwrap();
    let file: Value = serde_saphyr::from_str(&text).unwrap();
    let tests = file["tests"].as_array().unwrap();
    let tries: Vec<&Value> = tests
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .collect();
    for rule in alerts::groups().into_iter().flat_map(|group| group.rules) {
        for fires in [true, false] {
            let is_tried = tries.iter().any(|attempt| {
                let expected = attempt["exp_alerts"].as_array();
                let is_firing = expected.is_some_and(|alerts| !alerts.is_empty());
                attempt["alertname"] == rule.alert && is_firing == fires
            });
            assert!(is_tried, "no test in which {} fires: {fires}", rule.alert);
        }
    }
}
