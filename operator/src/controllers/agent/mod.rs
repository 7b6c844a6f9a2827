//! LanguageAgent: instructions become code, code becomes a workload. Code is made outside the
//! reconcile (see [`crate::synthesis::calls`]): one reconcile records the attempt and starts the
//! call, a later one stores the answer.

mod afford;
mod announce;
mod apply;
mod approval;
mod call;
mod dereference;
mod plan;
mod record;
mod suspend;
mod update_status;

use std::sync::Arc;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use kube::{Resource as _, api::PropagationPolicy};
use langop_api::LanguageAgent;
use langop_desired::{
    agent::{
        ObservedAgent,
        build::{self, WorkloadAction},
        decide::{self, Decision},
        history, status,
        validate::{ValidatedAgent, validate},
    },
    children::{Children, Prepared},
    conditions::Summary,
    observed::ChildKind,
};

use self::{
    apply::{apply, follow_inputs},
    dereference::{dereference, observed, previous},
    plan::{Plan, plan},
    record::record_answer,
    update_status::{Told, update_status},
};
use super::publish;
use crate::{
    cache::{objects::Stores, triggers::Target},
    context::{Context, now},
    error::{ReconcileError, Stopped},
    run::{
        outcome::Done,
        runner::Reconciled,
        steps::{Step, Steps},
    },
    write::{effects::Effects, look::KnownAbsent, ownership::owner},
};

impl Reconciled for LanguageAgent {
    async fn reconcile(
        self: Arc<Self>,
        ctx: &Arc<Context>,
        steps: &Steps,
        effects: &mut Effects,
    ) -> Result<Done, Stopped> {
        let Some(cluster) = suspend::suspending(ctx, &self.metadata) else {
            suspend::restore(ctx, &self, effects).await?;
            return Box::pin(carry_out(&self, ctx, steps, effects)).await;
        };
        let result = Box::pin(carry_out(&self, ctx, steps, effects)).await;
        suspend::enforce(ctx, &self.metadata, &cluster, effects).await?;
        result
    }

    /// It goes on when it can be read: what its spec says of that is not known before.
    async fn unreadable(
        ctx: &Arc<Context>,
        agent: &ObjectMeta,
        effects: &mut Effects,
    ) -> Result<(), Stopped> {
        match suspend::suspending(ctx, agent) {
            Some(cluster) => suspend::enforce(ctx, agent, &cluster, effects).await,
            None => Ok(()),
        }
    }

    fn interrupted(&self, ctx: &Context, summary: Summary) -> Option<Self::Status> {
        let (previous, observed) = (previous(self), observed(ctx, &self.metadata));
        let generation = self.meta().generation.unwrap_or_default();
        let now = now();
        Some(status::interrupted(
            &previous, generation, summary, &observed, now,
        ))
    }

    fn due(&self, ctx: &Context) -> Option<Timestamp> {
        status::due(&observed(ctx, &self.metadata), now())
    }

    async fn closing(&self, ctx: &Context) -> Result<Children<Prepared>, ReconcileError> {
        let owner = owner(self)?;
        let absent = &mut KnownAbsent::default();
        let found = dereference::context(ctx, self, &owner, absent).await?;
        let settings = &ctx.settings.build;
        Ok(validate(&found, settings, now()).map_or_else(
            |_| Children::default(),
            |agent| {
                let kept = approval::closing(ctx, self, &agent);
                let built = build::build(&agent, &kept, &found.observed, settings);
                built.children.policies()
            },
        ))
    }
}

/// The steps of one reconcile.
async fn carry_out(
    object: &LanguageAgent,
    ctx: &Arc<Context>,
    steps: &Steps,
    effects: &mut Effects,
) -> Result<Done, Stopped> {
    let settings = &ctx.settings.build;
    let owner = owner(object)?;
    let absent = &mut KnownAbsent::default();
    // From memory, but for the names of an agent that has nothing yet.
    let dereferencing = dereference(ctx, object, &owner, absent);
    let found = steps.run(Step::Dereference, dereferencing).await?;
    let agent = steps.check(Step::Validate, || validate(&found, settings, now()))?;
    // The code of the call that has ended, if one has.
    let recording = record_answer(ctx, object, &agent);
    let recorded = steps.run(Step::Record, recording).await?;
    let plan = steps.compute(Step::Decide, || plan(ctx, &agent, &recorded));
    let decided = plan.decision.workload(&agent, &plan.info);
    let approving = approval::approve(ctx, object, &agent, &recorded, &plan, &decided);
    let approval = steps.run(Step::Approve, Box::pin(approving)).await?;
    let built = steps.compute(Step::Build, || {
        let workload = approval.workload(decided);
        build::build(&agent, &workload, &recorded.observed, settings)
    });
    let plan = Plan { approval, ..plan };
    let applying = apply(ctx, &agent, &recorded, &plan, built, absent, effects);
    let applied = steps.run(Step::Apply, Box::pin(applying)).await?;
    let updating = update_status(ctx, object, &agent, &recorded, &plan, &applied, effects);
    let told = steps.run(Step::UpdateStatus, updating).await?;
    announce::all(ctx, object, &recorded, &plan, applied.annotated, effects);
    publish(ctx, steps, object, effects).await;
    let action = &applied.report.action;
    let requeue = next_look(&plan.decision, action, &told);
    let following = follow_up(ctx, &agent, plan, action, &told.observed, effects);
    steps.run(Step::FollowUp, following).await?;
    Ok(Done::of(effects.changed, Some(&told.summary)).requeue_at(requeue))
}

/// Starts the call that the status now tells of, and removes revisions that are no longer kept.
async fn follow_up(
    ctx: &Arc<Context>,
    agent: &ValidatedAgent,
    plan: Plan,
    action: &WorkloadAction,
    observed: &ObservedAgent,
    effects: &mut Effects,
) -> Result<(), Stopped> {
    if plan.approval.is_held() {
        follow_inputs(ctx, agent, &plan).await?;
    }
    if let Some(call) = plan.call
        && call::start(ctx, agent, call)
    {
        announce::secrets(agent, effects);
    }
    for old in history::outdated(agent, &plan.decision, action, observed) {
        let background = PropagationPolicy::Background;
        ctx.writer.delete(&old, background).await?;
    }
    Ok(())
}

/// When to look again though nothing triggers it.
fn next_look(decision: &Decision, action: &WorkloadAction, told: &Told) -> Option<Timestamp> {
    let observed = &told.observed;
    let retry = match decision {
        Decision::BackingOff { due, .. } => Some(*due),
        Decision::BudgetExhausted { exhausted, .. } => Some(exhausted.opens),
        _ => None,
    };
    // Nothing will say that the old workload is gone where it was when we came to end it.
    let is_ended = match action {
        WorkloadAction::Switch {
            delete: Some(ChildKind::CronJob),
            ..
        } => observed.cron_jobs.is_empty(),
        WorkloadAction::Switch {
            delete: Some(_), ..
        } => observed.deployment.is_none(),
        _ => false,
    };
    retry
        .into_iter()
        .chain(told.due)
        .chain(status::due(observed, now()))
        .chain(is_ended.then(now))
        .min()
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
        .map(|agent| Target::of::<LanguageAgent>(&**agent))
        .collect()
}
