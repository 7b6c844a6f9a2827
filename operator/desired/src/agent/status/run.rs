//! Progress of a running Job: a pod that cannot start is reported exactly like one of a Deployment,
//! and a run that takes so long that others are skipped is reported as that. How runs ended is
//! counted elsewhere (see [`crate::agent::executions`]).
//!
//! A reported problem stays reported until the run makes progress, so that a crash loop does not
//! flap the conditions.

use k8s_openapi::jiff::Timestamp;
use langop_api::condition::{Reason, types};

use super::input::StatusInput;
use crate::{
    agent::{
        ObservedAgent,
        run::{holds_back_from, pod_is_due, pods_of, start_is_due, under_way},
    },
    conditions::{self, Summary},
    observed::Observed,
};

/// What keeps a running Job from making progress, if anything, else that it keeps others from being
/// created; of several, the first by name.
pub(super) fn problem(input: &StatusInput<'_>) -> Option<Summary> {
    let observed = input.observed;
    under_way(observed)
        .find_map(|job| match pod_is_due(job, observed) {
            Some(due) => (due <= input.now).then(|| without_pod(job)),
            None => in_trouble(input, job),
        })
        .or_else(|| under_way(observed).find_map(|job| holding_back(input, job)))
}

/// When to look at a running Job again even if no event arrives, if there is one.
pub(super) fn due(observed: &ObservedAgent, now: Timestamp) -> Option<Timestamp> {
    let due = under_way(observed).flat_map(|job| {
        [
            pod_is_due(job, observed),
            start_is_due(job, observed),
            holds_back_from(job, observed),
        ]
    });
    due.flatten().filter(|due| *due > now).min()
}

fn without_pod(job: &Observed) -> Summary {
    Summary::Stalled(
        Reason::PodsRefused,
        format!(
            "{}it has no pod, which a quota or a policy may refuse: see its events, by `kubectl describe job {}`",
            about(job),
            job.name
        ),
    )
}

fn in_trouble(input: &StatusInput<'_>, job: &Observed) -> Option<Summary> {
    let mut starting = pods_of(job, input.observed)
        .filter(|pod| !pod.has_ended() && (!pod.ready || pod.problem_at(input.now).is_some()))
        .peekable();
    starting.peek()?;
    let prefix = about(job);
    let late = start_is_due(job, input.observed).filter(|due| *due <= input.now);
    let message = match starting.find_map(|pod| pod.problem_at(input.now)) {
        Some(problem) => format!("{prefix}{problem}"),
        None => {
            if let Some(told) = told_before(input, &prefix) {
                told
            } else {
                late?;
                format!(
                    "{prefix}its pod does not start: see its events, by `kubectl describe pod --selector batch.kubernetes.io/job-name={}`",
                    job.name
                )
            }
        }
    };
    Some(Summary::Progressing(Reason::RolloutInProgress, message))
}

fn told_before(input: &StatusInput<'_>, prefix: &str) -> Option<String> {
    conditions::find(&input.previous.conditions, types::READY)
        .filter(|ready| ready.reason == Reason::RolloutInProgress.as_str())
        .filter(|ready| ready.message.starts_with(prefix))
        .map(|ready| ready.message.clone())
}

fn holding_back(input: &StatusInput<'_>, job: &Observed) -> Option<Summary> {
    holds_back_from(job, input.observed).filter(|from| *from <= input.now)?;
    Some(Summary::Progressing(
        Reason::RunsSkipped,
        format!(
            "no run since {}: the run of Job '{}' still goes, and the next ones wait for its end; spec.limits.timeout ends a run that takes too long",
            job.created, job.name
        ),
    ))
}

fn about(job: &Observed) -> String {
    format!("Job '{}' is not making progress: ", job.name)
}
