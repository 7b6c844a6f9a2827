//! The command line. Parsing only.

use clap::{Parser, Subcommand};

use crate::{
    approval::command::{DecideArgs, PreviewArgs},
    code::command::{CodeArgs, DiffArgs, PinArgs, RevisionsArgs, UnpinArgs},
    cost::command::CostArgs,
    get::read::GetArgs,
    lint::command::LintArgs,
    new::command::NewArgs,
    runs::{
        command::{HistoryArgs, RunArgs},
        log::LogsArgs,
        suspend::SuspendArgs,
    },
    trace::command::TraceArgs,
    verify::command::VerifyArgs,
    why::gather::WhyArgs,
    world::Connect,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and what was asked about is as its spec says (or suspended by it)
  1  there is no answer: the API server cannot be reached or refuses, or the object is not there
  2  wrong usage
  3  there is an answer, and it is that something is wrong or not done yet

A datum that is not known is a dash, never a zero. Colours are for terminals; NO_COLOR takes them out.";

/// What agents do, and why they do not.
///
/// A plugin of kubectl for Language Operator. It does what your kubeconfig lets you do, and no
/// more.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-langop",
    bin_name = "kubectl langop",
    version,
    after_help = EXIT_CODES,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connect: Connect,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Agents with phase, next run, last run, tokens and what they wait for
    Get(GetArgs),
    /// Why an object is not as its spec says: the deepest cause, and what to do
    #[command(
        after_help = "Exits with 3 unless the object is as its spec says, or suspended by it."
    )]
    Why(WhyArgs),
    /// The code of an agent, and in words when it runs
    Code(CodeArgs),
    /// The stored revisions of an agent's code
    Revisions(RevisionsArgs),
    /// What changed between two revisions: the code, and what it may do
    Diff(DiffArgs),
    /// Whether the code of an agent comes from the synthesizer, by its signed statement
    #[command(
        after_help = "Exits with 3 unless every check passes; without --keys the signature is not checked."
    )]
    Verify(VerifyArgs),
    /// Has a stored revision run until it is unpinned; nothing is synthesized meanwhile
    Pin(PinArgs),
    /// Lets the code of the present instructions run again
    Unpin(UnpinArgs),
    /// What would change if what waits were approved
    #[command(after_help = "Exits with 3 if something waits.")]
    Preview(PreviewArgs),
    /// Agrees to what waits, in your own name
    Approve(DecideArgs),
    /// Refuses what waits, so that it is not asked for again
    Reject(DecideArgs),
    /// Runs a scheduled agent now
    Run(RunArgs),
    /// Logs of an agent's pods, with the step that wrote them
    Logs(LogsArgs),
    /// Past runs of an agent: result, duration and tokens
    History(HistoryArgs),
    /// Stops agents, and keeps everything else of them
    Suspend(SuspendArgs),
    /// Lets suspended agents run again
    Resume(SuspendArgs),
    /// The traces of an agent's last synthesis and last run: their links and their spans
    Trace(TraceArgs),
    /// Tokens of synthesis and of runs, by agent and namespace, and what they cost
    Cost(CostArgs),
    /// Writes the manifest of an agent, from flags or from your answers
    New(NewArgs),
    /// Checks manifests without a cluster: schema, rules, references, schedules in words
    Lint(LintArgs),
}
