//! Reads what waits, and writes a person's answer: two annotations, in the own name.

use clap::Args;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use langop_api::{LanguageAgent, names::annotations};
use serde_json::{Value, json};

use super::{
    text,
    waiting::{Waiting, requested, waiting},
};
use crate::{
    answer::Answer,
    code::command::unreadable,
    facts::decode,
    failure::{Exit, Failure},
    kind::Kind,
    ui::ask,
    world::{FIELD_MANAGER, World},
};

/// What `preview` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct PreviewArgs {
    /// The agent
    pub(crate) agent: String,
}

/// What `approve` and `reject` take.
#[derive(Clone, Debug, Args)]
pub(crate) struct DecideArgs {
    /// The agent
    pub(crate) agent: String,
    /// Does not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// A person's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Approve,
    Reject,
}

impl Decision {
    const fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }

    /// The annotations that say so, and those that say the contrary.
    const fn annotations(self) -> [[&'static str; 2]; 2] {
        let approved = [annotations::APPROVED_POWERS, annotations::APPROVED_BY];
        let rejected = [annotations::REJECTED_POWERS, annotations::REJECTED_BY];
        match self {
            Self::Approve => [approved, rejected],
            Self::Reject => [rejected, approved],
        }
    }
}

/// Shows what would change.
pub(crate) async fn preview(world: &World, args: &PreviewArgs) -> Result<Answer, Failure> {
    let Some(waiting) = read(world, &args.agent).await? else {
        return Ok(Answer::fine(format!(
            "nothing of agent '{}' waits for approval\n",
            args.agent
        )));
    };
    Ok(Answer {
        exit: Exit::Wrong,
        ..Answer::fine(text::preview(&args.agent, &waiting))
    })
}

/// Writes the answer, after a look at what it is about.
pub(crate) async fn decide(
    world: &World,
    args: &DecideArgs,
    decision: Decision,
) -> Result<Answer, Failure> {
    let agent = &args.agent;
    let Some(waiting) = read(world, agent).await? else {
        return Err(Failure::told(
            format!("nothing of agent '{agent}' waits for approval"),
            format!("`kubectl langop why {agent}` says how it stands"),
        ));
    };
    let preview = text::preview(agent, &waiting);
    let question = format!("{preview}\n{}?", decision.verb());
    let help = "look at it by `kubectl langop preview`, and then add --yes";
    if !args.yes && !ask::is_confirmed(&question, help)? {
        return Ok(Answer {
            exit: Exit::Wrong,
            ..Answer::fine("nothing was written\n")
        });
    }
    let user = world.user().await?;
    write(world, agent, &waiting, decision, &user).await?;
    let done = match decision {
        Decision::Approve => "approved",
        Decision::Reject => "rejected",
    };
    let mut answer = Answer::fine(format!("{done} by '{user}': agent '{agent}'\n"));
    if args.yes {
        answer.notes = preview;
    }
    Ok(answer)
}

async fn read(world: &World, name: &str) -> Result<Option<Waiting>, Failure> {
    let object = world.get(Kind::Agent, name).await?;
    let agent: LanguageAgent = decode(&object).map_err(|why| unreadable(name, &why))?;
    let approval = agent
        .status
        .as_ref()
        .and_then(|status| status.approval.as_ref());
    let (Some(approval), Some(requested)) = (approval, requested(&agent)) else {
        return Ok(None);
    };
    let act = format!("read the code of agent '{name}'");
    let map = world.typed::<ConfigMap>().get(&requested.config_map).await;
    let map = map.map_err(|error| Failure::of_call(act, &error))?;
    let found = waiting(approval, requested, &map);
    found.map(Some).map_err(|why| {
        Failure::told(
            format!("what waits of agent '{name}' cannot be told: {why}"),
            "try again in a moment",
        )
    })
}

async fn write(
    world: &World,
    agent: &str,
    waiting: &Waiting,
    decision: Decision,
    user: &str,
) -> Result<(), Failure> {
    let [[powers, by], contrary] = decision.annotations();
    let mut notes = json!({powers: waiting.hash, by: user});
    if decision == Decision::Approve && waiting.is_marked {
        for key in contrary {
            notes[key] = Value::Null;
        }
    }
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"metadata": {"annotations": notes}}));
    let maps = world.typed::<ConfigMap>();
    let written = maps.patch(&waiting.config_map, &params, &patch).await;
    let act = format!("{} what agent '{agent}' may do", decision.verb());
    written
        .map(drop)
        .map_err(|error| Failure::of_call(act, &error))
}
