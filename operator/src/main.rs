//! The binary: installs the process-wide TLS provider, starts the runtime and turns the result into
//! an exit code. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use langop_operator::cli::Cli;

#[global_allocator]
static ALLOCATOR: langop_memory::Allocator = langop_memory::ALLOCATOR;

#[tokio::main]
async fn main() -> ExitCode {
    // An error means that one is installed already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match langop_operator::execute(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the command line's last word")]
fn report(error: &anyhow::Error) {
    eprintln!("langop-operator: {error:#}");
}
