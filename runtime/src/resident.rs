//! Run after run: once for a Job, else staying. Decides when the next one begins (pure: [`pause`])
//! and when the process gives up.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::Saved,
    deadline::Deadline,
    env::RunSchedule,
    outcome::Outcome,
    run::{self, Agent, Request},
    termination::Report,
};

/// Least pause of an autonomous agent.
const REST: Duration = Duration::from_mins(1);
/// Pause after the first failed run.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// Longest pause.
const LONGEST: Duration = Duration::from_mins(15);
/// So many failed runs in a row end the process, so that the operator counts them and the kubelet
/// backs off.
const MOST_FAILURES: u32 = 3;

/// An agent, and what its checkpoint held when the process began.
#[derive(Debug)]
pub struct Resident {
    /// The agent.
    pub agent: Arc<Agent>,
    /// The state of the last run.
    pub saved: Option<Saved>,
}

/// How the last run went, for the pause after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streak {
    /// Failed runs in a row.
    pub failures: u32,
    /// Runs in a row that had nothing to do.
    pub idle: u32,
}

impl Streak {
    fn after(self, outcome: Outcome, has_nothing_to_do: bool) -> Self {
        match outcome {
            Outcome::Failed => Self {
                failures: self.failures + 1,
                idle: 0,
            },
            _ if has_nothing_to_do => Self {
                failures: 0,
                idle: self.idle + 1,
            },
            _ => Self::default(),
        }
    }
}

/// How long to wait for the next run, from now. `since_start`: how long ago the last one began.
pub fn pause(schedule: RunSchedule, streak: Streak, since_start: Duration) -> Duration {
    let doubled = |base: Duration, times: u32| base.saturating_mul(1 << times.min(10)).min(LONGEST);
    let after_failure = match streak.failures {
        0 => Duration::ZERO,
        failures => doubled(AFTER_FAILURE, failures - 1),
    };
    match schedule {
        RunSchedule::Once { .. } => Duration::ZERO,
        // A start that was missed is skipped, never made up for.
        RunSchedule::Every(every) => {
            let into = since_start.as_nanos() % every.as_nanos().max(1);
            let left = every.saturating_sub(Duration::from_nanos_u128(into));
            if since_start.is_zero() { every } else { left }
        }
        RunSchedule::Continuous if streak.failures > 0 => after_failure,
        RunSchedule::Continuous => doubled(REST, streak.idle),
    }
}

/// Runs until the process should end, and says how the last run ended.
pub async fn run(resident: &Resident, began: Instant, stopping: CancellationToken) -> Report {
    let Resident { agent, saved } = resident;
    let environment = &agent.environment;
    let schedule = environment.schedule;
    let mut streak = Streak::default();
    let mut request = first(resident, began, &stopping);
    if let Some(wait) = early(schedule, saved.as_ref()) {
        tracing::info!(seconds = wait.as_secs(), "the last run began not long ago");
        if !wait_for(wait, &stopping).await {
            return Report::stopped_between_runs();
        }
        request.deadline = Deadline::of_run(Instant::now(), environment.timeout);
    }
    loop {
        let start = Instant::now();
        let finished = run::run(agent, &request).await;
        let report = finished.report;
        streak = streak.after(report.outcome, finished.has_nothing_to_do);
        let is_last = !schedule.is_resident()
            || report.outcome == Outcome::Stopped
            || streak.failures >= MOST_FAILURES;
        if is_last {
            return report;
        }
        let wait = pause(schedule, streak, start.elapsed());
        tracing::info!(seconds = wait.as_secs(), "waiting for the next run");
        if !wait_for(wait, &stopping).await {
            return Report::stopped_between_runs();
        }
        let deadline = Deadline::of_run(Instant::now(), environment.timeout);
        request = Request {
            previous: Some(report.line()),
            traceparent: environment.traceparent.clone(),
            ..Request::new(deadline, stopping.clone())
        };
    }
}

