//! Random connections and rules, and what a user's rule means, restated from the API's
//! documentation. Shared by the tests of what may be reached; must not use the code that makes
//! policies.

use std::net::{IpAddr, Ipv4Addr};

use langop_api::{
    cluster::AgentEgress,
    policy::{EgressRule, LabelValue, Protocol},
};
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
const OF_PODS: [(&str, &str); 9] = [
    ("langop.io/tool", "t1"),
    ("langop.io/tool", "t2"),
    ("langop.io/model", "m1"),
    ("langop.io/agent", "scout"),
    ("langop.io/client", "desk"),
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
const ADDRESSES: [&str; 45] = [
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
    "168.63.129.15",
    "168.63.129.16",
    "100.63.255.255",
    "100.100.100.200",
    "100.100.100.201",
    "191.255.255.255",
    "192.0.0.0",
    "192.0.0.192",
    "192.0.1.0",
    "fd00:ec1:ffff::1",
    "fd00:ec2::254",
    "fd20:ce::253",
    "fd20:ce::254",
    "64:ff9b::a9fd:ffff",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::a60:1",
    "64:ff9b::cb00:7101",
    "64:ff9b:1::1",
    "64:ff9b:2::1",
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
const RANGES: [(&str, &[&str]); 15] = [
    ("203.0.113.0/24", &["203.0.113.128/25", "203.0.113.0/32"]),
    ("203.0.113.9/24", &[]),
    ("0.0.0.0/0", &["203.0.113.0/24", "10.0.0.0/8"]),
    ("0.0.0.0/1", &[]),
    ("128.0.0.0/1", &[]),
    ("10.0.0.0/8", &["10.96.0.0/16"]),
    ("10.96.0.0/12", &["10.96.0.1/32"]),
    ("10.96.0.1/32", &[]),
    ("168.63.129.0/24", &["168.63.129.128/25"]),
    ("100.64.0.0/10", &[]),
    ("192.0.0.0/16", &["192.0.0.0/24"]),
    ("64:ff9b::/96", &["64:ff9b::cb00:7100/120"]),
    ("::/0", &["2001:db8::/32"]),
    ("2001:db8::/32", &["2001:db8:1::/48"]),
    ("fc00::/7", &[]),
];
/// Ports of DNS, of rules, of tools and of models.
pub(crate) const PORTS: [i32; 6] = [53, 443, 8000, 8001, 8080, 8081];
/// The port of agents, which no sidecar tool may have.
pub(crate) const AGENT_PORT: i32 = 8088;

/// Ranges of the cluster, by the settings below: a wider rule leaves them out.
const OF_CLUSTER: [&str; 2] = ["10.96.0.0/12", "fd00::/8"];
/// Ranges that no tenant's rule means, however narrow.
const NEVER: [&str; 8] = [
    "169.254.0.0/16",
    "168.63.129.16/32",
    "100.100.100.200/32",
    "192.0.0.0/24",
    "fe80::/10",
    "fd00:ec2::/32",
    "fd20:ce::254/128",
    "64:ff9b:1::/48",
];

/// Settings with these ranges of the cluster, and DNS that is named in full, by half, by an address
/// or not at all.
pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let dns = select(vec![
        (true, true),
        (true, false),
        (false, true),
        (false, false),
    ]);
    (dns, any::<bool>()).prop_map(|((namespaces, pods), by_address)| {
        let Dns {
            namespace_labels,
            pod_labels,
            ports,
            ..
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
                cidrs: by_address
                    .then(|| "169.254.169.254/32".to_owned())
                    .into_iter()
                    .collect(),
                ports,
            },
            default_egress: AgentEgress::Allow,
            ..Settings::default()
        }
    })
}

/// A handful of connections.
pub(crate) fn connections() -> impl Strategy<Value = Vec<Connection>> {
    let protocol = select(vec![Protocol::TCP, Protocol::TCP, Protocol::UDP]);
    let ports: Vec<i32> = PORTS.into_iter().chain([AGENT_PORT]).collect();
    let port = prop_oneof![20 => select(ports), 1 => 1..=65535];
    let connection = (party(), protocol, port).prop_map(|(party, protocol, port)| Connection {
        party,
        protocol,
        port,
    });
    vec(connection, 48)
}

