//! What makes a release: the workflows, the scripts in `release/`, the plugin's manifest for krew, and the
//! one version that everything has. Nothing is built or published here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};

use langop_dsl::hash::sha256_hex;
use langop_images::Component;
use langop_integration_tests::{
    control_plane::extra::{self, Extra},
    programs, workspace_root,
};
use serde_json::Value;
use tempfile::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const PROGRAMS: [&str; 2] = ["kubectl-langop", "kubectl_complete-langop"];

fn read(path: &str) -> String {
    fs::read_to_string(workspace_root().unwrap().join(path)).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// Name and text of each workflow.
fn workflows() -> Vec<(String, String)> {
    let folder = workspace_root().unwrap().join(".github/workflows");
    let files = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let read = |file: fs::DirEntry| {
        let text = fs::read_to_string(file.path()).unwrap();
        (file.file_name().into_string().unwrap(), text)
    };
    files.map(read).collect()
}

/// What a script of `release/` says, where it is now or in a copy of the sources.
fn script(root: &Path, name: &str, args: &[&str]) -> Output {
    let mut command = Command::new(root.join("release").join(name));
    command.args(args).output().unwrap()
}

#[track_caller]
fn done(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn workflows_are_whole_bounded_and_pinned() {
    let workflows = workflows();
    assert!(workflows.len() > 3, "{workflows:?}");
    for (name, text) in workflows {
        let workflow = yaml(&text);
        assert!(
            workflow["permissions"].is_object(),
            "{name}: no permissions"
        );
        for (job, of_job) in workflow["jobs"].as_object().unwrap() {
            let is_bounded = of_job["timeout-minutes"].is_number() || of_job["uses"].is_string();
            assert!(is_bounded, "{name}: {job} has no timeout-minutes");
        }
        for line in text.lines() {
            let Some((_, action)) = line.split_once("uses: ") else {
                continue;
            };
            assert!(
                is_pinned(action),
                "{name}: {action}: write ACTION@COMMIT # vVERSION"
            );
        }
    }
}

/// By its commit, with the version beside it for people; or of this repository.
fn is_pinned(action: &str) -> bool {
    let (action, version) = action.split_once(" # v").unwrap_or((action, ""));
    let (_, commit) = action.split_once('@').unwrap_or((action, ""));
    let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    action.starts_with("./")
        || (is_commit && version.starts_with(|first: char| first.is_ascii_digit()))
}

#[test]
fn every_image_is_published() {
    let workflow = yaml(&read(".github/workflows/release.yaml"));
    let matrix = &workflow["jobs"]["images"]["strategy"]["matrix"]["image"];
    let published: Vec<_> = matrix
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let all: Vec<_> = Component::ALL
        .iter()
        .map(|component| component.name())
        .collect();
    assert_eq!(published, all);
}

#[test]
fn everything_has_one_version() {
    let chart = yaml(&read("charts/language-operator/Chart.yaml"));
    assert_eq!(chart["version"], VERSION);
    assert_eq!(chart["appVersion"], VERSION);
    let changes = read("CHANGELOG.md");
    let newest = changes.lines().find_map(|line| line.strip_prefix("## ["));
    let (newest, _) = newest.unwrap().split_once(']').unwrap();
    assert!(["Unreleased", VERSION].contains(&newest), "{newest}");

    // Images that people are told of.
    let grep = Command::new("git")
        .args([
            "grep",
            "-I",
            "--only-matching",
            "--extended-regexp",
            "--no-index",
            "--exclude-standard",
        ])
        .args([r"language-operator/[a-z-]+:[0-9]+\.[0-9]+\.[0-9]+", "--"])
        .args(["README.md", "charts", "deploy", "docs"])
        .current_dir(workspace_root().unwrap())
        .output()
        .unwrap();
    let named = done(&grep);
    assert!(named.lines().count() > 8, "{named}");
    let is_other = |line: &&str| !line.ends_with(&format!(":{VERSION}"));
    let others: Vec<_> = named.lines().filter(is_other).collect();
    assert!(others.is_empty(), "of another version: {others:#?}");
}

/// A copy of what `release/version` and `release/notes` look at.
fn copy() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for path in [
        "Cargo.toml",
        "charts/language-operator/Chart.yaml",
        "release/version",
        "release/notes",
    ] {
        let to = copy.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(workspace_root().unwrap().join(path), to).unwrap();
    }
    let title = format!("[{VERSION}] - 2026-12-01");
    let changes = read("CHANGELOG.md").replacen("[Unreleased]", &title, 1);
    let changes = changes + "\n## [0.0.1] - 2026-01-01\n\n- Of old.\n";
    fs::write(copy.path().join("CHANGELOG.md"), changes).unwrap();
    copy
}

#[test]
fn a_tag_is_released_only_if_everything_says_its_version() {
    let copy = copy();
    let root = copy.path();
    let tag = format!("v{VERSION}");
    assert_eq!(done(&script(root, "version", &[&tag])).trim(), VERSION);
    let refused = |tag: &str, says: &str| {
        let output = script(root, "version", &[tag]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains(says),
            "{tag}: {said}"
        );
    };
    refused(VERSION, &format!("write for example {tag}"));
    refused("v9.9.9", "write version = \"9.9.9\"");
    let edit = |path: &str, old: &str, new: &str| {
        let file = root.join(path);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(old), "{path}: no {old}");
        fs::write(&file, text.replacen(old, new, 1)).unwrap();
    };
    edit("CHANGELOG.md", " - 2026-12-01", "");
    refused(&tag, "has no section");
    edit(
        "charts/language-operator/Chart.yaml",
        &format!("appVersion: {VERSION}"),
        "appVersion: 0.0.9",
    );
    refused(&tag, &format!("write appVersion: {VERSION}"));
}

