use k8s_openapi::{
    api::networking::v1::NetworkPolicy, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    evaluate::{address, allows, labels, neighbour, stranger},
    *,
};

fn settings() -> Settings {
    Settings {
        cluster_cidrs: vec!["10.96.0.0/12".into(), "fd00::/8".into()],
        ..Settings::default()
    }
}

fn rule(yaml: &str) -> Result<NetworkPolicyEgressRule, String> {
    egress_rule(&serde_saphyr::from_str(yaml).unwrap(), None, &settings())
}

fn policy(rules: &[NetworkPolicyEgressRule]) -> NetworkPolicy {
    let pods = selector(labels(&[("langop.io/agent", "a")]));
    crate::reach::network_policy(ObjectMeta::default(), pods, rules, &[])
}

#[test]
fn a_policy_without_rules_lets_nothing_out() {
    let closed = policy(&[]);
    assert!(!allows(&closed, &address("203.0.113.1"), "TCP", 443));
    assert!(!allows(&closed, &neighbour(&[]), "TCP", 80));
}

#[test]
fn dns_is_open_to_those_who_answer_it_and_nobody_else() {
    let policy = policy(&Vec::from_iter(dns_rule(&Settings::default())));
    let system = [("kubernetes.io/metadata.name", "kube-system")];
    let dns = [("k8s-app", "kube-dns")];
    assert!(
        allows(&policy, &stranger(&system, &dns), "UDP", 53)
            && allows(&policy, &stranger(&system, &dns), "TCP", 53)
    );
    assert!(!allows(&policy, &stranger(&system, &dns), "TCP", 443));
    assert!(!allows(&policy, &stranger(&system, &[]), "UDP", 53));
    assert!(!allows(
        &policy,
        &stranger(&[("kubernetes.io/metadata.name", "other")], &dns),
        "UDP",
        53
    ));
    assert!(
        !allows(&policy, &neighbour(&dns), "UDP", 53)
            && !allows(&policy, &address("8.8.8.8"), "UDP", 53)
    );
}

#[test]
fn settings_that_name_nobody_or_by_half_open_nothing() {
    for close in [
        (|dns| dns.namespace_labels.clear()) as fn(&mut crate::settings::Dns),
        |dns| dns.pod_labels.clear(),
        |dns| dns.ports.clear(),
    ] {
        let mut settings = Settings::default();
        close(&mut settings.dns);
        assert_eq!(dns_rule(&settings), None);
    }
}

#[test]
fn dns_may_be_an_address() {
    let mut settings = Settings::default();
    settings.dns.cidrs = vec!["169.254.20.10/32".into()];
    for with_pods in [true, false] {
        if !with_pods {
            settings.dns.pod_labels.clear();
            settings.dns.namespace_labels.clear();
        }
        let policy = policy(&Vec::from_iter(dns_rule(&settings)));
        let open = |to: &str, port| allows(&policy, &address(to), "UDP", port);
        assert!(
            open("169.254.20.10", 53) && !open("169.254.20.10", 80) && !open("169.254.20.11", 53)
        );
    }
    let covered = |text: &str| is_dns_open(text.parse().unwrap(), &settings);
    assert!(covered("169.254.20.10") && covered("10.96.0.10"));
    assert!(!covered("169.254.169.254") && !covered("192.0.2.53"));
}

#[test]
fn a_resource_is_reached_on_its_port_in_the_same_namespace() {
    let policy = policy(&[pods_rule("langop.io/tool", "mail", 8080)]);
    let mail = [("langop.io/tool", "mail"), ("app", "x")];
    assert!(allows(&policy, &neighbour(&mail), "TCP", 8080));
    assert!(
        !allows(&policy, &neighbour(&mail), "TCP", 8081)
            && !allows(&policy, &neighbour(&mail), "UDP", 8080)
    );
    assert!(!allows(
        &policy,
        &neighbour(&[("langop.io/tool", "other")]),
        "TCP",
        8080
    ));
    assert!(!allows(
        &policy,
        &stranger(&[("team", "home")], &mail),
        "TCP",
        8080
    ));
}

