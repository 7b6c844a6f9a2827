//! `kubectl_complete-langop`, which kubectl asks when somebody presses TAB.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    langop_cli::kubectl_complete_langop().await
}
