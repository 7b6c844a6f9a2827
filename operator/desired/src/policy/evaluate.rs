//! What a NetworkPolicy lets out, evaluated from the API's own definition and not from how we build: tests ask it whether everything
//! that is not named is closed.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

type Labels = BTreeMap<String, String>;

/// Somebody who could be reached.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    /// An address outside the cluster.
    Address(IpAddr),
    /// A pod, by whether its namespace is the policy's own, the namespace's labels and its own.
    Pod {
        at_home: bool,
        namespace: Labels,
        labels: Labels,
    },
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// A pod of the policy's own namespace.
pub(crate) fn neighbour(pairs: &[(&str, &str)]) -> Destination {
    Destination::Pod {
        at_home: true,
        namespace: labels(&[("team", "home")]),
        labels: labels(pairs),
    }
}

/// A pod of another namespace.
pub(crate) fn stranger(namespace: &[(&str, &str)], pairs: &[(&str, &str)]) -> Destination {
    Destination::Pod {
        at_home: false,
        namespace: labels(namespace),
        labels: labels(pairs),
    }
}

pub(crate) fn address(text: &str) -> Destination {
    Destination::Address(text.parse().unwrap())
}

/// Whether a pod that the policy selects may open this connection.
pub(crate) fn allows(policy: &NetworkPolicy, to: &Destination, protocol: &str, port: i32) -> bool {
    let spec = policy.spec.as_ref().unwrap();
    assert!(
        spec.policy_types
            .as_ref()
            .unwrap()
            .iter()
            .any(|type_| type_ == "Egress"),
        "else all egress is open"
    );
    spec.egress.iter().flatten().any(|rule| {
        let ports = rule.ports.as_deref().unwrap_or_default();
        let peers = rule.to.as_deref().unwrap_or_default();
        (ports.is_empty() || ports.iter().any(|p| port_matches(p, protocol, port)))
            && (peers.is_empty() || peers.iter().any(|peer| peer_matches(peer, to)))
    })
}

fn port_matches(rule: &NetworkPolicyPort, protocol: &str, port: i32) -> bool {
    rule.protocol.as_deref().unwrap_or("TCP") == protocol
        && match (&rule.port, rule.end_port) {
            (None, _) => true,
            (Some(IntOrString::Int(from)), Some(to)) => (*from..=to).contains(&port),
            (Some(IntOrString::Int(number)), None) => *number == port,
            (Some(IntOrString::String(_)), _) => panic!("no pod of the tests names its ports"),
        }
}

fn peer_matches(peer: &NetworkPolicyPeer, to: &Destination) -> bool {
    match (to, &peer.ip_block) {
        (Destination::Address(address), Some(block)) => {
            within(*address, &block.cidr)
                && !block
                    .except
                    .iter()
                    .flatten()
                    .any(|range| within(*address, range))
        }
        (
            Destination::Pod {
                at_home,
                namespace,
                labels,
            },
            None,
        ) => {
            let of_namespace = match &peer.namespace_selector {
                Some(selector) => selects(selector, namespace),
                None => *at_home,
            };
            of_namespace
                && peer
                    .pod_selector
                    .as_ref()
                    .is_none_or(|selector| selects(selector, labels))
        }
        _ => false,
    }
}

fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    assert!(
        selector.match_expressions.is_none(),
        "no policy of ours has expressions"
    );
    selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// Bit by bit, unlike the code under test.
fn within(address: IpAddr, range: &str) -> bool {
    let bits = |address: IpAddr| -> Vec<bool> {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        octets
            .iter()
            .flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1))
            .collect()
    };
    let (network, length) = range.split_once('/').unwrap();
    let (network, length): (IpAddr, usize) = (network.parse().unwrap(), length.parse().unwrap());
    network.is_ipv4() == address.is_ipv4() && bits(address)[..length] == bits(network)[..length]
}