/// The first run: one that was under way when the last process ended, or a new one.
fn first(resident: &Resident, began: Instant, stopping: &CancellationToken) -> Request {
    let environment = &resident.agent.environment;
    let start = match environment.schedule {
        // The Job's own deadline began with the process.
        RunSchedule::Once { .. } => began,
        RunSchedule::Every(_) | RunSchedule::Continuous => Instant::now(),
    };
    let mut request = Request {
        traceparent: environment.traceparent.clone(),
        previous: resident
            .saved
            .as_ref()
            .and_then(|saved| saved.ended.clone()),
        ..Request::new(
            Deadline::of_run(start, environment.timeout),
            stopping.clone(),
        )
    };
    let Some(saved) = &resident.saved else {
        return request;
    };
    let is_under_way = saved.ended.is_none() && !saved.run.is_empty();
    let is_late = saved.deadline.is_some_and(|end| end <= Timestamp::now());
    if !is_under_way {
        return request;
    }
    if !environment.schedule.is_resident() || is_late {
        tracing::warn!(run = %saved.run, "an earlier run did not end; it is abandoned");
        return request;
    }
    tracing::info!(run = %saved.run, "going on with the run of an earlier process");
    request.deadline = Deadline::at(saved.deadline);
    request.resumed = Some(saved.clone());
    request
}

/// How long to wait before the first run, so that a new process does not run early.
fn early(schedule: RunSchedule, saved: Option<&Saved>) -> Option<Duration> {
    let RunSchedule::Every(every) = schedule else {
        return None;
    };
    let saved = saved.filter(|saved| saved.ended.is_some())?;
    let since = Timestamp::now().duration_since(saved.started);
    let since = Duration::try_from(since).ok()?;
    every.checked_sub(since).filter(|left| !left.is_zero())
}

/// Whether the time passed without a signal.
async fn wait_for(time: Duration, stopping: &CancellationToken) -> bool {
    tokio::select! {
        () = stopping.cancelled() => false,
        () = sleep(time) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_of_every_schedule() {
        let minutes = Duration::from_mins;
        let streak = |failures, idle| Streak { failures, idle };
        let continuous = RunSchedule::Continuous;
        let every = RunSchedule::Every(minutes(90));
        for (schedule, streak, since, expected) in [
            (continuous, streak(0, 0), minutes(5), minutes(1)),
            (continuous, streak(0, 1), minutes(5), minutes(2)),
            (continuous, streak(0, 9), minutes(5), minutes(15)),
            (
                continuous,
                streak(1, 0),
                minutes(5),
                Duration::from_secs(30),
            ),
            (continuous, streak(2, 0), minutes(5), minutes(1)),
            (every, streak(0, 0), minutes(5), minutes(85)),
            (every, streak(0, 0), minutes(100), minutes(80)),
            (every, streak(2, 0), minutes(5), minutes(85)),
            (every, streak(0, 0), Duration::ZERO, minutes(90)),
        ] {
            assert_eq!(
                pause(schedule, streak, since),
                expected,
                "{schedule:?} {streak:?}"
            );
        }
    }

    #[test]
    fn a_good_run_forgets_the_bad_ones() {
        let streak = Streak::default()
            .after(Outcome::Failed, false)
            .after(Outcome::Failed, false);
        assert_eq!(streak.failures, 2);
        assert_eq!(streak.after(Outcome::Succeeded, false), Streak::default());
        assert_eq!(streak.after(Outcome::Succeeded, true).idle, 1);
    }

    #[test]
    fn a_new_process_does_not_run_early() {
        let saved = |minutes: i64, ended: Option<&str>| Saved {
            started: Timestamp::now() - jiff::SignedDuration::from_mins(minutes),
            ended: ended.map(str::to_owned),
            ..Saved::default()
        };
        let every = RunSchedule::Every(Duration::from_mins(90));
        let left = early(every, Some(&saved(30, Some("done")))).unwrap();
        assert!((59..=60).contains(&(left.as_secs() / 60)), "{left:?}");
        assert_eq!(early(every, Some(&saved(100, Some("done")))), None);
        assert_eq!(early(every, Some(&saved(30, None))), None);
        assert_eq!(early(every, None), None);
        assert_eq!(
            early(RunSchedule::Continuous, Some(&saved(1, Some("x")))),
            None
        );
    }
}
