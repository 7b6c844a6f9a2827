//! What is reached over others: agents, tools, proxies and clients of one namespace, with all
//! policies that we build for it. A connection needs the leave of both ends, and where a pod has no
//! policy of a direction, that direction is open.

mod specs;

use std::{cell::Cell, collections::BTreeMap};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use langop_api::{
    LanguageClient, LanguageCluster, LanguageModel, LanguageTool, names::labels as keys,
    policy::Protocol,
};
use serde_json::{Value, json};

use self::specs::{Specs, is_ours, specs};
use crate::{
    agent::tests::World,
    client, cluster,
    meta::{self, Component},
    model,
    policy::evaluate::{Labels, Party, admits, allows, has_type, is_about, labels},
    property::{
        enough, for_all,
        network::{AGENT_PORT, Connection, PORTS, connections},
    },
    reach,
    references::{ModelView, References, ToolView},
    tool,
};

/// A pod, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pod {
    name: &'static str,
    labels: Labels,
}

struct Built {
    policies: Vec<NetworkPolicy>,
    /// Ours.
    pods: Vec<Pod>,
}

fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: &Value) -> K {
    let mut spec = spec.clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": kind, "spec": spec,
        "metadata": {"name": name, "namespace": "wood", "uid": name, "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
    }))
    .unwrap()
}

fn refs(names: &[&str], kind: char) -> Value {
    let of_kind = names.iter().filter(|name| name.starts_with(kind));
    of_kind.map(|name| json!({"name": name})).collect()
}

fn built(specs: &Specs) -> Built {
    let settings = &specs.settings;
    let frame: Option<LanguageCluster> = specs
        .cluster
        .as_ref()
        .map(|spec| object("LanguageCluster", "wood", spec));
    let seen = frame.iter().map(|frame| cluster::ObservedCluster {
        metadata: &frame.metadata,
        cluster: Some(frame).filter(|_| specs.is_readable),
    });
    let view = cluster::managing("wood", None, seen);
    let mut policies = vec![reach::baseline("wood")];
    if let Some(frame) = frame.as_ref().filter(|_| specs.is_readable) {
        policies
            .extend(cluster::build(&cluster::validate(frame, settings).unwrap()).network_policies);
    }
    let mut pods = Vec::new();
    let mut tools: Vec<LanguageTool> = Vec::new();
    for (name, spec) in ["t1", "t2"].into_iter().zip(&specs.tools) {
        let one: LanguageTool = object("LanguageTool", name, spec);
        let children = tool::build(
            &tool::validate(&one, &[], view.as_ref(), settings).unwrap(),
            settings,
        );
        if !children.deployments.is_empty() {
            pods.push(Pod {
                name,
                labels: meta::labels(Component::Tool, name),
            });
        }
        policies.extend(children.network_policies);
        tools.push(one);
    }
    let one: LanguageModel = object("LanguageModel", "m1", &specs.model);
    policies.extend(
        model::build(
            &model::validate(&one, view.as_ref(), settings).unwrap(),
            settings,
        )
        .network_policies,
    );
    pods.push(Pod {
        name: "m1",
        labels: meta::labels(Component::ModelProxy, "m1"),
    });
    for (name, (references, own)) in ["a1", "a2"].into_iter().zip(&specs.agents) {
        let spec = json!({"image": "own", "toolRefs": refs(references, 't'), "modelRefs": refs(references, 'm'), "egress": own});
        let mut world = World::of_spec(&spec);
        world.agent = object("LanguageAgent", name, &spec);
        (world.tools, world.models) = (tools.clone(), vec![one.clone()]);
        (world.cluster, world.settings) = (view.clone(), settings.clone());
        policies.extend(world.build().children.network_policies);
        pods.push(Pod {
            name,
            labels: meta::labels(Component::Agent, name),
        });
    }
    let (references, from) = &specs.client;
    let desk: LanguageClient = object(
        "LanguageClient",
        "desk",
        &json!({"image": "i", "ingressFrom": from}),
    );
    let named = |name: &str| references.contains(&name);
    let tools = tools
        .iter()
        .filter(|tool| named(tool.metadata.name.as_deref().unwrap()));
    let found = References {
        tools: tools.map(|tool| ToolView::new(tool, settings)).collect(),
        models: named("m1")
            .then(|| ModelView::new(&one, settings))
            .into_iter()
            .collect(),
        ..References::default()
    };
    let desk = client::validate(&desk, found.into(), &[], view.as_ref(), settings).unwrap();
    policies.extend(client::build(&desk, settings).network_policies);
    pods.push(Pod {
        name: "desk",
        labels: meta::labels(Component::Client, "desk"),
    });
    Built { policies, pods }
}

