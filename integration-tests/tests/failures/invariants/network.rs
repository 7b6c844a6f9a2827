//! What pods may reach, and who may reach them: the rules of NetworkPolicies as one line each, both
//! those that the specs call for and those that are there.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::ResourceExt as _;
use langop_api::{
    LanguageAgent, LanguageClient, LanguageTool,
    cluster::AgentEgress,
    names::labels,
    policy::{EgressRule, LabelValue, Protocol},
    tool::DeploymentMode,
};

use super::{Findings, Snapshot};

/// The operator's default.
const DNS: &str =
    "namespaces{kubernetes.io/metadata.name=kube-system} pods{k8s-app=kube-dns} on TCP/53 UDP/53";

impl Snapshot {
    pub(super) fn judge_policies(&self, findings: &mut Findings) {
        for agent in &self.agents {
            let rules = self.of_agent(agent);
            self.judge_policy(
                &agent.name_any(),
                (labels::AGENT, None),
                rules,
                vec![],
                findings,
            );
        }
        for client in &self.clients {
            let (egress, ingress) = self.of_client(client);
            let name = client.name_any();
            self.judge_policy(&name, (labels::CLIENT, None), egress, ingress, findings);
        }
        for tool in self.services() {
            let own_rules = tool.spec.egress.iter().flatten().map(own);
            let own_rules = own_rules.filter(|_| !self.denies_egress());
            let rules = std::iter::once(DNS.to_owned()).chain(own_rules).collect();
            let users = vec![users(tool.spec.port)];
            self.judge_policy(
                &tool.name_any(),
                (labels::TOOL, None),
                rules,
                users,
                findings,
            );
        }
        for model in &self.models {
            let name = model.name_any();
            let proxy = format!("{name}.proxy");
            let label = (labels::MODEL, Some(name.as_str()));
            let upstream = self
                .policies
                .iter()
                .find(|policy| policy.name_any() == proxy);
            // The ranges of the Internet are the unit tests' matter; here it is that there are
            // such.
            let upstream = upstream.into_iter().flat_map(egress);
            let upstream = upstream
                .filter(|rule| rule.starts_with("0.0.0.0/0 but ") && rule.ends_with(" on TCP/443"));
            let rules = std::iter::once(DNS.to_owned())
                .chain(upstream.take(1))
                .collect::<Vec<_>>();
            findings.unless(rules.len() == 2, || {
                format!("{proxy} has no way to its provider")
            });
            self.judge_policy(&proxy, label, rules, vec![users(8000)], findings);
        }
        let baseline = self
            .policies
            .iter()
            .find(|policy| policy.name_any() == "langop.baseline");
        if let Some(baseline) = baseline {
            let spec = baseline.spec.clone().unwrap_or_default();
            let of = spec.pod_selector.as_ref().map(selector);
            let ours = "{app.kubernetes.io/managed-by=langop-operator,app.kubernetes.io/part-of=language-operator}";
            findings.unless(
                of.as_deref() == Some(ours)
                    && egress(baseline).is_empty()
                    && ingress(baseline).is_empty(),
                || format!("the baseline is for {of:?}: {spec:?}"),
            );
        }
        if let Some(cluster) = self
            .cluster()
            .filter(|cluster| cluster.spec.network_isolation)
        {
            let isolation = self
                .policies
                .iter()
                .find(|p| p.name_any() == "langop.isolation");
            let live = isolation.map(ingress);
            findings.unless(
                live.as_deref() == Some(&["pods{} on all".to_owned()]),
                || format!("{} lets in {live:?}", cluster.name_any()),
            );
        }
    }

    /// Exactly these rules, for exactly the pods with this label.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "its callers make both lists for this call only"
    )]
    fn judge_policy(
        &self,
        name: &str,
        (label, value): (&str, Option<&str>),
        mut wanted: Vec<String>,
        wanted_in: Vec<String>,
        findings: &mut Findings,
    ) {
        // One that is missing is found elsewhere.
        let Some(policy) = self
            .policies
            .iter()
            .find(|policy| policy.name_any() == name)
        else {
            return;
        };
        wanted.sort_unstable();
        let spec = policy.spec.clone().unwrap_or_default();
        let of = spec.pod_selector.as_ref().map(selector);
        let mut types = spec.policy_types.unwrap_or_default();
        types.sort_unstable();
        let mut live = egress(policy);
        live.sort_unstable();
        let value = value.unwrap_or(name);
        findings.unless(
            of == Some(format!("{{{label}={value}}}")) && types == ["Egress", "Ingress"],
            || format!("the policy of {name} is for {of:?}, of {types:?}"),
        );
        findings.unless(live == wanted, || {
            format!("{name} may reach {live:#?}, not {wanted:#?}")
        });
        let let_in = ingress(policy);
        findings.unless(let_in == wanted_in, || {
            format!("{name} lets in {let_in:?}, not {wanted_in:?}")
        });
    }

    /// DNS, its tools and models as far as they exist, and where its cluster allows them, its own
    /// rules and those of its sidecars.
    fn of_agent(&self, agent: &LanguageAgent) -> Vec<String> {
        let tools = self.tools_of(&agent.spec.tool_refs);
        let (sidecars, services): (Vec<_>, Vec<_>) = tools
            .into_iter()
            .partition(|tool| tool.spec.deployment_mode == DeploymentMode::Sidecar);
        let mut rules = self.given(&services, &agent.spec.model_refs);
        if !self.denies_egress() {
            rules.extend(agent.spec.egress.iter().map(own));
            let lent = sidecars
                .iter()
                .flat_map(|tool| tool.spec.egress.iter().flatten());
            rules.extend(lent.map(own));
        }
        rules
    }

    /// Out and in.
    fn of_client(&self, client: &LanguageClient) -> (Vec<String>, Vec<String>) {
        let services: Vec<_> = self
            .tools_of(&client.spec.tool_refs)
            .into_iter()
            .filter(|tool| tool.spec.deployment_mode == DeploymentMode::Service)
            .collect();
        let who = match &client.spec.ingress_from {
            None => vec!["pods{}".to_owned()],
            Some(peers) => peers
                .iter()
                .map(|peer| format!("namespaces{}", map(&plain(&peer.namespace_labels))))
                .collect(),
        };
        let port = client.spec.port;
        let let_in = if who.is_empty() {
            Vec::new()
        } else {
            vec![format!("{} on TCP/{port}", who.join(", "))]
        };
        (self.given(&services, &client.spec.model_refs), let_in)
    }

    fn given(
        &self,
        services: &[&LanguageTool],
        models: &[langop_api::pod::NameRef],
    ) -> Vec<String> {
        let tools = services.iter().map(|tool| {
            format!(
                "pods{{{}={}}} on TCP/{}",
                labels::TOOL,
                tool.name_any(),
                tool.spec.port
            )
        });
        let models = self
            .models_of(models)
            .into_iter()
            .map(|model| format!("pods{{{}={}}} on TCP/8000", labels::MODEL, model.name_any()));
        std::iter::once(DNS.to_owned())
            .chain(tools)
            .chain(models)
            .collect()
    }

    /// Whether agents may have no egress of their own.
    pub(super) fn denies_egress(&self) -> bool {
        self.cluster()
            .is_some_and(|cluster| cluster.spec.agent_egress == AgentEgress::Deny)
    }
}

