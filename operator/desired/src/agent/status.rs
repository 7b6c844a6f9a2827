//! What is said of an agent. Pure: from the status before, what was decided, and what is observed after the apply. Equal states give
//! equal statuses, so nothing is written where nothing happened.

use k8s_openapi::jiff::Timestamp;
use langop_api::{
    LanguageAgentStatus,
    agent::{AgentPhase, ExecutionMode, SynthesisInfo},
    condition::{Reason, types},
    names::annotations,
};

use super::{
    ObservedAgent, attempt,
    build::{ActiveCode, Fate, Report},
    code,
    decide::{Cause, Decision, is_disabled},
    executions::{self, Outcome},
    stale,
    timing::Timing,
    validate::ValidatedAgent,
};
use crate::{
    children::{Applied, Children},
    conditions::{self, Conditions, Standing, Status},
    observed::{DeploymentFacts, Facts, Observed},
};

/// What a status is made from.
#[derive(Clone, Debug)]
pub struct StatusInput<'a> {
    /// The status so far.
    pub previous: &'a LanguageAgentStatus,
    /// The agent.
    pub agent: &'a ValidatedAgent,
    /// What was decided.
    pub decision: &'a Decision,
    /// The record of attempts, this reconcile's included (see [`attempt`]).
    pub info: &'a SynthesisInfo,
    /// What went wrong with the attempt that ended in this reconcile.
    pub failure: Option<&'a str>,
    /// What was built.
    pub report: &'a Report,
    /// What was applied.
    pub children: &'a Children<Applied>,
    /// The live children, looked at again after the apply: a rollout is judged by them.
    pub observed: &'a ObservedAgent,
    /// Now.
    pub now: Timestamp,
}

/// The status after a reconcile that came to its end.
pub fn status(input: &StatusInput<'_>) -> LanguageAgentStatus {
    let StatusInput { previous, agent, observed, .. } = input;
    let mut next = (*previous).clone();
    next.observed_generation = Some(agent.generation);
    next.synthesis_info = Some(info(input)).filter(|info| *info != SynthesisInfo::default());
    if let Some(timing) = input.report.fate.timing() {
        next.mode = Some(timing.mode());
        next.schedule = timing.schedule();
    }
    executions::count(&mut next, observed);
    replicas(&mut next, observed);

    let mut conditions = Conditions::new(&previous.conditions, agent.generation, input.now);
    references(&mut conditions, agent);
    synthesized(&mut conditions, input);
    code_stale(&mut conditions, input);
    conditions.summary(standing(input));
    next.conditions = conditions.finish();
    next.phase = Some(phase(&next, observed));
    next
}

/// The status after a reconcile that was stopped: by a name that is not the agent's, or by the API server. Says only that.
pub fn interrupted(
    previous: &LanguageAgentStatus,
    generation: i64,
    standing: Standing,
    observed: &ObservedAgent,
    now: Timestamp,
) -> LanguageAgentStatus {
    let mut next = previous.clone();
    next.observed_generation = Some(generation);
    executions::count(&mut next, observed);
    replicas(&mut next, observed);
    let mut conditions = Conditions::new(&previous.conditions, generation, now);
    for type_ in [types::SYNTHESIZED, types::REFERENCES_RESOLVED, types::CODE_STALE] {
        conditions.keep(type_);
    }
    conditions.summary(standing);
    next.conditions = conditions.finish();
    next.phase = Some(phase(&next, observed));
    next
}

/// The record of attempts, and what the running code's annotations say of it.
fn info(input: &StatusInput<'_>) -> SynthesisInfo {
    let pending = !matches!(input.decision, Decision::Run { .. } | Decision::Activate { .. }) || input.agent.pinned.is_some();
    let mut info = if pending { input.info.clone() } else { attempt::settled(input.info) };
    let Some(active) = input.decision.code() else { return info };
    let annotation = |key: &str| active.annotations.get(key).cloned();
    let code_hash = annotation(annotations::CODE_HASH);
    if code_hash != info.code_hash {
        info.synthesis_duration = None;
    }
    info.code_hash = code_hash;
    info.last_synthesis_time = annotation(annotations::SYNTHESIZED_AT);
    info.synthesis_model = annotation(annotations::SYNTHESIS_MODEL);
    info.traceparent = annotation(annotations::TRACEPARENT);
    info.revision = Some(active_revision(input, active));
    info
}

