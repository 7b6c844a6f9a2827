//! `cargo demo`: the product at work on a real API server, from nothing, in one command.
//!
//! Owns the order of things and what is said about them. It must not know how anything works
//! inside: it uses the API server, the programs' command lines and HTTP, as any user does.

mod events;
mod real;
mod samples;
mod say;
mod show;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use langop_integration_tests::{
    Cluster, ClusterArgs, ControlPlane, Nodes, Operator, OtlpReceiver, Synthesizer, alias,
    control_plane::{
        Options,
        node::{self, MACHINE},
    },
    crds, programs, workspace_root,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    real::Outside,
    say::{note, step, warn},
};

/// Shows Language Operator at work: a control plane, the operator, the synthesizer and the samples,
/// until Ctrl-C.
///
/// Without flags it starts a control plane of its own (building it once from pinned Go modules,
/// about ten minutes). The synthesizer uses the built-in `template` provider unless the variables
/// `SYNTHESIS_*` are set.
#[derive(Parser)]
#[command(name = "cargo demo", bin_name = "cargo demo")]
struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// What pods run on, where the demo starts the cluster: kwok, which only says that they run, or
    /// a real node with containers of the reference images (Linux and root; built once, about ten
    /// minutes more).
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["kubeconfig", "context"])]
    nodes: Nodes,
    /// End as soon as everything was shown, with exit code 0, or 1 if something did not become
    /// ready.
    #[arg(long)]
    once: bool,
    /// The folder of manifests to apply.
    #[arg(long, value_name = "DIR", default_value = "deploy/samples")]
    samples: PathBuf,
    /// The folder of its kubeconfig, of endpoints.json and of the control plane's files. One demo
    /// at a time can use it.
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    state: PathBuf,
    /// Longest wait until all samples are Ready, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    timeout: u64,
}

fn main() -> ExitCode {
    let args = Args::parse_from(alias::arguments());
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let outcome = runtime.block_on(until_interrupted(args));
    // Not waiting for the thread that waits for a control plane: building one takes minutes, and
    // the end of this process ends it.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    warn(&format!("the demo stopped: {error:#}"));
    ExitCode::FAILURE
}

/// Everything that was started ends when this future is dropped: the children watch a pipe to us.
async fn until_interrupted(args: Args) -> Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let once = args.once;
    tokio::select! {
        done = demo(args) => done,
        _ = tokio::signal::ctrl_c() => interrupted(once),
        _ = term.recv() => interrupted(once),
    }
}

fn interrupted(once: bool) -> Result<()> {
    note("\nstopping everything that was started");
    if once {
        anyhow::bail!("interrupted");
    }
    Ok(())
}

async fn demo(args: Args) -> Result<()> {
    let started = Instant::now();
    let root = workspace_root()?;
    let state = root.join(&args.state);
    std::fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;

    step("building operator and synthesizer");
    programs::build_all().await?;
    let (cluster, control_plane) = connect(&args, &state).await?;
    let client = cluster.client().await?;
    crds::install(&client)
        .await
        .context("cannot install deploy/crds.yaml")?;

    // The cluster that somebody named has real nodes, too, but not our images.
    let outside = match (&control_plane, args.nodes) {
        (Some(control_plane), Nodes::Real) => Some(Outside::start(control_plane).await?),
        _ => None,
    };
    let otlp = match outside {
        Some(_) => Outside::collector().await?,
        None => OtlpReceiver::start().await?,
    };
    step("starting the synthesizer and, under its own service account, the operator");
    let synthesizer = synthesizer_from_environment(&otlp).start().await?;
    let mut operator = Operator::builder(&cluster)
        .cluster_wide()
        .synthesizer(synthesizer.grpc_url())
        .otlp(otlp.endpoint())
        .env("LANGOP_LOG", "info");
    if outside.is_some() {
        operator = operator.agent_otlp(otlp.endpoint(), MACHINE);
    }
    let operator = operator.start().await?;
    write_endpoints(&state, &cluster, &synthesizer, &operator)?;

    let folder = root.join(&args.samples);
    step(&format!("applying {}", args.samples.display()));
    let mut samples = samples::Samples::read(&folder)?;
    if let Some(outside) = &outside {
        samples.edit(|object| outside.redirect(object));
        note("their mail server and their model are this machine's for now");
    }
    samples.apply(&client).await?;
    samples
        .until_ready(&client, Duration::from_secs(args.timeout))
        .await?;
    step(&format!(
        "all {} samples are Ready, {:.1} s after the start",
        samples.len(),
        started.elapsed().as_secs_f32()
    ));

    show::agents(&client, &samples).await?;
    match (&outside, &control_plane) {
        (Some(outside), Some(control_plane)) => outside.show(control_plane, &otlp).await?,
        _ => show::trace(&otlp).await?,
    }
    show::what_next(&cluster, control_plane.as_ref(), &folder, &state);
    if args.once {
        note("ending, as --once asks");
        return end(control_plane).await;
    }
    note("Ctrl-C ends it. What the operator does from now on appears here:\n");
    tokio::select! {
        () = events::follow(client.clone()) => Ok(()),
        ended = samples.reapply_on_edit(&client) => ended,
    }
}

