//! LanguageAgent: from what was observed to what should exist, and what is said of it.
//!
//! Flow: [`AgentContext`] → [`validate`] → [`decide`] → [`build`] → (applied elsewhere) →
//! [`status`]. [`attempt`] records attempts to synthesize in the status; [`code`] is the form in
//! which code is stored.

pub mod approval;
pub mod attempt;
pub mod build;
pub mod code;
pub mod decide;
pub mod executions;
pub mod history;
pub mod known;
pub mod run;
pub mod stale;
pub mod status;
pub mod suspension;
pub mod timing;
pub mod validate;

mod claim;
mod cron_job;
mod deployment;
mod network_policy;
mod origin;
mod switch;
pub(crate) mod workload;

use std::sync::Arc;

use langop_api::{
    LanguageAgent,
    cluster::{AgentEgress, PodFrame},
    policy::{EgressRule, IngressPeer},
};

use crate::{
    approval::ApprovalRule,
    name_conflict::NameCollision,
    observed::{ChildKind, CronJobState, DeploymentState, Observed, ObservedState},
    references::References,
};

/// What a reconcile of an agent starts from.
#[derive(Clone, Debug)]
pub struct AgentContext<'a> {
    /// The agent.
    pub agent: &'a LanguageAgent,
    /// What it refers to.
    pub references: References,
    /// The LanguageCluster of its namespace, if any.
    pub cluster: Option<ClusterView>,
    /// Tools and clients of its name in its namespace.
    pub same_name: Vec<NameCollision>,
    /// Its live children.
    pub observed: ObservedAgent,
}

/// What of a LanguageCluster matters to what is in its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterView {
    /// Its name.
    pub name: String,
    /// Whether tenants may declare egress; `None`: it cannot be read, and until it can they may
    /// not.
    pub agent_egress: Option<AgentEgress>,
    /// What their egress must be within where not all of it is allowed.
    pub allowed_egress: Vec<EgressRule>,
    /// What model proxies reach that name nothing, in place of the Internet.
    pub model_egress: Option<Vec<EgressRule>>,
    /// Namespaces that may come in.
    pub ingress_from: Vec<IngressPeer>,
    /// What pods may ask for, where it says so.
    pub pods: Option<PodFrame>,
    /// Whether no agent may run there.
    pub suspended: bool,
    /// The `RuntimeClass` of pods that name none.
    pub runtime_class_name: Option<String>,
    /// The time zone of schedules that name none.
    pub time_zone: Option<String>,
    /// The least approval that agents need; the strictest of one that cannot be read.
    pub approval: ApprovalRule,
}

impl ClusterView {
    /// Whether its spec is known.
    pub fn is_readable(&self) -> bool {
        self.agent_egress.is_some()
    }
}

/// The live children of an agent. All are controlled by it, except a kept claim, and pods, which
/// its children control.
#[derive(Clone, Debug, Default)]
pub struct ObservedAgent {
    /// The Deployment of its name.
    pub deployment: Option<Arc<Observed>>,
    /// Its CronJobs, in the order of their names.
    pub cron_jobs: Vec<Arc<Observed>>,
    /// The NetworkPolicy of its name.
    pub network_policy: Option<Arc<Observed>>,
    /// The claim of its workspace's name, whoever controls it.
    pub claim: Option<Arc<Observed>>,
    /// Its code ConfigMaps.
    pub revisions: Vec<Arc<Observed>>,
    /// The numbers that other ConfigMaps claim to have in its history.
    pub unknown_revisions: Vec<i64>,
    /// Pods with its label.
    pub pods: Vec<Arc<Observed>>,
    /// Jobs with its label.
    pub jobs: Vec<Arc<Observed>>,
    /// When the agent was made, as [`Observed::created`]; empty where that does not matter.
    pub since: String,
}

impl ObservedAgent {
    /// Whether a Job or pod is not of a former agent of the same name, whose label it would carry
    /// too.
    pub(crate) fn is_own(&self, runner: &Observed) -> bool {
        runner.created >= self.since
    }

    /// The pods of one of its Jobs.
    pub(crate) fn pods_of<'a>(&'a self, job: &'a Observed) -> impl Iterator<Item = &'a Observed> {
        self.pods.iter().map(|pod| &**pod).filter(|pod| {
            let controller = pod.controller.as_ref();
            controller.is_some_and(|controller| controller.uid == job.uid)
        })
    }

    /// What is known of its Deployment.
    pub(crate) fn deployment_state(&self) -> Option<&DeploymentState> {
        match &self.deployment.as_ref()?.state {
            ObservedState::Deployment(state) => Some(state),
            _ => None,
        }
    }

    /// What is known of its CronJobs.
    pub(crate) fn cron_job_state(&self) -> impl Iterator<Item = &CronJobState> {
        self.cron_jobs
            .iter()
            .filter_map(|cron_job| cron_job_state(cron_job))
    }

    /// What is known of the CronJob that made a Job; of the first one for a Job that none made.
    pub(crate) fn cron_job_facts_of(&self, job: &Observed) -> Option<&CronJobState> {
        let uid = job.controller.as_ref().map(|controller| &controller.uid);
        let of_uid = self.cron_jobs.iter().find(|live| Some(&live.uid) == uid);
        cron_job_state(of_uid.or(self.cron_jobs.first())?)
    }

    /// How many runs are under way, as its CronJobs count them; none if it has no CronJob.
    pub(crate) fn active_runs(&self) -> Option<i32> {
        let active = self.cron_job_state().map(|state| state.active);
        (!self.cron_jobs.is_empty()).then(|| active.sum())
    }
}

fn cron_job_state(cron_job: &Observed) -> Option<&CronJobState> {
    match &cron_job.state {
        ObservedState::CronJob(state) => Some(state),
        _ => None,
    }
}

/// The name of an agent's workspace claim.
pub fn claim_name(agent: &str) -> String {
    format!("{agent}-workspace")
}

/// The names of an agent's children that nobody else's object may have (code ConfigMaps carry a
/// hash, and are not among them).
pub fn child_names(agent: &str) -> [(ChildKind, String); 4] {
    [
        (ChildKind::NetworkPolicy, agent.to_owned()),
        (ChildKind::Deployment, agent.to_owned()),
        (ChildKind::CronJob, agent.to_owned()),
        (ChildKind::PersistentVolumeClaim, claim_name(agent)),
    ]
}

#[cfg(test)]
mod tests;
