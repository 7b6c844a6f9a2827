//! What a suspended namespace means to an agent: what of it still runs and has to stop, and what is
//! put back when the LanguageCluster lets it go on.
//!
//! Most of it is the workload that [`super::build`] builds. Here is what that does not reach: a
//! number of pods that is left to an autoscaler, a workload that is kept as it is because its spec
//! cannot be carried out, and runs under way. Of what is stopped here the live object keeps a note,
//! by which it is undone exactly.

use std::sync::Arc;

use langop_api::names::annotations;
use serde_json::{Value, json};

use super::{ObservedAgent, run, validate::RunSpec};
use crate::observed::{Observed, ObservedState};

/// A live workload, and a merge patch of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The workload.
    pub live: Arc<Observed>,
    /// What changes.
    pub patch: Value,
}

/// The pods of a Deployment in a suspended namespace. Where others say how many, the live one keeps
/// their number while a note of ours says what it was; one that never had any begins with none.
pub(super) fn replicas(run: &RunSpec, live: Option<&Observed>) -> Option<i32> {
    let is_running = |live: &Observed| matches!(&live.state, ObservedState::Deployment(state) if state.desired > 0);
    let is_left_to_others = !run.requested.suspended && run.requested.replicas.is_none();
    let stays = live.is_some_and(|live| is_noted(live) || is_running(live));
    (!(is_left_to_others && stays)).then_some(0)
}

/// Whether it was stopped here.
pub fn is_noted(live: &Observed) -> bool {
    note(live).is_some()
}

/// The workloads that run, or will, although nothing is to.
pub fn to_stop(observed: &ObservedAgent) -> Vec<Change> {
    workloads(observed)
        .filter_map(|live| {
            let (note, spec) = match &live.state {
                ObservedState::Deployment(state) if state.desired > 0 => {
                    (state.desired.to_string(), json!({"replicas": 0}))
                }
                ObservedState::CronJob(state) if !state.suspended => {
                    ("false".to_owned(), json!({"suspend": true}))
                }
                _ => return None,
            };
            Some(Change {
                live: live.clone(),
                patch: patch(live, Some(&note), spec),
            })
        })
        .collect()
}

/// The workloads that were stopped here, with what they were before. `is_suspended`: the agent's own
/// spec stops it, and goes on doing so.
pub fn to_restore(observed: &ObservedAgent, is_suspended: bool) -> Vec<Change> {
    workloads(observed)
        .filter_map(|live| {
            let spec = match (&live.state, note(live)?.parse::<i32>()) {
                _ if is_suspended => json!({}),
                (ObservedState::Deployment(state), Ok(replicas)) if state.desired == 0 => {
                    json!({"replicas": replicas})
                }
                (ObservedState::CronJob(_), _) => json!({"suspend": false}),
                // Somebody has said another number meanwhile.
                _ => json!({}),
            };
            Some(Change {
                live: live.clone(),
                patch: patch(live, None, spec),
            })
        })
        .collect()
}

/// The runs under way of the agent's own CronJobs, those begun by hand among them.
pub fn to_end(observed: &ObservedAgent) -> Vec<Arc<Observed>> {
    let is_own = |job: &&Arc<Observed>| {
        let controller = job.controller.as_ref();
        controller.is_some_and(|controller| {
            let mut cron_jobs = observed.cron_jobs.iter();
            cron_jobs.any(|cron_job| cron_job.uid == controller.uid)
        })
    };
    let jobs = observed.jobs.iter().filter(|job| run::is_under_way(job));
    jobs.filter(is_own).cloned().collect()
}

/// Whether nothing of the agent runs any more.
pub(super) fn is_still(observed: &ObservedAgent) -> bool {
    let has_pods = observed.pods.iter().any(
        |pod| matches!(&pod.state, ObservedState::Pod(state) if observed.is_own(pod) && !state.has_ended()),
    );
    !has_pods && to_end(observed).is_empty() && to_stop(observed).is_empty()
}

fn workloads(observed: &ObservedAgent) -> impl Iterator<Item = &Arc<Observed>> {
    let all = observed.deployment.iter().chain(&observed.cron_jobs);
    all.filter(|live| !live.deleting)
}

fn note(live: &Observed) -> Option<&str> {
    live.annotations.get(annotations::SUSPENDED)
}

/// Of exactly this object.
fn patch(live: &Observed, note: Option<&str>, spec: Value) -> Value {
    let mut patch = json!({
        "metadata": {"uid": live.uid, "annotations": {annotations::SUSPENDED: note}},
    });
    if spec != json!({}) {
        patch["spec"] = spec;
    }
    patch
}
