//! `langop-tool -- COMMAND ARG…`: serves a stdio MCP server over HTTP, in both eras of the
//! protocol.

use std::{
    env,
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use langop_tools::{
    adapter::{Adapter, child::Child},
    server,
    settings::Listen,
};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Serves a stdio MCP server over Streamable HTTP on `PORT`, at `MCP_PATH`
#[derive(Debug, Parser)]
#[command(name = "langop-tool", version, about)]
struct Cli {
    /// Copy this program to FILE and end: an init container's way to bring it into any image
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    install: Option<PathBuf>,
    /// The server's program and its arguments
    #[arg(required_unless_present = "install", last = true)]
    command: Vec<OsString>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    server::log();
    let ended = match cli.install {
        Some(file) => install(&file).map(|()| ExitCode::SUCCESS),
        None => run(cli.command).await,
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The copy appears whole or not at all, and everybody may run it.
fn install(file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let this = env::current_exe()?;
    let part = file.with_extension("part");
    let copied = fs::copy(this, &part)
        .and_then(|_| fs::set_permissions(&part, Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&part, file));
    copied.map_err(|error| format!("cannot write {}: {error}", file.display()).into())
}

async fn run(command: Vec<OsString>) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let listen = Listen::from_environment()?;
    let child = Child::new(command);
    let end = CancellationToken::new();
    let router = server::serve_handler(Adapter::new(Arc::clone(&child)), &listen.path, end.clone());
    let ending = Arc::clone(&child);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let signal = tokio::select! {
            _ = terminate.recv() => Signal::TERM,
            _ = interrupt.recv() => Signal::INT,
        };
        ending.end(signal).await;
    });
    let kept = Arc::clone(&child);
    let mut life = tokio::spawn(async move { kept.keep_alive().await });
    let lived = tokio::select! {
        served = server::serve_router(router, &listen, end) => {
            served?;
            child.end(Signal::TERM).await;
            life.await?
        }
        lived = &mut life => lived?,
    };
    match lived {
        Ok(None) => Ok(ExitCode::SUCCESS),
        Ok(Some(status)) => {
            tracing::error!(%status, "the server ends again and again; giving up");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(format!("the server cannot be started: {error}").into()),
    }
}
