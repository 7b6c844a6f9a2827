//! `langop-tool-filesystem`: files below `WORKSPACE_PATH`, over MCP.

use std::{path::PathBuf, process::ExitCode};

use langop_tools::{filesystem::Filesystem, server, settings};

#[tokio::main]
async fn main() -> ExitCode {
    server::log();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let root = settings::text("WORKSPACE_PATH").map_or_else(|| "/workspace".into(), PathBuf::from);
    let files = Filesystem::open(&root).map_err(|error| {
        format!("WORKSPACE_PATH cannot be opened: {error}; name a folder that is there")
    })?;
    server::run(files).await
}
