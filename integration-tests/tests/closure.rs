//! Invariants 1 and 2 of the design, read from cargo's own resolution: the operator cannot reach an LLM, the synthesizer knows nothing
//! of Kubernetes. Only dependencies that end up in the programs count; tests may use what they like.

use std::collections::{BTreeSet, HashMap};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

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

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .exec()
        .unwrap()
}

/// Names of everything `package` links or builds with.
fn closure(metadata: &Metadata, package: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().unwrap();
    let nodes: HashMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let root = &metadata
        .workspace_packages()
        .into_iter()
        .find(|p| p.name.as_str() == package)
        .expect(package)
        .id;
    let mut open = vec![root];
    let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let dependencies = nodes[id].deps.iter();
        open.extend(
            dependencies
                .filter(|d| {
                    d.dep_kinds
                        .iter()
                        .any(|kind| kind.kind != DependencyKind::Development)
                })
                .map(|d| &d.pkg),
        );
    }
    seen.into_iter()
        .map(|id| metadata[id].name.to_string())
        .collect()
}

#[track_caller]
fn assert_free(package: &str, forbidden: &[&str]) {
    let closure = closure(&metadata(), package);
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
        "{package} depends on {found:?}: see the architecture invariants in README.md"
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
fn the_treaty_binds_neither_side() {
    assert_free("langop-proto", &["kube", "reqwest"]);
    assert_free("langop-dsl", &["tokio", "kube", "tonic"]);
}

#[test]
fn the_pure_crates_cannot_do_io() {
    assert_free("langop-desired", &["tokio", "kube-client", "tonic", "rand"]);
    assert_free("langop-api", &["tokio", "kube-client"]);
}
