//! One child process of the supervisor: its log, its end, and that it cannot outlive us.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};

/// A command that runs `program` so that the kernel kills it when this process dies.
///
/// This works by `control-plane exec` (see [`super::supervisor`]), so it may only be used in the
/// `control-plane` program, and only from its main thread: the kernel goes by the parent's thread.
pub(crate) fn bound_command(program: &Path) -> Result<Command> {
    let mut command =
        Command::new(std::env::current_exe().context("the running executable has no path")?);
    command
        .arg("exec")
        .arg("--parent")
        .arg(std::process::id().to_string())
        .arg("--")
        .arg(program);
    // Ctrl-C goes to the whole foreground group, but the parts end in an order of ours.
    command.process_group(0).kill_on_drop(true);
    Ok(command)
}

/// A running part of the control plane.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts it with both outputs going to `<logs>/<name>.log`.
    pub(crate) fn spawn(
        name: &'static str,
        program: &Path,
        args: impl IntoIterator<Item = OsString>,
        logs: &Path,
    ) -> Result<Self> {
        let mut command = bound_command(program)?;
        command.args(args).stdin(Stdio::null());
        Self::spawn_command(name, command, logs)
    }

    /// Starts a [`bound_command`] with both outputs going to `<logs>/<name>.log`.
    pub(crate) fn spawn_command(
        name: &'static str,
        mut command: Command,
        logs: &Path,
    ) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        // A part that is started again goes on with its log.
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        let pid = child
            .id()
            .with_context(|| format!("{name} ended at once"))?;
        Ok(Self {
            name,
            child,
            pid,
            log,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The write end of its standard input, if its command was given a pipe; the first time only.
    pub(crate) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits until it ends by itself, which none of them should.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        let status = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        anyhow!(
            "{} ended with {status}; the end of {}:\n{}",
            self.name,
            self.log.display(),
            tail(&self.log, 15)
        )
    }

    /// SIGTERM, and SIGKILL if it has not ended within `grace`.
    pub(crate) async fn stop(mut self, grace: Duration) {
        self.end(grace).await;
    }

    /// The same for one that will be replaced.
    pub(crate) async fn end(&mut self, grace: Duration) {
        terminate(&mut self.child, grace).await;
    }
}

/// SIGTERM, and SIGKILL after `grace`; returns how it ended, if it can be known.
pub(crate) async fn terminate(child: &mut Child, grace: Duration) -> Option<ExitStatus> {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // An error says that it is gone already, which is what is wanted.
        let _ = kill_process(pid, Signal::TERM);
    }
    if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
        return status.ok();
    }
    let _ = child.start_kill();
    child.wait().await.ok()
}

/// The last lines of a file, for error messages.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