impl Built {
    /// Whether a pod of the namespace may open this connection, as far as its own end goes.
    fn lets_out(&self, from: &Labels, connection: &Connection) -> bool {
        let mut about = self
            .policies
            .iter()
            .filter(|policy| has_type(policy, "Egress") && is_about(policy, from))
            .peekable();
        about.peek().is_none()
            || about.any(|policy| {
                allows(
                    policy,
                    &connection.party,
                    connection.protocol(),
                    connection.port,
                )
            })
    }

    /// Whether it may come into a pod of the namespace.
    fn lets_in(&self, to: &Labels, from: &Party, protocol: &str, port: i32) -> bool {
        let mut about = self
            .policies
            .iter()
            .filter(|policy| has_type(policy, "Ingress") && is_about(policy, to))
            .peekable();
        about.peek().is_none() || about.any(|policy| admits(policy, from, protocol, port))
    }

    /// Whether one of our pods reaches another, on any port.
    fn connects(&self, from: &Pod, to: &Pod) -> bool {
        let ports = PORTS.into_iter().chain([AGENT_PORT, 1]);
        ports
            .flat_map(|port| [(Protocol::TCP, port), (Protocol::UDP, port)])
            .any(|(protocol, port)| {
                let connection = Connection {
                    party: at_home(&to.labels),
                    protocol,
                    port,
                };
                self.lets_out(&from.labels, &connection)
                    && self.lets_in(
                        &to.labels,
                        &at_home(&from.labels),
                        connection.protocol(),
                        port,
                    )
            })
    }

    /// All of our pods that one reaches, over each other.
    fn reached_from(&self, start: &Pod) -> Vec<&Pod> {
        let mut reached: BTreeMap<&str, &Pod> = BTreeMap::new();
        let mut fresh = vec![start.clone()];
        while let Some(from) = fresh.pop() {
            for to in &self.pods {
                if to != start && !reached.contains_key(to.name) && self.connects(&from, to) {
                    reached.insert(to.name, to);
                    fresh.push(to.clone());
                }
            }
        }
        reached.into_values().collect()
    }
}

fn at_home(labels: &Labels) -> Party {
    Party::Pod {
        at_home: true,
        namespace: crate::policy::evaluate::labels(&[("kubernetes.io/metadata.name", "wood")]),
        labels: labels.clone(),
    }
}

#[test]
fn what_is_denied_is_reached_over_nobody() {
    let (denied, over) = (Cell::new(0), Cell::new(0));
    for_all(&(specs(), connections()), |(specs, connections)| {
        if specs.is_allowed() {
            return;
        }
        let built = built(&specs);
        let connections = [connections, specs.edges()].concat();
        denied.set(denied.get() + 1);
        for start in &built.pods {
            let reached = built.reached_from(start);
            over.set(over.get() + u32::from(!reached.is_empty()));
            for by in [start].into_iter().chain(reached) {
                // Those of ours are the next test's.
                for connection in connections.iter().filter(|to| !is_ours(to)) {
                    let (at_most, at_least) = specs.bounds(by.name, connection);
                    let open = built.lets_out(&by.labels, connection);
                    let (start, by) = (start.name, by.name);
                    assert!(at_most || !open, "{start} reaches {connection:?} over {by}");
                    assert!(open || !at_least, "{by} is kept from {connection:?}");
                }
            }
        }
    });
    enough("namespaces that deny egress", denied.get(), 2);
    enough("pods that reach others", over.get(), 1);
}