#[test]
fn the_notes_of_a_release_are_its_own_section() {
    let copy = copy();
    let notes = done(&script(copy.path(), "notes", &[VERSION]));
    assert!(
        notes.contains("BREAKING") && !notes.contains("Of old."),
        "{notes}"
    );
    let notes = done(&script(copy.path(), "notes", &["0.0.1"]));
    assert_eq!(notes.trim(), "- Of old.");
    let none = script(copy.path(), "notes", &["0.0.2"]);
    assert!(!none.status.success());
}

/// The platforms for which the workflow packs the plugin.
fn platforms() -> BTreeSet<String> {
    let workflow = yaml(&read(".github/workflows/release.yaml"));
    let steps = workflow["jobs"]["release"]["steps"].as_array().unwrap();
    let runs = steps.iter().filter_map(|step| step["run"].as_str());
    let mut packed = runs.flat_map(str::lines).filter_map(|line| {
        let list = line.trim().strip_prefix("for platform in ")?;
        list.strip_suffix("; do")
    });
    let packed = packed.next().unwrap().split(' ').map(str::to_owned);
    packed.collect()
}

/// Programs of a platform, packed into `out`.
fn pack(platform: &str, out: &Path) {
    let programs = tempfile::tempdir().unwrap();
    for name in PROGRAMS {
        fs::write(programs.path().join(name), format!("{name} of {platform}")).unwrap();
    }
    let [folder, out] = [programs.path(), out].map(|path| path.to_str().unwrap());
    done(&script(
        workspace_root().unwrap(),
        "pack",
        &[folder, platform, out],
    ));
}

