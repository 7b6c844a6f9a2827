//! What the pages of this repository say: files, tests and links that they name are there, every
//! command on them is run by a test or has a reason not to be, and those that need no control plane are
//! run here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

mod book;
mod commands;
mod links;
mod typed;

use std::{
    fs,
    path::{Path, PathBuf},
};

use langop_integration_tests::workspace_root;

/// A page, and the folders that its paths may begin in.
const PAGES: &[(&str, &[&str])] = &[
    ("ARCHITECTURE.md", &["", "operator/src", "synthesizer/src"]),
    ("CONTRIBUTING.md", &["", "integration-tests/tests"]),
    ("SECURITY.md", &[""]),
    ("docs/bring-your-own.md", &[""]),
    ("docs/powers.md", &[""]),
    ("docs/release.md", &[""]),
    ("docs/threat-model.md", &[""]),
    ("docs/upgrading.md", &[""]),
    (
        "docs/security.md",
        &[
            "",
            "integration-tests/tests",
            "operator/desired/src",
            "operator/api/tests",
            "synthesizer/tests",
        ],
    ),
];

/// Folders of sources.
const SOURCES: &[&str] = &[
    "certificates",
    "chat",
    "cli",
    "client",
    "dashboards",
    "integration-tests",
    "operator",
    "program",
    "proto",
    "provenance",
    "runtime",
    "sdk",
    "synthesizer",
    "tools",
];

#[test]
fn every_file_that_a_page_names_is_there() {
    let root = workspace_root().unwrap();
    let mut missing = Vec::new();
    for (page, folders) in PAGES {
        for path in quoted(&root.join(page)).filter(|text| is_path(text)) {
            let path = path
                .strip_prefix("desired/")
                .map_or(path.clone(), str::to_owned);
            let is_there = folders.iter().any(|folder| {
                let path = root.join(folder).join(&path);
                path.exists() || path.with_extension("rs").exists()
            });
            if !is_there {
                missing.push(format!("{page}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_test_that_the_list_of_faults_names_is_there() {
    let root = workspace_root().unwrap();
    let mut sources = String::new();
    for folder in SOURCES {
        collect(&root.join(folder), &mut sources);
    }
    let names: Vec<String> = quoted(&root.join("docs/security.md"))
        .filter(|text| is_test(text))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !sources.contains(&format!("fn {name}")))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What stands between backticks, outside of blocks.
fn quoted(page: &Path) -> impl Iterator<Item = String> {
    let text = fs::read_to_string(page).unwrap();
    let outside: Vec<String> = text.split("```").step_by(2).map(str::to_owned).collect();
    let spans = outside.into_iter().flat_map(|text| {
        let spans: Vec<String> = text
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        spans
    });
    spans.collect::<Vec<_>>().into_iter()
}

/// A path of ours: not a URL, a command, a pattern or a path on a node.
fn is_path(text: &str) -> bool {
    let is_plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    is_plain
        && text.contains('/')
        && !text.starts_with('/')
        && !text.contains("langop.io")
        && !text.contains("kubernetes.io")
        && !text.starts_with("ghcr.io/")
}

/// The name of a test is a sentence.
fn is_test(text: &str) -> bool {
    let is_snake = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    is_snake && text.matches('_').count() >= 3
}

fn collect(folder: &Path, sources: &mut String) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    for path in paths.collect::<Vec<PathBuf>>() {
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
