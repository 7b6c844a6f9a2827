//! Manifests, judged without a cluster.

use std::{fs, path::Path};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    command::{LintArgs, run},
    document::{Document, Severity},
    judge::{Judged, judge},
    text,
};
use crate::{failure::Exit, ui::format::Output};

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn judged(yaml: &str) -> Vec<Judged> {
    let values: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
    let documents: Vec<Document> = values
        .into_iter()
        .map(|value| Document {
            file: "agents.yaml".into(),
            value,
        })
        .collect();
    judge(&documents, "demo", now())
}

const MANIFESTS: &str = "
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: good}
spec: {instructions: Report, schedule: '30 9 * * 1', timeZone: Europe/Berlin, toolRefs: [{name: mail}]}
---
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: mail}
spec: {image: 'registry.example/mail:1'}
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: Bad_Name}
spec: {instructions: Report}
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: shape}
spec: {instruction: Report, port: http, replicas: 1000, toolRefs: [{}]}
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: rule}
spec: {instructions: Report, executionMode: autonomous, schedule: '0 9 * * *', modelRefs: [{name: claude}]}
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: never}
spec: {instructions: Report, schedule: '0 0 31 2 *'}
---
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: mail}
spec: {image: 'registry.example/mail:2'}
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgents
metadata: {name: kind}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: of-others}
";

#[test]
fn manifests_are_judged_as_the_api_server_and_the_operator_would() {
    let text = text::render(&judged(MANIFESTS));
    insta::assert_snapshot!("lint", anstream::adapter::strip_str(&text).to_string());
}

#[test]
fn our_samples_have_no_error_and_no_warning_and_every_rule_is_evaluated() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples");
    let args = LintArgs {
        paths: vec![samples],
        output: Output::Table,
    };
    let answer = run(&args, "default").unwrap();
    assert_eq!(answer.exit, Exit::Fine, "{}", answer.text);
    assert!(
        answer.text.contains(" 0 errors, 0 warnings"),
        "{}",
        answer.text
    );
    assert!(
        !answer.text.contains("left to the API server"),
        "{}",
        answer.text
    );
}

/// What the real API server accepts and refuses, by the fixtures that its own test uses.
#[test]
fn fixtures_that_the_api_server_refuses_are_refused_here() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../integration-tests/fixtures/admission");
    // Each document alone: some are changes of one before.
    let errors = |file: &Path| {
        let text = std::fs::read_to_string(file).unwrap();
        let mut alone = text.split("\n---\n").flat_map(judged);
        alone.any(|one| {
            let mut remarks = one.remarks.iter();
            remarks.any(|remark| remark.severity == Severity::Error)
        })
    };
    let mut missed = Vec::new();
    let mut refused = 0;
    for entry in std::fs::read_dir(folder.join("rejected")).unwrap() {
        let file = entry.unwrap().path();
        if errors(&file) {
            refused += 1;
        } else {
            missed.push(file.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    missed.sort();
    let changes = [
        "agent-workspace-access-mode-changed.yaml",
        "agent-workspace-class-changed.yaml",
        "agent-workspace-class-removed.yaml",
        "cluster-namespace-changed.yaml",
        "cluster-namespace-removed.yaml",
    ];
    assert_eq!(missed, changes, "only a server knows what was before");
    assert!(refused > 50, "the fixtures were not found");
    for entry in std::fs::read_dir(folder.join("accepted")).unwrap() {
        let file = entry.unwrap().path();
        let is_change = std::fs::read_to_string(&file)
            .unwrap()
            .matches("metadata")
            .count()
            > 1;
        assert!(is_change || !errors(&file), "{}", file.display());
    }
}

#[test]
fn the_manifests_that_pages_show_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pages = fs::read_dir(root.join("docs")).unwrap();
    let pages = pages.map(|page| page.unwrap().path());
    let mut found = 0;
    for page in pages.chain([root.join("README.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        for block in text.split("```yaml\n").skip(1) {
            for one in judged(block.split("```").next().unwrap()) {
                found += 1;
                let errors = one.remarks.iter();
                let errors = errors.filter(|remark| remark.severity == Severity::Error);
                let errors: Vec<_> = errors.collect();
                assert!(errors.is_empty(), "{}: {one:#?}", page.display());
            }
        }
    }
    assert!(found > 5, "a poor reading: {found}");
}