/// Somebody at the other end.
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

/// Who wrote a rule.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    Tenant,
    /// Who may mean what is never meant otherwise, by naming it.
    Administrator,
}

/// Whether a tenant's rule means this connection.
pub(crate) fn names(rule: &EgressRule, connection: &Connection) -> bool {
    means(rule, connection, Author::Tenant)
}

/// Whether a rule means this connection.
pub(crate) fn means(rule: &EgressRule, connection: &Connection, author: Author) -> bool {
    let port = rule.ports.iter().any(|port| {
        port.port == connection.port && port.protocol.unwrap_or_default() == connection.protocol
    });
    let peer = match (&connection.party, &rule.cidr) {
        (Party::Address(address), Some(range)) => {
            let excepted = rule.except.iter().any(|part| within(*address, part));
            within(*address, range) && !excepted && !is_left_out(*address, range, author)
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

/// Whether the address is in a range that the rule's range does not mean. One of IPv4 is the same
/// behind NAT64.
fn is_left_out(address: IpAddr, range: &str, author: Author) -> bool {
    let length = |range: &str| range.split_once('/').unwrap().1.parse::<u8>().unwrap();
    let mapped = behind_nat64(address);
    let in_part = |part: &str| {
        let (address, more) = match mapped {
            Some(mapped) if part.contains('.') => (mapped, 96),
            _ => (address, 0),
        };
        within(address, part).then(|| length(part) + more)
    };
    let is_wider = |part: &str| in_part(part).is_some_and(|part| length(range) < part);
    let never = |part: &str| match author {
        Author::Tenant => in_part(part).is_some(),
        Author::Administrator => is_wider(part),
    };
    NEVER.iter().any(|part| never(part)) || OF_CLUSTER.iter().any(|part| is_wider(part))
}

fn behind_nat64(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let is_mapped = within(address.into(), "64:ff9b::/96");
    let octets = address.octets();
    is_mapped.then(|| Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15]).into())
}

/// Whether it goes to the Internet, to this TCP port.
pub(crate) fn is_public(port: i32, connection: &Connection) -> bool {
    let Party::Address(address) = connection.party else {
        return false;
    };
    let address = behind_nat64(address).unwrap_or(address);
    let is_public = match address {
        IpAddr::V4(v4) => {
            let other = ["0.0.0.0/8", "100.64.0.0/10", "198.18.0.0/15", "224.0.0.0/3"];
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || other.iter().any(|range| within(address, range)))
        }
        IpAddr::V6(_) => within(address, "2000::/3"),
    };
    is_public
        && !is_left_out(address, "::/0", Author::Tenant)
        && (connection.protocol, connection.port) == (Protocol::TCP, port)
}

/// Whether it goes to an address of these ranges.
pub(crate) fn is_at(ranges: &[String], connection: &Connection) -> bool {
    let Party::Address(address) = connection.party else {
        return false;
    };
    ranges.iter().any(|range| within(address, range))
}

/// Whether it goes to those who answer DNS.
pub(crate) fn is_dns(settings: &Settings, connection: &Connection) -> bool {
    let dns = &settings.dns;
    let all_in = |wanted: &Labels, has: &Labels| {
        wanted
            .iter()
            .all(|(key, value)| has.get(key) == Some(value))
    };
    let answers = match &connection.party {
        Party::Address(address) => dns.cidrs.iter().any(|range| within(*address, range)),
        Party::Pod {
            namespace, labels, ..
        } => {
            let half = dns.namespace_labels.is_empty() || dns.pod_labels.is_empty();
            !half && all_in(&dns.namespace_labels, namespace) && all_in(&dns.pod_labels, labels)
        }
    };
    answers && dns.ports.contains(&(connection.port, connection.protocol))
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
