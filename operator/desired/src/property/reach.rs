//! Policies of tools, clients and clusters: what they open is exactly what is named.

use std::cell::Cell;

use langop_api::{
    LanguageClient, LanguageCluster, LanguageModel, LanguageTool, names::labels as keys,
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use super::{
    enough, for_all,
    network::{
        Connection, PORTS, connections, egress, is_dns, is_to, names, namespace_labels, settings,
    },
};
use crate::{
    client, cluster,
    meta::{self, Component},
    policy::evaluate::{Labels, Party, admits, allows, has_type, is_about, labels},
    references::{ModelView, References, ToolView},
    settings::Settings,
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
        let valid = tool::validate(&tool, &[], None, &settings).unwrap();
        let children = tool::build(&valid, &settings);
        let rules = tool.spec.egress.as_deref().unwrap_or_default();
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
        for connection in &connections {
            let Connection { party, port, .. } = connection;
            let inward = admits(policy, party, connection.protocol(), *port);
            assert_eq!(inward, is_user(connection, 8080), "{connection:?}");
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

/// Whether it comes from an agent or client of the namespace, to this port.
fn is_user(connection: &Connection, port: i32) -> bool {
    let Party::Pod {
        at_home, labels, ..
    } = &connection.party
    else {
        return false;
    };
    *at_home
        && [keys::AGENT, keys::CLIENT]
            .iter()
            .any(|key| labels.contains_key(*key))
        && (connection.protocol(), connection.port) == ("TCP", port)
}

fn peers() -> impl Strategy<Value = Vec<Labels>> {
    vec(namespace_labels(), 0..3)
}

#[test]
fn a_clusters_isolation_lets_itself_and_those_named_into_pods_that_are_not_ours() {
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
            let settings = Settings::default();
            let children = cluster::build(&cluster::validate(&object, &settings).unwrap());
            assert_eq!(children.network_policies.len(), usize::from(isolated));
            for policy in &children.network_policies {
                assert!(is_about(policy, &labels(&[("any", "pod")])));
                assert!(!is_about(policy, &meta::labels(Component::Tool, "t1")));
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
                            *at_home || peers.iter().any(is_named)
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

/// A client of a tool `t1` at this port and of a model `m1`, that listens on 8080.
fn client_of(
    tool_port: i32,
    mode: &str,
    from: Option<&[Labels]>,
    settings: &Settings,
) -> (LanguageClient, References) {
    let from = from.map(|peers| {
        let peers = peers
            .iter()
            .map(|labels| json!({"namespaceLabels": labels}));
        peers.collect::<Vec<_>>()
    });
    let object = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "langop.io/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": "wood", "uid": "u"}, "spec": spec,
        })
    };
    let tool: LanguageTool = serde_json::from_value(object(
        "LanguageTool",
        "t1",
        json!({"image": "i", "port": tool_port, "deploymentMode": mode}),
    ))
    .unwrap();
    let model: LanguageModel = serde_json::from_value(object(
        "LanguageModel",
        "m1",
        json!({"provider": "openai", "model": "gpt"}),
    ))
    .unwrap();
    let client = object(
        "LanguageClient",
        "desk",
        json!({"image": "i", "port": 8080, "ingressFrom": from}),
    );
    let references = References {
        tools: vec![ToolView::new(&tool, settings)],
        models: vec![ModelView::new(&model, settings)],
        ..References::default()
    };
    (serde_json::from_value(client).unwrap(), references)
}

#[test]
fn a_clients_policy_opens_what_it_uses_and_lets_in_those_named_to_its_port() {
    let (opened, admitted, closed) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let inputs = (
        settings(),
        select(PORTS.to_vec()),
        select(vec!["service", "sidecar"]),
        prop::option::weighted(0.8, peers()),
        connections(),
    );
    for_all(&inputs, |(settings, port, mode, from, connections)| {
        let (object, references) = client_of(port, mode, from.as_deref(), &settings);
        let valid = client::validate(&object, references.into(), &[], None, &settings).unwrap();
        let children = client::build(&valid, &settings);
        let [policy] = &children.network_policies[..] else {
            panic!("one policy, not {:?}", children.network_policies)
        };
        let pods = &children.deployments[0].spec.as_ref().unwrap().template;
        let pods = pods.metadata.as_ref().unwrap().labels.as_ref().unwrap();
        assert!(is_about(policy, pods));
        assert!(!is_about(policy, &labels(&[("app", "store")])));
        let uses = |connection: &Connection| {
            is_dns(&settings, connection)
                || mode == "service" && is_to(keys::TOOL, "t1", port, connection)
                || is_to(keys::MODEL, "m1", 8000, connection)
        };
        for connection in &connections {
            let Connection { party, port, .. } = connection;
            let out = allows(policy, party, connection.protocol(), *port);
            assert_eq!(out, uses(connection), "{connection:?} by {policy:?}");
            let inward = admits(policy, party, connection.protocol(), *port);
            let may_come = (connection.protocol(), *port) == ("TCP", 8080)
                && may_enter(from.as_deref(), party);
            assert_eq!(inward, may_come, "{connection:?} to {policy:?}");
            for (count, is_so) in [
                (&opened, out),
                (&admitted, inward),
                (&closed, !out && !inward),
            ] {
                count.set(count.get() + u32::from(is_so));
            }
        }
    });
    enough("open connections", opened.get(), 4);
    enough("admitted connections", admitted.get(), 4);
    enough("closed connections", closed.get(), 2);
}

/// Pods of the namespaces that are named, or of its own.
fn may_enter(from: Option<&[Labels]>, party: &Party) -> bool {
    let Party::Pod {
        at_home, namespace, ..
    } = party
    else {
        return false;
    };
    let is_named = |peer: &Labels| {
        peer.iter()
            .all(|(key, value)| namespace.get(key) == Some(value))
    };
    from.map_or(*at_home, |peers| peers.iter().any(is_named))
}
