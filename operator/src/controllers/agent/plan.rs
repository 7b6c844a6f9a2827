//! The decision on an agent's code: the table of [`langop_desired::agent::decide`], within what
//! this process knows of its calls.

use std::sync::Arc;

use langop_api::agent::SynthesisInfo;
use langop_desired::{
    agent::{
        attempt, code,
        decide::{self, Decision, InFlight},
        known,
        validate::ValidatedAgent,
    },
    backoff::due,
    observed::Observed,
};

use super::{
    call::{self, Call},
    record::Recorded,
};
use crate::context::{Context, now};

/// What is to be done about the code, and what is to be recorded of it.
pub(super) struct Plan {
    pub(super) decision: Decision,
    pub(super) info: SynthesisInfo,
    /// Why no call can even be tried.
    pub(super) failure: Option<String>,
    pub(super) call: Option<Call>,
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
    let as_is = |decision, info| Plan {
        decision,
        info,
        failure: None,
        call: None,
    };
    if let Decision::Activate { code } = &decision {
        let mut info = info;
        let next = code::next_revision(revisions, &info);
        known::record(&mut info, revisions, code, next);
        return as_is(decision, info);
    }
    let Decision::Synthesize {
        variant, current, ..
    } = &decision
    else {
        return as_is(decision, info);
    };
    if ctx.synthesis.synthesizer.is_none() {
        return disabled(ctx, agent, info, decision.code().cloned());
    }
    let about = InFlight::of(agent);
    if let Some(pause) = ctx.synthesis.retry_after(uid, &about.question()) {
        // Longer than the back-off says.
        let decision = Decision::BackingOff {
            due: due(now(), pause),
            current: current.clone(),
        };
        return as_is(decision, info);
    }
    let call = Call {
        about,
        variant: variant.clone(),
        current: current.clone(),
    };
    Plan {
        info: attempt::started(&info, agent, Some(ctx.attestor.key())),
        decision,
        failure: None,
        call: Some(call),
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
            failure: None,
            call: None,
        };
    }
    let failed = call::without_synthesizer();
    Plan {
        decision,
        info: attempt::failed(&asked, &failed, now()),
        failure: Some(failed.message),
        call: None,
    }
}
