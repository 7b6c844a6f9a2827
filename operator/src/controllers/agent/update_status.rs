//! The status of an agent after its children are applied.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use langop_api::{LanguageAgent, agent::SynthesisInfo, names::annotations};
use langop_desired::{
    agent::{
        ObservedAgent,
        status::{StatusInput, may_wait, status},
        validate::ValidatedAgent,
    },
    conditions::Summary,
    observed::Observed,
    powers::CodePowers,
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
    /// When to say what was not worth a write of its own.
    pub(super) due: Option<Timestamp>,
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
    let running = plan
        .approval
        .running(plan.decision.code(), &observed.revisions);
    let info = with_powers(ctx, info, running).await?;
    let (before, now) = (previous(object), now());
    let (next, summary) = status(&StatusInput {
        previous: &before,
        agent,
        decision: &plan.decision,
        approval: &plan.approval,
        info: &info,
        failure: plan.failure.as_deref().or(recorded.failure()),
        report: &applied.report,
        children: &applied.children,
        observed: &observed,
        now,
    });
    let due = may_wait(&before, &next, now);
    if due.is_none() {
        ctx.writer.write_status(object, &next, effects).await?;
    }
    if recorded.event.is_some() {
        ctx.synthesis.agents.acknowledge(&agent.owner.uid);
    }
    Ok(Told {
        summary,
        observed,
        due,
    })
}

/// The record with the powers of the code that runs. They are in the record already, but where other
/// code runs than before: that is read once. For code that was stored without a list of them
/// nothing is read and nothing told.
async fn with_powers(
    ctx: &Context,
    info: SynthesisInfo,
    code: Option<&Arc<Observed>>,
) -> Result<SynthesisInfo, ReconcileError> {
    let Some(code) = code else {
        return Ok(info);
    };
    let is_same = info.code_hash.as_deref() == code.annotations.get(annotations::CODE_HASH);
    if is_same && !info.powers.is_empty() {
        return Ok(info);
    }
    let definition = match code.annotations.get(annotations::POWERS_HASH) {
        Some(_) => ctx.writer.read_definition(code).await?,
        None => None,
    };
    let powers = definition.map(|definition| CodePowers::from(&definition).told());
    Ok(SynthesisInfo {
        powers: powers.unwrap_or_default(),
        ..info
    })
}