/// Agents and clients on this port.
fn users(port: i32) -> String {
    format!("pods{{langop.io/agent Exists}}, pods{{langop.io/client Exists}} on TCP/{port}")
}

/// What a range of all addresses leaves out: metadata of clouds, and private ranges as the
/// cluster's.
const LEFT_OUT: &str = "169.254.0.0/16 168.63.129.16/32 100.100.100.200/32 192.0.0.0/24 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10";

/// A rule that somebody wrote.
fn own(rule: &EgressRule) -> String {
    let mut ports: Vec<String> = rule
        .ports
        .iter()
        .map(|port| {
            let protocol = match port.protocol.unwrap_or_default() {
                Protocol::TCP => "TCP",
                Protocol::UDP => "UDP",
            };
            format!("{protocol}/{}", port.port)
        })
        .collect();
    ports.sort_unstable();
    let peer = match (&rule.cidr, &rule.pod_labels) {
        (Some(range), _) if range == "0.0.0.0/0" => format!("{range} but {LEFT_OUT}"),
        (Some(range), _) => range.clone(),
        (None, pods) => format!("pods{}", map(&pods.as_ref().map(plain).unwrap_or_default())),
    };
    format!("{peer} on {}", ports.join(" "))
}

fn plain(labels: &BTreeMap<String, LabelValue>) -> BTreeMap<String, String> {
    labels
        .iter()
        .map(|(key, value)| (key.clone(), value.0.clone()))
        .collect()
}

fn egress(policy: &NetworkPolicy) -> Vec<String> {
    let spec = policy.spec.iter();
    let rules = spec.flat_map(|spec| spec.egress.iter().flatten());
    rules
        .map(|rule| line(rule.to.as_deref(), rule.ports.as_deref()))
        .collect()
}

fn ingress(policy: &NetworkPolicy) -> Vec<String> {
    let rules = policy
        .spec
        .iter()
        .flat_map(|spec| spec.ingress.iter().flatten());
    rules
        .map(|rule| line(rule.from.as_deref(), rule.ports.as_deref()))
        .collect()
}

/// A rule that is there.
fn line(peers: Option<&[NetworkPolicyPeer]>, ports: Option<&[NetworkPolicyPort]>) -> String {
    let peers: Vec<String> = peers.unwrap_or_default().iter().map(peer).collect();
    let mut ports: Vec<String> = ports.unwrap_or_default().iter().map(port).collect();
    ports.sort_unstable();
    // Neither peers nor ports means all of them.
    let or_all = |words: String| {
        if words.is_empty() {
            "all".to_owned()
        } else {
            words
        }
    };
    format!(
        "{} on {}",
        or_all(peers.join(", ")),
        or_all(ports.join(" "))
    )
}

fn peer(peer: &NetworkPolicyPeer) -> String {
    let namespaces = peer
        .namespace_selector
        .as_ref()
        .map(|labels| format!("namespaces{}", selector(labels)));
    let pods = peer
        .pod_selector
        .as_ref()
        .map(|labels| format!("pods{}", selector(labels)));
    let block = peer
        .ip_block
        .as_ref()
        .map(|block| match block.except.as_deref() {
            None | Some([]) => block.cidr.clone(),
            Some(except) => format!("{} but {}", block.cidr, except.join(" ")),
        });
    [namespaces, pods, block]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

fn port(port: &NetworkPolicyPort) -> String {
    let number = match &port.port {
        Some(IntOrString::Int(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    format!("{}/{number}", port.protocol.as_deref().unwrap_or("?"))
}

fn selector(selector: &LabelSelector) -> String {
    let expressions = selector.match_expressions.iter().flatten();
    let expressions: Vec<String> = expressions
        .map(|wanted| format!("{} {}", wanted.key, wanted.operator))
        .collect();
    if expressions.is_empty() {
        map(&selector.match_labels.clone().unwrap_or_default())
    } else {
        format!("{{{}}}", expressions.join(","))
    }
}

fn map(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!("{{{}}}", pairs.join(","))
}
