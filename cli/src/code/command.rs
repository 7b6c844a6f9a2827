//! Reads the revisions of an agent, and pins one.

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{api::ListParams, core::ApiResource};
use langop_api::{LanguageAgent, names::labels};
use serde_json::json;

use super::{
    stored::{Revision, revisions},
    text,
};
use crate::{
    answer::Answer,
    facts::{Read, decode},
    failure::Failure,
    kind::Kind,
    ui::format::{Output, structured},
    world::World,
};

/// What `code` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct CodeArgs {
    /// The agent
    pub(crate) agent: String,
    /// A stored revision; the active one when absent
    #[arg(short, long, value_name = "NUMBER")]
    pub(crate) revision: Option<i64>,
}

/// What `revisions` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct RevisionsArgs {
    /// The agent
    pub(crate) agent: String,
    /// What the answer looks like
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Output,
}

/// What `diff` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct DiffArgs {
    /// The agent
    pub(crate) agent: String,
    /// The older revision
    #[arg(value_name = "A")]
    pub(crate) old: i64,
    /// The newer one; the active one when absent
    #[arg(value_name = "B")]
    pub(crate) new: Option<i64>,
}

/// What `pin` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct PinArgs {
    /// The agent
    pub(crate) agent: String,
    /// The stored revision to run until further notice
    pub(crate) revision: i64,
}

/// What `unpin` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct UnpinArgs {
    /// The agent
    pub(crate) agent: String,
}

/// Shows code on standard output, and whose it is beside it.
pub(crate) async fn code(world: &World, args: &CodeArgs) -> Result<Answer, Failure> {
    let stored = read(world, &args.agent).await?;
    let revision = chosen(&args.agent, &stored, args.revision)?;
    let mut answer = Answer::fine(revision.code.clone());
    answer.notes = text::head(revision);
    Ok(answer)
}

/// Lists them.
pub(crate) async fn list(world: &World, args: &RevisionsArgs) -> Result<Answer, Failure> {
    let stored = read(world, &args.agent).await?;
    if args.output == Output::Name {
        let names: Vec<String> = stored
            .iter()
            .map(|revision| format!("configmap/{}\n", revision.config_map))
            .collect();
        return Ok(Answer::fine(names.concat()));
    }
    let structured = structured(args.output, &stored)?;
    let mut answer =
        Answer::fine(structured.unwrap_or_else(|| text::table(&stored, Timestamp::now())));
    if stored.is_empty() {
        answer.notes = format!("agent '{}' has no stored code yet\n", args.agent);
    }
    Ok(answer)
}

/// Compares two.
pub(crate) async fn diff(world: &World, args: &DiffArgs) -> Result<Answer, Failure> {
    let stored = read(world, &args.agent).await?;
    let old = chosen(&args.agent, &stored, Some(args.old))?;
    let new = chosen(&args.agent, &stored, args.new)?;
    Ok(Answer::fine(text::difference(old, new)))
}

/// Has a stored revision run until further notice.
pub(crate) async fn pin(world: &World, args: &PinArgs) -> Result<Answer, Failure> {
    let stored = read(world, &args.agent).await?;
    chosen(&args.agent, &stored, Some(args.revision))?;
    let patch = json!({"spec": {"synthesis": {"revision": args.revision}}});
    world.patch(Kind::Agent, &args.agent, &patch).await?;
    Ok(Answer::fine(format!(
        "agent '{}' is pinned to revision {}: nothing is synthesized until it is unpinned\n",
        args.agent, args.revision
    )))
}

/// Lets the newest run again.
pub(crate) async fn unpin(world: &World, args: &UnpinArgs) -> Result<Answer, Failure> {
    let patch = json!({"spec": {"synthesis": {"revision": null}}});
    world.patch(Kind::Agent, &args.agent, &patch).await?;
    Ok(Answer::fine(format!(
        "agent '{}' is not pinned: the code of its instructions runs\n",
        args.agent
    )))
}

async fn read(world: &World, name: &str) -> Result<Vec<Revision>, Failure> {
    let (agent, maps) = stored(world, name).await?;
    Ok(revisions(&agent, &maps))
}

/// An agent, and the ConfigMaps that may be its code.
pub(crate) async fn stored(
    world: &World,
    name: &str,
) -> Result<(LanguageAgent, Vec<ConfigMap>), Failure> {
    let object = world.get(Kind::Agent, name).await?;
    let agent: LanguageAgent = decode(&object).map_err(|why| unreadable(name, &why))?;
    let ours = ListParams::default().labels(&format!("{}={name}", labels::AGENT));
    let maps = world
        .select(&ApiResource::erase::<ConfigMap>(&()), false, &ours)
        .await?;
    match maps {
        Read::Got(maps) => {
            let maps = maps.iter().filter_map(|map| decode(map).ok()).collect();
            Ok((agent, maps))
        }
        Read::Denied(said) => Err(Failure::Forbidden {
            act: format!("read the code of agent '{name}'"),
            said,
        }),
    }
}

/// Of an agent that cannot be decoded.
pub(crate) fn unreadable(name: &str, why: &str) -> Failure {
    Failure::told(
        format!("agent '{name}' cannot be read: {why}"),
        format!("correct it by `kubectl edit lagent {name}`"),
    )
}

/// The revision of this number, else the active one.
pub(crate) fn chosen<'a>(
    agent: &str,
    stored: &'a [Revision],
    number: Option<i64>,
) -> Result<&'a Revision, Failure> {
    let found = match number {
        Some(number) => stored.iter().find(|one| one.number == Some(number)),
        None => stored.iter().find(|one| one.is_active),
    };
    found.ok_or_else(|| {
        let numbers: Vec<String> = stored
            .iter()
            .filter_map(|one| one.number)
            .map(|number| number.to_string())
            .collect();
        let help = match &numbers[..] {
            [] => format!("`kubectl langop why {agent}` says why there is no code"),
            numbers => format!("stored: {}", numbers.join(", ")),
        };
        match number {
            Some(number) => Failure::told(
                format!("revision {number} of agent '{agent}' is not stored"),
                help,
            ),
            None => Failure::told(format!("agent '{agent}' has no active code"), help),
        }
    })
}
