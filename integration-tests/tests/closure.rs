//! Invariants 1 and 2 of ARCHITECTURE.md, read from `cargo tree`: the operator cannot reach an LLM,
//! the synthesizer knows nothing of Kubernetes. Only dependencies that end up in the programs
//! count; tests may use what they like.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

use std::{collections::BTreeSet, process::Command};

/// Crates that talk to LLMs, speak MCP, or would carry somebody there.
const LLM_ROADS: &[&str] = &[
    "reqwest",
    "ureq",
    "isahc",
    "async-openai",
    "rmcp",
    "langop-synthesizer",
    "ruby-prism",
];
/// Crates that know Kubernetes.
const KUBERNETES: &[&str] = &[
    "kube",
    "kube-core",
    "kube-client",
    "kube-runtime",
    "k8s-openapi",
    "langop-api",
    "langop-desired",
    "langop-operator",
];

/// Names of everything `package` links or builds with, as cargo resolves it for that package alone:
/// features that only others of the workspace ask for do not count.
fn closure(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--package",
            package,
            "--edges",
            "normal,build",
        ])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn assert_free(package: &str, forbidden: &[&str]) {
    let closure = closure(package);
    assert!(
        closure.len() > 5,
        "{package}: the closure was not read: {closure:?}"
    );
    let found: Vec<_> = forbidden
        .iter()
        .filter(|name| closure.contains(**name) && **name != package)
        .collect();
    assert!(
        found.is_empty(),
        "{package} depends on {found:?}: see the invariants in ARCHITECTURE.md"
    );
}

#[test]
fn the_operator_cannot_reach_an_llm() {
    assert_free("langop-operator", LLM_ROADS);
}

#[test]
fn the_synthesizer_knows_nothing_of_kubernetes() {
    assert_free("langop-synthesizer", KUBERNETES);
}

#[test]
fn the_contract_binds_neither_side() {
    assert_free("langop-proto", &["kube", "reqwest"]);
    assert_free("langop-program", &["kube", "reqwest", "langop-proto"]);
    assert_free("langop-memory", &["kube", "reqwest", "langop-program"]);
    assert_free("langop-dsl", &["tokio", "kube", "tonic"]);
    let elsewhere = &["tokio", "kube", "tonic", "reqwest"];
    assert_free("langop-provenance", elsewhere);
}

#[test]
fn the_plugin_talks_to_the_api_server_only() {
    assert_free("langop-cli", LLM_ROADS);
    assert_free("langop-cli", &["langop-operator", "tonic"]);
}

#[test]
fn what_runs_in_pods_knows_nothing_of_kubernetes() {
    assert_free("langop-runtime", KUBERNETES);
    assert_free("langop-chat", KUBERNETES);
}

#[test]
fn the_pure_crates_cannot_do_io() {
    assert_free("langop-desired", &["tokio", "kube-client", "tonic", "rand"]);
    assert_free("langop-api", &["tokio", "kube-client"]);
    assert_free("langop-dashboards", &["tokio", "kube", "langop-api"]);
}
