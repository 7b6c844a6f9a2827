//! More changes at once than an LLM can follow: the instructions of all agents change, a synthesis
//! takes two seconds, and sixteen are made at a time. Who has ten agents shares that with one who
//! has all others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use langop_api::{LanguageAgent, condition::types};
use langop_integration_tests::{ControlPlane, FakeLlm, Reply, Synthesizer, processes, wait};
use serde_json::json;

use crate::{
    bring_up,
    env::{BenchEnv, Build},
    figures::{Figures, progress},
    fleet::{self, FEW, Fleet},
    scale::Scale,
};

/// How long the LLM takes for each answer.
const LATENCY: Duration = Duration::from_secs(2);
/// Requests to the LLM, and syntheses of the operator, at a time.
const PLACES: usize = 16;
/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(250);

/// Brings up all agents with code of an earlier time, and changes them.
pub(crate) async fn measure(
    cp: &ControlPlane,
    scale: Scale,
    build: &Build,
    figures: &mut Figures,
) -> Result<()> {
    let fleet = Fleet::unequal(scale)?;
    figures.prepared = Some(fleet.prepared());
    fleet.prepare(cp).await?;
    let mut env = BenchEnv::start(cp, scale, build).await?;
    env.services_run(&fleet).await?;
    bring_up::run(&env, &fleet).await?;

    let llm = slow_llm().await?;
    env.operator.stop().await?;
    env.synthesizer = slow_synthesizer(&llm).await?;
    env.operator = env
        .another_operator()
        .env("LANGOP_SYNTHESIS_CONCURRENCY", &PLACES.to_string())
        .start()
        .await?;
    env.all_looked_at(&fleet).await?;
    env.settled(env.audit.mark()?, Duration::from_secs(3))
        .await?;
    figures.overload_rss_before_mib = Some(processes::memory_mib(env.operator.pid())?.0);

    progress(&format!(
        "changing the instructions of {} agents, {PLACES} syntheses of {} s at a time",
        scale.agents,
        LATENCY.as_secs()
    ));
    let begun = Instant::now();
    change(&env, fleet.agents()).await?;
    let changed = Instant::now();
    figures.overload_changed_seconds = Some(begun.elapsed().as_secs_f64());
    few_are_ready(&env, &fleet).await?;
    figures.overload_few_seconds = Some(changed.elapsed().as_secs_f64());
    no_reconcile_waits(&env).await?;
    figures.overload_told = Some(count(&env, is_told).await?);
    let all = fleet.agents().len();
    env.until_counted("have new code", all, LOOK * 8, async |env| {
        // Whole prompts; how many there were is not asked.
        llm.forget();
        let made = [("outcome", "generated")];
        env.metric("langop_synthesis_duration_seconds_count", &made)
            .await
    })
    .await?;
    env.settled(env.audit.mark()?, Duration::from_secs(5))
        .await?;
    figures.overload_all_seconds = Some(begun.elapsed().as_secs_f64());
    figures.overload_lost = Some(all - count(&env, has_new_code).await?);
    figures.overload_rss_peak_mib = Some(processes::memory_mib(env.operator.pid())?.1);
    figures.overload_synthesizer_peak_mib = Some(processes::memory_mib(env.synthesizer.pid())?.1);
    env.operator.stop().await
}

/// Each answer is other code than all before.
async fn slow_llm() -> Result<FakeLlm> {
    let llm = FakeLlm::start().await?;
    let number = Arc::new(AtomicUsize::new(0));
    llm.reply_with(move |_| {
        let n = number.fetch_add(1, Ordering::Relaxed);
        let code = format!(
            "require 'language_operator'\n\nagent 'agent' do\n  description 'Made under load, {n}'\n\n  objectives [\n    \"Look after everything\"\n  ]\nend\n"
        );
        Reply::Slow(LATENCY, Box::new(Reply::Code(code)))
    });
    Ok(llm)
}

async fn slow_synthesizer(llm: &FakeLlm) -> Result<Synthesizer> {
    Synthesizer::asking(llm)
        .env("LANGOP_MAX_LLM_REQUESTS", &PLACES.to_string())
        .env("LANGOP_CALLER_REQUESTS_PER_MINUTE", "0")
        .start()
        .await
}

/// All of them, those of the namespace with few last: everybody else waits already.
async fn change(env: &BenchEnv<'_>, agents: &[LanguageAgent]) -> Result<()> {
    stream::iter(agents)
        .map(Ok)
        .try_for_each_concurrent(fleet::CREATORS, async |agent: &LanguageAgent| {
            let namespace = agent.namespace().unwrap_or_default();
            let api: Api<LanguageAgent> = Api::namespaced(env.client.clone(), &namespace);
            let name = agent.name_any();
            let patch =
                json!({"spec": {"instructions": format!("Look after {name} in another way")}});
            api.patch(&name, &PatchParams::default(), &Patch::Merge(patch))
                .await?;
            Ok(())
        })
        .await
}

/// Whether the agents of the namespace with few have their new code.
async fn few_are_ready(env: &BenchEnv<'_>, fleet: &Fleet) -> Result<()> {
    let api: Api<LanguageAgent> = Api::namespaced(env.client.clone(), FEW);
    let within = env.scale.soon() + LATENCY * u32::try_from(fleet.agents().len())?;
    wait::until("new code of the few", within, async || {
        let agents = api.list(&ListParams::default()).await;
        let agents = agents.map_err(|error| error.to_string())?.items;
        let ready = agents.iter().filter(|agent| has_new_code(agent)).count();
        let all = agents.len();
        if ready == all {
            Ok(())
        } else {
            Err(format!("{ready} of {all}"))
        }
    })
    .await
}

/// Whether it is Ready by code of its present instructions: with that of former ones it may be
/// Ready, too.
fn has_new_code(agent: &LanguageAgent) -> bool {
    let is_synthesized = synthesized(agent).is_some_and(|(status, generation)| {
        status == "True" && Some(generation) == agent.metadata.generation
    });
    is_synthesized && bring_up::is_ready(agent)
}

/// Whether its status speaks of the change: that its code is there, or on its way.
fn is_told(agent: &LanguageAgent) -> bool {
    synthesized(agent).is_some_and(|(_, generation)| Some(generation) == agent.metadata.generation)
}

/// The condition Synthesized: its status, and the generation it speaks of.
fn synthesized(agent: &LanguageAgent) -> Option<(&str, i64)> {
    let conditions = &agent.status.as_ref()?.conditions;
    let condition = conditions
        .iter()
        .find(|it| it.type_ == types::SYNTHESIZED)?;
    Some((&condition.status, condition.observed_generation?))
}

async fn no_reconcile_waits(env: &BenchEnv<'_>) -> Result<()> {
    wait::until("an empty queue", env.scale.soon(), async || {
        let queued = env.metric("langop_reconcile_queue", &[]).await;
        match queued.map_err(|error| error.to_string())? {
            0.0 => Ok(()),
            some => Err(format!("{some} wait")),
        }
    })
    .await
}

/// How many of all agents are as asked.
async fn count(env: &BenchEnv<'_>, is: impl Fn(&LanguageAgent) -> bool) -> Result<usize> {
    let mut count = 0;
    bring_up::each(&env.client, |agent| count += usize::from(is(agent))).await?;
    Ok(count)
}
