//! Policies of tools and clusters: what they open is exactly what is named.

use std::cell::Cell;

use langop_api::{LanguageCluster, LanguageTool};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::{
    enough, for_all,
    network::{connections, egress, is_dns, names, namespace_labels, settings},
};
use crate::{
    cluster,
    policy::evaluate::{Labels, Party, admits, allows, has_type, is_about, labels},
    tool,
};

#[test]
fn a_tools_policy_opens_dns_and_what_its_egress_names() {
    let (opened, closed) = (Cell::new(0), Cell::new(0));
    let inputs = (
        settings(),
        prop::option::weighted(0.9, egress()),
        connections(),
    );
    for_all(&inputs, |(settings, egress, connections)| {
        let tool: LanguageTool = serde_json::from_value(json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool", "metadata": {"name": "t1", "namespace": "wood", "uid": "u"},
            "spec": {"image": "i", "egress": egress},
        }))
        .unwrap();
        let valid = tool::validate(&tool, &[], &[], &settings).unwrap();
        let children = tool::build(&valid, &settings);
        let Some(rules) = &tool.spec.egress else {
            assert!(
                children.network_policies.is_empty(),
                "nothing is said, nothing is closed"
            );
            return;
        };
        let [policy] = &children.network_policies[..] else {
            panic!("one policy, not {:?}", children.network_policies)
        };
        let pods = &children.deployments[0]
            .spec
            .as_ref()
            .unwrap()
            .template
            .metadata;
        assert!(is_about(
            policy,
            pods.as_ref().unwrap().labels.as_ref().unwrap()
        ));
        assert!(!is_about(policy, &labels(&[("langop.io/tool", "t2")])));
        assert!(!has_type(policy, "Ingress"));
        for connection in &connections {
            let meant =
                is_dns(&settings, connection) || rules.iter().any(|rule| names(rule, connection));
            let open = allows(
                policy,
                &connection.party,
                connection.protocol(),
                connection.port,
            );
            assert_eq!(open, meant, "{connection:?} by {policy:?}");
            let count = if open { &opened } else { &closed };
            count.set(count.get() + 1);
        }
    });
    enough("open connections", opened.get(), 2);
    enough("closed connections", closed.get(), 1);
}

fn peers() -> impl Strategy<Value = Vec<Labels>> {
    vec(namespace_labels(), 0..3)
}

#[test]
fn a_clusters_isolation_lets_in_itself_the_operator_and_those_named() {
    let (opened, closed) = (Cell::new(0), Cell::new(0));
    for_all(
        &(any::<bool>(), peers(), connections()),
        |(isolated, peers, connections)| {
            let from: Vec<Value> = peers
                .iter()
                .map(|labels| json!({"namespaceLabels": labels}))
                .collect();
            let object: LanguageCluster = serde_json::from_value(json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageCluster", "metadata": {"name": "wood", "uid": "u"},
            "spec": {"networkIsolation": isolated, "ingressFrom": from},
        }))
        .unwrap();
            let settings = crate::settings::Settings::default();
            let children =
                cluster::build(&cluster::validate(&object, &settings).unwrap(), &settings);
            assert_eq!(children.network_policies.len(), usize::from(isolated));
            for policy in &children.network_policies {
                assert!(is_about(policy, &labels(&[("any", "pod")])));
                assert!(!has_type(policy, "Egress"));
                for connection in &connections {
                    let meant = match &connection.party {
                        Party::Address(_) => false,
                        Party::Pod {
                            at_home, namespace, ..
                        } => {
                            let is_named = |peer: &Labels| {
                                peer.iter()
                                    .all(|(key, value)| namespace.get(key) == Some(value))
                            };
                            *at_home
                                || namespace["kubernetes.io/metadata.name"]
                                    == settings.operator_namespace
                                || peers.iter().any(is_named)
                        }
                    };
                    let open = admits(
                        policy,
                        &connection.party,
                        connection.protocol(),
                        connection.port,
                    );
                    assert_eq!(open, meant, "{connection:?} by {policy:?}");
                    let count = if open { &opened } else { &closed };
                    count.set(count.get() + 1);
                }
            }
        },
    );
    enough("admitted connections", opened.get(), 1);
    enough("refused connections", closed.get(), 1);
}