#[test]
fn a_users_rule_says_no_more_than_it_says() {
    let cases = [
        (
            "{cidr: 203.0.113.0/24, except: [203.0.113.128/25], ports: [{port: 443}, {port: 53, protocol: UDP}]}",
            address("203.0.113.5"),
            "TCP",
            443,
            true,
        ),
        (
            "{cidr: 203.0.113.0/24, except: [203.0.113.128/25], ports: [{port: 443}, {port: 53, protocol: UDP}]}",
            address("203.0.113.5"),
            "UDP",
            53,
            true,
        ),
        (
            "{cidr: 203.0.113.0/24, except: [203.0.113.128/25], ports: [{port: 443}]}",
            address("203.0.113.200"),
            "TCP",
            443,
            false,
        ),
        (
            "{cidr: 203.0.113.0/24, ports: [{port: 443}]}",
            address("203.0.114.1"),
            "TCP",
            443,
            false,
        ),
        (
            "{cidr: 203.0.113.0/24, ports: [{port: 443}]}",
            address("203.0.113.5"),
            "TCP",
            80,
            false,
        ),
        (
            "{podLabels: {app: db}, ports: [{port: 5432}]}",
            neighbour(&[("app", "db")]),
            "TCP",
            5432,
            true,
        ),
        (
            "{podLabels: {app: db}, ports: [{port: 5432}]}",
            stranger(&[], &[("app", "db")]),
            "TCP",
            5432,
            false,
        ),
        (
            "{namespaceLabels: {team: b}, ports: [{port: 1}]}",
            stranger(&[("team", "b")], &[]),
            "TCP",
            1,
            true,
        ),
        (
            "{namespaceLabels: {team: b}, podLabels: {app: db}, ports: [{port: 1}]}",
            stranger(&[("team", "b")], &[]),
            "TCP",
            1,
            false,
        ),
        (
            "{namespaceLabels: {team: b}, podLabels: {app: db}, ports: [{port: 1}]}",
            stranger(&[("team", "b")], &[("app", "db")]),
            "TCP",
            1,
            true,
        ),
    ];
    for (yaml, to, protocol, port, open) in cases {
        assert_eq!(
            allows(&policy(&[rule(yaml).unwrap()]), &to, protocol, port),
            open,
            "{yaml} {to:?} {protocol} {port}"
        );
    }
}

#[test]
fn wide_ranges_leave_out_link_local_and_the_cluster() {
    for (yaml, closed, open) in [
        (
            "{cidr: 0.0.0.0/0, ports: [{port: 80}]}",
            &["169.254.169.254", "10.96.0.1"][..],
            &["203.0.113.1", "10.0.0.1"][..],
        ),
        (
            "{cidr: '::/0', ports: [{port: 80}]}",
            &["fe80::1", "fd00::1"],
            &["2001:db8::1"],
        ),
        // Two halves are no way round.
        (
            "{cidr: 128.0.0.0/1, ports: [{port: 80}]}",
            &["169.254.169.254"],
            &["203.0.113.1"],
        ),
        (
            "{cidr: 0.0.0.0/1, ports: [{port: 80}]}",
            &["10.96.0.1"],
            &["10.0.0.1"],
        ),
        // Named itself, a part of the cluster is meant.
        (
            "{cidr: 10.96.0.1/32, ports: [{port: 80}]}",
            &["10.96.0.2"],
            &["10.96.0.1"],
        ),
    ] {
        let policy = policy(&[rule(yaml).unwrap()]);
        for to in closed {
            assert!(!allows(&policy, &address(to), "TCP", 80), "{yaml} {to}");
        }
        for to in open {
            assert!(allows(&policy, &address(to), "TCP", 80), "{yaml} {to}");
        }
    }
    let written =
        rule("{cidr: 0.0.0.0/0, except: [169.254.0.0/16, 203.0.113.9/24], ports: [{port: 80}]}")
            .unwrap();
    let block = written.to.unwrap()[0].ip_block.clone().unwrap();
    assert_eq!(
        block.except.unwrap(),
        [
            "169.254.0.0/16",
            "203.0.113.0/24",
            "168.63.129.16/32",
            "100.100.100.200/32",
            "192.0.0.0/24",
            "10.96.0.0/12"
        ]
    );
}

