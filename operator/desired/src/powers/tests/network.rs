//! The network row against the evaluator of policies, which reads the API's own definition: it is
//! wider exactly if some connection is open that was not.

use std::net::IpAddr;

use k8s_openapi::{
    api::networking::v1::NetworkPolicyEgressRule, apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use proptest::{collection::vec, prelude::*, sample::select};

use super::super::network::Network;
use serde_json::json;

use crate::{
    meta,
    policy::evaluate::{Party, allows, neighbour, stranger, within},
    property::for_all,
    reach::network_policy,
};

const RANGES: [&str; 9] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/9",
    "10.128.0.0/9",
    "10.0.0.0/30",
    "10.0.0.4/32",
    "255.255.255.0/24",
    "2001:db8::/32",
    "::/0",
];

/// Addresses within, between and at the ends of the ranges.
const ADDRESSES: [&str; 16] = [
    "0.0.0.0",
    "9.255.255.255",
    "10.0.0.0",
    "10.0.0.3",
    "10.0.0.4",
    "10.0.0.5",
    "10.127.255.255",
    "10.128.0.0",
    "10.255.255.255",
    "11.0.0.0",
    "255.255.255.0",
    "255.255.255.255",
    "::",
    "2001:db8::",
    "2001:db9::",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

const LABELS: [&[(&str, &str)]; 4] = [&[], &[("a", "1")], &[("a", "1"), ("b", "2")], &[("b", "2")]];

/// Whether a policy may leave that part out of the range.
fn is_part(range: &str, part: &str) -> bool {
    let read = |text: &str| -> (IpAddr, u8) {
        let (address, length) = text.split_once('/').unwrap();
        (address.parse().unwrap(), length.parse().unwrap())
    };
    let ((_, length), (address, of_part)) = (read(range), read(part));
    length < of_part && within(address, range)
}

fn peer() -> impl Strategy<Value = serde_json::Value> {
    let labels = |index: usize| {
        let labels = LABELS[index]
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).into()));
        json!({"matchLabels": labels.collect::<serde_json::Map<_, _>>()})
    };
    let block =
        (select(&RANGES[..]), vec(select(&RANGES[..]), 0..3)).prop_map(|(range, closed)| {
            let closed: Vec<_> = closed
                .into_iter()
                .filter(|part| is_part(range, part))
                .collect();
            json!({"ipBlock": {"cidr": range, "except": closed}})
        });
    let pods =
        (0..LABELS.len(), prop::option::of(0..LABELS.len())).prop_map(move |(pods, namespaces)| {
            let mut peer = json!({"podSelector": labels(pods)});
            if let Some(namespaces) = namespaces {
                peer["namespaceSelector"] = labels(namespaces);
            }
            peer
        });
    prop_oneof![2 => block, 1 => pods]
}

fn rules() -> impl Strategy<Value = Vec<NetworkPolicyEgressRule>> {
    let port = select(vec![
        json!({"port": 80, "protocol": "TCP"}),
        json!({"port": 80, "protocol": "UDP"}),
        json!({"port": 443}),
    ]);
    let rule = (vec(peer(), 1..3), vec(port, 1..3))
        .prop_map(|(to, ports)| serde_json::from_value(json!({"to": to, "ports": ports})).unwrap());
    vec(rule, 0..4)
}

/// Everybody at the other end that the rules tell apart.
fn parties() -> Vec<Party> {
    let addresses = ADDRESSES.map(|text| Party::Address(text.parse::<IpAddr>().unwrap()));
    let pods = LABELS.iter().flat_map(|pods| {
        let strangers = LABELS
            .iter()
            .map(move |namespace| stranger(namespace, pods));
        strangers.chain([neighbour(pods)])
    });
    addresses.into_iter().chain(pods).collect()
}

fn open(rules: &[NetworkPolicyEgressRule]) -> Vec<bool> {
    let metadata = meta::object_meta("p", Some("n"), None, std::collections::BTreeMap::new());
    let policy = network_policy(metadata, LabelSelector::default(), rules, &[]);
    let ports = [("TCP", 80), ("UDP", 80), ("TCP", 443)];
    let parties = parties();
    let connections = ports
        .iter()
        .flat_map(|port| parties.iter().map(move |to| (port, to)));
    connections
        .map(|((protocol, port), to)| allows(&policy, to, protocol, *port))
        .collect()
}

#[test]
fn it_is_wider_exactly_if_a_connection_is_open_that_was_not() {
    let wider = std::cell::Cell::new(0);
    for_all(&(rules(), rules()), |(before, now)| {
        let is_more = open(&now)
            .iter()
            .zip(open(&before))
            .any(|(now, before)| *now && !before);
        let (now, before) = (Network::of(&now).unwrap(), Network::of(&before).unwrap());
        let told = now.wider_than(&before);
        assert_eq!(!told.is_empty(), is_more, "{now:?} {before:?}");
        wider.set(wider.get() + u32::from(!is_more));
        assert!(now.is_canonical() && before.is_canonical());
    });
    crate::property::enough("not wider", wider.get(), 50);
}

#[test]
fn fewer_rules_are_never_wider() {
    for_all(&(rules(), any::<u8>()), |(rules, kept)| {
        let some = rules
            .iter()
            .enumerate()
            .filter(|(index, _)| kept & (1 << index) != 0);
        let some: Vec<_> = some.map(|(_, rule)| rule.clone()).collect();
        let (all, some) = (Network::of(&rules).unwrap(), Network::of(&some).unwrap());
        assert_eq!(some.wider_than(&all), []);
    });
}

#[test]
fn what_opens_everything_is_no_list() {
    for rule in [
        json!({"ports": [{"port": 1}]}),
        json!({"to": [], "ports": [{"port": 1}]}),
        json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}),
        json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": "web"}]}),
        json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 1, "endPort": 9}]}),
        json!({"to": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}], "ports": [{"port": 1}]}),
    ] {
        let rule: NetworkPolicyEgressRule = serde_json::from_value(rule).unwrap();
        assert!(Network::of([&rule]).is_err(), "{rule:?}");
    }
}
