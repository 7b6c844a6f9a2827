//! What a NetworkPolicy lets out and in, evaluated from the API's own definition and not from how
//! we build: tests ask it whether everything that is not named is closed.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

pub(crate) type Labels = BTreeMap<String, String>;

/// Somebody at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Party {
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
pub(crate) fn neighbour(pairs: &[(&str, &str)]) -> Party {
    Party::Pod {
        at_home: true,
        namespace: labels(&[("team", "home")]),
        labels: labels(pairs),
    }
}

/// A pod of another namespace.
pub(crate) fn stranger(namespace: &[(&str, &str)], pairs: &[(&str, &str)]) -> Party {
    Party::Pod {
        at_home: false,
        namespace: labels(namespace),
        labels: labels(pairs),
    }
}

pub(crate) fn address(text: &str) -> Party {
    Party::Address(text.parse().unwrap())
}

/// Whether a pod that the policy selects may open this connection.
pub(crate) fn allows(policy: &NetworkPolicy, to: &Party, protocol: &str, port: i32) -> bool {
    assert!(has_type(policy, "Egress"), "else all egress is open");
    let rules = policy.spec.as_ref().unwrap().egress.iter().flatten();
    let mut sides = rules.map(|rule| (rule.to.as_deref(), rule.ports.as_deref()));
    sides.any(|(peers, ports)| opens(peers, ports, to, protocol, port))
}

/// Whether this connection may come into a pod that the policy selects.
pub(crate) fn admits(policy: &NetworkPolicy, from: &Party, protocol: &str, port: i32) -> bool {
    assert!(has_type(policy, "Ingress"), "else all ingress is open");
    let rules = policy.spec.as_ref().unwrap().ingress.iter().flatten();
    let mut sides = rules.map(|rule| (rule.from.as_deref(), rule.ports.as_deref()));
    sides.any(|(peers, ports)| opens(peers, ports, from, protocol, port))
}

/// Whether the policy speaks of connections in this direction.
pub(crate) fn has_type(policy: &NetworkPolicy, direction: &str) -> bool {
    let types = policy.spec.as_ref().unwrap().policy_types.iter().flatten();
    types.into_iter().any(|type_| type_ == direction)
}

/// Whether it holds for a pod with these labels in its own namespace.
pub(crate) fn is_about(policy: &NetworkPolicy, labels: &Labels) -> bool {
    let selector = policy.spec.as_ref().unwrap().pod_selector.as_ref();
    selector.is_none_or(|selector| selects(selector, labels))
}

/// One rule. No peers, or no ports, are all of them.
fn opens(
    peers: Option<&[NetworkPolicyPeer]>,
    ports: Option<&[NetworkPolicyPort]>,
    other: &Party,
    protocol: &str,
    port: i32,
) -> bool {
    let (peers, ports) = (peers.unwrap_or_default(), ports.unwrap_or_default());
    (ports.is_empty() || ports.iter().any(|p| port_matches(p, protocol, port)))
        && (peers.is_empty() || peers.iter().any(|peer| peer_matches(peer, other)))
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

fn peer_matches(peer: &NetworkPolicyPeer, to: &Party) -> bool {
    match (to, &peer.ip_block) {
        (Party::Address(address), Some(block)) => {
            within(*address, &block.cidr)
                && !block
                    .except
                    .iter()
                    .flatten()
                    .any(|range| within(*address, range))
        }
        (
            Party::Pod {
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

pub(crate) fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let mut expressions = selector.match_expressions.iter().flatten();
    let by_labels = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    by_labels
        && expressions.all(|wanted| {
            let value = labels.get(&wanted.key);
            let is_one = || wanted.values.iter().flatten().any(|one| Some(one) == value);
            match wanted.operator.as_str() {
                "In" => is_one(),
                "NotIn" => !is_one(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                other => panic!("{other} is no operator of a selector"),
            }
        })
}

/// Bit by bit, unlike the code under test.
pub(crate) fn within(address: IpAddr, range: &str) -> bool {
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
