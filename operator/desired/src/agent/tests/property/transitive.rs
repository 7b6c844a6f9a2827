//! What is reached over others: agents, tools, proxies and clients of one namespace, with all
//! policies that we build for it. A connection needs the leave of both ends, and where a pod has no
//! policy of a direction, that direction is open.

use std::{cell::Cell, collections::BTreeMap};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use langop_api::{
    LanguageClient, LanguageCluster, LanguageModel, LanguageTool,
    cluster::AgentEgress,
    names::labels as keys,
    policy::{EgressRule, Protocol},
};
use proptest::{
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Value, json};

use crate::{
    agent::{ClusterView, tests::World},
    client, cluster,
    meta::{self, Component},
    model,
    policy::evaluate::{Labels, Party, admits, allows, has_type, is_about, labels},
    property::{
        enough, for_all,
        network::{
            Author, Connection, PORTS, connections, egress, is_dns, is_public_https, means,
            namespace_labels, settings,
        },
    },
    reach,
    references::{ModelView, References, ToolView},
    settings::Settings,
    tool,
};

/// What a tenant and an administrator wrote for one namespace.
#[derive(Clone, Debug)]
struct Specs {
    settings: Settings,
    /// `None`: no LanguageCluster.
    cluster: Option<Value>,
    tools: [Value; 2],
    model: Value,
    /// References and own egress.
    agents: [(Vec<&'static str>, Value); 2],
    client: (Vec<&'static str>, Value),
}

fn specs() -> impl Strategy<Value = Specs> {
    let allowed = prop::option::of(egress());
    allowed.prop_flat_map(|allowed| {
        // Rules of tenants are often the administrator's.
        let rules = match &allowed {
            Some(rules) => prop_oneof![Just(rules.clone()), egress()].boxed(),
            None => egress().boxed(),
        };
        let policy = select(vec!["Allow", "Deny", "Deny", "Deny"]);
        let from = prop::collection::vec(namespace_labels(), 0..2);
        let from = from.prop_map(|all| {
            let all = all.iter().map(|labels| json!({"namespaceLabels": labels}));
            all.collect::<Value>()
        })
        .boxed();
        let upstream = prop::option::of(egress());
        let cluster = (policy, any::<bool>(), from.clone(), upstream).prop_map(move |(policy, isolated, from, upstream)| {
            json!({"agentEgress": policy, "networkIsolation": isolated, "ingressFrom": from, "allowedEgress": allowed, "modelEgress": upstream})
        });
        let mode = select(vec!["service", "service", "sidecar"]);
        let tool = (mode, select(PORTS.to_vec()), prop::option::of(rules.clone()))
            .prop_map(|(mode, port, egress)| json!({"image": "i", "deploymentMode": mode, "port": port, "egress": egress}))
            .boxed();
        let endpoint = select(vec![None, Some("https://llm.example.com"), Some("http://llm.example.com:8080"), Some("https://169.254.169.254")]);
        let model = (endpoint, select(vec![None, Some("own")]), prop::option::weighted(0.3, rules.clone()))
            .prop_map(|(endpoint, image, egress)| json!({"provider": "openai", "model": "gpt", "endpoint": endpoint, "image": image, "egress": egress}));
        let references = || subsequence(vec!["t1", "t2", "m1"], 0..=3);
        let agent = || (references(), rules.clone());
        (
            settings(),
            prop::option::weighted(0.9, cluster),
            [tool.clone(), tool],
            model,
            [agent(), agent()],
            (references(), prop::option::of(from)),
        )
            .prop_map(|(settings, cluster, tools, model, agents, (references, from))| Specs {
                // Nobody says anything where there is no cluster.
                settings: Settings { default_egress: AgentEgress::Deny, ..settings },
                cluster,
                tools,
                model,
                agents,
                client: (references, json!(from)),
            })
    })
}

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
    view: Option<ClusterView>,
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
        cluster: Some(frame),
    });
    let view = cluster::managing("wood", None, seen);
    let mut policies = vec![reach::baseline("wood")];
    if let Some(frame) = &frame {
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
    Built {
        policies,
        pods,
        view,
    }
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
        let ports = PORTS.into_iter().chain([8088, 1]);
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

/// What may be opened by way of this pod where egress is denied: DNS, what the administrator names,
/// and the Internet for a proxy of ours where he names nothing.
fn is_granted(built: &Built, specs: &Specs, by: &Pod, connection: &Connection) -> bool {
    let is_within = |rules: &[EgressRule]| {
        rules
            .iter()
            .any(|rule| means(rule, connection, Author::Administrator))
    };
    let is_named = built
        .view
        .as_ref()
        .is_some_and(|view| is_within(&view.allowed_egress));
    let upstream = built
        .view
        .as_ref()
        .and_then(|view| view.model_egress.as_deref());
    let is_upstream = match upstream {
        Some(rules) => is_within(rules),
        None => specs.model["image"].is_null() && is_public_https(connection),
    };
    is_dns(&specs.settings, connection) || is_named || by.name == "m1" && is_upstream
}

#[test]
fn what_is_denied_is_reached_over_nobody() {
    let (denied, over) = (Cell::new(0), Cell::new(0));
    for_all(&(specs(), connections()), |(specs, connections)| {
        let built = built(&specs);
        let egress = built.view.as_ref().and_then(|view| view.agent_egress);
        if egress == Some(AgentEgress::Allow) {
            return;
        }
        denied.set(denied.get() + 1);
        for start in &built.pods {
            let reached = built.reached_from(start);
            over.set(over.get() + u32::from(!reached.is_empty()));
            for by in [start].into_iter().chain(reached) {
                for connection in &connections {
                    let is_ours = matches!(&connection.party, Party::Pod { at_home: true, labels, .. }
                        if [keys::TOOL, keys::MODEL, keys::AGENT, keys::CLIENT].iter().any(|key| labels.contains_key(*key)));
                    // Those of ours are the next test's.
                    assert!(
                        is_ours
                            || !built.lets_out(&by.labels, connection)
                            || is_granted(&built, &specs, by, connection),
                        "{} reaches {connection:?} over {}",
                        start.name,
                        by.name
                    );
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
        // Rules of egress by labels may name anybody; here it is about references alone.
        for rules in specs
            .agents
            .iter_mut()
            .map(|(_, own)| own)
            .chain(specs.tools.iter_mut().map(|tool| &mut tool["egress"]))
        {
            *rules = json!([]);
        }
        specs.model["egress"] = json!([]);
        let built = built(&specs);
        let references = |pod: &Pod| match pod.name {
            "a1" => &specs.agents[0].0[..],
            "a2" => &specs.agents[1].0,
            "desk" => &specs.client.0,
            _ => &[],
        };
        for from in &built.pods {
            for to in built.pods.iter().filter(|to| *to != from) {
                assert_eq!(
                    built.connects(from, to),
                    references(from).contains(&to.name),
                    "{} to {}",
                    from.name,
                    to.name
                );
                connected.set(connected.get() + u32::from(built.connects(from, to)));
            }
            for connection in &connections {
                let Connection { party, port, .. } = connection;
                let is_client =
                    from.name == "desk" && (connection.protocol(), *port) == ("TCP", 8080);
                let inward = built.lets_in(&from.labels, party, connection.protocol(), *port);
                let is_ours = matches!(party, Party::Pod { at_home: true, labels, .. }
                    if labels.contains_key(keys::AGENT) || labels.contains_key(keys::CLIENT));
                assert!(
                    !inward || is_client || is_ours,
                    "{connection:?} into {}",
                    from.name
                );
                refused.set(refused.get() + u32::from(!inward));
            }
        }
    });
    enough("connections", connected.get(), 1);
    enough("refused strangers", refused.get(), 1);
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
