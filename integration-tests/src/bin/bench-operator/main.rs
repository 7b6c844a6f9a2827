//! `cargo bench-operator`: what the operator costs and how fast it is on a real control plane,
//! beside a bare client that does nothing but repeat the operator's own writes.
//!
//! Prints a table and writes target/bench/operator.json, beside it what runs of other sizes cost
//! and a picture of how that grows. Owns the order of the measurements; it
//! must not assert: a figure is a figure. What makes a figure meaningless (a write of the baseline
//! that fails, an agent that never becomes Ready) is an error.

mod alone;
mod bare_list;
mod bring_up;
mod byte_counter;
mod cost;
mod crowded;
mod earlier;
mod earlier_build;
mod env;
mod etcd;
mod figures;
mod fleet;
mod overload;
mod plot;
mod replay;
mod restart;
mod scale;
mod script;
mod series;
mod steady;
mod strangers;
mod tool_change;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use langop_integration_tests::{
    ControlPlane, alias, control_plane::Options, programs, run_dir, workspace_root,
};

use crate::{
    alone::Workspace,
    earlier_build::EarlierBuild,
    env::{BenchEnv, Build},
    figures::{Figures, progress},
    fleet::Fleet,
    scale::Scale,
    script::Script,
};

/// Who the operator is to the API server; the control plane logs its writes with their bodies, for
/// the baseline.
const OPERATOR: &str = "system:serviceaccount:langop-system:langop-operator";

/// Benchmarks of the operator on a real control plane of their own (pods are simulated by kwok).
#[derive(Parser)]
#[command(name = "cargo bench-operator", bin_name = "cargo bench-operator")]
struct Args {
    /// How many agents to bring up.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    agents: u32,
    /// Have them scheduled and suspended, in namespaces of a thousand, as they are above 10,000
    /// anyway; the ten whose tool changes run.
    #[arg(long)]
    suspended: bool,
    /// Changes of a tool's port in each of the two rounds; from 100 on, p99 is no longer the
    /// maximum.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    changes: u16,
    /// A revision whose operator does the same bring-up beside ours, built once (default: none).
    #[arg(long, value_name = "REV")]
    baseline: Option<String>,
    /// Another operator than the published one, for a profile: that of `cargo build --release` has
    /// names.
    #[arg(long, value_name = "PROGRAM")]
    operator: Option<PathBuf>,
    /// Measure only what one tenant can make the operator hold.
    #[arg(long)]
    crowded: bool,
    /// Measure only what becomes of more changes at once than an LLM can follow: of all agents', which
    /// are suspended; 20,000 take most of an hour.
    #[arg(long, conflicts_with = "crowded")]
    overload: bool,
}

impl Args {
    fn scale(&self) -> Scale {
        if self.suspended || self.overload {
            Scale::suspended(self.agents)
        } else {
            Scale::of(self.agents)
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse_from(alias::arguments());
    progress("building the programs");
    programs::build_all().await?;
    let build = Build::of(args.operator.clone()).await?;
    let mut figures = Figures::new(args.scale());
    let outcome = measure(&args, &build, &mut figures).await;
    // What was measured before something failed is worth its hour too.
    figures.print();
    let folder = workspace_root()?.join("target/bench");
    figures.write(&folder.join("operator.json"))?;
    series::keep(&figures, &folder)?;
    outcome
}

async fn measure(args: &Args, build: &Build, figures: &mut Figures) -> Result<()> {
    if args.crowded {
        let cp = control_plane("crowded", args.scale(), Vec::new()).await?;
        cp.install_crds().await?;
        crowded::measure(&cp, args.scale(), build, figures).await?;
        return cp.stop().await;
    }
    if args.overload {
        // The bodies of one namespace are less than those of all.
        let cp = control_plane("overload", args.scale(), vec![fleet::FEW.to_owned()]).await?;
        overload::measure(&cp, args.scale(), build, figures).await?;
        return cp.stop().await;
    }
    // Before anything is measured: a build takes minutes and all CPUs.
    let earlier = match &args.baseline {
        Some(revision) => Some(EarlierBuild::of(revision).await?),
        None => None,
    };
    let fleet = Fleet::new(args.scale())?;
    figures.prepared = Some(fleet.prepared());
    let (repeatable, crowded) = {
        let cp = control_plane("control-plane", fleet.scale, fleet.recorded_namespaces()).await?;
        let scripts = with_operator(args, &cp, &fleet, build, figures).await?;
        let crowded = if fleet.scale.is_repeatable() {
            crowded::measure(&cp, fleet.scale, build, figures).await
        } else {
            Ok(())
        };
        cp.stop().await?;
        (scripts, crowded)
    };
    if let Some([warm_up, script]) = repeatable {
        // A control plane of its own: the baseline begins with what the operator began with.
        let cp = control_plane("baseline", fleet.scale, Vec::new()).await?;
        replay::measure(&cp, &fleet, &warm_up, &script, figures).await?;
        cp.stop().await?;
    }
    if let Some(earlier) = earlier {
        let cp = control_plane("earlier", fleet.scale, fleet.recorded_namespaces()).await?;
        earlier::measure(&cp, &earlier, &fleet, figures).await?;
        cp.stop().await?;
    }
    // What came after it does not rest on it.
    crowded
}

/// `recorded`: the namespaces of those writes of the operator that are logged with their bodies; of
/// all if none is named.
async fn control_plane(name: &str, scale: Scale, recorded: Vec<String>) -> Result<ControlPlane> {
    progress(&format!("starting the {name}'s API server and controllers"));
    let options = Options {
        audit_bodies_of: vec![OPERATOR.to_owned()],
        audit_bodies_in: recorded,
        heap_limit: scale.heap_limit(),
        ..Options::default()
    };
    ControlPlane::start_with(&run_dir()?.join(name), options).await
}

/// All that is measured with the operator at work. Returns what it wrote for the first few agents,
/// and for all, unless that is too much to be repeated.
async fn with_operator(
    args: &Args,
    cp: &ControlPlane,
    fleet: &Fleet,
    build: &Build,
    figures: &mut Figures,
) -> Result<Option<[Script; 2]>> {
    fleet.prepare(cp).await?;
    let mut env = BenchEnv::start(cp, fleet.scale, build).await?;
    ensure!(
        env.operator.user() == OPERATOR,
        "the operator is {}, not {OPERATOR}",
        env.operator.user()
    );
    env.services_run(fleet).await?;

    let (most, warm_up) = alone::measure(&env, Workspace::Without).await?;
    figures.writes_per_agent = Some(most);
    figures.writes_per_agent_with_workspace = Some(alone::measure(&env, Workspace::With).await?.0);
    let script = bring_up::measure(&env, fleet, figures).await?;
    steady::measure(&env, fleet, figures).await?;
    tool_change::idle(&mut env, fleet, args.changes, figures).await?;
    restart::measure(&mut env, fleet, figures).await?;
    strangers::measure(&mut env, fleet, figures).await?;
    tool_change::while_64_hang(&mut env, fleet, args.changes, figures).await?;
    Ok(script.map(|script| [warm_up, script]))
}
