//! How soon a change of a tool's port is in the env of all agents that use it; beside a bare client
//! that changes the tool and makes the very writes that the operator made, with the operator
//! stopped.

use std::{collections::BTreeSet, ops::Range, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
};
use langop_api::{LanguageAgent, LanguageTool};
use langop_integration_tests::{
    AuditEvent, FakeLlm, Filter, Mark, Reply, Synthesizer, USER_AGENT, wait,
};
use serde_json::json;

use crate::{
    env::BenchEnv,
    figures::{Figures, progress},
    fleet::{self, CHANGING, Fleet, HANGING, USERS},
    replay,
    script::{self, Write},
};

/// Syntheses that hang.
const HANG: usize = 64;
/// For as many at once: one namespace never holds the last quarter of them.
const PLACES: &str = "96";
/// Long enough that none of them gives up while changes are measured.
const PATIENCE: &str = "2h";

/// Nothing else goes on.
pub(crate) async fn idle(
    env: &mut BenchEnv<'_>,
    fleet: &Fleet,
    changes: u16,
    figures: &mut Figures,
) -> Result<()> {
    progress(&format!(
        "changing a tool of {USERS} agents, {changes} times"
    ));
    let changing = Changing::of(fleet)?;
    let rounds = changing.by_operator(env, ports(9_000, changes)).await?;
    let ours = measured(rounds.iter().map(|round| round.milliseconds));
    figures.tool_changes = Some(ours.len());
    figures.tool_change_writes = rounds.iter().map(Round::len).max();
    figures.tool_change_p50_ms = Some(percentile(&ours, 50));
    figures.tool_change_p99_ms = Some(percentile(&ours, 99));

    env.operator.stop().await?;
    let bare = measured(changing.by_bare_client(env, &rounds).await?.into_iter());
    figures.tool_change_bare_p99_ms = Some(percentile(&bare, 99));
    env.operator.start_again().await?;
    env.all_looked_at(fleet).await?;
    // It tells of the bare client's last rollouts.
    env.settled(env.audit.mark()?, Duration::from_secs(3))
        .await?;
    Ok(())
}

/// Under another operator, all of whose places for syntheses are taken by an LLM that never
/// answers. Leaves no operator behind.
pub(crate) async fn while_64_hang(
    env: &mut BenchEnv<'_>,
    fleet: &Fleet,
    changes: u16,
    figures: &mut Figures,
) -> Result<()> {
    progress(&format!("{HANG} syntheses that hang"));
    let llm = FakeLlm::start().await?;
    hang(env, &llm).await?;
    progress(&format!(
        "changing a tool of {USERS} agents, {changes} times, while they hang"
    ));
    let changing = Changing::of(fleet)?;
    let rounds = changing.by_operator(env, ports(12_000, changes)).await?;
    let under_way = env.metric("langop_synthesis_in_flight", &[]).await?;
    #[expect(clippy::cast_precision_loss, reason = "64")]
    let all = HANG as f64;
    ensure!(under_way >= all, "only {under_way} syntheses still hang");
    let ours = measured(rounds.iter().map(|round| round.milliseconds));
    figures.tool_change_p50_ms_64_hanging = Some(percentile(&ours, 50));
    figures.tool_change_p99_ms_64_hanging = Some(percentile(&ours, 99));

    env.operator.stop().await?;
    let bare = measured(changing.by_bare_client(env, &rounds).await?.into_iter());
    figures.tool_change_bare_p99_ms_64_hanging = Some(percentile(&bare, 99));
    Ok(())
}

