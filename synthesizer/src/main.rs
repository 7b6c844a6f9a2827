//! `langop-synthesizer`: settings, telemetry, signals; everything else is the library's.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use langop_synthesizer::{Listeners, serve, settings::Settings, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: langop_memory::Allocator = langop_memory::ALLOCATOR;

#[tokio::main]
#[expect(
    clippy::print_stderr,
    reason = "the error may come before there are logs"
)]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The causes in one line: a backtrace tells the reader of a wrong setting nothing.
            eprintln!("langop-synthesizer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let settings = Settings::load();
    // Once for the process, before anything speaks TLS: with two providers in the build rustls
    // would not choose.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider is already installed"))?;
    let _telemetry = telemetry::init(&settings)?;
    let shutdown = CancellationToken::new();
    cancel_on_signal(shutdown.clone())?;
    let listeners = Listeners::bind(&settings).await?;
    serve(settings, listeners, shutdown).await?;
    tracing::info!("stopped");
    Ok(())
}

fn cancel_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
    });
    Ok(())
}
