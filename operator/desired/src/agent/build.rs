//! The children of an agent as they should be. The network policy is in every result, but where it
//! must stay as it is; the workload is written, kept as it is, or waits for the one of the other
//! mode to end, and the result says which.

use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;

use super::{
    ObservedAgent, claim,
    code::ActiveCode,
    cron_job, deployment, network_policy,
    switch::{self, Predecessor},
    timing::{Timing, timing},
    validate::{RunSpec, ValidatedAgent},
    workload::Template,
};
use crate::{
    children::{Children, Prepared},
    conditions::Invalid,
    observed::ChildKind,
    runners::cron_job_names,
    settings::Settings,
};

/// What should become of the workload.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one in a reconcile, and it is nearly always the large one"
)]
pub enum Workload {
    /// Whatever runs goes on as it is.
    Keep,
    /// Whatever runs goes on as it is and reaches no more than this; `fault`: why nothing else could
    /// run.
    #[expect(missing_docs, reason = "said above")]
    Held {
        egress: Vec<NetworkPolicyEgressRule>,
        fault: Option<Invalid>,
    },
    /// This code runs, or, without code, the agent's own image.
    Run(Option<ActiveCode>),
}

/// What to apply, and what the status is to say about it.
#[derive(Clone, Debug)]
pub struct Built {
    /// To apply.
    pub children: Children<Prepared>,
    /// For the status, and for whoever removes what is not listed.
    pub report: Report,
}

/// What became of the wishes.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Of the workload.
    pub action: WorkloadAction,
    /// Why the workload could not be built, if so.
    pub fault: Option<Invalid>,
    /// What is not as the spec says although the agent runs.
    pub warnings: Vec<Invalid>,
}

/// What becomes of the workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadAction {
    /// It is among the children. A workload of the other kind does not exist.
    Apply(Timing),
    /// Not among the children and **not to be touched**: neither Deployment nor CronJob may be
    /// removed.
    Keep,
    /// Not among the children, because the other mode has not ended. `delete`: the old workload, to
    /// be deleted in the foreground; `None`: only its pods are left. To be built again when they
    /// are gone.
    Switch {
        /// What it changes to.
        to: Timing,
        /// The old workload.
        delete: Option<ChildKind>,
    },
}

impl WorkloadAction {
    /// How it will run; `None` where that is as before.
    pub fn timing(&self) -> Option<&Timing> {
        match self {
            Self::Apply(timing) | Self::Switch { to: timing, .. } => Some(timing),
            Self::Keep => None,
        }
    }
}

/// Builds all children but the code.
pub fn build(
    agent: &ValidatedAgent,
    workload: &Workload,
    observed: &ObservedAgent,
    settings: &Settings,
) -> Built {
    let mut children = Children::<Prepared>::default();
    // Of what cannot be read, the live policy knows more than we do.
    if observed.network_policy.is_none() || !agent.references.unreadable {
        let egress = match workload {
            Workload::Held { egress, .. } => egress,
            Workload::Keep | Workload::Run(_) => &agent.egress,
        };
        children
            .network_policies
            .push(network_policy::build(agent, egress));
    }
    let (action, fault) = match (workload, &agent.run) {
        (_, Err(fault)) => (WorkloadAction::Keep, Some(fault.clone())),
        (Workload::Keep, Ok(_)) => (WorkloadAction::Keep, None),
        (Workload::Held { fault, .. }, Ok(_)) => (WorkloadAction::Keep, fault.clone()),
        (Workload::Run(code), Ok(run)) => {
            match timing(&run.requested, code.as_ref().map(|code| &code.requirements)) {
                Err(fault) => (WorkloadAction::Keep, Some(fault)),
                Ok(timing) => {
                    let template = Template {
                        agent,
                        run,
                        code: code.as_ref(),
                        timing: &timing,
                        settings,
                    };
                    match add_workload(&mut children, &template, observed) {
                        Ok(action) => (action, None),
                        Err(fault) => (WorkloadAction::Keep, Some(fault)),
                    }
                }
            }
        }
    };
    let mut warnings = agent.warnings.clone();
    if let Ok(run) = &agent.run {
        warnings.extend(add_claim(&mut children, agent, run, observed, &action));
    }
    Built {
        children,
        report: Report {
            action,
            fault,
            warnings,
        },
    }
}

fn add_workload(
    children: &mut Children<Prepared>,
    template: &Template<'_>,
    observed: &ObservedAgent,
) -> Result<WorkloadAction, Invalid> {
    let wanted = match template.timing {
        Timing::Cron { .. } => switch::Workload::CronJob,
        Timing::Continuous | Timing::Every { .. } => switch::Workload::Deployment,
    };
    if let Some(predecessor) = switch::predecessor(observed, wanted) {
        let delete = match predecessor {
            Predecessor::Workload(kind) => Some(kind),
            Predecessor::Pods => None,
        };
        return Ok(WorkloadAction::Switch {
            to: template.timing.clone(),
            delete,
        });
    }
    let Template { agent, run, .. } = template;
    match template.timing {
        Timing::Cron {
            expressions,
            time_zone,
            only: _,
        } => {
            let seconds = template.timeout().map(|timeout| timeout.seconds);
            let seconds = run.frame.run_seconds(seconds)?;
            let seconds = seconds.or(template.settings.run_timeout);
            for (expression, name) in expressions.iter().zip(cron_job_names(&agent.name)) {
                let times = cron_job::Times {
                    name: &name,
                    expression,
                    time_zone: time_zone.as_deref(),
                };
                let pods = run.frame.hold(template.of_cron_job(expression))?;
                let built = cron_job::build(agent, run, &times, seconds, pods);
                children.cron_jobs.push(built);
            }
        }
        Timing::Continuous | Timing::Every { .. } => {
            let pods = run.frame.hold(template.of_deployment())?;
            let live = observed.deployment.as_deref();
            let built = deployment::build(template, pods, live);
            children.deployments.push(built);
        }
    }
    Ok(WorkloadAction::Apply(template.timing.clone()))
}

/// A claim is made with the workload that mounts it; one that exists follows the spec in any case,
/// unless it is on its way out.
fn add_claim(
    children: &mut Children<Prepared>,
    agent: &ValidatedAgent,
    run: &RunSpec,
    observed: &ObservedAgent,
    action: &WorkloadAction,
) -> Vec<Invalid> {
    let Some(workspace) = &run.workspace else {
        return Vec::new();
    };
    let live = observed.claim.as_deref();
    if live.is_some_and(|claim| claim.deleting)
        || (live.is_none() && *action == WorkloadAction::Keep)
    {
        return Vec::new();
    }
    let (claim, warnings) = claim::build(agent, workspace, observed);
    children.claims.push(claim);
    warnings
}
