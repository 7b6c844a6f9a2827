//! Executions: each ended Job is counted exactly once, and each end of a container in a pod that
//! runs all the time.
//!
//! What is counted and still exists is remembered in the same status write as the count: the uid of
//! a Job, or a pod's uid with its restarts (`UID:3`). Neither a restart of the operator nor garbage
//! collection counts anything twice. What there is no room to remember is not counted yet, because
//! it would be counted again.
//!
//! A container that keeps crashing is counted in strides: each count is a write, and a crash loop
//! has no end.

use std::{cmp::Ordering, collections::HashSet};

use k8s_openapi::jiff::Timestamp;
use langop_api::{
    LanguageAgentStatus,
    agent::{DayUsage, MAX_COUNTED_EXECUTIONS, RunTokens, Usage},
};

use super::ObservedAgent;
use crate::observed::{JobState, Observed, ObservedState, PodState, RunReport, Termination};

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Succeeded,
    /// Badly.
    Failed,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// How the last execution ended, from `status.lastExecutionResult`.
    pub fn of_last(status: &LanguageAgentStatus) -> Option<Self> {
        let text = status.last_execution_result.as_deref()?;
        [Self::Succeeded, Self::Failed]
            .into_iter()
            .find(|outcome| text.starts_with(outcome.as_str()))
    }
}

/// One or more executions of one Job or pod that were not counted yet.
struct Ended {
    outcome: Outcome,
    times: i64,
    when: Option<String>,
    result: String,
    report: Option<RunReport>,
}

impl Ended {
    /// Whether it was a run at all: one that was not due did nothing.
    fn is_execution(&self) -> bool {
        let is_skipped = self.report.is_some_and(|report| report.is_skipped);
        !(is_skipped && self.outcome == Outcome::Succeeded)
    }
}

/// Brings the counts up to date with what is observed.
pub fn count(status: &mut LanguageAgentStatus, observed: &ObservedAgent, now: Timestamp) {
    let before = std::mem::take(&mut status.counted_executions);
    let mut room = MAX_COUNTED_EXECUTIONS.saturating_sub(remembered(&before, observed));
    let mut ended: Vec<Ended> = Vec::new();
    for job in observed.jobs.iter().filter(|job| observed.is_own(job)) {
        let Some(outcome) = job_outcome(job) else {
            continue;
        };
        if !before.contains(&job.uid) {
            if room == 0 || observed.pods_of(job).any(is_behind) {
                continue;
            }
            room -= 1;
            ended.push(of_job(job, outcome, observed));
        }
        status.counted_executions.push(job.uid.clone());
    }
    let pods = observed.pods.iter().filter(|pod| observed.is_own(pod));
    for pod in pods.filter(|pod| !is_of_job(pod)) {
        let ObservedState::Pod(state) = &pod.state else {
            continue;
        };
        let known = known_restarts(&before, &pod.uid);
        let has_room = known > 0 || room > 0;
        let restarts = if !has_room || is_in_stride(pod, state, known, now) {
            known
        } else {
            state.restarts.max(known)
        };
        if restarts > known {
            room -= usize::from(known == 0);
            ended.push(of_container(state, i64::from(restarts - known)));
        }
        if restarts > 0 {
            status
                .counted_executions
                .push(format!("{}:{restarts}", pod.uid));
        }
    }
    status.counted_executions.sort_unstable();
    ended.sort_by(|a, b| a.when.cmp(&b.when));
    for execution in ended {
        if let Some(report) = execution.report {
            spend(status, report.tokens, execution.when.as_deref(), now);
        }
        if execution.is_execution() {
            add(status, execution);
        }
    }
}

/// Adds what a run spent, to the day on which it ended.
fn spend(status: &mut LanguageAgentStatus, tokens: RunTokens, when: Option<&str>, now: Timestamp) {
    if tokens == RunTokens::default() {
        return;
    }
    let ended: Timestamp = when.and_then(|when| when.parse().ok()).unwrap_or(now);
    let date = ended.strftime("%F").to_string();
    let usage = status.usage.get_or_insert_with(Usage::default);
    usage.total = usage.total.plus(tokens);
    // RFC 3339: the order of texts is the order of days.
    match date.cmp(&usage.today.date) {
        Ordering::Less => {}
        Ordering::Equal => usage.today.tokens = usage.today.tokens.plus(tokens),
        Ordering::Greater => usage.today = DayUsage { date, tokens },
    }
}

