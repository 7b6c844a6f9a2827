//! Where the programs of this workspace are, and whether they are newer than their sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Result, bail};

use crate::run_dir;

/// A program of this workspace, where cargo put it; or another build of it, if a variable such as
/// `LANGOP_TEST_OPERATOR` says so, to see how a test fails on an older commit.
///
/// # Errors
/// If it was not built, or not since its sources changed: `cargo test --test NAME` alone does not
/// build it.
pub fn locate(name: &str) -> Result<PathBuf> {
    if let Some(program) = name.strip_prefix("langop-") {
        let variable = format!("LANGOP_TEST_{}", program.to_uppercase());
        if let Some(other) = std::env::var_os(variable) {
            return Ok(other.into());
        }
    }
    let path = run_dir::programs_dir()?.join(name);
    let built = path.metadata().and_then(|metadata| metadata.modified());
    let Ok(built) = built else {
        bail!("{} is missing; {BUILD}", path.display());
    };
    let root = run_dir::workspace_root()?;
    let mut folders = sources(name).iter().map(|folder| root.join(folder));
    if let Some(newer) = folders.find_map(|folder| newer(&folder, built)) {
        bail!(
            "{} is older than {}; {BUILD}",
            path.display(),
            newer.display()
        );
    }
    Ok(path)
}

const BUILD: &str = "run `cargo test --workspace`, or `cargo build --bins` before single tests";

/// Folders with the sources of a program, but for those of tests and of other programs.
fn sources(program: &str) -> &'static [&'static str] {
    match program {
        "langop-operator" => &[
            "operator/src",
            "operator/api/src",
            "operator/desired/src",
            "client/src",
            "program/src",
            "proto",
            "provenance/src",
            "synthesizer/dsl/src",
        ],
        "langop-agent" => &["runtime/src", "program/src", "synthesizer/dsl/src"],
        "langop-tool-email" | "langop-tool-filesystem" => &["tools/src"],
        "examples/conformance" => &["tools/src", "tools/examples"],
        "kubectl-langop" => &[
            "cli/src",
            "operator/api/src",
            "operator/desired/src",
            "provenance/src",
            "synthesizer/dsl/src",
        ],
        "langop-certificates" => &["certificates/src"],
        "langop-synthesizer" => &[
            "synthesizer/src",
            "synthesizer/template/src",
            "client/src",
            "program/src",
            "proto",
            "provenance/src",
            "synthesizer/dsl/src",
        ],
        _ => &[],
    }
}

/// A source below `folder` that changed after `built`. What editors and snapshot tests leave beside
/// sources is hidden, and is none.
fn newer(folder: &Path, built: SystemTime) -> Option<PathBuf> {
    let of_others = ["tests", "tests.rs", "bin"];
    let entries = fs::read_dir(folder).ok()?.flatten();
    let entries = entries.filter(|entry| {
        let name = entry.file_name();
        !of_others.iter().any(|other| name == **other) && !name.as_encoded_bytes().starts_with(b".")
    });
    entries.map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() {
            return newer(&path, built);
        }
        let changed = path.metadata().and_then(|metadata| metadata.modified());
        changed.is_ok_and(|changed| changed > built).then_some(path)
    })
}
