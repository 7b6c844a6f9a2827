//! The network policy of an agent: egress only, to what it was given.

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::validate::ValidatedAgent;
use crate::{
    meta::{self, Component},
    policy,
};

/// Closes everything that the agent was not given.
pub(super) fn build(agent: &ValidatedAgent) -> NetworkPolicy {
    let labels = meta::labels(Component::Agent, &agent.name);
    policy::egress_policy(
        meta::object_meta(
            &agent.name,
            Some(&agent.namespace),
            Some(&agent.owner),
            labels,
        ),
        meta::selector(Component::Agent, &agent.name),
        agent.egress.clone(),
    )
}
