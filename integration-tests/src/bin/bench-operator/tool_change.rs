//! How soon a change of a tool's port is in the env of all agents that use it.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use langop_api::{LanguageAgent, LanguageTool};
use langop_integration_tests::{AuditEvent, FakeLlm, Filter, Reply, Synthesizer, USER_AGENT, wait};
use serde_json::json;

use crate::{
    env::{self, BenchEnv, SOON},
    figures::{Figures, progress},
    fleet::{self, CHANGING, Fleet, HANGING, USERS},
};

/// Syntheses that hang.
const HANG: usize = 64;
/// For as many at once: one namespace never holds the last quarter of them.
const PLACES: &str = "96";
/// Long enough that none of them gives up while changes are measured.
const PATIENCE: &str = "2h";

/// Nothing else goes on.
pub(crate) async fn idle(
    env: &BenchEnv<'_>,
    fleet: &Fleet,
    changes: u16,
    figures: &mut Figures,
) -> Result<()> {
    progress(&format!(
        "changing a tool of {USERS} agents, {changes} times"
    ));
    let times = measure(env, fleet, 9_000..9_000 + changes).await?;
    figures.tool_changes = Some(times.len());
    figures.tool_change_p50_ms = Some(percentile(&times, 50));
    figures.tool_change_p99_ms = Some(percentile(&times, 99));
    Ok(())
}

/// Under another operator, all of whose places for syntheses are taken by an LLM that never
/// answers.
pub(crate) async fn while_64_hang(
    env: &mut BenchEnv<'_>,
    fleet: &Fleet,
    changes: u16,
    figures: &mut Figures,
) -> Result<()> {
    progress(&format!("{HANG} syntheses that hang"));
    let llm = FakeLlm::start().await?;
    llm.reply_with(|_| Reply::Hang);
    env.operator.stop().await?;
    env.synthesizer = hanging_synthesizer(&llm).await?;
    env.operator = env::operator(env.cp, &env.synthesizer)
        .env("LANGOP_SYNTHESIS_TIMEOUT", PATIENCE)
        .env("LANGOP_SYNTHESIS_CONCURRENCY", PLACES)
        .start()
        .await?;
    env.settled(env.audit.mark()?, Duration::from_secs(3))
        .await?;
    let agents =
        (0..HANG).map(|n| fleet::agent(HANGING, &format!("hanging-{n:02}"), ["mail", "files"]));
    fleet::create(&env.client, &agents.collect::<Result<Vec<_>>>()?, |_, _| ()).await?;
    wait::until("64 calls of the LLM", SOON, async || {
        if llm.count() >= HANG {
            Ok(())
        } else {
            Err(llm.count())
        }
    })
    .await?;
    env.settled(env.audit.mark()?, Duration::from_secs(3))
        .await?;

    progress(&format!(
        "changing a tool of {USERS} agents, {changes} times, while they hang"
    ));
    let times = measure(env, fleet, 12_000..12_000 + changes).await?;
    let under_way = env.metric("langop_synthesis_in_flight", &[]).await?;
    #[expect(clippy::cast_precision_loss, reason = "64")]
    let all = HANG as f64;
    ensure!(under_way >= all, "only {under_way} syntheses still hang");
    figures.tool_change_p50_ms_64_hanging = Some(percentile(&times, 50));
    figures.tool_change_p99_ms_64_hanging = Some(percentile(&times, 99));
    Ok(())
}

async fn hanging_synthesizer(llm: &FakeLlm) -> Result<Synthesizer> {
    Synthesizer::asking(llm)
        .env("LANGOP_MAX_LLM_REQUESTS", PLACES)
        .env("LANGOP_REQUEST_TIMEOUT", PATIENCE)
        .env("LANGOP_MAX_CONNECTION_AGE", PATIENCE)
        .start()
        .await
}

/// Milliseconds of each change, sorted.
async fn measure(
    env: &BenchEnv<'_>,
    fleet: &Fleet,
    ports: std::ops::Range<u16>,
) -> Result<Vec<f64>> {
    let namespace = fleet
        .users()
        .first()
        .and_then(kube::ResourceExt::namespace)
        .context("no agents")?;
    let users: BTreeSet<String> = fleet.users().iter().map(LanguageAgent::name_any).collect();
    let mut times = Vec::new();
    for port in ports {
        times.push(change(env, &namespace, &users, port).await?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// From the API server's answer to the change, to its answer to the operator's last write of an
/// agent's Deployment.
async fn change(
    env: &BenchEnv<'_>,
    namespace: &str,
    users: &BTreeSet<String>,
    port: u16,
) -> Result<f64> {
    let mark = env.audit.mark()?;
    let tools: Api<LanguageTool> = Api::namespaced(env.client.clone(), namespace);
    tools
        .patch(
            CHANGING,
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"port": port}})),
        )
        .await?;
    let ours = Filter::writes().user_agent(USER_AGENT);
    let changed = env
        .audit
        .writes_since(mark, &ours)?
        .first()
        .context("the audit log lacks the change")?
        .at;
    let applied = wait::until("the tool's new port in all its agents", SOON, async || {
        let writes = env
            .audit
            .writes_since(mark, &env.operator.writes().namespace(namespace))
            .map_err(|error| error.to_string())?;
        all_applied(&writes, users).ok_or_else(|| format!("{} writes", writes.len()))
    })
    .await?;
    // The rollouts are part of the next change's quiet beginning, not of this one's time.
    env.settled(mark, Duration::from_secs(1)).await?;
    Ok(applied.duration_since(changed).as_secs_f64() * 1e3)
}

/// When the last of the agents' Deployments was first written, if all were.
fn all_applied(writes: &[AuditEvent], users: &BTreeSet<String>) -> Option<Timestamp> {
    let mut missing = users.clone();
    let is_apply = |event: &AuditEvent| {
        event.resource == "deployments" && event.subresource.is_empty() && event.code < 300
    };
    writes
        .iter()
        .filter(|event| is_apply(event))
        .find(|event| missing.remove(&event.name) && missing.is_empty())
        .map(|event| event.at)
}

/// The nearest rank of a sorted list: of fewer than 100 values, the 99th percentile is the
/// greatest.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert!((percentile(&values, 99) - 198.0).abs() < f64::EPSILON);
        assert!((percentile(&values[..20], 99) - 20.0).abs() < f64::EPSILON);
        assert!((percentile(&values[..20], 50) - 10.0).abs() < f64::EPSILON);
    }
}
