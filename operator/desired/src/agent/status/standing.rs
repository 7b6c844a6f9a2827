//! How an agent is doing, from which Ready, Reconciling and Stalled follow. What a person must correct comes first, then the code, then
//! the workload.

use langop_api::condition::Reason;

use super::{
    condition::{not_found, of_attempt},
    input::StatusInput,
    run,
};
use crate::{
    agent::{
        ObservedAgent,
        build::Fate,
        decide::{Decision, is_disabled},
        timing::Timing,
    },
    conditions::{self, Standing},
    trouble::Troubles,
};

/// How the agent is doing, in one word and one sentence.
pub(super) fn standing(input: &StatusInput<'_>) -> Standing {
    let standing = of_spec(input)
        .or_else(|| of_code(input))
        .unwrap_or_else(|| of_workload(input));
    let suspended = input
        .agent
        .run
        .as_ref()
        .is_ok_and(|run| run.requested.suspended);
    let Standing::Ready(..) = standing else {
        return standing;
    };
    if suspended {
        return Standing::Ready(Reason::Suspended, "suspended by spec.suspend".to_owned());
    }
    match (
        &input.agent.references.unresolved[..],
        input.report.remarks.first(),
    ) {
        (_, Some(remark)) => remark.clone().into(),
        ([], None) => standing,
        // It runs without what is missing.
        (missing, None) => Standing::Progressing(Reason::ReferenceNotFound, missing.join("; ")),
    }
}

/// What somebody must correct.
fn of_spec(input: &StatusInput<'_>) -> Option<Standing> {
    if let Some(fault) = &input.report.fault {
        return Some(fault.clone().into());
    }
    match input.decision {
        Decision::RevisionNotFound(revision) => {
            let (reason, message) = not_found(input, *revision);
            Some(Standing::Stalled(reason, message))
        }
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
        Decision::Synthesize { .. } | Decision::Waiting { .. } | Decision::BackingOff { .. } => {
            of_attempt(input)
        }
        // What is there already runs on, and is judged by itself.
        Decision::ReferencesUnreadable if has_workload(input.observed) => return None,
        Decision::WaitForReferences | Decision::ReferencesUnreadable => {
            let message = input.agent.references.unresolved.join("; ");
            return Some(Standing::Progressing(Reason::WaitingForReferences, message));
        }
        _ => return None,
    };
    let image_works_alone = input.decision.code().is_none()
        && matches!(input.report.fate, Fate::Written(_) | Fate::Switching { .. });
    match reason {
        Reason::SynthesisDisabled if image_works_alone && is_disabled(input.info) => None,
        Reason::SynthesisDisabled => Some(Standing::Stalled(reason, message)),
        Reason::SynthesisStarted => Some(Standing::Progressing(reason, message)),
        _ => Some(Standing::Failed(reason, message)),
    }
}

fn has_workload(observed: &ObservedAgent) -> bool {
    observed.deployment.is_some() || observed.cron_job.is_some()
}

fn of_workload(input: &StatusInput<'_>) -> Standing {
    match &input.report.fate {
        Fate::Switching { to, .. } => {
            let (old, new) = match to {
                Timing::Cron { .. } => ("Deployment", "CronJob"),
                Timing::Continuous | Timing::Every { .. } => ("CronJob", "Deployment"),
            };
            Standing::Progressing(
                Reason::ModeSwitching,
                format!("the {old} and its pods end before the {new} is made"),
            )
        }
        Fate::Written(Timing::Cron { .. }) => of_cron_job(input),
        Fate::Kept if input.observed.cron_job.is_some() => of_cron_job(input),
        Fate::Written(_) | Fate::Kept => of_deployment(input),
    }
}

fn of_cron_job(input: &StatusInput<'_>) -> Standing {
    match input.observed.cron_job {
        Some(_) => run::problem(input).unwrap_or_else(|| {
            // By the same number that is told as active, so that the two change in one write.
            let message = match input.observed.cron_job_facts().map(|facts| facts.active) {
                Some(0) | None => "the next run is planned",
                Some(_) => "a run is under way",
            };
            Standing::Ready(Reason::AsDesired, message.to_owned())
        }),
        None => Standing::Progressing(
            Reason::RolloutInProgress,
            "the CronJob is not observed yet".to_owned(),
        ),
    }
}

fn of_deployment(input: &StatusInput<'_>) -> Standing {
    let troubles = Troubles::of(&input.observed.pods, input.now);
    match conditions::rollout(input.observed.deployment_facts(), troubles) {
        // One message for all stages of a rollout that names no trouble: each other one would be a write.
        Standing::Progressing(reason, message)
            if message != conditions::PAUSED
                && !troubles
                    .cause()
                    .is_some_and(|cause| message.contains(cause)) =>
        {
            Standing::Progressing(reason, "the pods are not ready yet".to_owned())
        }
        standing => standing,
    }
}
