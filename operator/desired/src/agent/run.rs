//! The runs of an agent that runs at times: which Jobs are under way, which of them never started,
//! and which hold the next ones back. How runs ended is counted in [`super::executions`]; what is
//! said of them is in [`super::status`].

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::{batch::v1::CronJob, core::v1::PodTemplateSpec},
    jiff::Timestamp,
};
use langop_api::names::annotations;
use langop_dsl::CronSchedule;

use super::ObservedAgent;
use crate::{
    backoff, hash,
    observed::{JobState, Observed, ObservedState, PodState},
};

/// By then a Job has a pod, or is refused one: its controller says that in events only.
const TIME_FOR_A_POD: Duration = Duration::from_secs(30);
/// By then the container of a run has started, however large its image: what keeps it is said in
/// events only (a volume, for one).
const TIME_TO_START: Duration = Duration::from_mins(10);
/// How much later than planned a run may come without being called skipped.
const GRACE: Duration = Duration::from_secs(30);

/// What Jobs carry, so that it can be told whether they are of the pods that are wanted now.
pub(super) fn template_hash(template: &PodTemplateSpec) -> String {
    hash::of_json(template)
}

/// The runs that did not start and now cannot: the pods that are wanted have changed since, and
/// under `Forbid` these would keep the corrected ones from ever being made. A run that may yet
/// start, or that has, is none of them.
pub fn superseded(
    wanted: &[CronJob],
    observed: &ObservedAgent,
    now: Timestamp,
) -> Vec<Arc<Observed>> {
    let is_superseded = |job: &&Arc<Observed>| {
        let controller = job.controller.as_ref();
        let maker = controller.and_then(|controller| {
            let mut lives = observed.cron_jobs.iter();
            lives.find(|live| live.uid == controller.uid)
        });
        let now_wanted = maker.and_then(|live| {
            let mut wanted = wanted.iter();
            wanted.find(|cron_job| cron_job.metadata.name.as_ref() == Some(&live.name))
        });
        now_wanted.is_some_and(|cron_job| {
            is_under_way(job)
                && made_for(job).is_some_and(|made| Some(made) != hash_in(cron_job))
                && is_stuck(job, observed, now)
        })
    };
    observed
        .jobs
        .iter()
        .filter(is_superseded)
        .cloned()
        .collect()
}

/// Which pods the Jobs of a CronJob are made for.
fn hash_in(cron_job: &CronJob) -> Option<&str> {
    let metadata = cron_job.spec.job_template.metadata.as_ref()?;
    let annotations = metadata.annotations.as_ref()?;
    annotations
        .get(annotations::TEMPLATE_HASH)
        .map(String::as_str)
}

/// Which pods it was made for. Nobody knows of a Job that was made by hand without the note, so
/// nothing is concluded of it.
fn made_for(job: &Observed) -> Option<&str> {
    job.annotations.get(annotations::TEMPLATE_HASH)
}

/// The Jobs of an agent that have not ended.
pub(super) fn under_way(observed: &ObservedAgent) -> impl Iterator<Item = &Observed> {
    let jobs = observed.jobs.iter().map(|job| &**job);
    jobs.filter(|job| is_under_way(job))
}

/// A Job that has not ended.
pub(super) fn is_under_way(job: &Observed) -> bool {
    !job.deleting && state(job).is_some_and(|state| state.succeeded.is_none())
}

fn state(job: &Observed) -> Option<&JobState> {
    match &job.state {
        ObservedState::Job(state) => Some(state),
        _ => None,
    }
}

/// Whether a run never started, and something keeps it from that.
fn is_stuck(job: &Observed, observed: &ObservedAgent, now: Timestamp) -> bool {
    if let Some(due) = pod_is_due(job, observed) {
        return due <= now;
    }
    let mut pods = pods_of(job, observed).peekable();
    pods.peek().is_some()
        && pods_of(job, observed).all(|pod| !has_started(pod))
        && (pods.any(|pod| pod.problem_at(now).is_some())
            || start_is_due(job, observed).is_some_and(|due| due <= now))
}

/// The container that a pod is for runs, or ran.
fn has_started(pod: &PodState) -> bool {
    !matches!(pod.phase.as_str(), "" | "Pending")
}

/// By when a Job that never had a pod should have one.
pub(super) fn pod_is_due(job: &Observed, observed: &ObservedAgent) -> Option<Timestamp> {
    let had_pod = state(job).is_some_and(|state| state.had_pod);
    if had_pod || pods_of(job, observed).next().is_some() {
        return None;
    }
    Some(backoff::due(job.created.parse().ok()?, TIME_FOR_A_POD))
}

/// By when a run whose pod has not started should have.
pub(super) fn start_is_due(job: &Observed, observed: &ObservedAgent) -> Option<Timestamp> {
    let mut pods = pods_of(job, observed).peekable();
    pods.peek()?;
    if pods.any(has_started) {
        return None;
    }
    Some(backoff::due(job.created.parse().ok()?, TIME_TO_START))
}

/// From when on a run that is still under way keeps others from being made: the time after its own.
/// None for a run made by hand, which holds nothing back, and while none is planned.
pub(super) fn holds_back_from(job: &Observed, observed: &ObservedAgent) -> Option<Timestamp> {
    let cron_job = observed.cron_job_facts_of(job)?;
    if cron_job.suspended || cron_job.active == 0 || state(job)?.by_hand {
        return None;
    }
    let created: Timestamp = job.created.parse().ok()?;
    let zone = cron_job.time_zone.as_deref();
    let schedule = CronSchedule::parse(&cron_job.schedule, zone, created).ok()?;
    Some(backoff::due(schedule.next_after(created)?, GRACE))
}

pub(super) fn pods_of<'a>(
    job: &'a Observed,
    observed: &'a ObservedAgent,
) -> impl Iterator<Item = &'a PodState> {
    observed.pods_of(job).filter_map(|pod| match &pod.state {
        ObservedState::Pod(state) => Some(&**state),
        _ => None,
    })
}
