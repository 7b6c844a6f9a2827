//! The operations on a real folder.

use std::{fs, os::unix::fs::symlink};

use tempfile::TempDir;

use super::*;

async fn call(root: &TempDir, operation: &str, arguments: Json) -> Result<Output, ToolError> {
    let files = Filesystem::open(root.path()).unwrap();
    let call = Call {
        arguments: arguments.as_object().cloned(),
        idempotency_key: None,
    };
    files.call(operation, call).await.unwrap()
}

#[tokio::test]
async fn what_is_written_is_listed_read_found_and_deleted() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a/b.txt").display().to_string();
    call(
        &root,
        "write_file",
        json!({"path": path, "content": "one\nTwo"}),
    )
    .await
    .unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\nTwo");
    let list = call(&root, "list_files", json!({"path": "a"}))
        .await
        .unwrap();
    assert!(
        list.text.starts_with("b.txt (7 bytes, changed "),
        "{}",
        list.text
    );
    assert_eq!(list.structured.unwrap()["files"][0]["name"], "b.txt");
    let root_list = call(&root, "list_files", json!({"path": "/"}))
        .await
        .unwrap();
    assert_eq!(root_list.text, "a/");
    let read = call(&root, "read_file", json!({"path": "a/b.txt"}))
        .await
        .unwrap();
    assert_eq!(read, Output::text("one\nTwo"));
    let found = call(&root, "search_files", json!({"path": ".", "query": "two"}))
        .await
        .unwrap();
    assert_eq!(found.text, "a/b.txt:2: Two");
    for expected in ["deleted", "there was no such file"] {
        let deleted = call(&root, "delete_file", json!({"path": "a/b.txt"}))
            .await
            .unwrap();
        assert_eq!(deleted.text, expected);
    }
}

#[tokio::test]
async fn links_out_of_the_root_lead_nowhere_and_no_error_tells_a_path() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "s3cret").unwrap();
    let root = tempfile::tempdir().unwrap();
    symlink(outside.path(), root.path().join("out")).unwrap();
    symlink(outside.path().join("secret"), root.path().join("link")).unwrap();
    for (operation, arguments) in [
        ("read_file", json!({"path": "out/secret"})),
        ("read_file", json!({"path": "link"})),
        ("list_files", json!({"path": "out"})),
        ("write_file", json!({"path": "out/new", "content": "x"})),
        ("delete_file", json!({"path": "out/secret"})),
    ] {
        let error = call(&root, operation, arguments)
            .await
            .unwrap_err()
            .to_string();
        let outside = outside.path().display().to_string();
        assert!(
            !error.contains(&outside) && !error.contains("s3cret"),
            "{error}"
        );
    }
    // A write replaces the link itself, not what it points to.
    call(&root, "write_file", json!({"path": "link", "content": "x"}))
        .await
        .unwrap();
    assert_eq!(
        fs::read_to_string(outside.path().join("secret")).unwrap(),
        "s3cret"
    );
    let found = call(
        &root,
        "search_files",
        json!({"path": "", "query": "s3cret"}),
    )
    .await
    .unwrap();
    assert_eq!(found.text, "");
}

#[tokio::test]
async fn what_is_too_large_or_no_text_is_refused_with_its_size() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("bytes"), [0xff, 0xfe, 0]).unwrap();
    let large = fs::File::create(root.path().join("large")).unwrap();
    large.set_len(MAX_TEXT + 1).unwrap();
    let error = call(&root, "read_file", json!({"path": "bytes"}))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("3 bytes that are no text"),
        "{error}"
    );
    let error = call(&root, "read_file", json!({"path": "large"}))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("1048577 bytes"), "{error}");
    let error = call(&root, "read_file", json!({"path": "."}))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("must name a file"), "{error}");
}

#[tokio::test]
async fn the_runtimes_own_folder_is_not_there() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join(".langop/a")).unwrap();
    fs::write(root.path().join(".langop/a/state.json"), "needle").unwrap();
    let list = call(&root, "list_files", json!({"path": ""}))
        .await
        .unwrap();
    assert_eq!(list.text, "");
    let found = call(
        &root,
        "search_files",
        json!({"path": "", "query": "needle"}),
    )
    .await
    .unwrap();
    assert_eq!(found.text, "");
    let read = json!({"path": ".langop/a/state.json"});
    assert!(call(&root, "read_file", read).await.is_err());
}

#[test]
fn operations_are_sorted_and_say_what_they_do() {
    let root = tempfile::tempdir().unwrap();
    let operations = Filesystem::open(root.path()).unwrap().operations();
    let names: Vec<_> = operations.iter().map(|tool| tool.name.clone()).collect();
    assert!(names.is_sorted(), "{names:?}");
    for tool in operations {
        let hints = tool.annotations.unwrap();
        let reads = matches!(&*tool.name, "list_files" | "read_file" | "search_files");
        assert_eq!(hints.read_only_hint, Some(reads), "{}", tool.name);
        assert_eq!(hints.idempotent_hint, Some(true), "{}", tool.name);
    }
}