#[test]
fn who_names_nobody_reaches_nobody_and_nobody_else_comes_in() {
    let (connected, refused) = (Cell::new(0), Cell::new(0));
    for_all(&(specs(), connections()), |(mut specs, connections)| {
        name_no_rules(&mut specs);
        let built = built(&specs);
        for from in &built.pods {
            for to in built.pods.iter().filter(|to| *to != from) {
                let connects = built.connects(from, to);
                let is_named = specs.references(from.name).contains(&to.name);
                let may = is_named && !specs.waits(from.name);
                assert_eq!(connects, may, "{} to {}", from.name, to.name);
                connected.set(connected.get() + u32::from(connects));
            }
            for connection in &connections {
                if !is_ours(connection) {
                    let open = built.lets_out(&from.labels, connection);
                    let is_given = specs.is_given(from.name, connection);
                    assert_eq!(open, is_given, "{} to {connection:?}", from.name);
                }
                let inward = comes_in(&built, from, connection);
                let may = may_come_in(&specs, from, connection);
                assert_eq!(inward, may, "{connection:?} into {}", from.name);
                refused.set(refused.get() + u32::from(!inward));
            }
        }
    });
    enough("connections", connected.get(), 1);
    enough("refused strangers", refused.get(), 1);
}

/// Rules of egress by labels may name anybody; without them it is about references alone. A model
/// that names none keeps its upstream, as far as that is addresses.
fn name_no_rules(specs: &mut Specs) {
    let cluster = specs.cluster.as_mut();
    let upstream = cluster.and_then(|spec| spec["modelEgress"].as_array_mut());
    if let Some(rules) = upstream {
        rules.retain(|rule| rule["cidr"].is_string());
    }
    let agents = specs.agents.iter_mut().map(|(_, own)| own);
    let tools = specs.tools.iter_mut().map(|tool| &mut tool["egress"]);
    for rules in agents.chain(tools) {
        *rules = json!([]);
    }
    let of_model = &mut specs.model["egress"];
    if !of_model.is_null() {
        *of_model = json!([]);
    }
}

fn comes_in(built: &Built, to: &Pod, connection: &Connection) -> bool {
    let Connection { party, port, .. } = connection;
    built.lets_in(&to.labels, party, connection.protocol(), *port)
}

/// Nobody comes into an agent, agents and clients of the namespace to the port of a tool or proxy,
/// and a client's guests to its own.
fn may_come_in(specs: &Specs, to: &Pod, connection: &Connection) -> bool {
    let port = match to.name {
        "desk" => return specs.is_guest(connection),
        "t1" => &specs.tools[0]["port"],
        "t2" => &specs.tools[1]["port"],
        "m1" => &json!(8000),
        _ => return false,
    };
    let is_user = matches!(&connection.party, Party::Pod { at_home: true, labels, .. }
        if labels.contains_key(keys::AGENT) || labels.contains_key(keys::CLIENT));
    is_user && connection.protocol == Protocol::TCP && *port == connection.port
}

#[test]
fn a_pod_whose_policy_is_gone_is_closed() {
    for_all(&(specs(), connections()), |(specs, connections)| {
        let mut built = built(&specs);
        // The garbage collector takes policies before pods; those of a LanguageCluster go with it.
        built
            .policies
            .retain(|policy| policy.metadata.owner_references.is_none());
        assert_eq!(built.policies.len(), 1);
        for pod in &built.pods {
            let mut mine = pod.labels.clone();
            mine.extend(labels(&[("team", "x")]));
            for connection in &connections {
                assert!(
                    !built.lets_out(&mine, connection),
                    "{} reaches {connection:?}",
                    pod.name
                );
                assert!(!built.lets_in(
                    &mine,
                    &connection.party,
                    connection.protocol(),
                    connection.port
                ));
            }
        }
    });
}
