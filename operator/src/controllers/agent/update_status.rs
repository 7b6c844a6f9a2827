//! The status of an agent after its children are applied.

use langop_api::LanguageAgent;
use langop_desired::{
    agent::{
        ObservedAgent,
        status::{StatusInput, status},
        validate::ValidatedAgent,
    },
    conditions::Summary,
};

use super::{
    apply::Applied,
    dereference::{previous, recognised},
    plan::Plan,
    record::Recorded,
};
use crate::{
    context::{Context, now},
    error::ReconcileError,
    write::effects::Effects,
};

/// What the status now says.
pub(super) struct Told {
    pub(super) summary: Summary,
    /// The live children that it says it of.
    pub(super) observed: ObservedAgent,
}

/// Writes the status if it changed. An answer that it contains is acknowledged, and never taken
/// again.
pub(super) async fn update_status(
    ctx: &Context,
    object: &LanguageAgent,
    agent: &ValidatedAgent,
    recorded: &Recorded,
    plan: &Plan,
    applied: &Applied,
    effects: &mut Effects,
) -> Result<Told, ReconcileError> {
    let (info, observed) = recognised(ctx, object, plan.info.clone());
    let (next, summary) = status(&StatusInput {
        previous: &previous(object),
        agent,
        decision: &plan.decision,
        info: &info,
        failure: plan.failure.as_deref().or(recorded.failure()),
        report: &applied.report,
        children: &applied.children,
        observed: &observed,
        now: now(),
    });
    ctx.writer.write_status(object, &next, effects).await?;
    if recorded.event.is_some() {
        ctx.synthesis.agents.acknowledge(&agent.owner.uid);
    }
    Ok(Told { summary, observed })
}
