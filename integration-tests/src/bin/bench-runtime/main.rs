//! `cargo bench-runtime`: what the runtime costs beside the least that calls a tool (rmcp's own client) and
//! beside the same agent in plain Python on the official client and the SDK for Ruby, in one run on one machine.
//!
//! Prints a table and writes target/bench/runtime.json. Owns measuring; it must not assert: a figure is a
//! figure.

mod figures;
mod gate;
mod peers;
mod planning;

use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use langop_images::{Component, Components, Profile};
use langop_integration_tests::{alias, cluster, programs, run_dir, workspace_root};

use crate::{
    figures::{Figures, median, progress},
    gate::Gate,
    peers::{Kind, Peers, files},
};

/// Benchmarks of the runtime, beside its peers.
#[derive(Parser)]
#[command(name = "cargo bench-runtime", bin_name = "cargo bench-runtime")]
struct Args {
    /// Starts of each peer, taken in turns; the median counts.
    #[arg(long, default_value_t = 15)]
    starts: usize,
    /// Runs of each peer with many calls, taken in turns; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Calls in a run with many.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1000))]
    calls: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse_from(alias::arguments());
    cluster::install_crypto_provider();
    progress("building the programs");
    programs::build_all().await?;
    // What is published is what is measured, and it is not built as other releases are.
    let published = programs::components(Profile::Release).await?;
    let tool = files().await?;
    let peers = Peers::prepare(args.calls, published.program(Component::Agent)).await?;
    let mut figures = Figures::default();
    starts(&args, &peers, &tool.url, &mut figures).await?;
    calls(&args, &peers, &tool.url, &mut figures).await?;
    planning::measure(&peers, &tool.url, &mut figures).await?;
    progress("the image");
    figures.image_mb = image_mb(&published).await?;
    figures.print();
    figures.write(&workspace_root()?.join("target/bench/runtime.json"))
}

/// From the start of a process to its first call of a tool, and the memory that it had by then.
async fn starts(args: &Args, peers: &Peers, url: &str, figures: &mut Figures) -> Result<()> {
    let gate = Gate::before(url).await?;
    for kind in Kind::ALL {
        let (mut times, mut memory) = (Vec::new(), Vec::new());
        for round in 0..=args.starts {
            let begun = Instant::now();
            let run = peers.start(kind, 1, gate.url())?;
            let first = gate.first_call(begun, run.pid()?).await?;
            run.end().await?;
            // The first fills the caches of the machine.
            if round > 0 {
                times.push(first.after.as_secs_f64() * 1e3);
                memory.push(first.memory_mib);
            }
        }
        progress(&format!("{} started {} times", kind.name(), args.starts));
        figures.of(kind).start_ms = median(&mut times);
        figures.of(kind).rss_mib = median(&mut memory);
    }
    Ok(())
}

/// Whole runs with many calls, nothing in between.
async fn calls(args: &Args, peers: &Peers, url: &str, figures: &mut Figures) -> Result<()> {
    let mut times = Kind::ALL.map(|_| Vec::new());
    for round in 1..=args.runs {
        progress(&format!(
            "{} calls by each, round {round} of {}",
            args.calls, args.runs
        ));
        for (kind, times) in Kind::ALL.into_iter().zip(&mut times) {
            let begun = Instant::now();
            peers.start(kind, args.calls, url)?.end().await?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    for (kind, mut times) in Kind::ALL.into_iter().zip(times) {
        figures.of(kind).calls_ms = median(&mut times);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
async fn image_mb(published: &Components) -> Result<f64> {
    let archive = run_dir()?.join("agent.tar");
    let image = published.image(Component::Agent, "localhost/agent:1");
    let to = archive.clone();
    tokio::task::spawn_blocking(move || image.write(&to)).await??;
    Ok(archive.metadata()?.len() as f64 / 1e6)
}
