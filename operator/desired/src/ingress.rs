//! Who may come in: the ingress side of network policies. The egress side is [`crate::policy`].

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use langop_api::policy::IngressPeer;

/// All pods of the policy's own namespace.
pub fn own_namespace() -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    }
}

/// All pods of the namespaces that a user names. A user's peer has labels: without any it would
/// mean all namespaces, so it is left out.
pub fn named(peers: &[IngressPeer]) -> Vec<NetworkPolicyPeer> {
    let labels = |peer: &IngressPeer| -> BTreeMap<String, String> {
        peer.namespace_labels
            .iter()
            .map(|(key, value)| (key.clone(), value.0.clone()))
            .collect()
    };
    peers
        .iter()
        .map(labels)
        .filter(|labels| !labels.is_empty())
        .map(namespaces)
        .collect()
}

/// A rule for these peers, on one TCP port or on all. Without peers there is no rule: an empty list
/// of peers would let in everybody.
pub fn rules(peers: Vec<NetworkPolicyPeer>, port: Option<i32>) -> Vec<NetworkPolicyIngressRule> {
    if peers.is_empty() {
        return Vec::new();
    }
    let port = port.map(|number| NetworkPolicyPort {
        port: Some(IntOrString::Int(number)),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    });
    vec![NetworkPolicyIngressRule {
        from: Some(peers),
        ports: port.map(|port| vec![port]),
    }]
}

fn namespaces(labels: BTreeMap<String, String>) -> NetworkPolicyPeer {
    let match_labels = Some(labels).filter(|labels| !labels.is_empty());
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels,
            match_expressions: None,
        }),
        ..NetworkPolicyPeer::default()
    }
}
