//! What one agent costs that comes alone: the operator's writes, events included, until it has
//! settled.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, PostParams},
};
use langop_api::LanguageAgent;
use langop_integration_tests::{audit, wait};
use serde_json::json;

use crate::{
    bring_up::is_ready,
    env::BenchEnv,
    figures::{detail, progress},
    fleet::{self, ALONE},
    script::Script,
};

/// Agents that are measured, one after the other.
const AGENTS: usize = 5;

/// Whether they have a workspace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workspace {
    With,
    Without,
}

impl Workspace {
    const fn as_str(self) -> &'static str {
        match self {
            Self::With => "with",
            Self::Without => "without",
        }
    }
}

/// The most that one of a few agents took, and what was written for them.
pub(crate) async fn measure(env: &BenchEnv<'_>, workspace: Workspace) -> Result<(usize, Script)> {
    progress(&format!(
        "writes for one autonomous agent, {} workspace, {AGENTS} times",
        workspace.as_str()
    ));
    let begun = env.audit.mark()?;
    let agents = agents(workspace)?;
    let (mut uids, mut most) = (Vec::new(), Vec::new());
    for agent in &agents {
        let mark = env.audit.mark()?;
        let made = api(env).create(&PostParams::default(), agent).await?;
        uids.push(made.uid().context("an agent without uid")?);
        wait::object(api(env), &agent.name_any(), env.scale.soon(), is_ready).await?;
        let writes = env.settled(mark, Duration::from_secs(3)).await?;
        if writes.len() > most.len() {
            most = writes;
        }
    }
    detail(&audit::pretty(&most));
    let script = Script::record(env.audit, begun, env.operator.user(), &agents, &uids)?;
    remove(env, &agents).await?;
    Ok((most.len(), script))
}

fn agents(workspace: Workspace) -> Result<Vec<LanguageAgent>> {
    let agent = |n| {
        let mut agent = fleet::agent(
            ALONE,
            &format!("{}-{n}", workspace.as_str()),
            ["mail", "files"],
        )?;
        if workspace == Workspace::With {
            // All of its fields have defaults.
            agent.spec.workspace = Some(serde_json::from_value(json!({}))?);
        }
        Ok(agent)
    };
    (0..AGENTS).map(agent).collect()
}

/// They are not among those that the other measurements count.
async fn remove(env: &BenchEnv<'_>, agents: &[LanguageAgent]) -> Result<()> {
    for agent in agents {
        api(env)
            .delete(&agent.name_any(), &DeleteParams::default())
            .await?;
    }
    for agent in agents {
        let deployments: Api<Deployment> = Api::namespaced(env.client.clone(), ALONE);
        wait::gone(deployments, &agent.name_any(), env.scale.soon()).await?;
    }
    env.settled(env.audit.mark()?, Duration::from_secs(3))
        .await?;
    Ok(())
}

fn api(env: &BenchEnv<'_>) -> Api<LanguageAgent> {
    Api::namespaced(env.client.clone(), ALONE)
}
