//! `langop-agent`: the command line, signals and exit codes; everything else is the library's.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use langop_runtime::program;

/// Runs an agent: its code against its tools and models. All settings are environment variables.
#[derive(Debug, Parser)]
#[command(name = "langop-agent", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Run it as the environment says: once, or again and again
    Run,
    /// Talk to it on the terminal; an empty line or the end of the input ends it
    Chat,
    /// Check environment and code, without network; 0 or 3 is the exit code
    Check,
}

// One worker, whatever the node has: an agent waits for its tools and models, and each further thread is
// memory that every agent pays for. Not none: this thread blocks at the end until the last spans are sent.
#[tokio::main(worker_threads = 1)]
async fn main() -> ExitCode {
    match Cli::parse().command.unwrap_or(Command::Run) {
        Command::Run => program::run().await.into(),
        Command::Chat => program::chat().await.into(),
        Command::Check => program::check().into(),
    }
}
