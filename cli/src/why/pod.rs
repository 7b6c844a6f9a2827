//! Pods: what keeps them from working, in the operator's words and, where an event has more, in the
//! kubelet's.

use jiff::Timestamp;
use langop_api::condition::types;
use langop_desired::observed::{Observed, ObservedState, PodState};

use super::{
    advice,
    facts::Children,
    finding::{Finding, Outcome, State},
};
use crate::facts::{Read, Subject};

/// Looks at them.
pub(crate) fn check(subject: &Subject, children: &Children, now: Timestamp) -> Outcome {
    if let Read::Denied(said) = &children.pods {
        return Outcome::unknown(said);
    }
    if let Some(finding) = problem(subject, children, now) {
        return Outcome::Stopped(finding);
    }
    let running: Vec<(&Observed, &PodState)> = children
        .live_pods()
        .filter(|(_, facts)| !facts.has_ended())
        .collect();
    let ready = running.iter().filter(|(_, facts)| facts.ready).count();
    match running.iter().find(|(_, facts)| !facts.ready) {
        Some((pod, _)) if !subject.is(types::READY) => {
            Outcome::Stopped(starting(subject, children, pod))
        }
        _ if running.is_empty() => Outcome::fine("no pod runs now"),
        _ => Outcome::fine(format!("{ready} of {} ready", running.len())),
    }
}

/// The pod that is worst off: one that still runs before one that has ended, then by name.
fn problem(subject: &Subject, children: &Children, now: Timestamp) -> Option<Finding> {
    let mut problems: Vec<_> = children
        .live_pods()
        .filter_map(|(pod, facts)| {
            Some((facts.has_ended(), &pod.name, facts.problem_at(now)?, pod))
        })
        .filter(|(has_ended, ..)| !has_ended || !subject.is(types::READY))
        .collect();
    problems.sort_unstable_by_key(|(has_ended, name, ..)| (*has_ended, *name));
    let (_, name, problem, pod) = problems.first()?;
    let event = children.warning("Pod", name);
    let said = event.map(|warning| warning.message.as_str());
    let message = match last_words(pod).or(said).filter(|said| adds(problem, said)) {
        Some(said) => format!("{problem}: {said}"),
        None => (*problem).to_owned(),
    };
    Some(Finding::new(
        State::Failing,
        title(pod),
        message,
        advice::of_pod(problem, name, subject),
    ))
}

/// What its main container said at its end, if that is known.
fn last_words(pod: &Observed) -> Option<&str> {
    match &pod.state {
        ObservedState::Pod(facts) => facts.last_termination.as_ref()?.message.as_deref(),
        _ => None,
    }
}

/// Whether these words say more than that it waits.
fn adds(problem: &str, said: &str) -> bool {
    !said.is_empty() && !said.starts_with("Back-off") && !problem.contains(said)
}

/// A pod on its way; its events may say why it takes long.
fn starting(subject: &Subject, children: &Children, pod: &Observed) -> Finding {
    match children.warning("Pod", &pod.name) {
        Some(warning) => Finding::new(
            State::Failing,
            title(pod),
            format!("{}: {}", warning.reason, warning.message),
            advice::of_pod(&warning.reason, &pod.name, subject),
        ),
        None => Finding::new(
            State::Waiting,
            title(pod),
            "the pod is starting",
            Vec::new(),
        ),
    }
}

fn title(pod: &Observed) -> String {
    format!("Pod {}/{}", pod.namespace, pod.name)
}
