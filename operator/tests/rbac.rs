//! What deploy/rbac.yaml grants, held against what the design allows. Reads the file alone; whether
//! it suffices, the end-to-end tests find out, because they run under it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::ResourceExt as _;
use serde_json::Value;

/// What members of a LanguageCluster get.
const MEMBERS: [&str; 4] = [
    "langop-admin",
    "langop-approve",
    "langop-edit",
    "langop-view",
];

fn documents() -> Vec<Value> {
    serde_saphyr::from_multiple(include_str!("../../deploy/rbac.yaml")).unwrap()
}

/// Every role in the file, whatever its scope, with its rules.
fn roles() -> Vec<(String, Vec<PolicyRule>)> {
    let cluster_role = |value| {
        let role: ClusterRole = serde_json::from_value(value).unwrap();
        (role.name_any(), role.rules.unwrap_or_default())
    };
    let role = |value| {
        let role: Role = serde_json::from_value(value).unwrap();
        (role.name_any(), role.rules.unwrap_or_default())
    };
    let roles: Vec<_> = documents()
        .into_iter()
        .filter_map(|document| match document["kind"].as_str()? {
            "ClusterRole" => Some(cluster_role(document)),
            "Role" => Some(role(document)),
            _ => None,
        })
        .collect();
    assert!(roles.len() >= 6, "the roles were not found");
    roles
}

/// The rules of everybody, each with its role's name for the message.
fn rules() -> impl Iterator<Item = (String, PolicyRule)> {
    roles().into_iter().flat_map(|(name, rules)| {
        rules.into_iter().map(move |rule| {
            // A rule about something else than resources would slip through all that is asked
            // below.
            assert!(rule.non_resource_urls.is_none(), "{name}: {rule:?}");
            (name.clone(), rule)
        })
    })
}

fn resources(rule: &PolicyRule) -> impl Iterator<Item = &str> {
    // A subresource is a right on its resource.
    let names = rule.resources.iter().flatten();
    names.filter_map(|name| name.split('/').next())
}

fn groups(rule: &PolicyRule) -> impl Iterator<Item = &str> {
    rule.api_groups.iter().flatten().map(String::as_str)
}

#[test]
fn nothing_is_granted_by_wildcard_and_nothing_on_secrets() {
    for (role, rule) in rules() {
        let all: Vec<&String> = [&rule.api_groups, &rule.resources]
            .into_iter()
            .flatten()
            .flatten()
            .chain(&rule.verbs)
            .collect();
        assert!(
            !all.iter().any(|text| text.contains('*')),
            "{role}: {rule:?}"
        );
        assert!(
            resources(&rule).all(|resource| resource != "secrets"),
            "{role}: {rule:?}"
        );
    }
}

#[test]
fn nobody_may_escalate_or_impersonate_and_bind_is_for_the_four_roles_alone() {
    let mut bound = BTreeSet::new();
    for (role, rule) in rules() {
        for verb in ["escalate", "impersonate"] {
            assert!(
                !rule.verbs.iter().any(|own| own == verb),
                "{role}: {rule:?}"
            );
        }
        if !rule.verbs.iter().any(|verb| verb == "bind") {
            continue;
        }
        assert_eq!(
            rule.resources.as_deref(),
            Some(&["clusterroles".to_owned()][..])
        );
        let names = rule.resource_names.unwrap_or_default();
        assert!(!names.is_empty(), "{role}: without names it binds any role");
        bound.extend(names);
    }
    assert_eq!(bound, MEMBERS.map(str::to_owned).into());
}

#[test]
fn no_member_reaches_what_the_cluster_decides() {
    const DECIDED: [&str; 4] = [
        "networkpolicies",
        "resourcequotas",
        "limitranges",
        "namespaces",
    ];
    let mut seen = BTreeSet::new();
    for (role, rule) in rules().filter(|(role, _)| MEMBERS.contains(&role.as_str())) {
        assert!(
            groups(&rule).all(|group| group != "rbac.authorization.k8s.io"),
            "{role}: {rule:?}"
        );
        assert!(
            resources(&rule).all(|resource| !DECIDED.contains(&resource)),
            "{role}: {rule:?}"
        );
        seen.insert(role);
    }
    assert_eq!(seen, MEMBERS.map(str::to_owned).into());
}
