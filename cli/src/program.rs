//! Owns the process: arguments, streams and the exit code. Only this file prints, but for a
//! question (`ui::ask`).

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

use crate::{
    answer::Answer,
    approval::{self, command::Decision},
    args::{Cli, Command},
    code, complete, cost,
    failure::{Exit, Failure},
    get, lint, new, runs, trace, verify, why,
    world::World,
};

/// Runs the program by its command line.
pub async fn kubectl_langop() -> ExitCode {
    let cli = Cli::parse();
    let exit = match run(&cli).await.and_then(|answer| say(&answer)) {
        Ok(exit) => exit,
        Err(failure) => {
            tell(&failure.render());
            Exit::Failed
        }
    };
    ExitCode::from(exit as u8)
}

/// Completes a command line, as kubectl asks for it.
pub async fn kubectl_complete_langop() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let answer = Answer::fine(complete::answer(&words).await);
    ExitCode::from(say(&answer).unwrap_or(Exit::Failed) as u8)
}

async fn run(cli: &Cli) -> Result<Answer, Failure> {
    let namespace = cli.connect.namespace.as_deref();
    match &cli.command {
        Command::Lint(args) => return lint::command::run(args, namespace.unwrap_or("default")),
        Command::New(args) => return new::command::run(args, namespace),
        _ => {}
    }
    let world = World::connect(&cli.connect).await?;
    match &cli.command {
        Command::Get(args) if args.watch => get::watch::run(&world, args, is_heard).await,
        Command::Get(args) => get::read::run(&world, args).await,
        Command::Why(args) => why::gather::run(&world, args).await,
        Command::Code(args) => code::command::code(&world, args).await,
        Command::Revisions(args) => code::command::list(&world, args).await,
        Command::Diff(args) => code::command::diff(&world, args).await,
        Command::Verify(args) => verify::command::run(&world, args).await,
        Command::Pin(args) => code::command::pin(&world, args).await,
        Command::Unpin(args) => code::command::unpin(&world, args).await,
        Command::Preview(args) => approval::command::preview(&world, args).await,
        Command::Approve(args) => approval::command::decide(&world, args, Decision::Approve).await,
        Command::Reject(args) => approval::command::decide(&world, args, Decision::Reject).await,
        Command::Run(args) => runs::command::run(&world, args).await,
        Command::Logs(args) => runs::log::run(&world, args).await,
        Command::History(args) => runs::command::history(&world, args).await,
        Command::Suspend(args) => runs::suspend::suspend(&world, args, true).await,
        Command::Resume(args) => runs::suspend::suspend(&world, args, false).await,
        Command::Trace(args) => trace::command::run(&world, args).await,
        Command::Cost(args) => cost::command::run(&world, args).await,
        // Done above: they need no cluster.
        Command::Lint(args) => lint::command::run(args, &world.namespace),
        Command::New(args) => new::command::run(args, namespace),
    }
}

fn say(answer: &Answer) -> Result<Exit, Failure> {
    is_heard(answer).map(|_| answer.exit)
}

/// Writes the answer, and says whether anybody reads it: a reader that has seen enough and left is
/// no error.
fn is_heard(answer: &Answer) -> Result<bool, Failure> {
    tell(&answer.notes);
    let mut stdout = anstream::stdout().lock();
    let written = stdout
        .write_all(answer.text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Write(error)),
    }
}

/// There is nowhere to say that it cannot be written.
fn tell(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}
