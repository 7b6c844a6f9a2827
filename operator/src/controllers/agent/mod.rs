//! LanguageAgent: instructions become code, code becomes a workload. Code is made outside the reconcile (see [`crate::synthesis::calls`]):
//! one reconcile records the attempt and starts the call, a later one stores the answer.

mod announce;
mod answer;
mod call;
mod dereference;
mod plan;

use std::sync::Arc;

use k8s_openapi::{api::batch::v1::CronJob, jiff::Timestamp};
use kube::api::PropagationPolicy;
use langop_api::{LanguageAgent, LanguageAgentStatus, condition::types};
use langop_desired::{
    agent::{
        AgentContext, ObservedAgent,
        build::{self, Built, Fate},
        code,
        decide::{self, Decision},
        history, known, run,
        status::{self, StatusInput, interrupted, status},
        validate::{ValidatedAgent, validate},
    },
    children::{Children, Prepared},
    conditions::{self, Standing},
    observed::ChildKind,
};

use self::plan::Plan;
use super::outcome::{again_at, owner, report};
use crate::{
    cache::{index::Key, objects::Stores, triggers::Target},
    context::{Context, now},
    error::ReconcileError,
    run::{outcome::Done, runner::Reconciled},
    write::{
        apply::{self, Free},
        ownership::Obstacle,
        status::{self as statuses, Written},
    },
};

impl Reconciled for LanguageAgent {
    async fn reconcile(self: Arc<Self>, ctx: Arc<Context>) -> Result<Done, ReconcileError> {
        let owner = owner(&*self)?;
        let mut free = Free::default();
        let context = dereference::context(&ctx, &self, &owner, &mut free).await?;
        if let Some(obstacle) = dereference::obstacle(&ctx, &owner, &context, &mut free).await? {
            return stop(&ctx, &context, &[], obstacle.standing()).await;
        }
        match validate(&context, &ctx.settings.build, now()) {
            Ok(agent) => Box::pin(proceed(&ctx, context, &agent, free)).await,
            Err(invalid) => stop(&ctx, &context, &[], invalid.into()).await,
        }
    }

    fn interrupted(&self, ctx: &Context, standing: Standing) -> Option<Self::Status> {
        let generation = self.metadata.generation.unwrap_or_default();
        let observed = dereference::observed(ctx, self);
        Some(interrupted(
            &previous(self),
            generation,
            standing,
            &observed,
            now(),
        ))
    }

    async fn closing(&self, ctx: &Context) -> Result<Children<Prepared>, ReconcileError> {
        let owner = owner(self)?;
        let context = dereference::context(ctx, self, &owner, &mut Free::default()).await?;
        let settings = &ctx.settings.build;
        Ok(validate(&context, settings, now()).map_or_else(
            |_| Children::default(),
            |agent| {
                let kept = build::Workload::Keep;
                let built = build::build(&agent, &kept, &context.observed, settings);
                built.children.policies()
            },
        ))
    }
}

