//! `langop-tool-email`: sends and reads mail, over MCP.

use std::process::ExitCode;

use langop_tools::{
    email::{Email, Settings},
    server,
};

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
    server::run(Email::new(Settings::from_environment()?)?).await
}
