//! The Deployment of an agent that runs all the time, or keeps time itself.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use langop_api::agent::AccessMode;

use super::{suspension, validate::RunSpec, workload::Template};
use crate::{
    meta::{self, Component},
    observed::Observed,
};

/// The Deployment around these pods, which are made from the template; `live` is the one that is
/// there.
pub(super) fn build(
    template: &Template<'_>,
    pods: PodTemplateSpec,
    live: Option<&Observed>,
) -> Deployment {
    let (agent, run) = (template.agent, template.run);
    let labels = meta::labels(Component::Agent, &agent.name);
    Deployment {
        metadata: meta::object_meta(
            &agent.name,
            Some(&agent.namespace),
            Some(&agent.owner),
            labels,
        ),
        spec: Some(DeploymentSpec {
            // Left to others, an autoscaler for example, unless somebody says so.
            replicas: if agent.suspended_by.is_some() {
                suspension::replicas(run, live)
            } else if run.requested.suspended {
                Some(0)
            } else {
                run.requested.replicas
            },
            selector: LabelSelector {
                match_labels: Some(meta::selector(Component::Agent, &agent.name)),
                match_expressions: None,
            },
            strategy: Some(strategy(run)),
            min_ready_seconds: min_ready_seconds(template),
            template: pods,
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// An agent has no readiness probe, so a new pod is ready as soon as its container runs: code that
/// fails at its start would else have ended the pod that worked. Where the old pod must end first
/// there is nothing to wait for.
fn min_ready_seconds(template: &Template<'_>) -> Option<i32> {
    let seconds = template.settings.min_ready_seconds;
    (seconds > 0 && !is_held_by_one(template.run)).then_some(seconds)
}

/// Whether the workspace can be mounted by the pods of one node only.
fn is_held_by_one(run: &RunSpec) -> bool {
    run.workspace
        .as_ref()
        .is_some_and(|workspace| workspace.access_mode == AccessMode::ReadWriteOnce)
}

/// Written in full: a parameter that the API server defaulted would be nobody's, stay, and make the
/// switch to Recreate invalid.
fn strategy(run: &RunSpec) -> DeploymentStrategy {
    if is_held_by_one(run) {
        return DeploymentStrategy {
            type_: Some("Recreate".to_owned()),
            rolling_update: None,
        };
    }
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::String("25%".to_owned())),
            // No old pod ends before a new one works.
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}