/// Starts an operator and has it begin as many syntheses, none of which ends.
async fn hang(env: &mut BenchEnv<'_>, llm: &FakeLlm) -> Result<()> {
    llm.reply_with(|_| Reply::Hang);
    env.operator.stop().await?;
    env.synthesizer = hanging_synthesizer(llm).await?;
    env.operator = env
        .another_operator()
        .env("LANGOP_SYNTHESIS_TIMEOUT", PATIENCE)
        .env("LANGOP_SYNTHESIS_CONCURRENCY", PLACES)
        .start()
        .await?;
    env.settled(env.audit.mark()?, Duration::from_secs(3))
        .await?;
    let agents =
        (0..HANG).map(|n| fleet::agent(HANGING, &format!("hanging-{n:02}"), ["mail", "files"]));
    fleet::create(&env.client, &agents.collect::<Result<Vec<_>>>()?, |_, _| ()).await?;
    wait::until("64 calls of the LLM", env.scale.soon(), async || {
        if llm.count() >= HANG {
            Ok(())
        } else {
            Err(llm.count())
        }
    })
    .await?;
    env.settled(env.audit.mark()?, Duration::from_secs(3))
        .await?;
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

/// One more than is measured: the first opens connections and fills caches, for whoever writes.
fn ports(first: u16, changes: u16) -> Range<u16> {
    first..first + changes + 1
}

/// Without the first, and sorted.
fn measured(milliseconds: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut measured: Vec<f64> = milliseconds.skip(1).collect();
    measured.sort_by(f64::total_cmp);
    measured
}

/// The tool that changes, and the agents that use it.
struct Changing {
    namespace: String,
    users: BTreeSet<String>,
}

/// One change of the operator's.
struct Round {
    port: u16,
    milliseconds: f64,
    /// What the operator wrote for it until the last agent had it, object by object.
    writes: Vec<Vec<Write>>,
}

impl Round {
    fn len(&self) -> usize {
        self.writes.iter().map(Vec::len).sum()
    }
}

impl Changing {
    fn of(fleet: &Fleet) -> Result<Self> {
        let first = fleet.users().first().context("no agents")?;
        Ok(Self {
            namespace: first.namespace().context("an agent of no namespace")?,
            users: fleet.users().iter().map(LanguageAgent::name_any).collect(),
        })
    }

    async fn by_operator(&self, env: &BenchEnv<'_>, ports: Range<u16>) -> Result<Vec<Round>> {
        let mut owners = self.users.clone();
        owners.insert(CHANGING.to_owned());
        let filter = env.operator.writes().namespace(&self.namespace);
        let mut rounds = Vec::new();
        for port in ports {
            let mark = env.audit.mark()?;
            let changed = self.change(env, mark, port).await?;
            let applied = self.applied(env, mark).await?;
            self.rolled_out(env, mark).await?;
            rounds.push(Round {
                port,
                milliseconds: milliseconds(changed, applied),
                writes: script::sequences(env.audit, mark, applied, &filter, &owners)?,
            });
        }
        Ok(rounds)
    }

    /// The same changes and writes in the operator's place, which must be stopped.
    async fn by_bare_client(&self, env: &BenchEnv<'_>, rounds: &[Round]) -> Result<Vec<f64>> {
        progress("a bare client makes the same changes and the same writes");
        let client = replay::client_of(&env.operator).await?;
        let mut times = Vec::new();
        for round in rounds {
            let mark = env.audit.mark()?;
            let changed = self.change(env, mark, round.port).await?;
            replay::all(&client, &round.writes).await?;
            let applied = self.applied(env, mark).await?;
            self.rolled_out(env, mark).await?;
            times.push(milliseconds(changed, applied));
        }
        Ok(times)
    }

    /// Changes the tool; when the API server answered.
    async fn change(&self, env: &BenchEnv<'_>, mark: Mark, port: u16) -> Result<Timestamp> {
        let client: Client = env.client.clone();
        let tools: Api<LanguageTool> = Api::namespaced(client, &self.namespace);
        let patch = Patch::Merge(json!({"spec": {"port": port}}));
        tools
            .patch(CHANGING, &PatchParams::default(), &patch)
            .await?;
        let ours = Filter::writes().user_agent(USER_AGENT);
        let writes = env.audit.writes_since(mark, &ours)?;
        let change = writes.iter().find(|event| event.name == CHANGING);
        Ok(change.context("the audit log lacks the change")?.at)
    }

    /// When the API server answered the last of the agents' Deployments, once it has.
    async fn applied(&self, env: &BenchEnv<'_>, mark: Mark) -> Result<Timestamp> {
        let filter = env.operator.writes().namespace(&self.namespace);
        wait::until(
            "the tool's new port in all its agents",
            env.scale.soon(),
            async || {
                let writes = env
                    .audit
                    .writes_since(mark, &filter)
                    .map_err(|error| error.to_string())?;
                all_applied(&writes, &self.users).ok_or_else(|| format!("{} writes", writes.len()))
            },
        )
        .await
    }

    /// Rollouts are part of the next change's quiet beginning, not of this one's time.
    async fn rolled_out(&self, env: &BenchEnv<'_>, mark: Mark) -> Result<()> {
        let everybody = Filter::writes().namespace(&self.namespace);
        let quiet = Duration::from_secs(1);
        env.audit
            .settle_within(mark, &everybody, quiet, env.scale.soon())
            .await?;
        Ok(())
    }
}

fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1e3
}

/// When the last of the agents' Deployments was first written, if all were. The log's order is not
/// quite that of its times.
fn all_applied(writes: &[AuditEvent], users: &BTreeSet<String>) -> Option<Timestamp> {
    let is_apply = |event: &&AuditEvent| {
        event.resource == "deployments" && event.subresource.is_empty() && event.code < 300
    };
    let applies: Vec<&AuditEvent> = writes.iter().filter(is_apply).collect();
    let first = |user: &String| {
        let of_user = applies.iter().filter(|event| event.name == *user);
        of_user.map(|event| event.at).min()
    };
    let times: Option<Vec<Timestamp>> = users.iter().map(first).collect();
    times?.into_iter().max()
}

/// The nearest rank of a sorted list: of fewer than 100 values, the 99th percentile is the
/// greatest.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::{measured, percentile};

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert!((percentile(&values, 99) - 198.0).abs() < f64::EPSILON);
        assert!((percentile(&values[..20], 99) - 20.0).abs() < f64::EPSILON);
        assert!((percentile(&values[..20], 50) - 10.0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_first_of_all_is_not_measured() {
        assert_eq!(measured([900.0, 3.0, 1.0].into_iter()), [1.0, 3.0]);
    }
}
