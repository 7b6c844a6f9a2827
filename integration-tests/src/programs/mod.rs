//! Runs the product's own programs as child processes, the way users run them.
//!
//! This file owns what is asked of all of them: to be built, as programs or images. `locate.rs` says
//! where one is, `process.rs` is its life; what is special to one is in [`operator`] and
//! [`synthesizer`].

mod locate;
mod operator;
mod process;
mod rbac;
mod synthesizer;

pub use locate::locate;
pub use operator::{LeaderElection, Operator, OperatorBuilder};
pub(crate) use process::get;
pub use synthesizer::{Synthesizer, SynthesizerBuilder};

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use langop_images::{Components, Profile};

use crate::cluster::Cluster;
use crate::run_dir;

/// Writes a kubeconfig by which a program acts as a service account, and nothing more.
///
/// # Errors
/// If the account does not exist or the file cannot be written.
pub async fn account_kubeconfig(
    cluster: &Cluster,
    namespace: &str,
    account: &str,
    path: &Path,
) -> Result<()> {
    let token = rbac::token(&cluster.client().await?, namespace, account).await?;
    cluster.write_token_kubeconfig(path, &token, None)
}

/// The programs that images are made of, linked statically; what changed is built first, which takes
/// minutes the first time.
///
/// # Errors
/// If the build fails.
pub async fn components(profile: Profile) -> Result<Components> {
    let programs = run_dir::programs_dir()?;
    Components::build(programs.parent().unwrap_or(&programs), profile).await
}

/// Builds all programs of the workspace in the profile of this one, as `cargo run` builds only the
/// one it runs. Does nothing outside cargo.
///
/// # Errors
/// If the build fails; its output goes to stderr.
pub async fn build_all() -> Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Ok(());
    };
    let mut command = tokio::process::Command::new(cargo);
    command
        .args(["build", "--quiet", "--bins"])
        .args(
            run_dir::programs_dir()?
                .ends_with("release")
                .then_some("--release"),
        )
        .current_dir(run_dir::workspace_root()?)
        .stdout(Stdio::null());
    let status = command.status().await.context("cannot run cargo")?;
    if !status.success() {
        bail!("the programs cannot be built ({status})");
    }
    Ok(())
}
