//! Random connections and rules, and what a user's rule means, restated from the API's documentation. Shared by the tests of what may be
//! reached; must not use the code that makes policies.

use std::net::{IpAddr, Ipv4Addr};

use langop_api::policy::{EgressRule, LabelValue, Protocol};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Value, json};

use crate::{
    policy::evaluate::{Labels, Party, labels, within},
    settings::{Dns, Settings},
};

/// A connection that somebody tries.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) party: Party,
    pub(crate) protocol: Protocol,
    pub(crate) port: i32,
}

impl Connection {
    pub(crate) fn protocol(&self) -> &'static str {
        match self.protocol {
            Protocol::TCP => "TCP",
            Protocol::UDP => "UDP",
        }
    }
}

const NAME: &str = "kubernetes.io/metadata.name";
/// Labels of pods, those that rules of ours look for among them.
const OF_PODS: [(&str, &str); 8] = [
    ("langop.io/tool", "t1"),
    ("langop.io/tool", "t2"),
    ("langop.io/model", "m1"),
    ("langop.io/agent", "scout"),
    ("app", "store"),
    ("app", "other"),
    ("k8s-app", "kube-dns"),
    ("tier", ""),
];
/// Labels of namespaces beside their names.
const OF_NAMESPACES: [(&str, &str); 3] = [("team", "web"), ("team", "home"), ("env", "")];
/// Names of namespaces that are not the policy's own.
const FOREIGN: [&str; 3] = ["kube-system", "langop-system", "other"];
/// Both sides of each border of the ranges below, and of those that are never meant.
const ADDRESSES: [&str; 26] = [
    "203.0.113.0",
    "203.0.113.127",
    "203.0.113.128",
    "203.0.113.255",
    "203.0.114.0",
    "10.95.255.255",
    "10.96.0.0",
    "10.96.0.1",
    "10.111.255.255",
    "10.112.0.0",
    "127.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.255.0.0",
    "255.255.255.255",
    "2001:db8::1",
    "2001:db8:1::1",
    "2001:db9::1",
    "fe80::1",
    "febf:ffff::1",
    "fec0::1",
    "fbff::1",
    "fd00::1",
    "fe00::1",
];
/// Ranges, and parts that may be taken out of each.
const RANGES: [(&str, &[&str]); 12] = [
    ("203.0.113.0/24", &["203.0.113.128/25", "203.0.113.0/32"]),
    ("203.0.113.9/24", &[]),
    ("0.0.0.0/0", &["203.0.113.0/24", "10.0.0.0/8"]),
    ("0.0.0.0/1", &[]),
    ("128.0.0.0/1", &[]),
    ("10.0.0.0/8", &["10.96.0.0/16"]),
    ("10.96.0.0/12", &["10.96.0.1/32"]),
    ("10.96.0.1/32", &[]),
    ("169.254.169.254/32", &[]),
    ("::/0", &["2001:db8::/32"]),
    ("2001:db8::/32", &["2001:db8:1::/48"]),
    ("fc00::/7", &[]),
];
/// Ports of DNS, of rules, of tools and of models.
pub(crate) const PORTS: [i32; 6] = [53, 443, 8000, 8001, 8080, 8081];

/// Ranges that a wider rule leaves out: those of the settings below, and link-local ones.
const LEFT_OUT: [&str; 4] = ["10.96.0.0/12", "fd00::/8", "169.254.0.0/16", "fe80::/10"];

/// Settings with these ranges of the cluster, and DNS that is named in full, by half or not at all.
pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let dns = select(vec![
        (true, true),
        (true, false),
        (false, true),
        (false, false),
    ]);
    dns.prop_map(|(namespaces, pods)| {
        let Dns {
            namespace_labels,
            pod_labels,
            ports,
        } = Dns::default();
        Settings {
            cluster_cidrs: vec!["10.96.0.0/12".into(), "fd00::/8".into()],
            dns: Dns {
                namespace_labels: if namespaces {
                    namespace_labels
                } else {
                    Labels::new()
                },
                pod_labels: if pods { pod_labels } else { Labels::new() },
                ports,
            },
            ..Settings::default()
        }
    })
}

/// A handful of connections.
pub(crate) fn connections() -> impl Strategy<Value = Vec<Connection>> {
    let protocol = select(vec![Protocol::TCP, Protocol::TCP, Protocol::UDP]);
    let port = prop_oneof![20 => select(PORTS.to_vec()), 1 => 1..=65535];
    let connection = (party(), protocol, port).prop_map(|(party, protocol, port)| Connection {
        party,
        protocol,
        port,
    });
    vec(connection, 48)
}

fn party() -> impl Strategy<Value = Party> {
    let near = select(ADDRESSES.to_vec()).prop_map(|text| text.parse().unwrap());
    let far = any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits)));
    let address = prop_oneof![4 => near, 1 => far].prop_map(Party::Address);
    prop_oneof![1 => address, 2 => pod()]
}

