//! Owns processes for tests, the demo and people: a control plane (`serve`, or none of the
//! subcommands for a person), or one guarded command (`guard`). A CLI front end, no more.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use langop_integration_tests::Nodes;
use langop_integration_tests::alias;
use langop_integration_tests::control_plane::binaries;
use langop_integration_tests::control_plane::extra::{self, Extra};
use langop_integration_tests::control_plane::node::{self, init};
use langop_integration_tests::control_plane::supervisor::{self, Owner};
use langop_integration_tests::control_plane::{Options, Ready, report};
use langop_integration_tests::workspace_root;

/// A real Kubernetes control plane on this machine, until Ctrl-C; its pods are simulated, or run on
/// a real node.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Act>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Act {
    /// Build the programs of a control plane into the cache, and print where they are.
    Build {
        /// Build these instead, which only some tests need.
        #[arg(long, value_name = "PROGRAM")]
        only: Vec<Extra>,
    },
    /// Run until stdin is closed; tell on stdout, as one line of JSON, when all is Ready.
    #[command(hide = true)]
    Serve {
        /// Folder for certificates, logs and data; emptied first.
        #[arg(long)]
        state: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// Be the first process of a real node, in namespaces made for it.
    #[command(hide = true)]
    Node,
    /// Run a command until it ends or stdin is closed.
    #[command(hide = true)]
    Guard {
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Become a command that dies with its parent.
    #[command(hide = true)]
    Exec {
        #[arg(long)]
        parent: u32,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

// One thread, since the kernel binds children to the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match act(Args::parse_from(alias::arguments())).await {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn act(args: Args) -> Result<ExitCode> {
    match args.command {
        None => person(&args.options).await?,
        Some(Act::Node) => init::run()?,
        Some(Act::Build { only }) => build(&only).await?,
        Some(Act::Serve { state, options }) => return Ok(serve(state, &options).await),
        Some(Act::Guard { command }) => {
            let code = supervisor::guard(&command, |pid| print(&pid.to_string())).await?;
            return Ok(code.into());
        }
        Some(Act::Exec { parent, command }) => return Err(supervisor::exec(parent, &command)),
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(
    clippy::print_stderr,
    reason = "the front end of a command-line program"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

async fn person(options: &Options) -> Result<()> {
    if options.nodes == Nodes::Real
        && let Some(problem) = node::unavailable().await?
    {
        bail!("{problem}");
    }
    let state = workspace_root()?.join("target/control-plane");
    supervisor::serve(&state, options, Owner::Person, |ready| {
        let pods = match options.nodes {
            Nodes::Simulated => "pods are simulated by kwok",
            Nodes::Real => "pods run on a real node",
        };
        print(&format!(
            "Ready at {}; {pods}. Ctrl-C ends it.",
            ready.server
        ))?;
        print(&format!(
            "  export KUBECONFIG={}",
            ready.kubeconfig.display()
        ))?;
        print(&format!("  {} get nodes", ready.kubectl.display()))
    })
    .await
}

async fn serve(state: PathBuf, options: &Options) -> ExitCode {
    let tell = |ready: &Ready| print(&report(Ok(ready))?);
    match supervisor::serve(&state, options, Owner::Stdin, tell).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever started us may be gone, and there is nobody else to tell.
            let _ = report(Err(&error)).and_then(|line| print(&line));
            ExitCode::FAILURE
        }
    }
}

async fn build(only: &[Extra]) -> Result<()> {
    for program in only {
        print(&extra::build(*program).await?.display().to_string())?;
    }
    if !only.is_empty() {
        return Ok(());
    }
    let binaries = binaries::build().await?;
    let folder = binaries.etcd.parent().context("etcd lies in no folder")?;
    print(&folder.display().to_string())
}

/// Not `println!`, which panics when nobody reads any more.
fn print(line: &str) -> Result<()> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    Ok(())
}