/// By the same ConfigMap as it is observed after the apply: code that was activated in this reconcile has its new number there.
fn active_revision(input: &StatusInput<'_>, active: &Observed) -> i64 {
    let now = input.observed.codes.iter().find(|code| code.uid == active.uid);
    code::revision(now.map_or(active, |code| &**code))
}

fn replicas(status: &mut LanguageAgentStatus, observed: &ObservedAgent) {
    let (active, ready) = match (deployment_facts(observed), cron_job_active(observed)) {
        (Some(facts), _) => (Some(facts.replicas), Some(facts.ready)),
        (None, Some(active)) => (Some(active), None),
        (None, None) => (None, None),
    };
    status.active_replicas = active;
    status.ready_replicas = ready;
}

fn deployment_facts(observed: &ObservedAgent) -> Option<&DeploymentFacts> {
    match &observed.deployment.as_ref()?.facts {
        Facts::Deployment(facts) => Some(facts),
        _ => None,
    }
}

fn cron_job_active(observed: &ObservedAgent) -> Option<i32> {
    match &observed.cron_job.as_ref()?.facts {
        Facts::CronJob { active, .. } => Some(*active),
        _ => None,
    }
}

fn references(conditions: &mut Conditions, agent: &ValidatedAgent) {
    let references = &agent.references;
    let (status, reason, message) = if !references.unresolved.is_empty() {
        (Status::False, Reason::ReferenceNotFound, references.unresolved.join("; "))
    } else if references.is_empty() {
        (Status::True, Reason::NoReferences, "nothing is referenced".to_owned())
    } else {
        (Status::True, Reason::AllResolved, "every reference exists".to_owned())
    };
    conditions.set(types::REFERENCES_RESOLVED, status, reason, message + &lent_egress(agent));
}

/// A sidecar shares the agent's network: what it may reach, the agent may reach.
fn lent_egress(agent: &ValidatedAgent) -> String {
    if agent.lent_egress.is_empty() {
        return String::new();
    }
    let names: Vec<String> = agent.lent_egress.iter().map(|name| format!("'{name}'")).collect();
    format!("; the agent's network policy includes the egress of the sidecar tools {}", names.join(", "))
}

fn synthesized(conditions: &mut Conditions, input: &StatusInput<'_>) {
    let set = |conditions: &mut Conditions, status, reason, message: String| conditions.set(types::SYNTHESIZED, status, reason, message);
    match input.decision {
        Decision::Invalid => conditions.keep(types::SYNTHESIZED),
        Decision::Run { code } | Decision::Activate { code } => {
            let (status, reason, message) = of_active(input, code);
            set(conditions, status, reason, message);
        }
        Decision::Synthesize { .. } | Decision::Waiting { .. } | Decision::BackingOff { .. } => {
            let (reason, message) = of_attempt(input);
            set(conditions, Status::False, reason, message);
        }
        Decision::WaitForReferences => {
            let message = format!("waits for its references: {}", input.agent.references.unresolved.join("; "));
            set(conditions, Status::False, Reason::WaitingForReferences, message);
        }
        Decision::RevisionNotFound(revision) => set(conditions, Status::False, Reason::RevisionNotFound, not_found(input, *revision)),
        Decision::NoCode | Decision::NothingToRun => {
            set(conditions, Status::False, Reason::NoInstructions, "there are no instructions to make code from".to_owned());
        }
    }
}

fn of_active(input: &StatusInput<'_>, active: &Observed) -> (Status, Reason, String) {
    let revision = active_revision(input, active);
    let made_from = active.annotations.get(annotations::INSTRUCTIONS_HASH);
    let present = input.agent.instructions.as_ref().map(|instructions| &instructions.hash);
    if input.agent.pinned.is_some() {
        return if made_from.is_some() && made_from == present {
            (Status::True, Reason::RevisionActivated, format!("revision {revision} runs, as spec.synthesis.revision says"))
        } else {
            let message = format!("revision {revision} runs, as spec.synthesis.revision says; it was made from other instructions");
            (Status::False, Reason::RevisionActivated, message)
        };
    }
    let before = conditions::find(&input.previous.conditions, types::SYNTHESIZED);
    let same_revision = input.previous.synthesis_info.as_ref().and_then(|info| info.revision) == Some(revision);
    let was_activated = same_revision && before.is_some_and(|before| before.reason == Reason::RevisionActivated.as_str());
    if matches!(input.decision, Decision::Activate { .. }) || was_activated {
        let message = format!("revision {revision} runs: stored code of these instructions, active again");
        (Status::True, Reason::RevisionActivated, message)
    } else {
        (Status::True, Reason::SynthesisSucceeded, format!("revision {revision} runs, made from these instructions"))
    }
}

