//! `langop-chat`: the command line and the exit code; everything else is the library's.

use std::process::ExitCode;

use clap::Parser;
use langop_chat::program;

/// Serves a chat page and an API over models and tools. All settings are environment variables.
#[derive(Debug, Parser)]
#[command(name = "langop-chat", version, about)]
struct Cli {}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let Cli {} = Cli::parse();
    program::run().await.into()
}
