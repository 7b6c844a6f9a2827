//! Asks, has the manifest judged, and writes it. Asks no cluster.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use jiff::Timestamp;

use super::{
    draft::{Draft, Judged},
    questions::{answered, missing},
};
use crate::{answer::Answer, failure::Failure, ui::ask};

/// The file that is standard output.
const STDOUT: &str = "-";

/// What `new` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct NewArgs {
    /// Name of the agent
    pub(crate) name: Option<String>,
    /// What it should do, and when, in plain language
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) instructions: Option<String>,
    /// Five-field cron expression; wins over what the instructions say
    #[arg(long, value_name = "CRON")]
    pub(crate) schedule: Option<String>,
    /// IANA name of its time zone, for example Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// A LanguageModel that it may ask; several by repeating the flag
    #[arg(long = "model", value_name = "NAME")]
    pub(crate) models: Vec<String>,
    /// A LanguageTool that it may call; several by repeating the flag
    #[arg(long = "tool", value_name = "NAME")]
    pub(crate) tools: Vec<String>,
    /// The LanguagePersona that it is
    #[arg(long, value_name = "NAME")]
    pub(crate) persona: Option<String>,
    /// Where it is written; NAME.yaml when absent, and - is standard output
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Replaces the file if there is one
    #[arg(long)]
    pub(crate) force: bool,
}

/// Writes a manifest that `lint` accepts. Whoever names what is required by flags is asked nothing.
pub(crate) fn run(args: &NewArgs, namespace: Option<&str>) -> Result<Answer, Failure> {
    let now = Timestamp::now();
    let mut draft = draft(args, namespace);
    let missing = missing(&draft);
    if !missing.is_empty() {
        if !ask::is_anybody_there() {
            return Err(unasked(&missing));
        }
        // Nobody is to answer questions in vain.
        if let Some(file) = occupied(args, &draft) {
            return Err(taken(&file));
        }
        let refused = |draft: &Draft| occupied(args, draft).map(|file| taken(&file).to_string());
        draft = answered(draft, ask::line, refused, now)?;
    }
    let judged = draft.accepted(now)?;
    write(args, &draft, judged)
}

fn draft(args: &NewArgs, namespace: Option<&str>) -> Draft {
    Draft {
        name: args.name.clone(),
        namespace: namespace.map(str::to_owned),
        instructions: args.instructions.clone(),
        schedule: args.schedule.clone(),
        time_zone: args.time_zone.clone(),
        models: args.models.clone(),
        tools: args.tools.clone(),
        persona: args.persona.clone(),
    }
}

fn unasked(missing: &[&str]) -> Failure {
    Failure::told(
        "there is no terminal to ask at, and not all is said that an agent needs",
        format!("write {}", missing.join(" and ")),
    )
}

fn file(args: &NewArgs, draft: &Draft) -> Option<PathBuf> {
    let name = draft.name.as_ref();
    args.file
        .clone()
        .or_else(|| Some(format!("{}.yaml", name?).into()))
}

/// The file, if there is one that must stay.
fn occupied(args: &NewArgs, draft: &Draft) -> Option<PathBuf> {
    let file = file(args, draft)?;
    (!args.force && file != Path::new(STDOUT) && file.exists()).then_some(file)
}

fn taken(file: &Path) -> Failure {
    Failure::told(
        format!("there is a file {} already", file.display()),
        "name another by -f, or write --force to replace it",
    )
}

fn write(args: &NewArgs, draft: &Draft, judged: Judged) -> Result<Answer, Failure> {
    let Judged { yaml, notes, .. } = judged;
    let notes = notes.into_iter().map(|note| format!("note: {note}\n"));
    let notes: String = notes.collect();
    let file = file(args, draft).unwrap_or_else(|| STDOUT.into());
    let text = if file == Path::new(STDOUT) {
        yaml
    } else {
        save(&file, &yaml, args.force)?;
        let file = file.display();
        format!("wrote {file}\napply it by: kubectl apply -f {file}\n")
    };
    Ok(Answer {
        notes,
        ..Answer::fine(text)
    })
}

/// A file that is there is never replaced unasked, not even one that has just been made.
fn save(file: &Path, yaml: &str, is_forced: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true);
    if is_forced {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let written = options
        .open(file)
        .and_then(|mut opened| opened.write_all(yaml.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(file),
        _ => Failure::told(
            format!("{} cannot be written: {error}", file.display()),
            "name another file by -f",
        ),
    })
}
