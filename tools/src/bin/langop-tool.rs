//! `langop-tool -- COMMAND ARG…`: serves a stdio MCP server over HTTP, in both eras of the
//! protocol.

use std::{ffi::OsString, process::ExitCode, sync::Arc};

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
    /// The server's program and its arguments
    #[arg(required = true, last = true)]
    command: Vec<OsString>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    server::log();
    match run(cli.command).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
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