/// Of an attempt that is under way, failed or due. What went wrong last stays told while it is tried again.
fn of_attempt(input: &StatusInput<'_>) -> (Reason, String) {
    let last = input.info.last_failure_reason.as_deref();
    let Some(reason) = Reason::ALL.iter().copied().find(|reason| Some(reason.as_str()) == last) else {
        let cause = match input.decision {
            Decision::Synthesize { cause, .. } => *cause,
            _ => cause_again(input),
        };
        return (Reason::SynthesisStarted, format!("code is being made: {}", cause.as_str()));
    };
    let before = conditions::find(&input.previous.conditions, types::SYNTHESIZED).filter(|before| before.reason == reason.as_str());
    let message = match (input.failure, before) {
        (Some(failure), _) => failure.to_owned(),
        (None, Some(before)) => before.message.clone(),
        (None, None) => "the last attempt failed; it is tried again".to_owned(),
    };
    (reason, message)
}

/// Why the call that is under way was made, so that the message does not change while it lasts.
fn cause_again(input: &StatusInput<'_>) -> Cause {
    let asked = input.agent.resynthesize.is_some() && input.agent.resynthesize != input.info.resynthesized_for;
    match (asked, input.decision.code()) {
        (true, _) => Cause::Resynthesize,
        (false, Some(_)) => Cause::InstructionsChanged,
        (false, None) => Cause::NoCode,
    }
}

