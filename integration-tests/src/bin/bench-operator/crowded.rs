//! What one tenant can make the operator hold: as many tools as an agent may name, with the largest
//! schemas, and as many agents that name all of them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{Api, ResourceExt as _, api::DynamicObject};
use langop_api::{LanguageAgent, condition::types};
use langop_integration_tests::{ControlPlane, TestNamespace, manifests, processes, wait};
use serde_json::json;

use crate::{
    env::{BenchEnv, Build},
    figures::{Figures, progress},
    fleet,
    scale::Scale,
};

/// Tools, operations of each, and agents.
const MANY: usize = 64;
/// Near the 16 KiB that an operation's schema may have: with 64 of them a tool is as large as the
/// API server takes.
const SCHEMA: usize = 16_000;
const CROWDED: &str = "bench-crowded";

/// After everything else, because what it leaves behind is large.
pub(crate) async fn measure(
    cp: &ControlPlane,
    scale: Scale,
    build: &Build,
    figures: &mut Figures,
) -> Result<()> {
    // An operator of its own: what another one has held before is not measured.
    let mut env = BenchEnv::start(cp, scale, build).await?;
    progress(&format!(
        "{MANY} tools of {MANY} operations with {SCHEMA} bytes of schema each, and {MANY} agents that name all"
    ));
    TestNamespace::create_with(
        cp,
        CROWDED,
        &[("pod-security.kubernetes.io/enforce", "restricted")],
    )
    .await?;
    let names: Vec<String> = (0..MANY).map(|n| format!("tool-{n:02}")).collect();
    stream::iter(&names)
        .map(Ok)
        .try_for_each_concurrent(4, async |name: &String| {
            manifests::apply(&env.client, &tool(name)?, CROWDED)
                .await
                .map(|_| ())
        })
        .await?;
    let agents: Vec<LanguageAgent> = (0..MANY).map(|n| agent(n, &names)).collect::<Result<_>>()?;
    fleet::create(&env.client, &agents, |_, _| ()).await?;
    let api: Api<LanguageAgent> = Api::namespaced(env.client.clone(), CROWDED);
    // Each of them is as much work as hundreds of others.
    let within = env.scale.soon() * 4;
    for agent in &agents {
        let is_told = |agent: &LanguageAgent| {
            let conditions = agent.status.iter().flat_map(|status| &status.conditions);
            conditions
                .into_iter()
                .any(|condition| condition.type_ == types::SYNTHESIZED)
        };
        wait::object(api.clone(), &agent.name_any(), within, is_told).await?;
    }
    env.settled(env.audit.mark()?, Duration::from_secs(5))
        .await?;
    let (rss, peak) = processes::memory_mib(env.operator.pid())?;
    (figures.crowded_rss_mib, figures.crowded_rss_peak_mib) = (Some(rss), Some(peak));
    env.operator.stop().await
}

fn tool(name: &str) -> Result<DynamicObject> {
    let operations: Vec<_> = (0..MANY)
        .map(|n| json!({"name": format!("operation-{n}"), "inputSchema": {"type": "object", "description": "s".repeat(SCHEMA)}}))
        .collect();
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool", "metadata": {"name": name},
        "spec": {"image": "registry.example/tool:1", "operations": operations},
    }))
    .context("no LanguageTool")
}

fn agent(n: usize, tools: &[String]) -> Result<LanguageAgent> {
    let refs: Vec<_> = tools.iter().map(|name| json!({"name": name})).collect();
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
        "metadata": {"name": format!("crowd-{n:02}"), "namespace": CROWDED},
        "spec": {"instructions": format!("Look after folder {n}"), "toolRefs": refs},
    }))
    .context("no LanguageAgent")
}