#[test]
fn the_manifest_for_krew_names_the_archives_that_are_made() {
    let root = workspace_root().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for platform in platforms() {
        pack(&platform, folder.path());
    }
    let manifest = done(&script(
        root,
        "krew",
        &[VERSION, folder.path().to_str().unwrap()],
    ));
    assert!(
        !manifest.contains('@') && !manifest.contains('#'),
        "{manifest}"
    );
    let plugin = yaml(&manifest);
    assert_eq!(plugin["metadata"]["name"], "langop");
    assert_eq!(plugin["spec"]["version"], format!("v{VERSION}"));
    // krew's index asks for this.
    let short = plugin["spec"]["shortDescription"].as_str().unwrap();
    assert!(short.len() <= 50 && !short.ends_with('.'), "{short}");

    let mut named = BTreeSet::new();
    for platform in plugin["spec"]["platforms"].as_array().unwrap() {
        let labels = &platform["selector"]["matchLabels"];
        let [os, arch] = ["os", "arch"].map(|label| labels[label].as_str().unwrap());
        let archive = format!("kubectl-langop-{os}-{arch}.tar.gz");
        let uri = format!("/releases/download/v{VERSION}/{archive}");
        assert!(
            platform["uri"].as_str().unwrap().ends_with(&uri),
            "{platform}"
        );
        let bytes = fs::read(folder.path().join(&archive)).unwrap();
        assert_eq!(platform["sha256"], sha256_hex(&bytes));
        assert_eq!(platform["bin"], PROGRAMS[0]);
        named.insert(format!("{os}-{arch}"));
    }
    assert_eq!(named, platforms());
}

/// As a person does who has the files of a release.
#[tokio::test]
async fn krew_installs_the_plugin_from_its_manifest() {
    let krew = extra::locate(Extra::Krew).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for platform in platforms() {
        pack(&platform, &out);
    }
    let system = match std::env::consts::ARCH {
        "aarch64" => "linux-arm64",
        _ => "linux-amd64",
    };
    let programs = programs::locate(PROGRAMS[0]).unwrap();
    let args = [programs.parent().unwrap(), Path::new(system), &out];
    done(&script(
        workspace_root().unwrap(),
        "pack",
        &args.map(|arg| arg.to_str().unwrap()),
    ));
    let manifest = done(&script(
        workspace_root().unwrap(),
        "krew",
        &[VERSION, out.to_str().unwrap()],
    ));
    let file = folder.path().join("langop.yaml");
    fs::write(&file, manifest).unwrap();

    let root = folder.path().join("krew");
    let installed = Command::new(krew)
        .arg("install")
        .arg(format!("--manifest={}", file.display()))
        .arg(format!(
            "--archive={}/kubectl-langop-{system}.tar.gz",
            out.display()
        ))
        .env("KREW_ROOT", &root)
        .env("KREW_NO_UPGRADE_CHECK", "1")
        .output();
    done(&installed.unwrap());
    // Where kubectl looks for what `kubectl langop` is.
    let plugin = root.join("bin").join(PROGRAMS[0]);
    let asked = Command::new(plugin).arg("--version").output();
    assert_eq!(
        done(&asked.unwrap()).trim(),
        format!("kubectl-langop {VERSION}")
    );
}

#[test]
fn an_archive_is_the_same_whoever_packs_it_and_when() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let packed = folders.each_ref().map(|folder| {
        pack("linux-amd64", folder.path());
        fs::read(folder.path().join("kubectl-langop-linux-amd64.tar.gz")).unwrap()
    });
    assert_eq!(packed[0], packed[1]);
    let archive = folders[0].path().join("kubectl-langop-linux-amd64.tar.gz");
    let listed = Command::new("tar")
        .args(["--numeric-owner", "-tvzf"])
        .env("TZ", "UTC")
        .arg(archive)
        .output();
    let listed = done(&listed.unwrap());
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 1 + PROGRAMS.len(), "{listed}");
    for line in lines {
        assert!(
            line.contains(" 0/0 ") && line.contains("1970-01-01"),
            "{line}"
        );
    }
    assert_eq!(
        listed.matches("-rwxr-xr-x").count(),
        PROGRAMS.len(),
        "{listed}"
    );
}
