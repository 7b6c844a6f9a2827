//! The Deployment of an agent that runs all the time, or keeps time itself.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use langop_api::agent::AccessMode;

use super::validate::{Run, ValidatedAgent};
use crate::meta::{self, Component};

/// The Deployment around a pod template.
pub(super) fn build(agent: &ValidatedAgent, run: &Run, template: PodTemplateSpec) -> Deployment {
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
            replicas: if run.requested.suspended {
                Some(0)
            } else {
                run.requested.replicas
            },
            selector: LabelSelector {
                match_labels: Some(meta::selector(Component::Agent, &agent.name)),
                match_expressions: None,
            },
            strategy: Some(strategy(run)),
            template,
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// Written in full: a parameter that the API server defaulted would be nobody's, stay, and make the switch to Recreate invalid.
fn strategy(run: &Run) -> DeploymentStrategy {
    let held_by_one = run
        .workspace
        .as_ref()
        .is_some_and(|workspace| workspace.access_mode == AccessMode::ReadWriteOnce);
    if held_by_one {
        return DeploymentStrategy {
            type_: Some("Recreate".to_owned()),
            rolling_update: None,
        };
    }
    let quarter = || Some(IntOrString::String("25%".to_owned()));
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: quarter(),
            max_unavailable: quarter(),
        }),
    }
}
