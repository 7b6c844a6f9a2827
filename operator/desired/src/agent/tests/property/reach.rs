//! The policy of an agent opens exactly DNS, its tools, its models and what egress names, its own
//! or that of its sidecars; nobody comes in.

use std::cell::Cell;

use langop_api::{
    cluster::AgentEgress, names::labels as keys, policy::EgressRule, tool::DeploymentMode,
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use crate::{
    agent::{ClusterView, tests::World},
    policy::evaluate::{admits, allows, is_about, labels},
    property::{
        enough, for_all,
        network::{Connection, PORTS, connections, egress, is_dns, is_to, names, settings},
    },
    settings::Settings,
};

/// A tool's spec, and whether the agent refers to it.
fn tool() -> impl Strategy<Value = (Value, bool)> {
    let mode = select(vec!["service", "sidecar"]);
    let spec = (mode, select(PORTS.to_vec()), prop::option::of(egress())).prop_map(|(mode, port, egress)| {
        json!({"image": "i", "deploymentMode": mode, "port": port, "egress": egress})
    });
    (spec, prop::bool::weighted(0.7))
}

fn world(
    settings: Settings,
    tools: Vec<(Value, bool)>,
    with_model: bool,
    own: &Value,
    cluster: Option<AgentEgress>,
) -> World {
    let named = [("t1"), ("t2")].into_iter().zip(tools);
    let (mut refs, mut objects) = (vec![], vec![]);
    for (name, (spec, is_referenced)) in named {
        refs.extend(is_referenced.then(|| json!({"name": name})));
        objects.push(json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool", "metadata": {"name": name, "namespace": "wood"}, "spec": spec,
        }));
    }
    let models = if with_model {
        json!([{"name": "m1"}, {"name": "gone"}])
    } else {
        json!([{"name": "gone"}])
    };
    let mut world = World::of_spec(
        &json!({"instructions": "x", "toolRefs": refs, "modelRefs": models, "egress": own}),
    );
    world.tools = objects
        .into_iter()
        .map(|tool| serde_json::from_value(tool).unwrap())
        .collect();
    world.models = vec![
        serde_json::from_value(json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageModel", "metadata": {"name": "m1", "namespace": "wood"},
            "spec": {"provider": "openai", "model": "gpt"},
        }))
        .unwrap(),
    ];
    world.cluster = cluster.map(|agent_egress| ClusterView {
        name: "wood".into(),
        agent_egress: Some(agent_egress),
        pods: None,
        allowed_egress: vec![],
        model_egress: None,
        ingress_from: vec![],
        ..ClusterView::default()
    });
    world.settings = settings;
    world
}

/// What a user would expect, from the objects alone.
fn meant(world: &World, connection: &Connection) -> bool {
    let spec = &world.agent.spec;
    let any = |rules: &[EgressRule]| rules.iter().any(|rule| names(rule, connection));
    let is_denied = world
        .cluster
        .as_ref()
        .is_some_and(|cluster| cluster.agent_egress == Some(AgentEgress::Deny));
    let by_tool = world.tools.iter().any(|tool| {
        let name = tool.metadata.name.as_deref().unwrap();
        let is_referenced = spec
            .tool_refs
            .iter()
            .any(|reference| reference.name == name);
        is_referenced
            && match tool.spec.deployment_mode {
                DeploymentMode::Service => is_to(keys::TOOL, name, tool.spec.port, connection),
                DeploymentMode::Sidecar => {
                    !is_denied && any(tool.spec.egress.as_deref().unwrap_or_default())
                }
            }
    });
    let has_model = spec
        .model_refs
        .iter()
        .any(|reference| reference.name == "m1");
    is_dns(&world.settings, connection)
        || by_tool
        || has_model && is_to(keys::MODEL, "m1", 8000, connection)
        || !is_denied && any(&spec.egress)
}

#[test]
fn an_agents_policy_opens_exactly_what_is_named() {
    let (opened, closed) = (Cell::new(0), Cell::new(0));
    let inputs = (
        settings(),
        prop::collection::vec(tool(), 2),
        any::<bool>(),
        egress(),
        select(vec![
            None,
            Some(AgentEgress::Allow),
            Some(AgentEgress::Deny),
        ]),
        connections(),
    );
    for_all(
        &inputs,
        |(settings, tools, with_model, own, cluster, connections)| {
            let world = world(settings, tools, with_model, &own, cluster);
            let children = world.build().children;
            let policy = &children.network_policies[0];
            assert!(is_about(
                policy,
                &labels(&[(keys::AGENT, "scout"), ("mine", "too")])
            ));
            assert!(!is_about(policy, &labels(&[(keys::AGENT, "other")])));
            for connection in &connections {
                let Connection { party, port, .. } = connection;
                assert!(!admits(policy, party, connection.protocol(), *port));
                let open = allows(
                    policy,
                    &connection.party,
                    connection.protocol(),
                    connection.port,
                );
                assert_eq!(
                    open,
                    meant(&world, connection),
                    "{connection:?} by {policy:?}"
                );
                let count = if open { &opened } else { &closed };
                count.set(count.get() + 1);
            }
        },
    );
    enough("open connections", opened.get(), 2);
    enough("closed connections", closed.get(), 1);
}