#[test]
fn without_the_clusters_ranges_all_private_ones_are_taken_for_them() {
    let all = egress_rule(
        &serde_saphyr::from_str("{cidr: 0.0.0.0/0, ports: [{port: 80}]}").unwrap(),
        None,
        &Settings::default(),
    );
    let policy = policy(&[all.unwrap()]);
    for private in ["10.0.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"] {
        assert!(!allows(&policy, &address(private), "TCP", 80), "{private}");
    }
    assert!(allows(&policy, &address("203.0.113.1"), "TCP", 80));
}

#[test]
fn metadata_is_never_meant_but_by_an_administrator() {
    let mut settings = settings();
    settings.never_cidrs = vec!["198.51.100.0/28".into()];
    for range in [
        "169.254.169.254/32",
        "169.254.0.0/16",
        "168.63.129.16/32",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
        "fe80::/64",
        "64:ff9b::a9fe:a9fe/128",
        "64:ff9b:1::/64",
        "198.51.100.1/32",
    ] {
        let yaml = format!("{{cidr: '{range}', ports: [{{port: 80}}]}}");
        let rule: EgressRule = serde_saphyr::from_str(&yaml).unwrap();
        let error = egress_rule(&rule, None, &settings).unwrap_err();
        assert!(error.contains("allowedEgress"), "{error}");
        assert!(
            egress_rule(&rule, Some(&rule), &settings).is_ok(),
            "{range}"
        );
        let wide: EgressRule =
            serde_saphyr::from_str("{cidr: 0.0.0.0/0, ports: [{port: 80}]}").unwrap();
        assert!(
            egress_rule(&rule, Some(&wide), &settings).is_err(),
            "{range} by leave of all"
        );
    }
    for (range, never) in [
        ("168.63.0.0/16", "168.63.129.16"),
        ("100.64.0.0/10", "100.100.100.200"),
        ("192.0.0.0/8", "192.0.0.192"),
        ("198.51.100.0/24", "198.51.100.1"),
        ("fd00::/8", "fd00:ec2::254"),
        ("::/0", "64:ff9b::a9fe:a9fe"),
        ("64:ff9b::/96", "64:ff9b::a9fe:a9fe"),
        ("::/0", "64:ff9b:1::1"),
    ] {
        let yaml = format!("{{cidr: '{range}', ports: [{{port: 80}}]}}");
        let rule = egress_rule(&serde_saphyr::from_str(&yaml).unwrap(), None, &settings);
        assert!(
            !allows(&policy(&[rule.unwrap()]), &address(never), "TCP", 80),
            "{range} {never}"
        );
    }
}

#[test]
fn what_cannot_be_expressed_is_an_error_that_says_what_to_write() {
    for (yaml, says) in [
        ("{cidr: 203.0.113.0/24}", "must name its ports"),
        ("{ports: [{port: 80}]}", "exactly one peer"),
        (
            "{cidr: 203.0.113.0/24, podLabels: {a: b}, ports: [{port: 80}]}",
            "exactly one peer",
        ),
        ("{podLabels: {}, ports: [{port: 80}]}", "at least one label"),
        (
            "{namespaceLabels: {}, podLabels: {a: b}, ports: [{port: 80}]}",
            "at least one label",
        ),
        (
            "{podLabels: {a: b}, except: [203.0.113.0/24], ports: [{port: 80}]}",
            "set cidr",
        ),
        (
            "{cidr: 300.0.113.0/24, ports: [{port: 80}]}",
            "invalid address range",
        ),
        (
            "{cidr: 203.0.113.0/24, except: [10.0.0.0/8], ports: [{port: 80}]}",
            "not a part",
        ),
        (
            "{cidr: 203.0.113.0/24, except: [203.0.113.0/24], ports: [{port: 80}]}",
            "not a part",
        ),
        (
            "{cidr: 203.0.113.0/24, except: ['2001:db8::/32'], ports: [{port: 80}]}",
            "not a part",
        ),
        ("{cidr: 203.0.113.0/24, ports: [{port: 0}]}", "1 to 65535"),
    ] {
        let error = rule(yaml).unwrap_err();
        assert!(error.contains(says), "{yaml}: {error}");
    }
}
