//! `langop-synth`: a synthesizer from the command line. Owns the process: arguments, streams and the exit code.
//!
//! `input` makes requests, `call` sends them, `report`, `diagnostics`, `json` and `failure` say what came of it; only this file
//! prints. No LLM and no Kubernetes: everything is behind the synthesizer.

mod args;
mod call;
mod credentials;
mod diagnostics;
mod failure;
mod input;
mod json;
mod report;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use serde_json::Value;

use args::{Args, Command, DistillArgs, Output, SynthesizeArgs, ValidateArgs};
use call::Connection;
use failure::{Exit, Failure};

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
    }
}

async fn synthesize(args: &Args, command: &SynthesizeArgs) -> Result<Exit, Failure> {
    let request = input::synthesize(command)?;
    let mut connection = Connection::open(args).await?;
    let response = if command.no_stream {
        connection.synthesize(request).await?
    } else {
        let show = |event: &_| report::progress(event).iter().for_each(|line| tell(line));
        connection.synthesize_stream(request, show).await?
    };
    match args.output {
        Output::Json => write(&pretty(&json::synthesized(&response)))?,
        Output::Human => {
            write(&response.code)?;
            tell(&report::synthesized(&response, &command.name));
        }
    }
    Ok(if response.code.is_empty() {
        Exit::Invalid
    } else {
        Exit::Done
    })
}

async fn validate(args: &Args, command: &ValidateArgs) -> Result<Exit, Failure> {
    let request = input::validate(command)?;
    let code = String::from_utf8_lossy(&request.code).into_owned();
    let response = Connection::open(args).await?.validate(request).await?;
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
    let response = Connection::open(args).await?.distill(request).await?;
    match args.output {
        Output::Json => write(&pretty(&json::distilled(&response)))?,
        Output::Human => {
            write(&format!("{}\n", response.distilled_prompt.trim_end()))?;
            tell(&report::distilled(&response));
        }
    }
    Ok(Exit::Done)
}

fn pretty(answer: &Value) -> String {
    format!("{answer:#}\n")
}

/// The answer. A reader that has seen enough and left is no error.
fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Write(error)),
        _ => Ok(()),
    }
}

/// What people read. There is nowhere to say that it cannot be written.
fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