fn not_found(input: &StatusInput<'_>, revision: i64) -> String {
    let mut stored: Vec<i64> = code::usable(&input.observed.codes).map(|(_, facts)| facts.revision).collect();
    stored.sort_unstable();
    let stored = match &stored[..] {
        [] => "none is".to_owned(),
        stored => format!("stored: {}", stored.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")),
    };
    format!("revision {revision} is not stored ({stored}): correct spec.synthesis.revision or remove it")
}

/// Present exactly when there is code that could be stale.
fn code_stale(conditions: &mut Conditions, input: &StatusInput<'_>) {
    match input.decision {
        Decision::Invalid | Decision::RevisionNotFound(_) => conditions.keep(types::CODE_STALE),
        _ => {
            let Some(code) = input.decision.code().and_then(ActiveCode::of) else { return };
            match stale::message(&code, &input.agent.references) {
                Some(message) => conditions.set(types::CODE_STALE, Status::True, Reason::ReferencesChanged, message),
                None => {
                    let message = "the code was made with these references";
                    conditions.set(types::CODE_STALE, Status::False, Reason::ReferencesUnchanged, message);
                }
            }
        }
    }
}

fn standing(input: &StatusInput<'_>) -> Standing {
    let standing = of_spec(input).or_else(|| of_code(input)).unwrap_or_else(|| of_workload(input));
    let suspended = input.agent.run.as_ref().is_ok_and(|run| run.requested.suspended);
    match (standing, input.report.remarks.first()) {
        (Standing::Ready(..), _) if suspended => Standing::Ready(Reason::Suspended, "suspended by spec.suspend".to_owned()),
        (Standing::Ready(..), Some(remark)) => remark.clone().into(),
        (standing, _) => standing,
    }
}

/// What somebody must correct.
fn of_spec(input: &StatusInput<'_>) -> Option<Standing> {
    if let Some(fault) = &input.report.fault {
        return Some(fault.clone().into());
    }
    match input.decision {
        Decision::RevisionNotFound(revision) => Some(Standing::Stalled(Reason::RevisionNotFound, not_found(input, *revision))),
        Decision::NothingToRun => Some(Standing::Stalled(
            Reason::NothingToRun,
            "there are neither instructions nor an image: set spec.instructions, or spec.image to an image that does the work".to_owned(),
        )),
        _ => None,
    }
}

/// While code is awaited, its spec is not carried out yet, whatever runs meanwhile.
fn of_code(input: &StatusInput<'_>) -> Option<Standing> {
    let (reason, message) = match input.decision {
        Decision::Synthesize { .. } | Decision::Waiting { .. } | Decision::BackingOff { .. } => of_attempt(input),
        Decision::WaitForReferences => {
            let message = input.agent.references.unresolved.join("; ");
            return Some(Standing::Progressing(Reason::WaitingForReferences, message));
        }
        _ => return None,
    };
    let image_works_alone = input.decision.code().is_none() && matches!(input.report.fate, Fate::Written(_) | Fate::Switching { .. });
    match reason {
        Reason::SynthesisDisabled if image_works_alone && is_disabled(input.info) => None,
        Reason::SynthesisDisabled => Some(Standing::Stalled(reason, message)),
        Reason::SynthesisStarted => Some(Standing::Progressing(reason, message)),
        _ => Some(Standing::Failed(reason, message)),
    }
}

fn of_workload(input: &StatusInput<'_>) -> Standing {
    match &input.report.fate {
        Fate::Switching { to, .. } => {
            let (old, new) = match to {
                Timing::Cron { .. } => ("Deployment", "CronJob"),
                Timing::Continuous | Timing::Every { .. } => ("CronJob", "Deployment"),
            };
            Standing::Progressing(Reason::ModeSwitching, format!("the {old} and its pods end before the {new} is made"))
        }
        Fate::Written(_) if !input.children.cron_jobs.is_empty() => of_cron_job(input.observed),
        Fate::Written(_) | Fate::Kept => of_deployment(input.observed),
    }
}

fn of_cron_job(observed: &ObservedAgent) -> Standing {
    match observed.cron_job {
        Some(_) => Standing::Ready(Reason::AsDesired, "the next run is planned".to_owned()),
        None => Standing::Progressing(Reason::RolloutInProgress, "the CronJob is not observed yet".to_owned()),
    }
}

fn of_deployment(observed: &ObservedAgent) -> Standing {
    let pods: Vec<&Observed> = observed.pods.iter().map(|pod| &**pod).collect();
    let in_trouble = pods.iter().any(|pod| matches!(&pod.facts, Facts::Pod(facts) if facts.trouble.is_some()));
    match conditions::rollout(deployment_facts(observed), pods) {
        // One message for all stages of a rollout that goes well: each other one would be a write.
        Standing::Progressing(reason, _) if !in_trouble => Standing::Progressing(reason, "the pods are not ready yet".to_owned()),
        standing => standing,
    }
}

/// Reasons of Stalled that stop nothing.
const REMARKS: [Reason; 2] = [Reason::EgressDenied, Reason::WorkspaceShrinkRefused];
/// Reasons of Reconciling that concern only the next code.
const SYNTHESIS: [Reason; 3] = [Reason::SynthesisStarted, Reason::SynthesisFailed, Reason::ValidationFailed];

/// Derived from the conditions, and for agents that run at times from their last run.
fn phase(status: &LanguageAgentStatus, observed: &ObservedAgent) -> AgentPhase {
    let conditions = &status.conditions;
    let is = |type_: &str, reasons: &[Reason]| {
        let condition = conditions::find(conditions, type_).filter(|condition| condition.status == "True");
        condition.is_some_and(|condition| reasons.iter().any(|reason| reason.as_str() == condition.reason))
    };
    // CodeStale is present exactly when code runs.
    let has_code = conditions::find(conditions, types::CODE_STALE).is_some();
    if is(types::READY, &[Reason::Suspended]) {
        AgentPhase::Suspended
    } else if conditions::is_true(conditions, types::READY) {
        running(status, observed)
    } else if is(types::STALLED, &REMARKS) || (is(types::RECONCILING, &SYNTHESIS) && has_code) {
        AgentPhase::Running
    } else if conditions::is_true(conditions, types::STALLED) {
        AgentPhase::Failed
    } else {
        AgentPhase::Pending
    }
}

fn running(status: &LanguageAgentStatus, observed: &ObservedAgent) -> AgentPhase {
    let at_times = status.mode == Some(ExecutionMode::Scheduled) && observed.deployment.is_none();
    match (at_times && cron_job_active(observed) == Some(0), Outcome::of_last(status)) {
        (true, Some(Outcome::Succeeded)) => AgentPhase::Succeeded,
        (true, Some(Outcome::Failed)) => AgentPhase::Failed,
        _ => AgentPhase::Running,
    }
}
