//! The walk of an agent.

use langop_api::condition::{Reason, types};
use langop_desired::agent::executions::Outcome as RunOutcome;

use super::{
    advice,
    diagnosis::diagnosis,
    event,
    facts::AgentFacts,
    finding::{CheckFn, Diagnosis, Finding, Outcome, Stage, State, walk},
    object, pod, reference, synthesis, workload,
};

/// In this order.
const CHECKS: [(Stage, CheckFn<AgentFacts>); 7] = [
    (Stage::Object, of_object),
    (Stage::References, reference::check),
    (Stage::Synthesis, synthesis::check),
    (Stage::Code, synthesis::of_code),
    (Stage::Workload, |facts| {
        workload::check(&facts.subject, &facts.children)
    }),
    (Stage::Pod, of_pod),
    (Stage::Event, |facts| {
        event::check(&facts.subject, &facts.children)
    }),
];

/// Walks.
pub(crate) fn diagnose(facts: &AgentFacts) -> Diagnosis {
    let (checks, end) = walk(facts, &CHECKS);
    diagnosis(&facts.subject, checks, end)
}

fn of_object(facts: &AgentFacts) -> Outcome {
    let subject = &facts.subject;
    if let Some(finding) = object::fault(subject, facts.now) {
        return Outcome::Stopped(finding);
    }
    let ready = subject.condition(types::READY);
    if let Some(ready) = ready.filter(|ready| ready.reason == Reason::Suspended.as_str()) {
        return Outcome::Stopped(Finding::new(
            State::Suspended,
            subject.title(),
            format!("it is {}", ready.message),
            advice::of(Reason::Suspended, &ready.message, subject),
        ));
    }
    Outcome::fine("its spec is valid, and the operator has looked at it")
}

/// Pods as they are, and how the last run ended.
fn of_pod(facts: &AgentFacts) -> Outcome {
    let subject = &facts.subject;
    let now = pod::check(subject, &facts.children, facts.now);
    let status = facts.agent.as_ref().and_then(|agent| agent.status.as_ref());
    let last = status.and_then(|status| {
        let has_failed = RunOutcome::of_last(status) == Some(RunOutcome::Failed);
        let is_told = subject.phase.as_deref() == Some("Failed");
        status
            .last_execution_result
            .clone()
            .filter(|_| has_failed && is_told)
    });
    match (now, last) {
        (Outcome::Passed(..), Some(result)) => Outcome::Stopped(Finding::new(
            State::Failing,
            subject.title(),
            format!(
                "the last run failed: {}",
                result.strip_prefix("Failed: ").unwrap_or(&result)
            ),
            vec![
                advice::langop("Read what it did", "logs", subject),
                advice::langop("Run it again now", "run", subject),
            ],
        )),
        (now, _) => now,
    }
}
