//! The history of an agent's code: what of it may go, and when. Only facts of the rollout count;
//! what else is wrong with an agent keeps no code.

use std::sync::Arc;

use super::{
    ObservedAgent, build::WorkloadAction, code::revision, decide::Decision, run, timing::Timing,
    validate::ValidatedAgent,
};
use crate::{
    conditions::{self, Summary},
    observed::Observed,
    pod_health::PodProblems,
};

/// What is to be removed now: nothing before the active code is all that runs, because pods of the
/// one before still mount theirs.
pub fn outdated(
    agent: &ValidatedAgent,
    decision: &Decision,
    action: &WorkloadAction,
    observed: &ObservedAgent,
) -> Vec<Arc<Observed>> {
    match decision {
        Decision::Run { code: active } if is_all_that_runs(action, observed) => {
            prune(&observed.revisions, agent.history_limit, &active.name)
        }
        _ => Vec::new(),
    }
}

fn is_all_that_runs(action: &WorkloadAction, observed: &ObservedAgent) -> bool {
    let rolled_out = match action {
        // The next run is made from it.
        WorkloadAction::Apply(Timing::Cron { .. }) => !observed.cron_jobs.is_empty(),
        WorkloadAction::Apply(Timing::Continuous | Timing::Every { .. }) => matches!(
            conditions::rollout(observed.deployment_state(), PodProblems::default()),
            Summary::Ready(..)
        ),
        WorkloadAction::Keep | WorkloadAction::Switch { .. } => false,
    };
    rolled_out && run::under_way(observed).next().is_none()
}

/// The stored code beyond the history limit, oldest first; never the active one.
pub(super) fn prune(revisions: &[Arc<Observed>], limit: usize, active: &str) -> Vec<Arc<Observed>> {
    let mut others: Vec<_> = revisions
        .iter()
        .filter(|code| !code.deleting && code.name != active)
        .cloned()
        .collect();
    others.sort_by_key(|code| (revision(code), code.created.clone(), code.name.clone()));
    let has_active = revisions.iter().any(|code| code.name == active);
    let kept = limit.max(1) - usize::from(has_active);
    others.truncate(others.len().saturating_sub(kept));
    others
}
