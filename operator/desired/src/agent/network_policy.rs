//! The network policy of an agent: what it was given may be reached, and nobody comes in.

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyEgressRule},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use super::validate::ValidatedAgent;
use crate::{
    meta::{self, Component},
    reach,
};

/// Closes everything but this.
pub(super) fn build(agent: &ValidatedAgent, egress: &[NetworkPolicyEgressRule]) -> NetworkPolicy {
    let labels = meta::labels(Component::Agent, &agent.name);
    let metadata = meta::object_meta(
        &agent.name,
        Some(&agent.namespace),
        Some(&agent.owner),
        labels,
    );
    let selector = LabelSelector {
        match_labels: Some(meta::selector(Component::Agent, &agent.name)),
        match_expressions: None,
    };
    reach::network_policy(metadata, selector, egress, &[])
}
