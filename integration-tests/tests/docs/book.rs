//! The book: `book.toml` and `docs/SUMMARY.md`, which mdBook makes it from.

use std::{collections::BTreeSet, fs};

use langop_integration_tests::{Page, workspace_root};

/// Longest README, in lines.
const README: usize = 120;

#[test]
fn the_summary_names_every_page_once() {
    let summary = Page::read("docs/SUMMARY.md").unwrap();
    let folder = fs::read_dir(workspace_root().unwrap().join("docs")).unwrap();
    let files = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<_> = files.filter(|name| name != "SUMMARY.md").collect();
    let named: BTreeSet<_> = summary.links.iter().cloned().collect();
    assert_eq!(named, pages);
    assert_eq!(named.len(), summary.links.len(), "{:?}", summary.links);
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(workspace_root().unwrap().join("README.md")).unwrap();
    let lines = readme.lines().count();
    assert!(
        lines < README,
        "{lines} lines: move some to a page of docs/"
    );
}

/// A book has nothing beside it: what is elsewhere in the sources has a full address.
#[test]
fn no_page_of_the_book_leads_out_of_it_by_a_relative_link() {
    let summary = Page::read("docs/SUMMARY.md").unwrap();
    let mut wrong = Vec::new();
    for name in &summary.links {
        let page = Page::read(&format!("docs/{name}")).unwrap();
        let links = page.links.iter().filter(|link| link.starts_with(".."));
        wrong.extend(links.map(|link| format!("{}: {link}", page.path)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
