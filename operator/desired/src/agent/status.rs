//! The status of an agent. Pure: from the previous status, the decision, and what is observed after
//! the apply. Equal states give equal statuses, so nothing is written where nothing happened.

mod condition;
mod input;
mod phase;
mod provenance;
mod run;
mod summary;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use langop_api::{LanguageAgentStatus, agent::SynthesisInfo, condition::types, names::annotations};
use langop_dsl::format_duration;

pub use self::input::StatusInput;
use super::{ObservedAgent, attempt, decide::Decision, executions};
use crate::{
    children::{Applied, Children},
    conditions::{self, Conditions, Summary},
    pod_health::{self, PodProblems},
};

/// The status after a reconcile that came to its end, and how the agent stands by it.
pub fn status(input: &StatusInput<'_>) -> (LanguageAgentStatus, Summary) {
    let StatusInput {
        previous,
        agent,
        observed,
        ..
    } = input;
    let mut next = (*previous).clone();
    next.observed_generation = Some(agent.generation);
    next.synthesis_info = Some(info(input)).filter(|info| *info != SynthesisInfo::default());
    if let Some(timing) = input.report.action.timing() {
        next.mode = Some(timing.mode());
        next.schedule = timing.told();
        next.run_timeout = run_timeout(input.children);
    }
    next.approval.clone_from(&input.approval.record);
    executions::count(&mut next, observed, input.now);
    replicas(&mut next, observed, input.now);

    let mut conditions = Conditions::new(&previous.conditions, agent.generation, input.now);
    condition::references(&mut conditions, agent);
    condition::synthesized(&mut conditions, input);
    condition::code_stale(&mut conditions, input);
    condition::approved(&mut conditions, input);
    condition::budget(&mut conditions, input);
    provenance::provenance(&mut conditions, input);
    let summary = summary::summary(input);
    conditions.summary(summary.clone());
    next.conditions = conditions.finish();
    next.phase = Some(phase::phase(&next, observed));
    (next, summary)
}

/// The status after a reconcile that was stopped: by a name that is not the agent's, or by the API
/// server. Says only that.
pub fn interrupted(
    previous: &LanguageAgentStatus,
    generation: i64,
    summary: Summary,
    observed: &ObservedAgent,
    now: Timestamp,
) -> LanguageAgentStatus {
    let mut next = previous.clone();
    next.observed_generation = Some(generation);
    executions::count(&mut next, observed, now);
    replicas(&mut next, observed, now);
    let mut conditions = Conditions::new(&previous.conditions, generation, now);
    for type_ in [
        types::SYNTHESIZED,
        types::REFERENCES_RESOLVED,
        types::CODE_STALE,
        types::APPROVED,
        types::BUDGET_EXHAUSTED,
        types::PROVENANCE,
    ] {
        conditions.keep(type_);
    }
    conditions.summary(summary);
    next.conditions = conditions.finish();
    next.phase = Some(phase::phase(&next, observed));
    next
}

/// When to recompute the status even if no event arrives: a Job should have a pod by then, or a pod
/// has a problem.
pub fn due(observed: &ObservedAgent, now: Timestamp) -> Option<Timestamp> {
    run::due(observed, now)
        .into_iter()
        .chain(pod_health::due(&observed.pods, now))
        .min()
}

/// For so long after a condition has changed the numbers of a rollout are not told by themselves:
/// that it ends, or why it does not, is told with them.
const FIRST_MOMENTS: SignedDuration = SignedDuration::from_secs(5);

/// Until when a status need not be written, because it differs from the one before by nothing but
/// the numbers of a rollout that is in its first moments; `None`: it is to be written.
pub fn may_wait(
    previous: &LanguageAgentStatus,
    next: &LanguageAgentStatus,
    now: Timestamp,
) -> Option<Timestamp> {
    if next == previous || conditions::is_true(&next.conditions, types::READY) {
        return None;
    }
    let but_for_numbers = LanguageAgentStatus {
        active_replicas: previous.active_replicas,
        ready_replicas: previous.ready_replicas,
        ..next.clone()
    };
    if but_for_numbers != *previous {
        return None;
    }
    let conditions = next.conditions.iter();
    let changed = conditions
        .map(|condition| condition.last_transition_time.0)
        .max()?;
    let until = changed + FIRST_MOMENTS;
    // By a leader whose clock was ahead it may be changed only later.
    (changed..until).contains(&now).then_some(until)
}

/// By when a run is ended, whoever said so: the spec, the code or the operator's setting.
fn run_timeout(children: &Children<Applied>) -> Option<String> {
    let cron_job = children.cron_jobs.first()?;
    let seconds = cron_job
        .spec
        .job_template
        .spec
        .as_ref()?
        .active_deadline_seconds?;
    Some(format_duration(u64::try_from(seconds).ok()?))
}

/// The record of attempts, and what the running code's annotations say of it.
fn info(input: &StatusInput<'_>) -> SynthesisInfo {
    let pending = !matches!(
        input.decision,
        Decision::Run { .. } | Decision::Activate { .. }
    ) || input.agent.pinned.is_some();
    let mut info = if pending {
        input.info.clone()
    } else {
        attempt::settled(input.info)
    };
    let Some(decided) = input.decision.code() else {
        return info;
    };
    if !pending {
        // The last question is answered; from here it is known what lost code was made from.
        let instructions = decided.annotations.get(annotations::INSTRUCTIONS_HASH);
        info.instructions_hash = instructions.map(langop_dsl::clean);
        info.resynthesized_for = input.agent.resynthesize.clone().or(info.resynthesized_for);
    }
    let Some(active) = input.running() else {
        return without_code(info);
    };
    let annotation = |key: &str| active.annotations.get(key).map(langop_dsl::clean);
    let code_hash = annotation(annotations::CODE_HASH);
    if code_hash != info.code_hash {
        info.synthesis_duration = None;
    }
    info.code_hash = code_hash;
    info.last_synthesis_time = annotation(annotations::SYNTHESIZED_AT);
    info.synthesis_model = annotation(annotations::SYNTHESIS_MODEL);
    info.traceparent = annotation(annotations::TRACEPARENT);
    info.revision = Some(input.revision_of(active));
    info
}

/// The same where all code that there is waits for approval.
fn without_code(info: SynthesisInfo) -> SynthesisInfo {
    SynthesisInfo {
        code_hash: None,
        synthesis_duration: None,
        ..info
    }
}

fn replicas(status: &mut LanguageAgentStatus, observed: &ObservedAgent, now: Timestamp) {
    let problems = PodProblems::of(&observed.pods, now);
    let (active, ready) = match (observed.deployment_state(), observed.active_runs()) {
        (Some(state), _) => (
            Some(state.replicas),
            Some(problems.without(state, state.ready)),
        ),
        (None, Some(active)) => (Some(active), None),
        (None, None) => (None, None),
    };
    status.active_replicas = active;
    status.ready_replicas = ready;
}
