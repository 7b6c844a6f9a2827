//! Reads the code of an agent, and the keys.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use langop_provenance::Keyring;

use super::{judge::judge, text};
use crate::{
    answer::Answer,
    code::command::stored,
    failure::{Exit, Failure},
    ui::format::{Output, structured},
    world::World,
};

/// What `verify` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The agent
    pub(crate) agent: String,
    /// PEM file with the public keys of the synthesizer; without it no signature is checked
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// A stored revision; the active one when absent
    #[arg(short, long, value_name = "NUMBER")]
    pub(crate) revision: Option<i64>,
    /// What the answer looks like
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Output,
}

/// Checks one revision.
pub(crate) async fn run(world: &World, args: &VerifyArgs) -> Result<Answer, Failure> {
    let keys = args.keys.as_deref().map(keys).transpose()?;
    let (agent, maps) = stored(world, &args.agent).await?;
    let judged = judge(&agent, &maps, args.revision, keys.as_ref())?;
    let structured = structured(args.output, &judged)?;
    let mut answer = Answer::fine(structured.unwrap_or_else(|| text::render(&judged)));
    if !judged.is_verified {
        answer.exit = Exit::Wrong;
    }
    Ok(answer)
}

fn keys(path: &Path) -> Result<Keyring, Failure> {
    let unusable = |why: &dyn std::fmt::Display| {
        Failure::told(
            format!("{} cannot be used: {why}", path.display()),
            "name a PEM file with the public keys that the operator has in LANGOP_PROVENANCE_KEYS",
        )
    };
    let pem = fs::read(path).map_err(|error| unusable(&error))?;
    Keyring::from_pem(&pem).map_err(|error| unusable(&error))
}