fn pod() -> impl Strategy<Value = Party> {
    let at_home = any::<bool>();
    (
        at_home,
        select(FOREIGN.to_vec()),
        some(&OF_NAMESPACES, 0),
        some(&OF_PODS, 0),
    )
        .prop_map(|(at_home, foreign, mut namespace, labels)| {
            let name = if at_home { "wood" } else { foreign };
            namespace.insert(NAME.to_owned(), name.to_owned());
            Party::Pod {
                at_home,
                namespace,
                labels,
            }
        })
}

/// Some of these labels; of one key, one value.
fn some(
    all: &'static [(&'static str, &'static str)],
    least: usize,
) -> impl Strategy<Value = Labels> {
    subsequence(all, least..=3).prop_map(|pairs| labels(&pairs))
}

/// Labels of namespaces, at least one, as a user writes them.
pub(crate) fn namespace_labels() -> impl Strategy<Value = Labels> {
    let by_name =
        select(vec!["wood", "kube-system", "other"]).prop_map(|name| labels(&[(NAME, name)]));
    prop_oneof![some(&OF_NAMESPACES, 1), by_name]
}

/// A user's rules, all of which can be expressed.
pub(crate) fn egress() -> impl Strategy<Value = Value> {
    let range = select(RANGES.to_vec())
        .prop_flat_map(|(cidr, parts)| (Just(cidr), subsequence(parts, 0..=parts.len())))
        .prop_map(|(cidr, except)| json!({"cidr": cidr, "except": except}));
    let pods = some(&OF_PODS, 1).prop_map(|pods| json!({"podLabels": pods}));
    let namespaces = namespace_labels().prop_map(|all| json!({"namespaceLabels": all}));
    let both = (namespace_labels(), some(&OF_PODS, 1))
        .prop_map(|(namespaces, pods)| json!({"namespaceLabels": namespaces, "podLabels": pods}));
    let port = (select(PORTS.to_vec()), select(vec!["TCP", "UDP"]));
    let ports = vec(
        port.prop_map(|(port, protocol)| json!({"port": port, "protocol": protocol})),
        1..4,
    );
    let rule = (prop_oneof![range, pods, namespaces, both], ports).prop_map(|(mut rule, ports)| {
        rule["ports"] = ports.into();
        rule
    });
    vec(rule, 0..4).prop_map(Value::Array)
}

/// Whether a user's rule means this connection.
pub(crate) fn names(rule: &EgressRule, connection: &Connection) -> bool {
    let port = rule.ports.iter().any(|port| {
        port.port == connection.port && port.protocol.unwrap_or_default() == connection.protocol
    });
    let peer = match (&connection.party, &rule.cidr) {
        (Party::Address(address), Some(range)) => {
            let excepted = rule.except.iter().any(|part| within(*address, part));
            within(*address, range) && !excepted && !is_left_out(*address, range)
        }
        (
            Party::Pod {
                at_home,
                namespace,
                labels,
            },
            None,
        ) => {
            let of_namespace = match &rule.namespace_labels {
                Some(wanted) => wanted.iter().all(|label| has(namespace, label)),
                None => *at_home,
            };
            of_namespace
                && rule
                    .pod_labels
                    .iter()
                    .flatten()
                    .all(|label| has(labels, label))
        }
        _ => false,
    };
    port && peer
}

fn has(labels: &Labels, (key, LabelValue(value)): (&String, &LabelValue)) -> bool {
    labels.get(key) == Some(value)
}

/// Whether the address is in a range that is meant only by a rule that does not go beyond it.
fn is_left_out(address: IpAddr, range: &str) -> bool {
    let length = |range: &str| range.split_once('/').unwrap().1.parse::<u8>().unwrap();
    LEFT_OUT
        .iter()
        .any(|part| within(address, part) && length(range) < length(part))
}

/// Whether it goes to those who answer DNS.
pub(crate) fn is_dns(settings: &Settings, connection: &Connection) -> bool {
    let Party::Pod {
        namespace, labels, ..
    } = &connection.party
    else {
        return false;
    };
    let Dns {
        namespace_labels,
        pod_labels,
        ports,
    } = &settings.dns;
    let nobody = namespace_labels.is_empty() && pod_labels.is_empty();
    let all_in = |wanted: &Labels, has: &Labels| {
        wanted
            .iter()
            .all(|(key, value)| has.get(key) == Some(value))
    };
    !nobody
        && all_in(namespace_labels, namespace)
        && all_in(pod_labels, labels)
        && ports.contains(&(connection.port, connection.protocol))
}

/// Whether it goes to the pods of one resource of the namespace, on this TCP port.
pub(crate) fn is_to(label: &str, name: &str, number: i32, connection: &Connection) -> bool {
    let Party::Pod {
        at_home: true,
        labels,
        ..
    } = &connection.party
    else {
        return false;
    };
    labels.get(label).is_some_and(|value| value == name)
        && (connection.protocol, connection.port) == (Protocol::TCP, number)
}