/// The agent's names are its own: code is decided on, children are applied, and what happened is told.
async fn proceed(
    ctx: &Arc<Context>,
    mut context: AgentContext<'_>,
    agent: &ValidatedAgent,
    mut free: Free,
) -> Result<Done, ReconcileError> {
    let before = previous(context.agent);
    let mut info = before.synthesis_info.clone().unwrap_or_default();
    context.observed = dereference::observed_by(ctx, context.agent, &mut info);
    if code::is_lost(&context.observed.codes, &info) {
        crate::write::revisions::look_again(ctx, agent).await?;
        context.observed = dereference::observed_by(ctx, context.agent, &mut info);
    }
    let mut settled = answer::settle(ctx, agent, info, &context.observed).await?;
    context.observed = dereference::observed_by(ctx, context.agent, &mut settled.info);
    let mut plan = plan::plan(ctx, agent, &settled, &context.observed.codes);

    let workload = plan.decision.workload(agent, &plan.info);
    let built = build::build(agent, &workload, &context.observed, &ctx.settings.build);
    if let Some(obstacle) =
        end_other_mode(ctx, agent, &context, &built.report.fate, &mut free).await?
    {
        return stop(ctx, &context, &[], obstacle.standing()).await;
    }
    let keep = kept(agent, &built);
    let turn = ctx.precedence.take();
    let (written, children) = apply::children(ctx, &agent.owner, built.children, &keep, &mut free)
        .await?
        .settle();
    drop(turn);
    let ended = match &children {
        Ok(children) => end_superseded(ctx, &children.cron_jobs, &context).await,
        Err(_) => Ok(Vec::new()),
    };
    let ended = or_announce(ctx, context.agent, &written, ended).await?;
    announce::ended_runs(ctx, context.agent, &ended).await;
    // From here on things are only told, but for a call, which begins when it is recorded.
    if !written.is_empty() && plan.call.is_none() {
        ctx.precedence.give_way().await;
    }
    let annotated = follow_inputs(ctx, agent, &plan).await;
    let annotated = or_announce(ctx, context.agent, &written, annotated).await?;
    let children = match children {
        Ok(children) => children,
        // No call is started and no answer forgotten: that is recorded only by a whole status.
        Err(standing) => return stop(ctx, &context, &written, standing).await,
    };
    let annotated = match (&annotated, &settled.refused) {
        (Ok(annotated), None) => *annotated,
        (Err(standing), _) | (Ok(_), Some(standing)) => {
            return stop(ctx, &context, &written, standing.clone()).await;
        }
    };

    context.observed = dereference::observed_by(ctx, context.agent, &mut plan.info);
    let next = status(&StatusInput {
        previous: &before,
        agent,
        decision: &plan.decision,
        info: &plan.info,
        failure: plan.failure.as_deref().or(settled.failure()),
        report: &built.report,
        children: &children,
        observed: &context.observed,
        now: now(),
    });
    let recorded = statuses::write(ctx, context.agent, &next).await;
    let recorded = or_announce(ctx, context.agent, &written, recorded).await?;
    if settled.news.is_some() {
        ctx.synthesis.agents.dealt_with(&agent.owner.uid);
    }
    announce::all(ctx, context.agent, &settled, &plan, annotated, &written).await;
    if let Some(call) = plan.call {
        if call::start(ctx, agent, call) {
            announce::started(ctx, context.agent).await;
        }
    }
    let fate = &built.report.fate;
    for old in history::outdated(agent, &plan.decision, fate, &context.observed) {
        apply::delete(ctx, &old, PropagationPolicy::Background).await?;
    }
    let done = report(
        &written,
        if annotated == Written::Yes {
            Written::Yes
        } else {
            recorded
        },
        standing(&next).as_ref(),
    );
    let again = next_look(&plan.decision, fate, &context.observed);
    Ok(again_at(done, again))
}

/// When to look again though nothing triggers it.
fn next_look(decision: &Decision, fate: &Fate, observed: &ObservedAgent) -> Option<Timestamp> {
    let retry = match decision {
        Decision::BackingOff { due, .. } => Some(*due),
        _ => None,
    };
    // Nothing will say that the old workload is gone where it was when we came to end it.
    let is_ended = match fate {
        Fate::Switching {
            delete: Some(ChildKind::CronJob),
            ..
        } => observed.cron_job.is_none(),
        Fate::Switching {
            delete: Some(_), ..
        } => observed.deployment.is_none(),
        _ => false,
    };
    retry
        .into_iter()
        .chain(status::due(observed, now()))
        .chain(is_ended.then(now))
        .min()
}

fn previous(agent: &LanguageAgent) -> LanguageAgentStatus {
    agent.status.clone().unwrap_or_default()
}

/// A reconcile that cannot come to its end says so, and that alone.
async fn stop(
    ctx: &Context,
    context: &AgentContext<'_>,
    written: &[apply::Written],
    standing: Standing,
) -> Result<Done, ReconcileError> {
    let agent = context.agent;
    let generation = agent.metadata.generation.unwrap_or_default();
    let next = interrupted(
        &previous(agent),
        generation,
        standing.clone(),
        &context.observed,
        now(),
    );
    let recorded = statuses::write(ctx, agent, &next).await;
    announce::workloads(ctx, agent, written).await;
    let done = report(written, recorded?, Some(&standing));
    Ok(again_at(done, status::due(&context.observed, now())))
}

/// Announces what is written if the reconcile ends here: the next look finds it as wanted and says nothing of it.
async fn or_announce<T>(
    ctx: &Context,
    agent: &LanguageAgent,
    written: &[apply::Written],
    outcome: Result<T, ReconcileError>,
) -> Result<T, ReconcileError> {
    if outcome.is_err() {
        announce::workloads(ctx, agent, written).await;
    }
    outcome
}

