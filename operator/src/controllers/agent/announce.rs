//! Events about agents: one for each thing that happened.

use kube::ResourceExt as _;
use langop_api::{LanguageAgent, condition::Reason};
use langop_desired::{
    agent::{code, decide::Decision, timing},
    observed::{ChildKind, Facts},
};

use super::{
    answer::{News, Settled},
    plan::Plan,
};
use crate::{
    context::Context,
    write::{
        apply::{Verb, Written},
        events::Severity,
        status,
    },
};

/// Everything that this reconcile did.
pub(super) async fn all(
    ctx: &Context,
    agent: &LanguageAgent,
    settled: &Settled,
    plan: &Plan,
    annotated: status::Written,
    written: &[Written],
) {
    match &settled.news {
        Some(News::Stored { revision, model }) => {
            let by = if model.is_empty() {
                String::new()
            } else {
                format!(" by {model}")
            };
            let note = format!("code was made{by} and stored as revision {revision}");
            ctx.events
                .publish(agent, Severity::Normal, Reason::SynthesisSucceeded, &note)
                .await;
        }
        Some(News::Failed(failed)) => failure(ctx, agent, failed.reason, &failed.message).await,
        Some(News::Dropped) | None => {}
    }
    if let Some(message) = &plan.failure {
        failure(ctx, agent, Reason::SynthesisDisabled, message).await;
    }
    if matches!(plan.decision, Decision::Activate { .. }) && annotated == status::Written::Yes {
        let note = "stored code of these instructions is active again";
        ctx.events
            .publish(agent, Severity::Normal, Reason::RevisionActivated, note)
            .await;
    }
    let is_new = matches!(settled.news, Some(News::Stored { .. }));
    if let Some(note) = switched(agent, &plan.decision).filter(|_| !is_new) {
        ctx.events
            .publish(agent, Severity::Normal, Reason::RevisionActivated, &note)
            .await;
    }
    workloads(ctx, agent, written).await;
}

/// What is said if stored code took over from what the status still names, by its number: that is a pin, or the end of one. Code that
/// is activated for its instructions gets a number of its own, and is spoken of above.
fn switched(agent: &LanguageAgent, decision: &Decision) -> Option<String> {
    if matches!(decision, Decision::Activate { .. }) {
        return None;
    }
    let status = agent.status.as_ref()?;
    let before = status.synthesis_info.as_ref()?.revision?;
    let revision = code::revision(decision.code()?);
    let synthesis = agent.spec.synthesis.as_ref();
    let why = match synthesis.and_then(|synthesis| synthesis.revision) {
        Some(_) => "as spec.synthesis.revision says",
        None => "the newest that is stored",
    };
    (revision != before).then(|| format!("revision {revision} is active, {why}; it was {before}"))
}

async fn failure(ctx: &Context, agent: &LanguageAgent, reason: Reason, message: &str) {
    // That nothing can be made and that nothing was made are one event to people; the condition tells them apart.
    let reason = if reason == Reason::ValidationFailed {
        reason
    } else {
        Reason::SynthesisFailed
    };
    ctx.events
        .publish(agent, Severity::Warning, reason, message)
        .await;
}

/// Workloads that were made or changed.
pub(super) async fn workloads(ctx: &Context, agent: &LanguageAgent, written: &[Written]) {
    for Written { kind, name, verb } in written {
        let (reason, what) = match (kind, verb) {
            (ChildKind::Deployment, Verb::Created) => (Reason::DeploymentCreated, "made"),
            (ChildKind::Deployment, Verb::Updated) => (Reason::DeploymentUpdated, "changed"),
            (ChildKind::CronJob, Verb::Created) => (Reason::CronJobCreated, "made"),
            (ChildKind::CronJob, Verb::Updated) => (Reason::CronJobUpdated, "changed"),
            _ => continue,
        };
        let when = when(ctx, agent, *kind, name).unwrap_or_default();
        let note = format!(
            "{} '{name}' was {what}{when}",
            crate::cache::child::name(*kind)
        );
        ctx.events
            .publish(agent, Severity::Normal, reason, &note)
            .await;
    }
}

/// When a CronJob runs, as it is now.
fn when(ctx: &Context, agent: &LanguageAgent, kind: ChildKind, name: &str) -> Option<String> {
    let live = ctx.cache.index.get(kind, &agent.namespace()?, name)?;
    let Facts::CronJob(facts) = &live.facts else {
        return None;
    };
    let times = timing::in_zone(&facts.schedule, facts.time_zone.as_deref());
    Some(format!(": it runs at {times}"))
}

/// Runs that were ended because they could not start any more.
pub(super) async fn ended_runs(ctx: &Context, agent: &LanguageAgent, jobs: &[String]) {
    for job in jobs {
        let note = format!(
            "the run of Job '{job}' never started and its pods have changed since, so it was ended: the next run is made from what is wanted now"
        );
        ctx.events
            .publish(agent, Severity::Normal, Reason::RunEnded, &note)
            .await;
    }
}

/// A call has begun.
pub(super) async fn started(ctx: &Context, agent: &LanguageAgent) {
    ctx.events
        .publish(
            agent,
            Severity::Normal,
            Reason::SynthesisStarted,
            "code is being made from the instructions",
        )
        .await;
}
