//! The switch between Deployment and CronJob: the old one ends, pods and all, before the new one is
//! made.

use super::ObservedAgent;
use crate::observed::{ChildKind, Observed, ObservedState};

/// The two kinds of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    Deployment,
    CronJob,
}

/// What stands in the way of the wanted workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predecessor {
    /// The workload of the other mode.
    Workload(ChildKind),
    /// That is gone, but not yet its pods.
    Pods,
}

/// The remains of the other mode, if there are any.
pub(super) fn predecessor(observed: &ObservedAgent, wanted: Workload) -> Option<Predecessor> {
    let (has_other, kind, runner) = match wanted {
        Workload::Deployment => (!observed.cron_jobs.is_empty(), ChildKind::CronJob, "Job"),
        Workload::CronJob => (
            observed.deployment.is_some(),
            ChildKind::Deployment,
            "ReplicaSet",
        ),
    };
    if has_other {
        return Some(Predecessor::Workload(kind));
    }
    observed
        .pods
        .iter()
        .any(|pod| runs_for(pod, runner))
        .then_some(Predecessor::Pods)
}

/// A pod that has ended holds nothing.
fn runs_for(pod: &Observed, runner: &str) -> bool {
    let of_runner = pod
        .controller
        .as_ref()
        .is_some_and(|controller| controller.kind == runner);
    let ended = matches!(&pod.state, ObservedState::Pod(state) if matches!(state.phase.as_str(), "Succeeded" | "Failed"));
    of_runner && !ended
}
