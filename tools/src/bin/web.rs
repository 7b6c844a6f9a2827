//! `langop-tool-web`: fetches pages and searches, over MCP.

use std::process::ExitCode;

use langop_tools::{server, settings::Listen, web::Web};

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
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| "a TLS provider is already installed")?;
    let listen = Listen::from_environment()?;
    Ok(server::serve(Web::from_environment()?, &listen).await?)
}
