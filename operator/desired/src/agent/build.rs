//! The children of an agent as they should be. The network policy is in every result, but where it must stay as it is; the workload is
//! written, kept as it is, or waits for the one of the other mode to end, and the result says which.

use super::{
    ObservedAgent, claim,
    code::ActiveCode,
    cron_job, deployment, network_policy,
    switch::{self, Obstacle},
    timing::{Timing, timing},
    validate::{Run, ValidatedAgent},
    workload::Template,
};
use crate::{
    children::{Children, Prepared},
    conditions::Invalid,
    observed::ChildKind,
    settings::Settings,
};

/// What should become of the workload.
#[derive(Clone, Debug, PartialEq)]
pub enum Workload {
    /// Whatever runs goes on as it is.
    Keep,
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
    pub fate: Fate,
    /// Why the workload could not be built, if so.
    pub fault: Option<Invalid>,
    /// What is not as the spec says although the agent runs.
    pub remarks: Vec<Invalid>,
}

/// What becomes of the workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is among the children. A workload of the other kind does not exist.
    Written(Timing),
    /// Not among the children and **not to be touched**: neither Deployment nor CronJob may be removed.
    Kept,
    /// Not among the children, because the other mode has not ended. `delete`: the old workload, to be deleted in the foreground;
    /// `None`: only its pods are left. To be built again when they are gone.
    Switching {
        /// What it changes to.
        to: Timing,
        /// The old workload.
        delete: Option<ChildKind>,
    },
}

impl Fate {
    /// How it will run; `None` where that is as before.
    pub fn timing(&self) -> Option<&Timing> {
        match self {
            Self::Written(timing) | Self::Switching { to: timing, .. } => Some(timing),
            Self::Kept => None,
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
        children.network_policies.push(network_policy::build(agent));
    }
    let (fate, fault) = match (workload, &agent.run) {
        (_, Err(fault)) => (Fate::Kept, Some(fault.clone())),
        (Workload::Keep, Ok(_)) => (Fate::Kept, None),
        (Workload::Run(code), Ok(run)) => {
            match timing(&run.requested, code.as_ref().map(|code| &code.demands)) {
                Err(fault) => (Fate::Kept, Some(fault)),
                Ok(timing) => {
                    let template = Template {
                        agent,
                        run,
                        code: code.as_ref(),
                        timing: &timing,
                        settings,
                    };
                    match add_workload(&mut children, &template, observed) {
                        Ok(fate) => (fate, None),
                        Err(fault) => (Fate::Kept, Some(fault)),
                    }
                }
            }
        }
    };
    let mut remarks = agent.remarks.clone();
    if let Ok(run) = &agent.run {
        remarks.extend(add_claim(&mut children, agent, run, observed, &fate));
    }
    Built {
        children,
        report: Report {
            fate,
            fault,
            remarks,
        },
    }
}

fn add_workload(
    children: &mut Children<Prepared>,
    template: &Template<'_>,
    observed: &ObservedAgent,
) -> Result<Fate, Invalid> {
    let wanted = match template.timing {
        Timing::Cron { .. } => switch::Workload::CronJob,
        Timing::Continuous | Timing::Every { .. } => switch::Workload::Deployment,
    };
    if let Some(obstacle) = switch::obstacle(observed, wanted) {
        let delete = match obstacle {
            Obstacle::Workload(kind) => Some(kind),
            Obstacle::Pods => None,
        };
        return Ok(Fate::Switching {
            to: template.timing.clone(),
            delete,
        });
    }
    let Template { agent, run, .. } = template;
    match template.timing {
        Timing::Cron {
            expression,
            time_zone,
        } => {
            let times = cron_job::Times {
                expression,
                time_zone: time_zone.as_deref(),
            };
            let seconds = template.timeout().map(|timeout| timeout.seconds);
            let seconds = run.frame.run_seconds(seconds)?;
            let seconds = seconds.or(template.settings.run_timeout);
            let pods = run.frame.hold(template.build(Some("Never")))?;
            children
                .cron_jobs
                .push(cron_job::build(agent, run, &times, seconds, pods));
        }
        Timing::Continuous | Timing::Every { .. } => {
            let pods = run.frame.hold(template.build(None))?;
            children.deployments.push(deployment::build(template, pods));
        }
    }
    Ok(Fate::Written(template.timing.clone()))
}

/// A claim is made with the workload that mounts it; one that exists follows the spec in any case, unless it is on its way out.
fn add_claim(
    children: &mut Children<Prepared>,
    agent: &ValidatedAgent,
    run: &Run,
    observed: &ObservedAgent,
    fate: &Fate,
) -> Vec<Invalid> {
    let Some(workspace) = &run.workspace else {
        return Vec::new();
    };
    let live = observed.claim.as_deref();
    if live.is_some_and(|claim| claim.deleting) || (live.is_none() && *fate == Fate::Kept) {
        return Vec::new();
    }
    let (claim, remarks) = claim::build(agent, workspace, observed);
    children.claims.push(claim);
    remarks
}
