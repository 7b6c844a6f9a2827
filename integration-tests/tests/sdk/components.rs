//! The images of `components`: in an order in which each stands on one that is there, of files that are
//! there, for nobody in particular; and what their tools do. No engine is needed: a script that writes
//! down what it is asked stands for it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use langop_integration_tests::workspace_root;
use tokio::process::Command;

use super::ruby::{on_sources, run_well, sources};

/// One call of the engine.
struct Build {
    image: String,
    dockerfile: PathBuf,
    stands_on: Option<String>,
}

async fn builds() -> Vec<Build> {
    let folder = tempfile::tempdir().unwrap();
    let engine = folder.path().join("engine");
    let calls = folder.path().join("calls");
    let script = format!("#!/bin/sh\necho \"$@\" >> {}\n", calls.display());
    fs::write(&engine, script).unwrap();
    fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(workspace_root().unwrap().join("components/build"));
    run_well(command.arg("registry.example").env("ENGINE", &engine)).await;
    let calls = fs::read_to_string(calls).unwrap();
    calls.lines().map(build).collect()
}

fn build(call: &str) -> Build {
    let words: Vec<&str> = call.split(' ').collect();
    assert_eq!(
        (words.first(), words.last()),
        (Some(&"build"), Some(&".")),
        "{call}"
    );
    let after = |flag: &str| {
        let at = words.iter().position(|word| *word == flag)?;
        words.get(at + 1).copied()
    };
    Build {
        image: after("--tag").unwrap().to_owned(),
        dockerfile: after("--file").unwrap().into(),
        stands_on: after("--build-arg")
            .map(|argument| argument.strip_prefix("FROM=").unwrap().to_owned()),
    }
}

/// The Dockerfiles below a folder.
fn dockerfiles(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.file_name() {
            _ if path.is_dir() => dockerfiles(&path),
            Some(name) if name == "Dockerfile" => [path].into(),
            _ => BTreeSet::new(),
        })
        .collect()
}

#[tokio::test]
async fn each_image_stands_on_one_that_is_there() {
    let root = workspace_root().unwrap();
    let mut built = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for build in builds().await {
        let version = env!("CARGO_PKG_VERSION");
        assert!(
            build.image.ends_with(&format!(":{version}")),
            "{}",
            build.image
        );
        if let Some(below) = &build.stands_on {
            assert!(
                built.contains(below),
                "{} stands on {below}, which is not built yet",
                build.image
            );
        }
        assert!(built.insert(build.image));
        seen.insert(root.join(build.dockerfile));
    }
    assert_eq!(
        seen,
        dockerfiles(&root.join("components")),
        "each is built once"
    );
}

#[test]
fn what_dockerfiles_name_is_there_and_nobody_is_root() {
    let root = workspace_root().unwrap();
    for path in dockerfiles(&root.join("components")) {
        let text = fs::read_to_string(&path).unwrap();
        let words = text.split_whitespace().collect::<Vec<_>>();
        for (at, word) in words.iter().enumerate() {
            let source = match *word {
                "COPY" => Some(words[at + 1]),
                _ => word
                    .strip_prefix("--mount=type=bind,source=")
                    .and_then(|rest| rest.split(',').next()),
            };
            if let Some(source) = source {
                assert!(root.join(source).exists(), "{}: {source}", path.display());
            }
        }
        let mut users = text.lines().filter_map(|line| line.strip_prefix("USER "));
        if let Some(last) = users.next_back() {
            assert_eq!(last, "65532:65532", "{}", path.display());
        }
        for program in ["langop-agent-ruby", "langop-tool-server"] {
            if text.contains(&format!("ENTRYPOINT [\"{program}\"]")) {
                assert!(sources().join("exe").join(program).is_file(), "{program}");
            }
        }
    }
}

#[tokio::test]
async fn the_tools_do_what_they_say_and_nothing_else() {
    let test = workspace_root()
        .unwrap()
        .join("components/tools/tools_test.rb");
    let said = run_well(on_sources().arg(test)).await;
    assert!(said.contains(" 0 failures, 0 errors, 0 skips"), "{said}");
    assert!(!said.contains("warning:"), "{said}");
}
