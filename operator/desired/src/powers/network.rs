//! What may be reached, by port: addresses and pods. Read from the rules of the network policy,
//! whatever they were made from.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use langop_api::names::labels;
use serde::{Deserialize, Serialize};

use super::{
    port::Port,
    ranges::{Addresses, Range},
    widening::{Widening, listed, shown},
};
use crate::policy::cidr::Cidr;

/// What may be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Network {
    /// Addresses, also of pods.
    addresses: BTreeMap<Port, Addresses>,
    /// Pods by their labels. None that is within another of the same port.
    pods: BTreeMap<Port, BTreeSet<Pods>>,
}

/// Pods that have all of these labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pods {
    /// In namespaces that have all of these; absent: in the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespaces: Option<BTreeMap<String, String>>,
    labels: BTreeMap<String, String>,
}

/// A rule that opens more than can be listed; none of ours does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a rule of the network policy opens more than can be listed: it must name its peers and the numbers of its ports"
)]
pub(super) struct Unlisted;

impl Network {
    /// What these rules open.
    pub(super) fn of<'a>(
        rules: impl IntoIterator<Item = &'a NetworkPolicyEgressRule>,
    ) -> Result<Self, Unlisted> {
        let mut network = Self::default();
        for rule in rules {
            // In a policy, no peers or no ports are all of them.
            let peers = rule.to.as_ref().filter(|peers| !peers.is_empty());
            let ports = rule.ports.as_ref().filter(|ports| !ports.is_empty());
            for port in ports.ok_or(Unlisted)? {
                let port = port_of(port)?;
                for peer in peers.ok_or(Unlisted)? {
                    network.open(&port, peer)?;
                }
            }
        }
        Ok(network)
    }

    fn open(&mut self, port: &Port, peer: &NetworkPolicyPeer) -> Result<(), Unlisted> {
        match &peer.ip_block {
            Some(block) => {
                let addresses = addresses_of(block)?;
                if !addresses.is_empty() {
                    self.addresses
                        .entry(port.clone())
                        .or_default()
                        .add(&addresses);
                }
            }
            None => add(self.pods.entry(port.clone()).or_default(), pods_of(peer)?),
        }
        Ok(())
    }

    /// Whether it has the form that [`Self::of`] gives it.
    pub(super) fn is_canonical(&self) -> bool {
        let mut addresses = self.addresses.values();
        let mut pods = self.pods.values();
        addresses.all(|all| !all.is_empty() && all.is_canonical())
            && pods.all(|all| !all.is_empty() && apart(all.iter().cloned()) == *all)
    }

    /// What may be reached and could not.
    pub(super) fn wider_than(&self, before: &Self) -> Vec<Widening> {
        let mut wider = Vec::new();
        for (port, addresses) in &self.addresses {
            let more = match before.addresses.get(port) {
                Some(before) => addresses.minus(before),
                None => addresses.clone(),
            };
            if !more.is_empty() {
                let ranges = listed(more.ranges());
                wider.push(Widening::new(format!("{ranges} on port {port}")));
            }
        }
        for (port, all) in &self.pods {
            let before = before.pods.get(port);
            let is_new = |pods: &&Pods| {
                let mut before = before.into_iter().flatten();
                !before.any(|before| before.holds(pods))
            };
            let new = all.iter().filter(is_new);
            wider.extend(new.map(|pods| Widening::new(format!("{} on port {port}", pods.told()))));
        }
        wider
    }
}

/// The same without those that are within others.
fn apart(pods: impl IntoIterator<Item = Pods>) -> BTreeSet<Pods> {
    let mut all = BTreeSet::new();
    for pods in pods {
        add(&mut all, pods);
    }
    all
}

/// Adds pods, and leaves out those that are within others.
fn add(all: &mut BTreeSet<Pods>, pods: Pods) {
    if all.iter().any(|other| other.holds(&pods)) {
        return;
    }
    all.retain(|other| !pods.holds(other));
    all.insert(pods);
}

impl Pods {
    /// Whether all of the others are among these.
    fn holds(&self, other: &Self) -> bool {
        let within = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
            one.iter().all(|(key, value)| other.get(key) == Some(value))
        };
        let namespaces = match (&self.namespaces, &other.namespaces) {
            (None, None) => true,
            (Some(one), Some(other)) => within(one, other),
            // Its own is one of all.
            (Some(one), None) => one.is_empty(),
            (None, Some(_)) => false,
        };
        namespaces && within(&self.labels, &other.labels)
    }

    fn told(&self) -> String {
        let only = self.labels.iter().next().filter(|_| self.labels.len() == 1);
        let pods = match only {
            Some((key, name)) if key == labels::TOOL => format!("tool {}", shown(name)),
            Some((key, name)) if key == labels::MODEL => format!("model {}", shown(name)),
            _ if self.labels.is_empty() => "all pods".to_owned(),
            _ => format!("pods with {}", pairs(&self.labels)),
        };
        match &self.namespaces {
            None => pods,
            Some(all) if all.is_empty() => format!("{pods} in all namespaces"),
            Some(namespaces) => format!("{pods} in namespaces with {}", pairs(namespaces)),
        }
    }
}

fn pairs(labels: &BTreeMap<String, String>) -> String {
    let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
    shown(&pairs.collect::<Vec<_>>().join(","))
}

fn port_of(port: &NetworkPolicyPort) -> Result<Port, Unlisted> {
    match (&port.port, port.end_port) {
        (Some(IntOrString::Int(number)), None) => Ok(Port::new(*number, port.protocol.as_deref())),
        _ => Err(Unlisted),
    }
}

fn addresses_of(block: &IPBlock) -> Result<Addresses, Unlisted> {
    let range = |text: &String| {
        let cidr: Result<Cidr, String> = text.parse();
        cidr.map(Range::from).map_err(|_| Unlisted)
    };
    let closed = block.except.iter().flatten();
    let closed: Vec<Range> = closed.map(range).collect::<Result<_, _>>()?;
    Ok(Addresses::of([range(&block.cidr)?]).minus(&Addresses::of(closed)))
}

fn pods_of(peer: &NetworkPolicyPeer) -> Result<Pods, Unlisted> {
    let labels_of = |selector: &LabelSelector| {
        let is_plain = selector
            .match_expressions
            .as_ref()
            .is_none_or(Vec::is_empty);
        let labels = selector.match_labels.clone().unwrap_or_default();
        is_plain.then_some(labels).ok_or(Unlisted)
    };
    Ok(Pods {
        namespaces: peer
            .namespace_selector
            .as_ref()
            .map(labels_of)
            .transpose()?,
        labels: peer
            .pod_selector
            .as_ref()
            .map_or_else(|| Ok(BTreeMap::new()), labels_of)?,
    })
}
