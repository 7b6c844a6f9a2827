//! `langop-synth`: a synthesizer from the command line. Owns the process: arguments, streams and
//! the exit code.
//!
//! `input` makes requests, `endpoints` finds the replicas, `call` asks them, `progress`, `report`,
//! `diagnostics`, `json` and `failure` say what comes of it, `provenance` checks whose it is; only
//! this file prints. No LLM and no
//! Kubernetes: everything is behind the synthesizer.

mod args;
mod call;
mod credentials;
mod diagnostics;
mod endpoints;
mod failure;
mod input;
mod json;
mod progress;
mod provenance;
mod report;

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::Instant,
};

use clap::{CommandFactory as _, Parser as _};
use clap_mangen::Man;
use langop_proto::v1::{SynthesizeRequest, SynthesizeResponse};
use serde_json::Value;

use args::{Args, Command, DistillArgs, Output, SynthesizeArgs, ValidateArgs, VerifyArgs};
use call::{CallError, Sight, Synthesizer};
use failure::{Exit, Failure};
use progress::{CLEAR, Progress, Screen, Update};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let exit = match run(&args).await {
        Ok(exit) => exit,
        Err(failure) => {
            tell(&failure.render());
            failure.exit()
        }
    };
    ExitCode::from(exit as u8)
}

async fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Synthesize(command) => synthesize(args, command).await,
        Command::Validate(command) => validate(args, command).await,
        Command::Distill(command) => distill(args, command).await,
        Command::Verify(command) => verify(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "langop-synth", &mut script);
            write(&script)?;
            Ok(Exit::Done)
        }
        Command::Man { command } => {
            write(&page(command.as_deref())?)?;
            Ok(Exit::Done)
        }
    }
}

async fn synthesizer(args: &Args) -> Result<Synthesizer, CallError> {
    Synthesizer::find(
        &args.endpoints,
        &args.credentials.credentials(),
        args.timeout,
    )
    .await
}

async fn synthesize(args: &Args, command: &SynthesizeArgs) -> Result<Exit, Failure> {
    let (request, notes) = input::synthesize(command)?;
    for note in notes {
        tell(&format!("note: {}\n", langop_dsl::clean(&note)));
    }
    let synthesizer = synthesizer(args).await?;
    let agent = request.agent.clone().unwrap_or_default().name;
    let instructions = request.instructions.clone();
    let response = if command.no_stream {
        synthesizer.synthesize(request).await?
    } else {
        watched(&synthesizer, request).await?
    };
    provenance::of_answer(command, &agent, &instructions, &response)?;
    match args.output {
        Output::Json => write(&pretty(&json::synthesized(&response)))?,
        Output::Human => {
            write(response.code.as_bytes())?;
            separate();
            tell(&report::synthesized(&response));
        }
    }
    Ok(if response.code.is_empty() {
        Exit::Invalid
    } else {
        Exit::Done
    })
}

/// Synthesizes and shows how far it is.
async fn watched(
    synthesizer: &Synthesizer,
    request: SynthesizeRequest,
) -> Result<SynthesizeResponse, CallError> {
    let screen = screen();
    let mut progress = Progress::new(screen);
    let started = Instant::now();
    let watch = |sight: Sight<'_>| {
        let update = match sight {
            Sight::Event(event) => progress.event(event, started.elapsed()),
            Sight::Tick => Update {
                lines: None,
                line: progress.line(started.elapsed()),
            },
        };
        show(&update);
    };
    let answer = synthesizer.synthesize_stream(request, watch).await;
    if screen == Screen::Terminal {
        tell_raw(CLEAR);
    }
    answer
}

fn screen() -> Screen {
    // What calls itself dumb cannot clear a line.
    let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
    if io::stderr().is_terminal() && !is_dumb {
        Screen::Terminal
    } else {
        Screen::Log
    }
}

fn show(update: &Update) {
    if update.line.is_some() {
        tell_raw(CLEAR);
    }
    tell(update.lines.as_deref().unwrap_or_default());
    tell_raw(update.line.as_deref().unwrap_or_default());
}

async fn validate(args: &Args, command: &ValidateArgs) -> Result<Exit, Failure> {
    let request = input::validate(command)?;
    let code = String::from_utf8_lossy(&request.code).into_owned();
    let response = synthesizer(args).await?.validate(request).await?;
    match args.output {
        Output::Json => write(&pretty(&json::validated(&response)))?,
        Output::Human => tell(&report::validated(
            &response,
            &input::name(&command.file),
            &code,
        )),
    }
    Ok(if response.valid {
        Exit::Done
    } else {
        Exit::Invalid
    })
}

async fn distill(args: &Args, command: &DistillArgs) -> Result<Exit, Failure> {
    let request = input::distill(command)?;
    let response = synthesizer(args).await?.distill(request).await?;
    match args.output {
        Output::Json => write(&pretty(&json::distilled(&response)))?,
        Output::Human => {
            write(format!("{}\n", response.distilled_prompt.trim_end()).as_bytes())?;
            tell(&report::distilled(&response));
        }
    }
    Ok(Exit::Done)
}

fn verify(command: &VerifyArgs) -> Result<Exit, Failure> {
    tell(&provenance::of_files(command)?);
    Ok(Exit::Done)
}

/// The manual page of the program, or of one command.
fn page(command: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut program = Args::command();
    program.build();
    let found = match command {
        None => program,
        Some(name) => program.find_subcommand(name).cloned().ok_or_else(|| {
            Failure::Usage(format!("unknown command {name}; see langop-synth --help"))
        })?,
    };
    let mut page = Vec::new();
    Man::new(found).render(&mut page).map_err(Failure::Write)?;
    Ok(page)
}

fn pretty(answer: &Value) -> Vec<u8> {
    format!("{answer:#}\n").into_bytes()
}

/// The answer. A reader that has seen enough and left is no error.
fn write(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Write(error)),
        _ => Ok(()),
    }
}

/// Where both streams end on one screen, a blank line is between them.
fn separate() {
    if io::stdout().is_terminal() && io::stderr().is_terminal() {
        tell("\n");
    }
}

/// What people read, in colours where they are wanted. There is nowhere to say that it cannot be
/// written.
fn tell(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// What moves the cursor, which is no colour.
fn tell_raw(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
