//! The decision on an agent's code: the table of [`langop_desired::agent::decide`], within what
//! this process knows of its calls.

use std::sync::Arc;

use langop_api::agent::SynthesisInfo;
use langop_desired::{
    agent::{
        approval::Approval,
        attempt, code,
        decide::{self, Decision, InFlight},
        known,
        validate::ValidatedAgent,
    },
    backoff::due,
    observed::Observed,
};

use super::{
    afford::afford,
    call::{self, Call},
    record::Recorded,
};
use crate::context::{Context, now};

/// What is to be done about the code, and what is to be recorded of it.
pub(super) struct Plan {
    pub(super) decision: Decision,
    pub(super) info: SynthesisInfo,
    /// Whether it may be carried out.
    pub(super) approval: Approval,
    /// Why no call can even be tried.
    pub(super) failure: Option<String>,
    pub(super) call: Option<Call>,
}

impl Plan {
    fn without_call(decision: Decision, info: SynthesisInfo) -> Self {
        Self {
            decision,
            info,
            approval: Approval::default(),
            failure: None,
            call: None,
        }
    }
}

/// Decides.
pub(super) fn plan(ctx: &Context, agent: &ValidatedAgent, recorded: &Recorded) -> Plan {
    let uid = &agent.owner.uid;
    let info = recorded.info.clone();
    let revisions = &recorded.observed.revisions;
    let reconnected = ctx.synthesis.reconnected_since(uid);
    let decision = decide::decide(
        agent,
        &info,
        revisions,
        recorded.in_flight.as_ref(),
        reconnected,
        &ctx.synthesis_backoff(),
        now(),
    );
    match &decision {
        Decision::Activate { code } => {
            let mut info = info;
            let next = code::next_revision(revisions, &info);
            known::record(&mut info, revisions, code, next);
            Plan::without_call(decision, info)
        }
        Decision::Synthesize { .. } if ctx.synthesis.synthesizer.is_none() => {
            disabled(ctx, agent, info, decision.code().cloned())
        }
        Decision::Synthesize { variant, .. } => {
            let variant = variant.clone();
            ask(ctx, agent, decision, info, variant)
        }
        _ => Plan::without_call(decision, info),
    }
}

/// A call, unless it has to wait for longer than the back-off says, or for a budget.
fn ask(
    ctx: &Context,
    agent: &ValidatedAgent,
    decision: Decision,
    info: SynthesisInfo,
    variant: Option<String>,
) -> Plan {
    let current = decision.code().cloned();
    let about = InFlight::of(agent);
    let uid = &agent.owner.uid;
    if let Some(pause) = ctx.synthesis.retry_after(uid, &about.question()) {
        let due = due(now(), pause);
        return Plan::without_call(Decision::BackingOff { due, current }, info);
    }
    let mut info = info;
    let tokens = match afford(ctx, agent, &mut info) {
        Ok(tokens) => tokens,
        Err(exhausted) => {
            let decision = Decision::BudgetExhausted { exhausted, current };
            return Plan::without_call(decision, info);
        }
    };
    Plan {
        info: attempt::started(&info, agent, Some(ctx.attestor.key())),
        decision,
        approval: Approval::default(),
        failure: None,
        call: Some(Call {
            about,
            variant,
            current: current.map(|code| code.name.clone()),
            tokens,
        }),
    }
}

/// The operator itself has no synthesizer. Said once; only a restart with another setting changes
/// it.
fn disabled(
    ctx: &Context,
    agent: &ValidatedAgent,
    info: SynthesisInfo,
    current: Option<Arc<Observed>>,
) -> Plan {
    let decision = Decision::BackingOff {
        due: due(now(), ctx.settings.backoff_max),
        current,
    };
    let asked = attempt::started(&info, agent, None);
    let is_same_question = asked.instructions_hash == info.instructions_hash
        && asked.attempted_resynthesize == info.attempted_resynthesize;
    if decide::is_disabled(&info) && is_same_question {
        return Plan {
            decision,
            info,
            approval: Approval::default(),
            failure: None,
            call: None,
        };
    }
    let failed = call::without_synthesizer();
    Plan {
        decision,
        info: attempt::failed(&asked, &failed, now()),
        approval: Approval::default(),
        failure: Some(failed.message),
        call: None,
    }
}
