//! What tenants and an administrator may write for one namespace, and what that opens, restated
//! from the API's documentation. Must not use the code that makes policies.

use std::collections::BTreeMap;

use langop_api::{
    cluster::AgentEgress,
    names::labels as keys,
    policy::{EgressRule, LabelValue, Port, Protocol},
};
use proptest::{
    prelude::*,
    sample::{select, subsequence},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    policy::evaluate::{Labels, Party},
    property::network::{
        Author, Connection, PORTS, egress, is_at, is_dns, is_public, means, namespace_labels,
        settings,
    },
    settings::{Settings, Telemetry},
};

/// What a tenant and an administrator wrote for one namespace.
#[derive(Clone, Debug)]
pub(super) struct Specs {
    pub(super) settings: Settings,
    /// `None`: no LanguageCluster.
    pub(super) cluster: Option<Value>,
    /// Whether that can be read.
    pub(super) is_readable: bool,
    pub(super) tools: [Value; 2],
    pub(super) model: Value,
    /// References and own egress.
    pub(super) agents: [(Vec<&'static str>, Value); 2],
    pub(super) client: (Vec<&'static str>, Value),
}

pub(super) fn specs() -> impl Strategy<Value = Specs> {
    let allowed = prop::option::of(egress());
    allowed.prop_flat_map(|allowed| {
        let rules = tenants(allowed.as_ref());
        let tool = tool(rules.clone()).boxed();
        let agent = || (references(), rules.clone());
        (
            (
                surroundings(),
                prop::option::weighted(0.9, cluster(allowed)),
                prop::bool::weighted(0.9),
            ),
            [tool.clone(), tool],
            model(rules.clone()),
            [agent(), agent()],
            (references(), prop::option::of(peers())),
        )
            .prop_map(|(around, tools, model, agents, (references, from))| {
                let (settings, cluster, is_readable) = around;
                Specs {
                    settings,
                    cluster,
                    is_readable,
                    tools,
                    model,
                    agents,
                    client: (references, json!(from)),
                }
            })
    })
}

/// With a collector of agents' traces or none. Nobody says anything where there is no cluster.
fn surroundings() -> impl Strategy<Value = Settings> {
    (settings(), any::<bool>()).prop_map(|(settings, is_traced)| Settings {
        default_egress: AgentEgress::Deny,
        agent_telemetry: is_traced.then(|| Telemetry {
            endpoint: "http://203.0.113.9:8081".into(),
            protocol: "grpc".into(),
            namespace_labels: Labels::new(),
            pod_labels: Labels::new(),
            cidrs: vec!["203.0.113.0/24".into()],
            port: 8081,
        }),
        ..settings
    })
}

fn cluster(allowed: Option<Value>) -> impl Strategy<Value = Value> {
    let egress_policy = select(vec!["Allow", "Deny", "Deny", "Deny"]);
    let upstream = prop::option::of(egress());
    (egress_policy, any::<bool>(), peers(), upstream).prop_map(
        move |(policy, isolated, from, upstream)| {
            json!({
                "agentEgress": policy, "networkIsolation": isolated, "ingressFrom": from,
                "allowedEgress": allowed, "modelEgress": upstream,
            })
        },
    )
}

fn peers() -> impl Strategy<Value = Value> {
    let peer = namespace_labels().prop_map(|labels| json!({"namespaceLabels": labels}));
    prop::collection::vec(peer, 0..2).prop_map(Value::Array)
}

fn references() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(vec!["t1", "t2", "m1"], 0..=3)
}

fn tool(rules: BoxedStrategy<Value>) -> impl Strategy<Value = Value> {
    let mode = select(vec!["service", "service", "sidecar"]);
    let tool = (mode, select(PORTS.to_vec()), prop::option::of(rules));
    tool.prop_map(|(mode, port, egress)| {
        json!({"image": "i", "deploymentMode": mode, "port": port, "egress": egress})
    })
}

fn model(rules: BoxedStrategy<Value>) -> impl Strategy<Value = Value> {
    let endpoint = select(vec![
        None,
        Some("https://llm.example.com"),
        Some("http://llm.example.com:8080"),
        Some("https://169.254.169.254"),
    ]);
    let image = select(vec![None, Some("own")]);
    let model = (endpoint, image, prop::option::weighted(0.3, rules));
    model.prop_map(|(endpoint, image, egress)| {
        json!({
            "provider": "openai", "model": "gpt",
            "endpoint": endpoint, "image": image, "egress": egress,
        })
    })
}

/// Rules of tenants are often the administrator's, or nearly so.
fn tenants(allowed: Option<&Value>) -> BoxedStrategy<Value> {
    match allowed {
        Some(rules) => prop_oneof![Just(rules.clone()), nearly(rules.clone()), egress()].boxed(),
        None => egress().boxed(),
    }
}

/// These rules, one thing of each changed so that it may mean more.
fn nearly(rules: Value) -> impl Strategy<Value = Value> {
    let changes = prop::collection::vec(0..7, 4);
    let ports = prop::collection::vec(select(PORTS.to_vec()), 4);
    (Just(rules), changes, ports).prop_map(|(mut rules, changes, ports)| {
        let all = rules.as_array_mut().into_iter().flatten();
        for (rule, (change, port)) in all.zip(changes.into_iter().zip(ports)) {
            widen(rule, change, port);
        }
        rules
    })
}

fn widen(rule: &mut Value, change: i32, port: i32) {
    let fields = rule.as_object_mut().unwrap();
    let is_v6 = fields
        .get("cidr")
        .is_some_and(|range| range.to_string().contains(':'));
    match change {
        0 => drop(fields.insert("ports".into(), json!([{"port": port}]))),
        1 => drop(fields.insert("ports".into(), json!([{"port": port, "protocol": "UDP"}]))),
        2 => drop(fields.remove("except")),
        3 if fields.contains_key("cidr") => {
            let all = if is_v6 { "::/0" } else { "0.0.0.0/0" };
            fields.insert("cidr".into(), all.into());
            fields.remove("except");
        }
        4 if fields.contains_key("namespaceLabels") => drop(fields.remove("podLabels")),
        5 if fields.contains_key("podLabels") => drop(fields.remove("namespaceLabels")),
        6 if fields.contains_key("podLabels") => {
            fields.insert("namespaceLabels".into(), json!({"team": "web"}));
        }
        _ => {}
    }
}

impl Specs {
    /// What the administrator wrote, as far as it can be read.
    fn administrators<T: DeserializeOwned>(&self, field: &str) -> Option<T> {
        let cluster = self.cluster.as_ref().filter(|_| self.is_readable)?;
        serde_json::from_value(cluster[field].clone()).ok()
    }

    /// Whether tenants may open what they name.
    pub(super) fn is_allowed(&self) -> bool {
        self.administrators("agentEgress") == Some(AgentEgress::Allow)
    }

    fn allowed(&self) -> Vec<EgressRule> {
        self.administrators("allowedEgress").unwrap_or_default()
    }

    /// What proxies reach that name nothing; `None`: the administrator does not say.
    fn upstream(&self) -> Option<Vec<EgressRule>> {
        match self.cluster {
            Some(_) if !self.is_readable => Some(Vec::new()),
            _ => self.administrators("modelEgress"),
        }
    }

    pub(super) fn references(&self, pod: &str) -> &[&'static str] {
        match pod {
            "a1" => &self.agents[0].0,
            "a2" => &self.agents[1].0,
            "desk" => &self.client.0,
            _ => &[],
        }
    }

    /// Whether a pod is an agent's that waits for a person: what a LanguageCluster that cannot be read
    /// says of approval, nobody knows.
    pub(super) fn waits(&self, pod: &str) -> bool {
        pod.starts_with('a') && self.cluster.is_some() && !self.is_readable
    }

    /// What tenants name for a pod: its own rules, and those of the sidecars in it.
    fn tenants(&self, pod: &str) -> Vec<EgressRule> {
        let [first, second] = &self.tools;
        let own = match pod {
            "a1" => &self.agents[0].1,
            "a2" => &self.agents[1].1,
            "t1" => &first["egress"],
            "t2" => &second["egress"],
            "m1" => &self.model["egress"],
            _ => &Value::Null,
        };
        let is_agent = pod.starts_with('a');
        let sidecars = [("t1", first), ("t2", second)]
            .into_iter()
            .filter(|(name, tool)| {
                is_agent
                    && self.references(pod).contains(name)
                    && tool["deploymentMode"] == "sidecar"
            })
            .map(|(_, tool)| &tool["egress"]);
        let rules = |rules: &Value| serde_json::from_value::<Vec<EgressRule>>(rules.clone());
        [own]
            .into_iter()
            .chain(sidecars)
            .flat_map(|all| rules(all).unwrap_or_default())
            .collect()
    }

    /// Whether a pod reaches this without a tenant's rule.
    pub(super) fn is_given(&self, pod: &str, connection: &Connection) -> bool {
        let telemetry = self.settings.agent_telemetry.as_ref();
        let is_collector = telemetry.is_some_and(|collector| {
            is_at(&collector.cidrs, connection)
                && (connection.protocol, connection.port) == (Protocol::TCP, collector.port)
        });
        is_dns(&self.settings, connection)
            || pod.starts_with('a') && is_collector
            || pod == "m1" && self.is_upstream(connection)
    }

    /// Where a proxy finds its provider: what the administrator names, else the Internet, and
    /// where egress is denied that for our own proxy by HTTPS only.
    fn is_upstream(&self, connection: &Connection) -> bool {
        if !self.model["egress"].is_null() {
            return false;
        }
        let port = match self.model["endpoint"].as_str() {
            Some("http://llm.example.com:8080") => 8080,
            _ => 443,
        };
        if let Some(rules) = self.upstream() {
            return is_meant(&rules, connection);
        }
        let is_ours = self.model["image"].is_null() && port == 443;
        (self.is_allowed() || is_ours) && is_public(port, connection)
    }

    /// Where egress is denied: what a pod may open at most, and what it must be able to.
    pub(super) fn bounds(&self, pod: &str, connection: &Connection) -> (bool, bool) {
        let (allowed, named) = (self.allowed(), self.tenants(pod));
        let is_given = self.is_given(pod, connection);
        let both: Vec<EgressRule> = named
            .iter()
            .filter(|rule| allowed.contains(rule))
            .cloned()
            .collect();
        let at_most = is_meant(&named, connection) && is_meant(&allowed, connection);
        (is_given || at_most, is_given || is_meant(&both, connection))
    }

    /// Connections at the edges of what all rules name: the first address of each range and of each
    /// part that is taken out, pods with exactly the labels.
    pub(super) fn edges(&self) -> Vec<Connection> {
        let tenants = ["a1", "a2", "t1", "t2", "m1"].map(|pod| self.tenants(pod));
        let rules = tenants.into_iter().flatten().chain(self.allowed());
        let edges = rules.flat_map(|rule| {
            let parties = parties(&rule);
            let at = move |port: Port| {
                let connection = move |party: Party| Connection {
                    party,
                    protocol: port.protocol.unwrap_or_default(),
                    port: port.port,
                };
                parties.clone().into_iter().map(connection)
            };
            rule.ports.into_iter().flat_map(at)
        });
        edges.collect()
    }

    /// Who may come into the client, beside its own namespace where it names nobody.
    pub(super) fn is_guest(&self, connection: &Connection) -> bool {
        let Party::Pod {
            at_home, namespace, ..
        } = &connection.party
        else {
            return false;
        };
        let from: Option<Vec<Value>> = serde_json::from_value(self.client.1.clone()).unwrap();
        let is_at_home = *at_home && from.is_none();
        let named = from.or_else(|| self.administrators("ingressFrom"));
        let is_named = named.into_iter().flatten().any(|peer| {
            let mut wanted = peer["namespaceLabels"].as_object().unwrap().iter();
            wanted.all(|(key, value)| namespace.get(key).map(String::as_str) == value.as_str())
        });
        (is_at_home || is_named) && (connection.protocol(), connection.port) == ("TCP", 8080)
    }
}

fn parties(rule: &EgressRule) -> Vec<Party> {
    let first = |range: &String| range.split_once('/').unwrap().0.parse().unwrap();
    let ranges = rule.cidr.iter().chain(&rule.except);
    let addresses = ranges.map(|range| Party::Address(first(range)));
    let labels = |all: &Option<BTreeMap<String, LabelValue>>| -> Labels {
        let all = all.iter().flatten();
        all.map(|(key, LabelValue(value))| (key.clone(), value.clone()))
            .collect()
    };
    let pod = |at_home| Party::Pod {
        at_home,
        namespace: labels(&rule.namespace_labels),
        labels: labels(&rule.pod_labels),
    };
    let pods = [true, false].into_iter().filter(|_| rule.cidr.is_none());
    addresses.chain(pods.map(pod)).collect()
}

fn is_meant(rules: &[EgressRule], connection: &Connection) -> bool {
    let mut rules = rules.iter();
    rules.any(|rule| means(rule, connection, Author::Administrator))
}

/// Whether it goes to a pod of the namespace that passes for one of ours.
pub(super) fn is_ours(connection: &Connection) -> bool {
    matches!(&connection.party, Party::Pod { at_home: true, labels, .. }
        if [keys::TOOL, keys::MODEL, keys::AGENT, keys::CLIENT]
            .iter()
            .any(|key| labels.contains_key(*key)))
}
