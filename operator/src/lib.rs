//! The operator's I/O: watches, applies, status, events, the synthesizer's client, leadership,
//! health and metrics.
//!
//! What should exist is decided in `langop-desired`; this crate fetches what that needs and writes
//! what it says. It must never talk to an LLM (invariant 1) nor read a Secret (invariant 6), and a
//! reconcile with nothing to do writes nothing (invariant 3). Reading order: `cli` →
//! `run::operator` (wiring) → `watch` → `cache` → `run::runner` → `controllers` → `write`,
//! `synthesis`. `self_test` stands apart: a client of what runs.

pub mod cli;
pub mod crds;
pub mod settings;

mod cache;
mod context;
mod controllers;
mod error;
mod leader;
mod run;
mod self_test;
mod synthesis;
mod watch;
mod write;

use anyhow::Context as _;
use cli::{Cli, Command};
pub use run::metrics::example::page as example_metrics;

/// Does what the command line says, and returns when that is done: for `run`, after a signal or the
/// loss of leadership.
///
/// # Errors
/// If a setting is wrong, the API server cannot be reached at the start, or leadership is lost.
pub async fn execute(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Crds => print(&crds::yaml()?),
        Command::SelfTest(args) => print(&self_test::run(&args).await?),
        Command::Run(args) => {
            let settings = settings::Settings::try_from(*args)?;
            let _telemetry =
                run::telemetry::install(&settings).context("telemetry cannot be set up")?;
            run::operator::run(settings).await?;
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the output of a subcommand")]
fn print(text: &str) {
    print!("{text}");
}
