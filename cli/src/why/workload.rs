//! Deployments and CronJobs: whether they are there, may make pods, and are not held back.

use langop_api::condition::{Reason, types};
use langop_desired::observed::{CronJobState, DeploymentState, Observed, ObservedState};

use super::{
    advice,
    facts::Children,
    finding::{Advice, Finding, Outcome, State},
};
use crate::facts::Subject;

/// Looks at them.
pub(crate) fn check(subject: &Subject, children: &Children) -> Outcome {
    if let Some(finding) = refused(subject) {
        return Outcome::Stopped(finding);
    }
    let Some(workloads) = children.workloads.got() else {
        return denied(children);
    };
    let found = workloads.iter().find_map(|workload| match &workload.state {
        ObservedState::Deployment(facts) => Some(deployment(subject, workload, facts)),
        ObservedState::CronJob(facts) => Some(cron_job(subject, children, workload, facts)),
        _ => None,
    });
    found.unwrap_or_else(|| absent(subject))
}

fn denied(children: &Children) -> Outcome {
    match &children.workloads {
        crate::facts::Read::Denied(said) => Outcome::unknown(said),
        crate::facts::Read::Got(_) => Outcome::fine(""),
    }
}

/// What the operator could not write, and switches of the mode.
fn refused(subject: &Subject) -> Option<Finding> {
    let ready = subject
        .condition(types::READY)
        .filter(|ready| ready.status != "True")?;
    let reason = Reason::from_name(&ready.reason)?;
    let state = match reason {
        Reason::ApplyFailed | Reason::RunsSkipped => State::Failing,
        Reason::ModeSwitching | Reason::ApprovalRequired => State::Waiting,
        _ => return None,
    };
    Some(Finding::new(
        state,
        subject.title(),
        ready.message.clone(),
        advice::of(reason, &ready.message, subject),
    ))
}

fn absent(subject: &Subject) -> Outcome {
    if subject.is(types::READY) {
        return Outcome::fine("");
    }
    let message = subject
        .condition(types::READY)
        .map_or("it has no workload yet", |ready| ready.message.as_str());
    Outcome::Stopped(Finding::new(
        State::Waiting,
        subject.title(),
        message,
        advice::look_for_operator(subject),
    ))
}

fn deployment(subject: &Subject, workload: &Observed, facts: &DeploymentState) -> Outcome {
    let object = format!("Deployment {}/{}", workload.namespace, workload.name);
    let name = &workload.name;
    if facts.paused {
        return Outcome::Stopped(Finding::new(
            State::Failing,
            object,
            "the Deployment is paused",
            vec![Advice::run(
                "Go on with it",
                subject.kubectl(&format!("rollout resume deployment {name}")),
            )],
        ));
    }
    if let Some(cause) = &facts.replica_failure {
        return Outcome::Stopped(Finding::new(
            State::Failing,
            object,
            format!("pods cannot be created: {cause}"),
            advice::of(Reason::PodsRefused, cause, subject),
        ));
    }
    if facts.desired == 0 {
        return Outcome::Stopped(Finding::new(
            State::Suspended,
            object,
            "the Deployment is scaled to 0",
            vec![Advice::run(
                "Scale it up",
                subject.kubectl(&format!("scale deployment {name} --replicas=1")),
            )],
        ));
    }
    Outcome::fine(format!("Deployment '{name}'"))
}

fn cron_job(
    subject: &Subject,
    children: &Children,
    workload: &Observed,
    facts: &CronJobState,
) -> Outcome {
    let without_pod = children.jobs.got().into_iter().flatten().find(|job| {
        matches!(&job.state, ObservedState::Job(state) if state.succeeded.is_none() && !state.had_pod)
    });
    let refusal = without_pod.and_then(|job| Some((job, children.warning("Job", &job.name)?)));
    if let Some((job, warning)) = refusal {
        return Outcome::Stopped(Finding::new(
            State::Failing,
            format!("Job {}/{}", job.namespace, job.name),
            format!("its pod cannot be created: {}", warning.message),
            advice::of(Reason::PodsRefused, &warning.message, subject),
        ));
    }
    Outcome::fine(format!(
        "CronJob '{}' runs {}",
        workload.name,
        crate::schedule::cron_in_words(&facts.schedule, facts.time_zone.as_deref())
    ))
}