/// How much of what is remembered still exists.
fn remembered(before: &[String], observed: &ObservedAgent) -> usize {
    let uids: HashSet<&str> = before
        .iter()
        .filter_map(|entry| entry.split(':').next())
        .collect();
    let jobs_and_pods = observed.jobs.iter().chain(&observed.pods);
    jobs_and_pods
        .filter(|one| uids.contains(one.uid.as_str()))
        .count()
}

/// Whether the ends of a container wait to be counted: while it keeps crashing, until there are
/// twice as many. All are counted when it runs well again, and when its pod ends.
fn is_in_stride(pod: &Observed, state: &PodState, known: i32, now: Timestamp) -> bool {
    !pod.deleting
        && !state.has_ended()
        && state.problem_at(now).is_some()
        && state.restarts < known.saturating_mul(2)
}

fn add(status: &mut LanguageAgentStatus, ended: Ended) {
    let more = |count: &mut Option<i64>, times: i64| *count = Some(count.unwrap_or(0) + times);
    more(&mut status.execution_count, ended.times);
    match ended.outcome {
        Outcome::Succeeded => more(&mut status.successful_executions, ended.times),
        Outcome::Failed => more(&mut status.failed_executions, ended.times),
    }
    // RFC 3339 in UTC: the order of texts is the order of times.
    if ended.when >= status.last_execution_time {
        status.last_execution_time = ended.when;
        status.last_execution_result = Some(ended.result);
    }
}

fn is_of_job(pod: &Observed) -> bool {
    pod.controller
        .as_ref()
        .is_some_and(|controller| controller.kind == "Job")
}

fn job_state(job: &Observed) -> Option<&JobState> {
    match &job.state {
        ObservedState::Job(state) => Some(state),
        _ => None,
    }
}

fn job_outcome(job: &Observed) -> Option<Outcome> {
    Some(if job_state(job)?.succeeded? {
        Outcome::Succeeded
    } else {
        Outcome::Failed
    })
}

/// A pod that seems to run although its Job has ended: how it ended is on its way to us, and the
/// count waits for that. One that is being deleted may be long about it.
fn is_behind(pod: &Observed) -> bool {
    let ObservedState::Pod(state) = &pod.state else {
        return false;
    };
    let has_ended = matches!(state.phase.as_str(), "Succeeded" | "Failed");
    !pod.deleting && !has_ended && state.last_termination.is_none()
}

fn of_job(job: &Observed, outcome: Outcome, observed: &ObservedAgent) -> Ended {
    let state = job_state(job).cloned().unwrap_or_default();
    let termination = observed.pods_of(job).find_map(|pod| match &pod.state {
        ObservedState::Pod(state) => state.last_termination.as_ref(),
        _ => None,
    });
    Ended {
        outcome,
        times: 1,
        when: state.ended.or_else(|| Some(job.created.clone())),
        result: result(outcome, termination, state.message.as_deref()),
        report: termination.and_then(|termination| termination.report),
    }
}

fn of_container(state: &PodState, times: i64) -> Ended {
    let termination = state.last_termination.as_ref();
    let outcome = match termination {
        Some(Termination { exit_code: 0, .. }) => Outcome::Succeeded,
        _ => Outcome::Failed,
    };
    Ended {
        outcome,
        times,
        when: termination.and_then(|termination| termination.ended.clone()),
        result: result(outcome, termination, None),
        report: termination.and_then(|termination| termination.report),
    }
}

/// `Failed: exit code 3: disk full`, bounded because its parts are: see how pods and Jobs are
/// reduced.
fn result(outcome: Outcome, termination: Option<&Termination>, otherwise: Option<&str>) -> String {
    let mut parts = vec![outcome.as_str().to_owned()];
    if let Some(termination) = termination {
        if outcome == Outcome::Failed {
            parts.push(format!("exit code {}", termination.exit_code));
        }
        // What the kubelet says of every container that ended well.
        parts.extend(
            termination
                .message
                .clone()
                .filter(|message| message != "Completed"),
        );
    } else {
        parts.extend(otherwise.map(str::to_owned));
    }
    parts.join(": ")
}

fn known_restarts(before: &[String], uid: &str) -> i32 {
    let known = before
        .iter()
        .find_map(|entry| entry.strip_prefix(uid)?.strip_prefix(':')?.parse().ok());
    known.unwrap_or(0)
}
