//! What models, tools and clients have in common: a Deployment, the Service before it, and a status
//! that follows the rollout.

use std::sync::Arc;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{PodTemplateSpec, Probe, Service, ServicePort, ServiceSpec, TCPSocketAction},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
    jiff::Timestamp,
};

use crate::{
    children::{Applied, Children},
    conditions::{self, Summary},
    meta::{self, Component, Owner},
    observed::{DeploymentState, Observed, ObservedState},
    pod_health::{self, PodProblems},
};

/// One Deployment and its Service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Workload {
    /// What it is.
    pub(crate) component: Component,
    /// The resource it is made for.
    pub(crate) owner: Owner,
    /// The resource's namespace.
    pub(crate) namespace: String,
    /// Name of the children.
    pub(crate) name: String,
    /// Pods; `None` leaves them to others.
    pub(crate) replicas: Option<i32>,
    /// The port it listens on, in its container and in its Service.
    pub(crate) port: i32,
}

impl Workload {
    /// Metadata of a child.
    pub(crate) fn metadata(&self) -> ObjectMeta {
        let labels = meta::labels(self.component, &self.owner.name);
        meta::object_meta(&self.name, Some(&self.namespace), Some(&self.owner), labels)
    }

    /// What selects its pods.
    pub(crate) fn selector(&self) -> LabelSelector {
        LabelSelector {
            match_labels: Some(meta::selector(self.component, &self.owner.name)),
            match_expressions: None,
        }
    }

    /// The Deployment of these pods. The strategy is written in full: a later change of its type
    /// would else be refused.
    pub(crate) fn deployment(&self, template: PodTemplateSpec) -> Deployment {
        let quarter = || Some(IntOrString::String("25%".to_owned()));
        Deployment {
            metadata: self.metadata(),
            spec: Some(DeploymentSpec {
                replicas: self.replicas,
                selector: self.selector(),
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: quarter(),
                        max_unavailable: quarter(),
                    }),
                }),
                template,
                ..DeploymentSpec::default()
            }),
            status: None,
        }
    }

    /// The Service before it.
    pub(crate) fn service(&self) -> Service {
        Service {
            metadata: self.metadata(),
            spec: Some(ServiceSpec {
                type_: Some("ClusterIP".to_owned()),
                selector: Some(meta::selector(self.component, &self.owner.name)),
                session_affinity: self.session_affinity(),
                ports: Some(vec![ServicePort {
                    name: Some("http".to_owned()),
                    port: self.port,
                    target_port: Some(IntOrString::Int(self.port)),
                    protocol: Some("TCP".to_owned()),
                    ..ServicePort::default()
                }]),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    /// Sessions of MCP before 2026-07-28 live in one pod: with several, a client must come back to
    /// the one it began with. Where the number is left to others there may be several.
    fn session_affinity(&self) -> Option<String> {
        let may_be_several = self.replicas.is_none_or(|number| number > 1);
        (self.component == Component::Tool && may_be_several).then(|| "ClientIP".to_owned())
    }
}

/// Ready while something listens on the port; looked at every five seconds.
pub(crate) fn listening(port: i32) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::Int(port),
            host: None,
        }),
        period_seconds: Some(5),
        ..Probe::default()
    }
}

/// What is live of a Deployment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rollout<'a> {
    /// The Deployment.
    pub deployment: Option<&'a Observed>,
    /// Its pods.
    pub pods: &'a [Arc<Observed>],
}

impl Rollout<'_> {
    fn state(&self) -> Option<&DeploymentState> {
        match &self.deployment?.state {
            ObservedState::Deployment(state) => Some(state),
            _ => None,
        }
    }

    /// How it stands.
    pub(crate) fn summary(&self, now: Timestamp) -> Summary {
        conditions::rollout(self.state(), PodProblems::of(self.pods, now))
    }

    /// How it stands once its children are applied, or what kept them from being.
    pub(crate) fn summary_after(
        &self,
        children: Result<&Children<Applied>, Summary>,
        now: Timestamp,
    ) -> Summary {
        match children {
            Ok(_) => self.summary(now),
            Err(problem) => problem,
        }
    }

    /// Pods that are ready, without those that only seem so; `None` while there is no Deployment.
    pub(crate) fn ready_replicas(&self, now: Timestamp) -> Option<i32> {
        let state = self.state()?;
        Some(PodProblems::of(self.pods, now).without(state, state.ready))
    }

    /// When to look again although nothing is heard of it.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        pod_health::due(self.pods, now)
    }
}