/// Gives the code that runs the annotations of what is observed now; activated code gets the next revision by that.
async fn follow_inputs(
    ctx: &Context,
    agent: &ValidatedAgent,
    plan: &Plan,
) -> Result<Result<Written, Standing>, ReconcileError> {
    let Some(active) = plan.decision.code() else {
        return Ok(Ok(Written::No));
    };
    let revision = known::recorded(&plan.info, active).unwrap_or_else(|| code::revision(active));
    crate::write::revisions::annotate(ctx, active, &code::input_annotations(agent, revision)).await
}

/// The workload of the other mode ends with its pods before ours is made, unless somebody else has the name that ours is to have.
async fn end_other_mode(
    ctx: &Context,
    agent: &ValidatedAgent,
    context: &AgentContext<'_>,
    fate: &Fate,
    free: &mut Free,
) -> Result<Option<Obstacle>, ReconcileError> {
    let Fate::Switching {
        delete: Some(kind), ..
    } = fate
    else {
        return Ok(None);
    };
    let (old, new) = match kind {
        ChildKind::CronJob => (&context.observed.cron_job, ChildKind::Deployment),
        _ => (&context.observed.deployment, ChildKind::CronJob),
    };
    let Some(old) = old.as_ref().filter(|old| !old.deleting) else {
        return Ok(None);
    };
    let new = Key::new(new, &agent.namespace, &agent.name);
    let obstacle = apply::obstacle_at(ctx, &agent.owner, &[new], free).await?;
    if obstacle.is_none() {
        apply::delete(ctx, old, PropagationPolicy::Foreground).await?;
    }
    Ok(obstacle)
}

/// Ends the runs that cannot start any more. Gives their names.
async fn end_superseded(
    ctx: &Context,
    wanted: &[CronJob],
    context: &AgentContext<'_>,
) -> Result<Vec<String>, ReconcileError> {
    let runs = run::superseded(wanted, &context.observed, now());
    for run in &runs {
        apply::delete(ctx, run, PropagationPolicy::Background).await?;
    }
    Ok(runs.into_iter().map(|run| run.name.clone()).collect())
}

/// Children that must not be removed although they are not among those that are applied.
fn kept(agent: &ValidatedAgent, built: &Built) -> Vec<Key> {
    let key = |kind| Key::new(kind, &agent.namespace, &agent.name);
    let policy = built
        .children
        .network_policies
        .is_empty()
        .then(|| key(ChildKind::NetworkPolicy));
    let workloads = match built.report.fate {
        Fate::Written(_) => Vec::new(),
        Fate::Kept | Fate::Switching { .. } => {
            vec![key(ChildKind::Deployment), key(ChildKind::CronJob)]
        }
    };
    policy.into_iter().chain(workloads).collect()
}

/// How the status says that the agent stands, as far as reports tell it apart.
fn standing(status: &LanguageAgentStatus) -> Option<Standing> {
    use langop_api::condition::Reason::{self, AsDesired, InvalidSpec};
    if conditions::is_true(&status.conditions, types::STALLED) {
        let stalled = conditions::find(&status.conditions, types::STALLED);
        let reason = stalled.and_then(|stalled| Reason::from_name(&stalled.reason));
        Some(Standing::Stalled(
            reason.unwrap_or(InvalidSpec),
            String::new(),
        ))
    } else if conditions::is_true(&status.conditions, types::RECONCILING) {
        Some(Standing::Progressing(AsDesired, String::new()))
    } else {
        None
    }
}

/// Those that a synthesizer which comes back may help.
pub(crate) fn waiting_for_synthesizer(stores: &Stores) -> Vec<Target> {
    let is_waiting = |agent: &LanguageAgent| {
        let info = agent
            .status
            .as_ref()
            .and_then(|status| status.synthesis_info.as_ref());
        info.is_some_and(decide::is_disabled)
    };
    stores
        .agents
        .select(is_waiting)
        .iter()
        .map(|agent| Target::of(&**agent))
        .collect()
}

#[cfg(test)]
mod tests {
    use langop_api::condition::Reason;

    use super::*;

    #[test]
    fn a_stall_keeps_its_reason() {
        let stalled = Standing::Stalled(Reason::WorkspaceConflict, "taken".into());
        let mut conditions = conditions::Conditions::new(&[], 1, now());
        conditions.summary(stalled);
        let status = LanguageAgentStatus {
            conditions: conditions.finish(),
            ..LanguageAgentStatus::default()
        };
        let expected = Standing::Stalled(Reason::WorkspaceConflict, String::new());
        assert_eq!(standing(&status), Some(expected));
    }
}
