//! What the `control-plane` program does: own processes for somebody who may vanish at any moment.
//!
//! Two links make sure that nothing is left behind. The asking process holds the write end of our
//! stdin, so its end of whatever kind (exit, panic, Ctrl-C, SIGKILL) is an EOF here, and we tear
//! down in order. Our own children ask the kernel to be killed when we die, which covers our own
//! SIGKILL. Neither needs `unsafe` code, pid files or a later clean-up.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Signal, getppid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::node::Programs;
use super::process::{bound_command, terminate};
use super::startup::{Options, Ready};
use super::{binaries, launch};
use crate::cluster::Nodes;
use crate::wait;

/// The signal to restart the API server.
pub(super) const RESTART: Signal = Signal::USR1;

/// Who ends a control plane that runs in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The process at the other end of stdin, by closing it; or a signal.
    Stdin,
    /// A person, by Ctrl-C or another signal.
    Person,
}

/// Brings a control plane up in this process, calls `on_ready`, and tears it down when its owner
/// wants. [`RESTART`] makes it restart its API server.
///
/// # Errors
/// If a part does not come up, or ends by itself later.
pub async fn serve(
    state: &Path,
    options: &Options,
    owner: Owner,
    on_ready: impl FnOnce(&Ready) -> Result<()>,
) -> Result<()> {
    // Listening before anything is started: a signal in between must not end us.
    let mut ended = std::pin::pin!(ended_by(owner)?);
    let mut restart = signal(SignalKind::from_raw(RESTART.as_raw()))?;
    let _lock = claim(state).await?;
    let bring_up = async {
        let binaries = binaries::locate().await?;
        let programs = match options.nodes {
            Nodes::Simulated => None,
            Nodes::Real => Some(Programs::locate().await?),
        };
        Box::pin(launch::launch(&binaries, programs, state, options)).await
    };
    let mut running = tokio::select! {
        running = bring_up => running?,
        // Dropping the bring-up kills what it has started.
        () = &mut ended => return Ok(()),
    };
    let mut outcome = on_ready(running.ready()).map(|()| Next::Restarted);
    while let Ok(Next::Restarted) = outcome {
        outcome = tokio::select! {
            () = &mut ended => Ok(Next::Ended),
            error = running.failed() => Err(error),
            _ = restart.recv() => running.restart_apiserver().await.map(|()| Next::Restarted),
        };
    }
    let stopped = running.stop().await;
    outcome.and(stopped)
}

/// What came after the control plane was Ready.
enum Next {
    Restarted,
    Ended,
}

/// Takes the state folder for this process and empties it. An old owner may still be tearing down.
async fn claim(state: &Path) -> Result<File> {
    fs::create_dir_all(state).with_context(|| format!("cannot make {}", state.display()))?;
    let lock = File::create(state.join("lock"))?;
    wait::until(
        "its other user's end",
        Duration::from_secs(30),
        async || lock.try_lock().ok(),
    )
    .await
    .with_context(|| format!("{} is in use; give another folder", state.display()))?;
    for entry in fs::read_dir(state)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != "lock" {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(lock)
}

/// Completes when the owner is gone or a signal asks us to end.
fn ended_by(owner: Owner) -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let eof = (owner == Owner::Stdin).then(stdin_closed);
    Ok(async move {
        let eof = async {
            match eof {
                // A lost sender would mean that the reading thread is gone: as good as an EOF.
                Some(eof) => drop(eof.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            () = eof => {}
        }
    })
}

/// A thread of its own reads: tokio's stdin would keep the runtime from ending.
fn stdin_closed() -> oneshot::Receiver<()> {
    let (closed, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while matches!(std::io::stdin().read(&mut buffer), Ok(1..)) {}
        let _ = closed.send(());
    });
    receiver
}

/// `control-plane guard`: runs a command until it ends or our stdin is closed, and ends as it did.
///
/// Its first line on stdout, `on_start`, tells the pid; the command's own output goes to stderr.
///
/// # Errors
/// If the command cannot be run.
pub async fn guard(command: &[OsString], on_start: impl FnOnce(u32) -> Result<()>) -> Result<u8> {
    let (program, args) = command.split_first().context("no command to guard")?;
    let ended = ended_by(Owner::Stdin)?;
    let mut child = bound_command(Path::new(program))?
        .args(args)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    on_start(child.id().context("it ended at once")?)?;
    let status = tokio::select! {
        status = child.wait() => status?,
        () = ended => terminate(&mut child, Duration::from_secs(5)).await.context("its end cannot be known")?,
    };
    Ok(exit_code(status))
}

/// As shells do: 128 + n for signal n.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|n| 128 + n));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

/// `control-plane exec`: becomes `command`, killed by the kernel when the process `parent` dies.
///
/// Returns only if that is impossible.
pub fn exec(parent: u32, command: &[OsString]) -> anyhow::Error {
    let Some((program, args)) = command.split_first() else {
        return anyhow!("no command to become");
    };
    if let Err(error) = bind_to_parent(parent) {
        return error;
    }
    let error = Command::new(program).args(args).exec();
    anyhow!(error).context(format!("cannot run {}", program.display()))
}

#[cfg(target_os = "linux")]
fn bind_to_parent(parent: u32) -> Result<()> {
    // The request survives exec(2). A parent that died before it is seen by the check after it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let now = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if now != Some(parent) {
        bail!("the process that started this one is gone");
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn bind_to_parent(_parent: u32) -> Result<()> {
    // Only the SIGKILL of the supervisor itself leaves processes behind here.
    Ok(())
}
