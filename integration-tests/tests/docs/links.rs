//! Links lead somewhere: to files of this repository, whether their addresses are relative or GitHub's,
//! and to headings of pages. Other sites are not asked.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use langop_integration_tests::{Page, workspace_root};

/// Where the main branch is shown, a file and a folder.
const SHOWN: [&str; 2] = [
    "https://github.com/language-operator/language-operator/blob/main/",
    "https://github.com/language-operator/language-operator/tree/main/",
];

/// Folders of Markdown that nobody reads as a page: prompts, and answers of LLMs.
const NO_PAGES: [&str; 4] = [
    "target",
    ".git",
    "synthesizer/src/prompt",
    "synthesizer/tests/replay",
];

/// Every page of the repository.
pub(crate) fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    collect(Path::new(""), &mut pages);
    assert!(pages.len() > 25, "a poor reading: {}", pages.len());
    pages
}

fn collect(folder: &Path, pages: &mut Vec<Page>) {
    if NO_PAGES.iter().any(|no| folder == Path::new(no)) {
        return;
    }
    for entry in fs::read_dir(workspace_root().unwrap().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&path, pages);
        } else if path.extension().is_some_and(|end| end == "md") {
            pages.push(Page::read(path.to_str().unwrap()).unwrap());
        }
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let wrong: Vec<_> = pages()
        .iter()
        .flat_map(|page| page.links.iter().map(move |link| (page, link)))
        .filter_map(|(page, link)| Some(format!("{}: {link}: {}", page.path, fault(page, link)?)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is wrong with a link; nothing of those to other sites.
fn fault(page: &Page, link: &str) -> Option<String> {
    let (address, anchor) = link.split_once('#').unwrap_or((link, ""));
    let shown = SHOWN.iter().find_map(|shown| address.strip_prefix(shown));
    if shown.is_none() && address.contains("://") {
        return None;
    }
    let path = match (shown, address) {
        (Some(path), _) => PathBuf::from(path),
        (None, "") => PathBuf::from(&page.path),
        (None, path) => plain(&Path::new(&page.path).parent().unwrap().join(path)),
    };
    if !workspace_root().unwrap().join(&path).exists() {
        return Some(format!("there is no {}", path.display()));
    }
    let of_page = || Page::read(path.to_str().unwrap()).unwrap().anchors;
    (!anchor.is_empty() && !of_page().contains(&anchor.to_owned()))
        .then(|| format!("no heading there has that anchor: {:?}", of_page()))
}

/// The path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(plain.pop(), "{}", path.display()),
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn a_wrong_link_is_told() {
    let page = Page::read("docs/bounds.md").unwrap();
    for right in [
        "approval.md",
        "approval.md#what-is-in-force",
        "#isolation",
        "../README.md",
        "https://example.com/nowhere#at-all",
        "https://github.com/language-operator/language-operator/blob/main/cli/krew.yaml",
    ] {
        assert_eq!(fault(&page, right), None, "{right}");
    }
    for wrong in [
        "approved.md",
        "approval.md#what-was-in-force",
        "#",
        "#isolated",
        "docs/approval.md",
        "https://github.com/language-operator/language-operator/blob/main/cli/brew.yaml",
    ] {
        assert!(fault(&page, wrong).is_some() || wrong == "#", "{wrong}");
    }
}

/// Sources, charts and messages name pages, too.
#[test]
fn every_page_that_the_sources_name_is_there() {
    let files = std::process::Command::new("git")
        .args([
            "grep",
            "-I",
            "--only-matching",
            "--extended-regexp",
            "--no-index",
        ])
        .args(["--exclude-standard", r"\bdocs/[a-z-]+\.md\b"])
        .current_dir(workspace_root().unwrap())
        .output()
        .unwrap();
    let named = String::from_utf8(files.stdout).unwrap();
    assert!(named.lines().count() > 20, "{named}{:?}", files.stderr);
    let is_gone = |line: &&str| {
        let (_, page) = line.rsplit_once(':').unwrap();
        !workspace_root().unwrap().join(page).exists()
    };
    let gone: Vec<_> = named.lines().filter(is_gone).collect();
    assert!(gone.is_empty(), "{gone:#?}");
}
