//! The phase of an agent, for people and for counting.

use langop_api::{
    LanguageAgentStatus,
    agent::{AgentPhase, ExecutionMode},
    condition::{Reason, types},
};

use crate::{
    agent::{ObservedAgent, executions::Outcome},
    conditions,
};

/// Reasons of not being ready although the workload is.
const RUNNING: [Reason; 5] = [
    Reason::EgressDenied,
    Reason::WorkspaceShrinkRefused,
    Reason::ReferenceNotFound,
    Reason::RunsSkipped,
    Reason::WorkspaceKept,
];
/// Reasons of Reconciling that concern only the next code.
const SYNTHESIS: [Reason; 4] = [
    Reason::BudgetExhausted,
    Reason::SynthesisStarted,
    Reason::SynthesisFailed,
    Reason::ValidationFailed,
    Reason::ProvenanceRefused,
];

/// Reasons that concern only what is to run next.
const APPROVAL: [Reason; 3] = [
    Reason::ApprovalRequired,
    Reason::Rejected,
    Reason::ApprovalUnsupported,
];

/// Derived from the conditions, and for agents that run at times from their last run.
pub(super) fn phase(status: &LanguageAgentStatus, observed: &ObservedAgent) -> AgentPhase {
    let conditions = &status.conditions;
    let is = |type_: &str, reasons: &[Reason]| {
        let condition =
            conditions::find(conditions, type_).filter(|condition| condition.status == "True");
        condition.is_some_and(|condition| {
            reasons
                .iter()
                .any(|reason| reason.as_str() == condition.reason)
        })
    };
    // CodeStale is present exactly when code runs.
    let has_code = conditions::find(conditions, types::CODE_STALE).is_some();
    let is_running = is(types::STALLED, &RUNNING)
        || is(types::RECONCILING, &RUNNING)
        || (is(types::RECONCILING, &SYNTHESIS) && has_code);
    let is_held = is(types::STALLED, &APPROVAL) || is(types::RECONCILING, &APPROVAL);
    let has_workload = observed.deployment.is_some() || !observed.cron_jobs.is_empty();
    if is(types::READY, &[Reason::Suspended]) {
        AgentPhase::Suspended
    } else if conditions::is_true(conditions, types::READY) || (is_held && has_workload) {
        running(status, observed)
    } else if is_running {
        AgentPhase::Running
    } else if conditions::is_true(conditions, types::STALLED) {
        AgentPhase::Failed
    } else {
        AgentPhase::Pending
    }
}

fn running(status: &LanguageAgentStatus, observed: &ObservedAgent) -> AgentPhase {
    let at_times = status.mode == Some(ExecutionMode::Scheduled) && observed.deployment.is_none();
    match (
        at_times && observed.active_runs() == Some(0),
        Outcome::of_last(status),
    ) {
        (true, Some(Outcome::Succeeded)) => AgentPhase::Succeeded,
        (true, Some(Outcome::Failed)) => AgentPhase::Failed,
        _ => AgentPhase::Running,
    }
}
