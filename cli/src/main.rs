//! `kubectl-langop`, which kubectl runs as `kubectl langop`.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    langop_cli::kubectl_langop().await
}
