//! Rules of network policies, for both directions. What cannot be expressed is an error, never an
//! open rule: in a NetworkPolicy an empty list of peers or ports means all of them, so no rule here
//! ever has one. Who gets which rules is [`crate::reach`]'s matter.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use langop_api::policy::{EgressRule, LabelValue, Port, Protocol};

use crate::settings::Settings;

mod allowed;
pub(crate) mod cidr;
#[cfg(test)]
pub(crate) mod evaluate;
mod never;

pub(crate) use allowed::{allows, prefix_length};
use cidr::Cidr;
pub(crate) use never::is_special;

/// DNS, as the settings have it: the pods that have both labels, and the addresses; `None` if they
/// name nobody or no port.
pub fn dns_rule(settings: &Settings) -> Option<NetworkPolicyEgressRule> {
    let dns = &settings.dns;
    let ports = dns.ports.iter();
    let ports = ports.map(|(number, protocol)| port(*number, *protocol));
    servers_rule(
        &dns.namespace_labels,
        &dns.pod_labels,
        &dns.cidrs,
        ports.collect(),
    )
}

/// The collector that agents send their traces to, if there is one.
pub(crate) fn telemetry_rule(settings: &Settings) -> Option<NetworkPolicyEgressRule> {
    let collector = settings.agent_telemetry.as_ref()?;
    servers_rule(
        &collector.namespace_labels,
        &collector.pod_labels,
        &collector.cidrs,
        vec![port(collector.port, Protocol::TCP)],
    )
}

/// Servers that an administrator names by the labels of their pods, by their addresses, or by both.
fn servers_rule(
    namespace_labels: &BTreeMap<String, String>,
    pod_labels: &BTreeMap<String, String>,
    cidrs: &[String],
    ports: Vec<NetworkPolicyPort>,
) -> Option<NetworkPolicyEgressRule> {
    // Half a name would open the port to whoever has the other half.
    let is_named = !namespace_labels.is_empty() && !pod_labels.is_empty();
    let pods = is_named.then(|| NetworkPolicyPeer {
        namespace_selector: Some(selector(namespace_labels.clone())),
        pod_selector: Some(selector(pod_labels.clone())),
        ip_block: None,
    });
    let addresses = cidrs.iter().map(|range| block(range.clone(), &[]));
    let peers: Vec<_> = pods.into_iter().chain(addresses).collect();
    (!peers.is_empty() && !ports.is_empty()).then_some(NetworkPolicyEgressRule {
        to: Some(peers),
        ports: Some(ports),
    })
}

/// A range in its canonical form.
///
/// # Errors
/// If the text is none; the message says what to write instead.
pub fn range(text: &str) -> Result<String, String> {
    text.parse().map(|range: Cidr| range.to_string())
}

/// Whether pods may ask for names at this address: one of the settings', or a Service's, behind
/// which are pods.
pub fn is_dns_open(resolver: IpAddr, settings: &Settings) -> bool {
    let one = Cidr::of(resolver);
    let named = settings
        .dns
        .cidrs
        .iter()
        .filter_map(|text| text.parse().ok());
    named
        .chain(never::of_cluster(settings))
        .any(|range: Cidr| range.holds(one))
}

/// Addresses of the Internet on one TCP port: none that is private, link-local or otherwise
/// special, and none of the cluster.
pub(crate) fn public_rule(number: i32, settings: &Settings) -> NetworkPolicyEgressRule {
    let peers = never::public(settings);
    NetworkPolicyEgressRule {
        to: Some(
            peers
                .into_iter()
                .map(|(range, left_out)| block(range.to_string(), &left_out))
                .collect(),
        ),
        ports: Some(vec![port(number, Protocol::TCP)]),
    }
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

/// A user's rule, by leave of one that an administrator wrote, if any. A range that is wider than
/// one that is never meant, or than one of the cluster's, leaves it out, so that neither a `/0` nor
/// two halves of it reach it; one within a range that is never meant needs an administrator's rule
/// that is.
///
/// # Errors
/// If the rule cannot be expressed; the message says what to write instead.
pub fn egress_rule(
    rule: &EgressRule,
    leave: Option<&EgressRule>,
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
            ip_block: Some(ip_block(range, &rule.except, leave, settings)?),
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
        number => Err(format!("invalid port {number}: write 1 to 65535")),
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

fn ip_block(
    range: &str,
    except: &[String],
    leave: Option<&EgressRule>,
    settings: &Settings,
) -> Result<IPBlock, String> {
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
    let leave: Option<Cidr> = leave
        .and_then(|leave| leave.cidr.as_deref())
        .and_then(|range| range.parse().ok());
    let is_meant = |never: &Cidr| leave.is_some_and(|leave| never.holds(leave));
    let never = never::ranges(settings)
        .into_iter()
        .filter(|never| !is_meant(never));
    for never in never {
        if never.holds(range) {
            return Err(format!(
                "cidr {range} is within {never}, where no pod of a tenant has business (metadata of clouds, link-local addresses): leave the rule out, or ask an administrator to name it in allowedEgress of the LanguageCluster"
            ));
        }
        left_out.extend(range.holds(never).then_some(never));
    }
    let cluster = never::of_cluster(settings).into_iter();
    left_out.extend(cluster.filter(|part| range.is_wider_than(*part)));
    Ok(IPBlock {
        cidr: range.to_string(),
        except: Some(texts(&left_out)).filter(|texts| !texts.is_empty()),
    })
}

fn block(range: String, left_out: &[Cidr]) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: range,
            except: Some(texts(left_out)).filter(|texts| !texts.is_empty()),
        }),
        ..NetworkPolicyPeer::default()
    }
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
