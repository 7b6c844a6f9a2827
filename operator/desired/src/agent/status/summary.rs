//! How an agent is doing, from which Ready, Reconciling and Stalled follow. What a person must
//! correct comes first, then the code, then the workload.

use langop_api::condition::Reason;

use super::{
    condition::{not_found, of_attempt, waiting},
    input::StatusInput,
    run,
};
use crate::{
    agent::{
        ObservedAgent,
        build::WorkloadAction,
        decide::{Decision, is_disabled},
        origin, suspension,
        timing::Timing,
    },
    conditions::{self, Summary},
    pod_health::PodProblems,
};

/// How the agent is doing, in one word and one sentence.
pub(super) fn summary(input: &StatusInput<'_>) -> Summary {
    if let Some(cluster) = &input.agent.suspended_by {
        return of_namespace(input, cluster);
    }
    let summary = of_spec(input)
        .or_else(|| of_code(input))
        .or_else(|| of_approval(input))
        .unwrap_or_else(|| of_workload(input));
    let suspended = input
        .agent
        .run
        .as_ref()
        .is_ok_and(|run| run.requested.suspended);
    let Summary::Ready(..) = summary else {
        return summary;
    };
    if suspended {
        return Summary::Ready(Reason::Suspended, "suspended by spec.suspend".to_owned());
    }
    match (
        &input.agent.references.unresolved[..],
        input.report.warnings.first(),
    ) {
        (_, Some(warning)) => warning.clone().into(),
        ([], None) => summary,
        // It runs without what is missing.
        (missing, None) => Summary::Progressing(Reason::ReferenceNotFound, missing.join("; ")),
    }
}

/// Where the whole namespace is suspended, nothing else matters until it goes on.
fn of_namespace(input: &StatusInput<'_>, cluster: &str) -> Summary {
    let by = format!("suspended by spec.suspend of the LanguageCluster '{cluster}'");
    if !suspension::is_still(input.observed) {
        let message = format!("{by}; what runs has yet to end");
        return Summary::Progressing(Reason::Suspended, message);
    }
    let fault = match of_spec(input) {
        Some(Summary::Stalled(_, fault)) => format!("; when it goes on: {fault}"),
        _ => String::new(),
    };
    Summary::Ready(Reason::Suspended, by + &fault)
}

/// What somebody must correct.
fn of_spec(input: &StatusInput<'_>) -> Option<Summary> {
    if let Some(fault) = &input.report.fault {
        return Some(fault.clone().into());
    }
    match input.decision {
        Decision::RevisionNotFound(revision) => {
            let (reason, message) = not_found(input, *revision);
            Some(Summary::Stalled(reason, message))
        }
        Decision::RevisionRefused { code } => Some(Summary::Stalled(
            Reason::ProvenanceRefused,
            origin::refused(input.observed, code),
        )),
        Decision::NothingToRun => Some(Summary::Stalled(
            Reason::NothingToRun,
            "there are neither instructions nor an image: set spec.instructions, or spec.image to an image that does the work".to_owned(),
        )),
        _ => None,
    }
}

/// While code is awaited, its spec is not carried out yet, whatever runs meanwhile.
fn of_code(input: &StatusInput<'_>) -> Option<Summary> {
    let (reason, message) = match input.decision {
        Decision::Synthesize { .. } | Decision::Waiting { .. } | Decision::BackingOff { .. } => {
            of_attempt(input)
        }
        Decision::BudgetExhausted { exhausted, .. } => {
            let message = exhausted.message.clone();
            return Some(Summary::Progressing(Reason::BudgetExhausted, message));
        }
        // What is there already runs on, and is judged by itself.
        Decision::ReferencesUnreadable if has_workload(input.observed) => return None,
        Decision::WaitForReferences | Decision::ReferencesUnreadable => {
            let message = input.agent.references.unresolved.join("; ");
            return Some(Summary::Progressing(Reason::WaitingForReferences, message));
        }
        _ => return None,
    };
    let image_works_alone = input.decision.code().is_none()
        && matches!(
            input.report.action,
            WorkloadAction::Apply(_) | WorkloadAction::Switch { .. }
        );
    match reason {
        Reason::SynthesisDisabled if image_works_alone && is_disabled(input.info) => None,
        Reason::SynthesisDisabled => Some(Summary::Stalled(reason, message)),
        Reason::SynthesisStarted => Some(Summary::Progressing(reason, message)),
        _ => Some(Summary::Failed(reason, message)),
    }
}

/// What waits for a person is not carried out yet, whatever runs meanwhile.
fn of_approval(input: &StatusInput<'_>) -> Option<Summary> {
    let (reason, message) = waiting(input)?;
    Some(match reason {
        Reason::ApprovalRequired => Summary::Progressing(reason, message),
        _ => Summary::Stalled(reason, message),
    })
}

fn has_workload(observed: &ObservedAgent) -> bool {
    observed.deployment.is_some() || !observed.cron_jobs.is_empty()
}

fn of_workload(input: &StatusInput<'_>) -> Summary {
    match &input.report.action {
        WorkloadAction::Switch { to, .. } => {
            let (old, new) = match to {
                Timing::Cron { .. } => ("Deployment", "CronJob"),
                Timing::Continuous | Timing::Every { .. } => ("CronJob", "Deployment"),
            };
            Summary::Progressing(
                Reason::ModeSwitching,
                format!("waiting for the {old} and its pods to end before creating the {new}"),
            )
        }
        WorkloadAction::Apply(Timing::Cron { .. }) => of_cron_job(input),
        WorkloadAction::Keep if !input.observed.cron_jobs.is_empty() => of_cron_job(input),
        WorkloadAction::Apply(_) | WorkloadAction::Keep => of_deployment(input),
    }
}

fn of_cron_job(input: &StatusInput<'_>) -> Summary {
    match input.observed.active_runs() {
        Some(active) => run::problem(input).unwrap_or_else(|| {
            // By the same number that is told as active, so that the two change in one write.
            let message = match active {
                0 => "the next run is planned",
                _ => "a run is under way",
            };
            Summary::Ready(Reason::AsDesired, message.to_owned())
        }),
        None => Summary::Progressing(
            Reason::RolloutInProgress,
            "the CronJob is not observed yet".to_owned(),
        ),
    }
}

fn of_deployment(input: &StatusInput<'_>) -> Summary {
    let problems = PodProblems::of(&input.observed.pods, input.now);
    match conditions::rollout(input.observed.deployment_state(), problems) {
        // One message for all stages of a rollout that names no trouble: each other one would be a
        // write.
        Summary::Progressing(reason, message)
            if message != conditions::PAUSED
                && !problems
                    .cause()
                    .is_some_and(|cause| message.contains(cause)) =>
        {
            Summary::Progressing(reason, "the pods are not ready yet".to_owned())
        }
        summary => summary,
    }
}
