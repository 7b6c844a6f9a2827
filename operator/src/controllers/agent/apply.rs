//! The writes to an agent's children: the workload of the other mode ends, the children are
//! applied, runs that cannot start any more are ended, and the code that runs gets the annotations
//! of what is observed now.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::CronJob;
use kube::api::PropagationPolicy;
use langop_api::condition::Reason;
use langop_desired::{
    agent::{
        ObservedAgent,
        build::{Built, Report, WorkloadAction},
        code, known, run,
        validate::ValidatedAgent,
    },
    children::{self, Children, Prepared},
    observed::{ChildKind, Observed, ObservedState},
};

use super::{announce, plan::Plan, record::Recorded};
use crate::{
    cache::index::Key,
    context::{Context, now},
    error::{ReconcileError, Stopped},
    write::{effects::Effects, look::KnownAbsent},
};

/// What is in the API server now.
pub(super) struct Applied {
    pub(super) children: Children<children::Applied>,
    pub(super) report: Report,
    /// Whether the annotations of the code were not those of what is observed now.
    pub(super) annotated: bool,
}

pub(super) async fn apply(
    ctx: &Context,
    agent: &ValidatedAgent,
    recorded: &Recorded,
    plan: &Plan,
    built: Built,
    absent: &mut KnownAbsent,
    effects: &mut Effects,
) -> Result<Applied, Stopped> {
    let Built { children, report } = built;
    let observed = &recorded.observed;
    end_other_mode(ctx, agent, observed, &report.action, absent).await?;
    let keep = kept(agent, &children, &report.action, observed);
    let writing = ctx.priority.begin();
    let children = ctx
        .writer
        .apply_children(
            &agent.owner,
            children,
            &keep,
            &mut KnownAbsent::presumed(),
            effects,
        )
        .await;
    drop(writing);
    announce::workloads(ctx, agent, effects);
    suspend(ctx, recorded, plan).await?;
    let children = match children {
        Err(Stopped::Failed(error)) => return Err(error.into()),
        // What runs still follows its inputs where a child is refused.
        applied_or_blocked => applied_or_blocked,
    };
    if let Ok(children) = &children {
        end_superseded(ctx, &children.cron_jobs, observed, effects).await?;
    }
    // The rest is only status and events, except for a call, which begins when it is recorded.
    if !effects.applied.is_empty() && plan.call.is_none() {
        ctx.priority.yield_to_writers().await;
    }
    // Of code that waits, what is asked for is told once what is in force is recorded.
    let annotated = if plan.approval.is_held() {
        Ok(false)
    } else {
        follow_inputs(ctx, agent, plan).await
    };
    // No call is started and no answer forgotten where one of these stops: that is recorded only by
    // a whole status.
    let children = children?;
    let annotated = annotated?;
    effects.changed |= annotated;
    match &recorded.refused {
        Some(summary) => Err(summary.clone().into()),
        None => Ok(Applied {
            children,
            report,
            annotated,
        }),
    }
}

/// Halts what runs while something waits, where the spec suspends it, and lets it go on again.
async fn suspend(ctx: &Context, recorded: &Recorded, plan: &Plan) -> Result<(), ReconcileError> {
    let is_halted = plan
        .approval
        .record
        .as_ref()
        .is_some_and(|record| record.halted);
    let observed = &recorded.observed;
    for live in observed.cron_jobs.iter().chain(&observed.deployment) {
        if is_halted {
            ctx.writer.halt(live).await?;
        } else if recorded.was_halted {
            ctx.writer.let_go_on(live).await?;
        }
    }
    Ok(())
}

/// Ends the workload of the other mode with its pods before ours is created, unless the name of
/// ours has another owner.
async fn end_other_mode(
    ctx: &Context,
    agent: &ValidatedAgent,
    observed: &ObservedAgent,
    action: &WorkloadAction,
    absent: &mut KnownAbsent,
) -> Result<(), Stopped> {
    let WorkloadAction::Switch {
        delete: Some(kind), ..
    } = action
    else {
        return Ok(());
    };
    let (olds, new) = match kind {
        ChildKind::CronJob => (&observed.cron_jobs[..], ChildKind::Deployment),
        _ => (observed.deployment.as_slice(), ChildKind::CronJob),
    };
    let olds: Vec<_> = olds.iter().filter(|old| !old.deleting).collect();
    if olds.is_empty() {
        return Ok(());
    }
    let new = [Key::new(new, &agent.namespace, &agent.name)];
    let looking = ctx.writer.conflict_at(&agent.owner, &new, absent);
    if let Some(conflict) = looking.await? {
        return Err(conflict.into());
    }
    for old in olds {
        ctx.writer
            .delete(old, PropagationPolicy::Foreground)
            .await?;
    }
    Ok(())
}

/// Ends the runs that cannot start any more.
async fn end_superseded(
    ctx: &Context,
    wanted: &[CronJob],
    observed: &ObservedAgent,
    effects: &mut Effects,
) -> Result<(), ReconcileError> {
    for run in run::superseded(wanted, observed, now()) {
        ctx.writer
            .delete(&run, PropagationPolicy::Background)
            .await?;
        let note = format!(
            "deleted Job '{}': its run never started, and the pod template has changed since; the next run uses the new one",
            run.name
        );
        effects.normal(Reason::RunEnded, note);
    }
    Ok(())
}

/// Gives the code that was decided on the annotations of what is observed now, and of what it would
/// do if it waits; activated code gets the next revision by that. Whether it lacked them.
pub(super) async fn follow_inputs(
    ctx: &Context,
    agent: &ValidatedAgent,
    plan: &Plan,
) -> Result<bool, Stopped> {
    let Some(active) = plan.decision.code() else {
        return Ok(false);
    };
    let revision = known::recorded(&plan.info, active).unwrap_or_else(|| code::revision(active));
    let mut wanted = code::input_annotations(agent, revision);
    wanted.extend(plan.approval.annotations.clone());
    ctx.writer.annotate_revision(active, &wanted).await
}

/// Children that must not be removed although they are not among those that are applied.
fn kept(
    agent: &ValidatedAgent,
    children: &Children<Prepared>,
    action: &WorkloadAction,
    observed: &ObservedAgent,
) -> Vec<Key> {
    let key = |kind| Key::new(kind, &agent.namespace, &agent.name);
    let cron_job =
        |live: &Arc<Observed>| Key::new(ChildKind::CronJob, &agent.namespace, &live.name);
    let policy = children
        .network_policies
        .is_empty()
        .then(|| key(ChildKind::NetworkPolicy));
    let workloads: Vec<Key> = match action {
        // One that is too many goes once its run has ended: the run would go with it.
        WorkloadAction::Apply(_) => {
            let running = observed.cron_jobs.iter().filter(|live| has_run(live));
            running.map(cron_job).collect()
        }
        WorkloadAction::Keep | WorkloadAction::Switch { .. } => {
            let lives = observed.cron_jobs.iter().map(cron_job);
            lives.chain([key(ChildKind::Deployment)]).collect()
        }
    };
    policy.into_iter().chain(workloads).collect()
}

/// Whether a run of a CronJob is under way.
fn has_run(cron_job: &Observed) -> bool {
    matches!(&cron_job.state, ObservedState::CronJob(state) if state.active > 0)
}