async fn end(control_plane: Option<ControlPlane>) -> Result<()> {
    match control_plane {
        Some(control_plane) => control_plane.stop().await,
        None => Ok(()),
    }
}

/// The cluster the flags name, or one of our own.
async fn connect(args: &Args, state: &Path) -> Result<(Cluster, Option<ControlPlane>)> {
    if let Some(cluster) = args.cluster.cluster()? {
        step("using the cluster you named");
        return Ok((cluster, None));
    }
    if args.nodes == Nodes::Real
        && let Some(problem) = node::unavailable().await?
    {
        bail!(
            "this machine cannot run a real node: {problem}; leave --nodes out for simulated pods"
        );
    }
    step(match args.nodes {
        Nodes::Simulated => {
            "starting a control plane: etcd, kube-apiserver, controller-manager, scheduler, kwok"
        }
        Nodes::Real => {
            "starting a control plane: etcd, kube-apiserver, controller-manager, scheduler, and a node: kubelet, containerd"
        }
    });
    let options = Options {
        nodes: args.nodes,
        ..Options::default()
    };
    let control_plane = ControlPlane::start_with(&state.join("control-plane"), options).await?;
    let kubeconfig = state.join("kubeconfig");
    std::fs::copy(&control_plane.ready().kubeconfig, &kubeconfig)
        .context("cannot copy the kubeconfig")?;
    if control_plane.nodes() == Nodes::Simulated {
        note(
            "kwok simulates the pods: they are scheduled and reported Ready, but no container runs",
        );
    }
    Ok(((*control_plane).clone(), Some(control_plane)))
}

/// The reader's own provider where SYNTHESIS_* is set, else the one that needs none.
fn synthesizer_from_environment(otlp: &OtlpReceiver) -> programs::SynthesizerBuilder {
    let given: Vec<(String, String)> = std::env::vars()
        .filter(|(name, _)| name.starts_with("SYNTHESIS_"))
        .collect();
    let builder = if given.is_empty() {
        note(
            "synthesis provider: template (built-in rules, no LLM); set SYNTHESIS_PROVIDER, SYNTHESIS_MODEL and SYNTHESIS_API_KEY for a real one",
        );
        Synthesizer::template()
    } else {
        note("synthesis provider: as SYNTHESIS_* says");
        given
            .iter()
            .fold(Synthesizer::builder(), |builder, (name, value)| {
                builder.env(name, value)
            })
    };
    builder.otlp(otlp.endpoint())
}

/// Where everything listens, for scripts.
fn write_endpoints(
    state: &Path,
    cluster: &Cluster,
    synthesizer: &Synthesizer,
    operator: &Operator,
) -> Result<()> {
    let text = serde_json::to_string_pretty(&serde_json::json!({
        "kubeconfig": cluster.kubeconfig(),
        "synthesizer": {
            "grpc": synthesizer.grpc_url(),
            "metrics": format!("{}/metrics", synthesizer.admin_url()),
            "health": format!("{}/readyz", synthesizer.admin_url()),
            "log": synthesizer.log(),
        },
        "operator": {
            "metrics": format!("{}/metrics", operator.admin_url()),
            "health": format!("{}/readyz", operator.admin_url()),
            "log": operator.log(),
        },
    }))?;
    std::fs::write(state.join("endpoints.json"), text + "\n").context("cannot write endpoints.json")
}
