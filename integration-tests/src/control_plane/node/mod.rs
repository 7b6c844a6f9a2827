//! A real node for the control plane: kubelet, containerd, runc, CNI plugins, kube-proxy, a DNS
//! server and an engine for `NetworkPolicies`, in namespaces of their own on this machine.
//!
//! This file owns the node's life as the supervisor sees it; [`init`] is what happens inside,
//! [`machine`] what changes outside and how it is undone. The node has one link, to this machine,
//! and no default route: its pods reach each other and this machine's end of the link, nothing
//! else.

mod config;
pub mod init;
mod machine;
mod names;
mod programs;
mod requirements;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use langop_images::Image;
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;

use super::process::{Process, bound_command};
use super::startup::ReadyNode;
use crate::{processes, wait};

pub(crate) use config::{IMAGES, home};
use init::{API_SERVER, NETWORK};
use machine::Claim;
use names::DNS_IMAGE;
pub(crate) use names::{ADDRESS, NAME, SERVICES};
pub use names::{MACHINE, PROBE_IMAGE, REGISTRY};
pub(crate) use programs::Programs;
pub use requirements::{is_available, unavailable};

/// Until the namespaces are there. Machines under load need long.
const BEGINNING: Duration = Duration::from_secs(30);

/// The processes of a node that runs, and what they occupy of the machine.
pub(crate) struct RealNode {
    // Dropped in this order: the machine is put in order when the processes are ended.
    process: Process,
    input: ChildStdin,
    init: u32,
    claim: Claim,
}

impl RealNode {
    /// Starts all that needs no API server yet, with its files below `state`.
    pub(crate) async fn start(programs: Programs, state: &Path, logs: &Path) -> Result<Self> {
        let claim = Claim::take(state).await?;
        prepare(programs, state).await?;
        let mut process = Process::spawn_command("node", namespaces(state)?, logs)?;
        let input = process.take_stdin().context("no pipe to the node")?;
        let started = tokio::select! {
            init = connect(process.pid()) => init,
            error = process.failed() => Err(error),
        };
        let mut this = Self {
            init: started?,
            process,
            input,
            claim,
        };
        this.tell(NETWORK).await?;
        Ok(this)
    }

    /// Lets the kubelet and the others go on that need the API server.
    pub(crate) async fn join(&mut self) -> Result<()> {
        self.tell(API_SERVER).await
    }

    async fn tell(&mut self, line: &str) -> Result<()> {
        let line = format!("{line}\n");
        if self.input.write_all(line.as_bytes()).await.is_err() {
            return Err(self.process.failed().await);
        }
        Ok(())
    }

    /// The first process inside, for `nsenter`.
    pub(crate) fn init(&self) -> u32 {
        self.init
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills all of it, and undoes what it did to the machine.
    pub(crate) async fn stop(self) -> Result<()> {
        // The first process dies with the one outside, and the kernel ends all others with it.
        self.process.stop(Duration::ZERO).await;
        self.claim.release().await
    }
}

/// Writes what [`init`] reads.
async fn prepare(programs: Programs, state: &Path) -> Result<()> {
    let images = state.join(IMAGES);
    fs::create_dir_all(&images)?;
    fs::write(state.join(config::SPEC), serde_json::to_vec(&programs)?)?;
    let write = move || {
        for image in [
            Image::new(PROBE_IMAGE)
                .program("/probe", &programs.probe)
                .entrypoint(&["/probe", "wait"]),
            Image::new(DNS_IMAGE)
                .program("/coredns", &programs.coredns)
                .entrypoint(&["/coredns"]),
        ] {
            let file = image.name().replace(['/', ':'], "-") + ".tar";
            image.write(&images.join(file))?;
        }
        Ok(())
    };
    tokio::task::spawn_blocking(write).await?
}

/// The command that becomes [`init`] in namespaces of its own, killed when this process dies.
fn namespaces(state: &Path) -> Result<tokio::process::Command> {
    let mut command = bound_command(Path::new("unshare"))?;
    command
        .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork"])
        .args(["--kill-child=SIGKILL", "--mount-proc"])
        .args(["--propagation", "private", "--"])
        .arg(std::env::current_exe().context("the running executable has no path")?)
        .arg("node")
        .current_dir(state)
        .stdin(Stdio::piped());
    Ok(command)
}

/// Gives the new namespaces their link to the machine, and returns the first process inside.
async fn connect(outside: u32) -> Result<u32> {
    let init = wait::until("the node's first process", BEGINNING, async || {
        processes::children_of(outside).first().copied()
    })
    .await?;
    machine::link(init).await?;
    Ok(init)
}

/// The command that imports the image archive on its standard input.
pub(crate) fn import_command(node: &ReadyNode) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("nsenter");
    command
        .args(["--target", &node.init.to_string(), "--mount", "--"])
        .arg(&node.ctr)
        .args(init::import_arguments())
        .arg("-")
        .kill_on_drop(true);
    command
}
