//! How a run that is under way gets on: a Job whose pod cannot start is told as a Deployment's would be. How runs ended is counted
//! elsewhere (see [`crate::agent::executions`]).
//!
//! What is told of a run stays told until the run gets on, so that a container that crashes and starts in turns does not turn the
//! conditions with it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use langop_api::condition::{Reason, types};

use super::StatusInput;
use crate::{
    agent::ObservedAgent,
    backoff,
    conditions::{self, Standing},
    observed::{Facts, Observed, PodFacts},
};

/// By then a Job has a pod, or is refused one: its controller says that in events only.
const TIME_FOR_A_POD: Duration = Duration::from_secs(30);

/// What keeps a run that is under way from getting on, if anything; of several, the first by name.
pub(super) fn problem(input: &StatusInput<'_>) -> Option<Standing> {
    let observed = input.observed;
    observed
        .running_jobs()
        .find_map(|job| match pod_is_due(job, observed) {
            Some(due) => (due <= input.now).then(|| without_pod(job)),
            None => in_trouble(input, job),
        })
}

/// When a Job that has no pod yet is to be looked at again, if there is one.
pub(super) fn due(observed: &ObservedAgent, now: Timestamp) -> Option<Timestamp> {
    let due = observed
        .running_jobs()
        .filter_map(|job| pod_is_due(job, observed));
    due.filter(|due| *due > now).min()
}

/// By when a Job that never had a pod should have one.
fn pod_is_due(job: &Observed, observed: &ObservedAgent) -> Option<Timestamp> {
    let had_pod = matches!(&job.facts, Facts::Job(facts) if facts.had_pod);
    if had_pod || pods_of(job, observed).next().is_some() {
        return None;
    }
    Some(backoff::due(job.created.parse().ok()?, TIME_FOR_A_POD))
}

fn without_pod(job: &Observed) -> Standing {
    Standing::Stalled(
        Reason::PodsRefused,
        format!(
            "{}it has no pod, which a quota or a policy may refuse: see its events, by `kubectl describe job {}`",
            about(job),
            job.name
        ),
    )
}

fn in_trouble(input: &StatusInput<'_>, job: &Observed) -> Option<Standing> {
    let mut starting = pods_of(job, input.observed)
        .filter(|pod| !pod.has_ended() && (!pod.ready || pod.trouble_at(input.now).is_some()))
        .peekable();
    starting.peek()?;
    let prefix = about(job);
    let message = match starting.find_map(|pod| pod.trouble_at(input.now)) {
        Some(trouble) => format!("{prefix}{trouble}"),
        None => conditions::find(&input.previous.conditions, types::READY)
            .filter(|ready| ready.reason == Reason::RolloutInProgress.as_str())
            .filter(|ready| ready.message.starts_with(&prefix))?
            .message
            .clone(),
    };
    Some(Standing::Progressing(Reason::RolloutInProgress, message))
}

fn about(job: &Observed) -> String {
    format!("the run of Job '{}' does not get on: ", job.name)
}

fn pods_of<'a>(
    job: &'a Observed,
    observed: &'a ObservedAgent,
) -> impl Iterator<Item = &'a PodFacts> {
    observed.pods.iter().filter_map(|pod| match &pod.facts {
        Facts::Pod(facts) if pod.controller.as_ref()?.uid == job.uid => Some(facts),
        _ => None,
    })
}
