//! `cargo bench-synthesis`: what the synthesizer costs beside a bare tonic server that sends the
//! same answer, in one run on one machine, and whether one LLM call serves all who ask the same.
//!
//! Prints a table and writes target/bench/synthesis.json. Owns measuring; it must not assert: a
//! figure is a figure.

mod cores;
mod echo;
mod figures;
mod full_cache;
mod load;
mod replicas;
mod subject;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use langop_integration_tests::{alias, programs, workspace_root};

use crate::figures::Figures;
use crate::subject::{agent_code, request, simulated_llm, synthesizer};

/// Benchmarks of the synthesizer, each beside its baseline.
#[derive(Parser)]
#[command(name = "cargo bench-synthesis", bin_name = "cargo bench-synthesis")]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Seconds of each measured round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds of each side, taken in turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

#[derive(Subcommand)]
enum Command {
    /// The baseline, as a process of its own; started by the benchmark itself.
    #[command(hide = true)]
    Echo {
        #[arg(long)]
        listen: SocketAddr,
    },
}

fn main() -> Result<()> {
    let args = Args::parse_from(alias::arguments());
    let runtime = tokio::runtime::Runtime::new()?;
    match args.command {
        Some(Command::Echo { listen }) => runtime.block_on(echo::serve(listen)),
        None => runtime.block_on(bench(&args)),
    }
}

async fn bench(args: &Args) -> Result<()> {
    figures::progress("building the programs");
    programs::build_all().await?;
    let mut figures = Figures::default();
    cache_hits(args, &mut figures).await?;
    stampede(&mut figures).await?;
    replicas::measure(&mut figures).await?;
    cores::measure(Duration::from_secs(args.seconds), args.rounds, &mut figures).await?;
    full_cache::measure(&mut figures).await?;
    figures.validate_200_lines_us = validation();
    figures.print();
    figures.write(&workspace_root()?.join("target/bench/synthesis.json"))
}

async fn cache_hits(args: &Args, figures: &mut Figures) -> Result<()> {
    let llm = simulated_llm().await?;
    let synthesizer = synthesizer(&llm).await?;
    let hit = load::connect(synthesizer.grpc_url()).await?;
    let answer = hit.clone().synthesize(request(0)).await?.into_inner();
    let echo = echo::Echo::start(&prost::Message::encode_to_vec(&answer)).await?;
    let bare = load::connect(echo.url()).await?;
    let (mut hits, mut echoes) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        figures::progress(&format!(
            "cache hits and echo, 64 in flight, round {round} of {}",
            args.rounds
        ));
        echoes.push(load::throughput(&bare, Duration::from_secs(args.seconds)).await?);
        hits.push(load::throughput(&hit, Duration::from_secs(args.seconds)).await?);
    }
    figures.cache_hit_per_second = load::median(&mut hits);
    figures.echo_per_second = load::median(&mut echoes);
    figures.cache_hit_ratio_to_echo = figures.cache_hit_per_second / figures.echo_per_second;
    let half = figures.cache_hit_per_second / 2.0;
    let (mut hits, mut echoes) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        figures::progress(&format!(
            "latency of cache hits at half load, and the echo's, round {round} of {}",
            args.rounds
        ));
        echoes.push(load::p99_ms(&bare, half, Duration::from_secs(args.seconds)).await?);
        hits.push(load::p99_ms(&hit, half, Duration::from_secs(args.seconds)).await?);
    }
    figures.cache_hit_p99_ms = load::median(&mut hits);
    figures.echo_p99_ms = load::median(&mut echoes);
    figures.cache_hit_p99_ratio_to_echo = figures.cache_hit_p99_ms / figures.echo_p99_ms;
    Ok(())
}

async fn stampede(figures: &mut Figures) -> Result<()> {
    figures::progress("1,000 identical requests at once");
    let llm = simulated_llm().await?;
    let synthesizer = synthesizer(&llm).await?;
    let client = load::connect(synthesizer.grpc_url()).await?;
    let calls = (0..1000).map(|_| {
        let mut client = client.clone();
        async move { client.synthesize(request(1)).await }
    });
    futures::future::try_join_all(calls)
        .await
        .context("a request of the stampede failed")?;
    figures.stampede_llm_calls = llm.count();
    Ok(())
}

/// Microseconds to parse and check 200 lines, the median of many.
fn validation() -> f64 {
    figures::progress("validation of a 200-line agent");
    let code = agent_code(200);
    let offer = langop_dsl::Offer {
        tools: vec![langop_dsl::OfferedTool::from("mail")],
        models: vec![],
    };
    let mut times: Vec<f64> = (0..300)
        .map(|_| {
            let begun = std::time::Instant::now();
            let parsed = langop_dsl::parse(
                std::hint::black_box(&code),
                &offer,
                k8s_openapi::jiff::Timestamp::now(),
            );
            let took = begun.elapsed().as_secs_f64() * 1e6;
            if parsed.definition.is_none() {
                figures::progress(&format!(
                    "the sample is not valid: {:?}",
                    parsed.diagnostics.first()
                ));
            }
            took
        })
        .collect();
    load::median(&mut times)
}
