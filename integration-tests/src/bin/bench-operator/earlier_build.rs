//! Another revision of this repository, checked out and built once into a cache folder under its
//! commit. Builds and runs nothing of the present sources.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use langop_integration_tests::{control_plane::binaries::cache_folder, workspace_root};
use tokio::process::Command;

use crate::{env::Build, figures::progress};

/// An operator of another revision, and what it needs of the cluster.
pub(crate) struct EarlierBuild {
    pub(crate) commit: String,
    pub(crate) build: Build,
    pub(crate) crds: PathBuf,
}

impl EarlierBuild {
    /// Of a revision as git names it. The first build of a commit takes as long as ours from
    /// nothing.
    pub(crate) async fn of(revision: &str) -> Result<Self> {
        let commit = commit_of(revision).await?;
        let folder = cache_folder("bench")?.join(&commit);
        let (source, target) = (folder.join("source"), folder.join("target"));
        let this = Self {
            build: Build {
                program: target.join("release/langop-operator"),
                rights: source.join("deploy/rbac.yaml"),
            },
            crds: source.join("deploy/crds.yaml"),
            commit,
        };
        if !source.join("Cargo.toml").is_file() {
            check_out(&this.commit, &source).await?;
        }
        if !this.build.program.is_file() {
            progress(&format!(
                "building the operator of {} into {}; this takes minutes",
                this.short(),
                target.display()
            ));
            build(&source, &target).await?;
        }
        Ok(this)
    }

    /// As people write it.
    pub(crate) fn short(&self) -> &str {
        self.commit.get(..7).unwrap_or(&self.commit)
    }
}

async fn commit_of(revision: &str) -> Result<String> {
    let name = format!("{revision}^{{commit}}");
    let output = git()?
        .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
        .arg(&name)
        .stderr(Stdio::inherit())
        .output()
        .await
        .context("cannot run git")?;
    ensure!(
        output.status.success(),
        "this repository has no commit '{revision}'; name one that git log shows"
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

async fn check_out(commit: &str, folder: &Path) -> Result<()> {
    let mut command = git()?;
    // `--force`: the folder of an earlier run may be gone, which git need not know.
    command.args(["worktree", "add", "--force", "--detach"]);
    command.arg(folder).arg(commit);
    run(command).await
}

/// Without what the cargo that runs us has set: the revision chooses its own toolchain.
async fn build(source: &Path, target: &Path) -> Result<()> {
    let mut command = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_ours = text.starts_with("CARGO_PKG") || text.starts_with("CARGO_MANIFEST");
        if is_ours || text == "RUSTUP_TOOLCHAIN" || text == "CARGO" {
            command.env_remove(&name);
        }
    }
    command
        .args(["build", "--quiet", "--locked", "--release"])
        .args(["--bin", "langop-operator"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(source);
    run(command).await
}

fn git() -> Result<Command> {
    let mut command = Command::new("git");
    command.arg("-C").arg(workspace_root()?);
    Ok(command)
}

async fn run(mut command: Command) -> Result<()> {
    let text = format!("{:?}", command.as_std());
    let status = command.stdout(Stdio::null()).status().await;
    let status = status.with_context(|| format!("cannot run {text}"))?;
    ensure!(status.success(), "{text} failed ({status})");
    Ok(())
}
