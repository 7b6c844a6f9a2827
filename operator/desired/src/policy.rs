//! Egress rules of network policies. What cannot be expressed is an error, never an open rule: in a NetworkPolicy an empty list of
//! peers or ports means all of them, so no rule here ever has one.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use langop_api::policy::{EgressRule, LabelValue, Port, Protocol};

use crate::settings::Settings;

mod cidr;
#[cfg(test)]
pub(crate) mod evaluate;

use cidr::Cidr;

/// Ranges that only a rule of exactly their size or smaller reaches: link-local addresses, where clouds keep their credentials.
const LINK_LOCAL: [&str; 2] = ["169.254.0.0/16", "fe80::/10"];

/// An egress policy for the pods that `pod_selector` selects.
pub fn egress_policy(
    metadata: ObjectMeta,
    pod_selector: BTreeMap<String, String>,
    rules: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata,
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(pod_selector)),
            policy_types: Some(vec!["Egress".to_owned()]),
            egress: Some(rules),
            ingress: None,
        }),
    }
}

/// DNS, as the settings have it; `None` if they name nobody or no port.
pub fn dns_rule(settings: &Settings) -> Option<NetworkPolicyEgressRule> {
    let dns = &settings.dns;
    let named = !dns.namespace_labels.is_empty() || !dns.pod_labels.is_empty();
    (named && !dns.ports.is_empty()).then(|| NetworkPolicyEgressRule {
        to: Some(vec![NetworkPolicyPeer {
            // Without labels of a namespace, the pods are looked for in all of them.
            namespace_selector: Some(selector(dns.namespace_labels.clone())),
            pod_selector: Some(dns.pod_labels.clone())
                .filter(|labels| !labels.is_empty())
                .map(selector),
            ip_block: None,
        }]),
        ports: Some(
            dns.ports
                .iter()
                .map(|(number, protocol)| port(*number, *protocol))
                .collect(),
        ),
    })
}

/// The pods of one resource in the same namespace, on one TCP port.
pub fn pods_rule(label: &str, name: &str, number: i32) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(vec![NetworkPolicyPeer {
            pod_selector: Some(selector([(label.to_owned(), name.to_owned())].into())),
            ..NetworkPolicyPeer::default()
        }]),
        ports: Some(vec![port(number, Protocol::TCP)]),
    }
}

/// A user's rule. A range that is wider than link-local or than one of the cluster's ranges leaves those out, so that neither a `/0`
/// nor two halves of it reach them.
///
/// # Errors
/// If the rule cannot be expressed; the message says what to write instead.
pub fn egress_rule(
    rule: &EgressRule,
    settings: &Settings,
) -> Result<NetworkPolicyEgressRule, String> {
    if rule.ports.is_empty() {
        return Err(
            "an egress rule must name its ports, for example ports: [{port: 443}]".to_owned(),
        );
    }
    let ports = rule.ports.iter().map(user_port).collect::<Result<_, _>>()?;
    let peer = match (&rule.cidr, &rule.namespace_labels, &rule.pod_labels) {
        (Some(range), None, None) => NetworkPolicyPeer {
            ip_block: Some(ip_block(range, &rule.except, settings)?),
            ..NetworkPolicyPeer::default()
        },
        (None, None, None) | (Some(_), _, _) => {
            return Err(
                "an egress rule names exactly one peer: either cidr (for example 203.0.113.0/24), or namespaceLabels and/or podLabels".to_owned(),
            );
        }
        (None, ..) if !rule.except.is_empty() => {
            return Err(
                "except takes ranges out of cidr: set cidr, or leave except out".to_owned(),
            );
        }
        (None, namespaces, pods) => NetworkPolicyPeer {
            namespace_selector: namespaces.as_ref().map(user_selector).transpose()?,
            pod_selector: pods.as_ref().map(user_selector).transpose()?,
            ip_block: None,
        },
    };
    Ok(NetworkPolicyEgressRule {
        to: Some(vec![peer]),
        ports: Some(ports),
    })
}

fn user_port(user: &Port) -> Result<NetworkPolicyPort, String> {
    match user.port {
        number @ 1..=65535 => Ok(port(number, user.protocol.unwrap_or_default())),
        number => Err(format!("{number} is no port: write 1 to 65535")),
    }
}

/// An empty selector would select everything.
fn user_selector(labels: &BTreeMap<String, LabelValue>) -> Result<LabelSelector, String> {
    if labels.is_empty() {
        return Err("namespaceLabels and podLabels must name at least one label: leave out the one that is empty".to_owned());
    }
    let labels = labels
        .iter()
        .map(|(key, LabelValue(value))| (key.clone(), value.clone()));
    Ok(selector(labels.collect()))
}

fn ip_block(range: &str, except: &[String], settings: &Settings) -> Result<IPBlock, String> {
    let range: Cidr = range.parse()?;
    let mut left_out = Vec::new();
    for text in except {
        let part: Cidr = text.parse()?;
        if !range.is_wider_than(part) {
            return Err(format!(
                "except {text} is not a part of cidr {range}: leave it out, or name a smaller range within"
            ));
        }
        left_out.push(part);
    }
    let ours = LINK_LOCAL
        .iter()
        .copied()
        .chain(settings.cluster_cidrs.iter().map(String::as_str));
    // A setting that is no range was refused when the operator started.
    let ours = ours.filter_map(|text| text.parse().ok());
    left_out.extend(ours.filter(|part| range.is_wider_than(*part)));
    Ok(IPBlock {
        cidr: range.to_string(),
        except: Some(texts(&left_out)).filter(|texts| !texts.is_empty()),
    })
}

/// In order, each once.
fn texts(ranges: &[Cidr]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for range in ranges.iter().map(ToString::to_string) {
        if !texts.contains(&range) {
            texts.push(range);
        }
    }
    texts
}

fn port(number: i32, protocol: Protocol) -> NetworkPolicyPort {
    let protocol = match protocol {
        Protocol::TCP => "TCP",
        Protocol::UDP => "UDP",
    };
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number)),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}

fn selector(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels).filter(|labels| !labels.is_empty()),
        match_expressions: None,
    }
}

#[cfg(test)]
mod tests;
