//! What every pod that we build may reach, and who may reach it: the only source of the
//! NetworkPolicies of agents, tools, model proxies and clients, and of the baseline that closes
//! their namespace. Closed is what is there when nothing is said: each policy speaks of both
//! directions, and only what is given here is open.
//!
//! Who may come into a tool or a proxy is said by two constant peers, our agents and our clients,
//! and not by one for each of those that name it: such a list would grow with every agent (a policy
//! may have no more than the API server stores, and each new agent would rewrite it). It opens no
//! more, because a connection needs the leave of both ends, and each agent and client may reach
//! only what it names.

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicySpec,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
};
use langop_api::{
    cluster::AgentEgress,
    condition::Reason,
    names::labels,
    policy::{EgressRule, IngressPeer},
};

use crate::{
    agent::ClusterView,
    conditions::Invalid,
    endpoint::Endpoint,
    ingress, meta, policy,
    references::{MODEL_PORT, References},
    settings::Settings,
};

/// The name of the policy that closes a namespace's pods of ours. With a dot, which the names of
/// agents, tools and clients do not have.
pub const BASELINE: &str = "langop.baseline";

/// A pod that we build, and what its spec says of its reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pods<'a> {
    /// An agent's, its sidecar tools among them.
    Agent {
        references: &'a References,
        egress: &'a [EgressRule],
    },
    /// A tool's in service mode.
    Tool { port: i32, egress: &'a [EgressRule] },
    /// A model's proxy.
    Model {
        endpoint: Option<&'a str>,
        image: Image,
        egress: Option<&'a [EgressRule]>,
    },
    /// A client's.
    Client {
        references: &'a References,
        port: i32,
        ingress_from: Option<&'a [IngressPeer]>,
    },
}

/// Whose image a model's proxy runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    /// The operator's setting, which serves what the LanguageModel says.
    Default,
    /// The tenant's, which may do anything.
    Own,
}

/// What is open, both ways.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reach {
    /// What may be reached.
    pub(crate) egress: Vec<NetworkPolicyEgressRule>,
    /// Who may come in.
    pub(crate) ingress: Vec<NetworkPolicyIngressRule>,
    /// What is asked for and closed, and why.
    pub(crate) denied: Option<Invalid>,
    /// Rules that cannot be expressed: each is closed, and told.
    pub(crate) errors: Vec<String>,
    /// Names of the sidecar tools whose egress is part of that.
    pub(crate) lent: Vec<String>,
}

/// The reach of a pod in a namespace that this LanguageCluster frames, if any does.
pub(crate) fn reach(pods: Pods<'_>, cluster: Option<&ClusterView>, settings: &Settings) -> Reach {
    let mut making = Making {
        frame: Frame::of(cluster, settings),
        settings,
        closed: Vec::new(),
        hint: None,
        reach: Reach {
            egress: policy::dns_rule(settings).into_iter().collect(),
            ..Reach::default()
        },
    };
    match pods {
        Pods::Agent { references, egress } => making.agent(references, egress),
        Pods::Tool { port, egress } => {
            making.reach.ingress = users(port);
            making.rules("spec.egress", egress);
        }
        Pods::Model {
            endpoint,
            image,
            egress,
        } => {
            making.reach.ingress = users(MODEL_PORT);
            match egress {
                Some(rules) => making.rules("spec.egress", rules),
                None => making.upstream(endpoint, image),
            }
        }
        Pods::Client {
            references,
            port,
            ingress_from,
        } => {
            making.references(references);
            let peers = client_peers(ingress_from, cluster);
            making.reach.ingress = ingress::rules(peers, Some(port));
        }
    }
    making.finish()
}

/// The policy of the pods that `selector` selects.
pub(crate) fn network_policy(
    metadata: ObjectMeta,
    selector: LabelSelector,
    egress: &[NetworkPolicyEgressRule],
    ingress: &[NetworkPolicyIngressRule],
) -> NetworkPolicy {
    NetworkPolicy {
        metadata,
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector),
            policy_types: Some(["Egress", "Ingress"].map(str::to_owned).into()),
            // A list that we own, even empty, is one that nobody else can fill unnoticed.
            egress: Some(egress.to_vec()),
            ingress: Some(ingress.to_vec()),
        }),
    }
}

/// What closes all pods of ours in a namespace, whatever becomes of their own policies, which only
/// add to it: one that is collected before its last pod has ended opens nothing. It belongs to
/// nobody, so that it outlives everybody.
pub fn baseline(namespace: &str) -> NetworkPolicy {
    let ours = [
        (labels::MANAGED_BY, labels::MANAGED_BY_VALUE),
        (labels::PART_OF, labels::PART_OF_VALUE),
    ];
    let ours = ours.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let selector = LabelSelector {
        match_labels: Some(ours.clone().into()),
        match_expressions: None,
    };
    let metadata = meta::object_meta(BASELINE, Some(namespace), None, ours.into());
    network_policy(metadata, selector, &[], &[])
}

/// Pods that are not ours: whoever opens them opens none of ours.
pub(crate) fn others() -> LabelSelector {
    LabelSelector {
        match_labels: None,
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: labels::MANAGED_BY.to_owned(),
            operator: "NotIn".to_owned(),
            values: Some(vec![labels::MANAGED_BY_VALUE.to_owned()]),
        }]),
    }
}

/// Our agents and clients in the namespace, on one port.
fn users(port: i32) -> Vec<NetworkPolicyIngressRule> {
    let having = |key: &str| NetworkPolicyPeer {
        pod_selector: Some(LabelSelector {
            match_labels: None,
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: key.to_owned(),
                operator: "Exists".to_owned(),
                values: None,
            }]),
        }),
        ..NetworkPolicyPeer::default()
    };
    ingress::rules(
        [labels::AGENT, labels::CLIENT].map(having).into(),
        Some(port),
    )
}

/// Who may come into a client: those that it names, else whom the namespace lets in.
fn client_peers(
    named: Option<&[IngressPeer]>,
    cluster: Option<&ClusterView>,
) -> Vec<NetworkPolicyPeer> {
    match (named, cluster) {
        (Some(peers), _) => ingress::named(peers),
        (None, cluster) => {
            let also = cluster.map(|cluster| ingress::named(&cluster.ingress_from));
            let mut peers = vec![ingress::own_namespace()];
            peers.extend(also.into_iter().flatten());
            peers
        }
    }
}

/// An administrator's word on what tenants may open.
struct Frame<'a> {
    egress: AgentEgress,
    /// What tenants' rules must be within where not all are allowed.
    allowed: &'a [EgressRule],
    /// What proxies reach that name nothing, in place of the Internet.
    upstream: Option<&'a [EgressRule]>,
    /// Who says so, and what to do.
    why: (String, &'static str),
}

impl<'a> Frame<'a> {
    fn of(cluster: Option<&'a ClusterView>, settings: &Settings) -> Self {
        let Some(cluster) = cluster else {
            return Self {
                egress: settings.default_egress,
                allowed: &[],
                upstream: None,
                why: (
                    "no LanguageCluster frames the namespace".to_owned(),
                    "ask for one with agentEgress: Allow or with allowedEgress, or for LANGOP_DEFAULT_EGRESS=Allow",
                ),
            };
        };
        let name = &cluster.name;
        let Some(egress) = cluster.agent_egress else {
            return Self {
                egress: AgentEgress::Deny,
                // What it allowed is not known.
                allowed: &[],
                upstream: Some(&[]),
                why: (
                    format!("the LanguageCluster '{name}' cannot be read"),
                    "they stay closed until it is corrected",
                ),
            };
        };
        Self {
            egress,
            allowed: &cluster.allowed_egress,
            upstream: cluster.model_egress.as_deref(),
            why: (
                format!("the LanguageCluster '{name}' forbids egress beyond its allowedEgress"),
                "remove them, or ask for allowedEgress or agentEgress: Allow",
            ),
        }
    }

    /// The administrator's rule by whose leave a tenant's is open, the closest of several; `Err` if
    /// it is closed.
    fn leave(&self, rule: &EgressRule) -> Result<Option<&'a EgressRule>, ()> {
        let allowed = self.allowed.iter();
        let leave = allowed
            .filter(|allowed| policy::allows(allowed, rule))
            .max_by_key(|allowed| policy::prefix_length(allowed));
        match (leave, self.egress) {
            (Some(leave), _) => Ok(Some(leave)),
            (None, AgentEgress::Allow) => Ok(None),
            (None, AgentEgress::Deny) => Err(()),
        }
    }
}

struct Making<'a> {
    frame: Frame<'a>,
    settings: &'a Settings,
    /// Places of rules that the frame closes.
    closed: Vec<String>,
    /// What a proxy lacks.
    hint: Option<String>,
    reach: Reach,
}

impl Making<'_> {
    /// Nobody comes in: its sidecars answer the agent beside them.
    fn agent(&mut self, references: &References, own: &[EgressRule]) {
        self.references(references);
        self.reach
            .egress
            .extend(policy::telemetry_rule(self.settings));
        self.rules("spec.egress", own);
        for tool in references.tools.iter().filter(|tool| tool.is_sidecar()) {
            let before = self.reach.egress.len();
            let place = format!("egress of the sidecar tool '{}'", tool.name);
            self.rules(&place, &tool.egress);
            if self.reach.egress.len() > before {
                self.reach.lent.push(tool.name.clone());
            }
        }
    }

    fn references(&mut self, references: &References) {
        let services = references.tools.iter().filter(|tool| !tool.is_sidecar());
        let tools = services.map(|tool| policy::pods_rule(labels::TOOL, &tool.name, tool.port));
        let models = references.models.iter();
        let models = models.map(|model| policy::pods_rule(labels::MODEL, &model.name, model.port));
        self.reach.egress.extend(tools.chain(models));
    }

    /// A tenant's rules, as far as the administrator lets them.
    fn rules(&mut self, place: &str, rules: &[EgressRule]) {
        for (index, rule) in rules.iter().enumerate() {
            let place = match place.strip_prefix("egress") {
                Some(of) => format!("egress[{index}]{of}"),
                None => format!("{place}[{index}]"),
            };
            match self.frame.leave(rule) {
                Err(()) => self.closed.push(place),
                Ok(leave) => self.open(&place, rule, leave),
            }
        }
    }

    fn open(&mut self, place: &str, rule: &EgressRule, leave: Option<&EgressRule>) {
        match policy::egress_rule(rule, leave, self.settings) {
            Ok(rule) => self.reach.egress.push(rule),
            Err(why) => self.reach.errors.push(format!("{place}: {why}")),
        }
    }

    /// Where a proxy finds its provider while its spec does not say: what the administrator names,
    /// else the Internet at the endpoint's port. Where egress is denied that is for our own proxy
    /// and port 443 only: another image might do anything with it.
    fn upstream(&mut self, endpoint: Option<&str>, image: Image) {
        if let Some(rules) = self.frame.upstream {
            for (index, rule) in rules.iter().enumerate() {
                let place = format!("modelEgress[{index}] of the LanguageCluster");
                self.open(&place, rule, Some(rule));
            }
            return;
        }
        let endpoint = Endpoint::of(endpoint);
        if self.frame.egress == AgentEgress::Deny {
            let closed = match (image, endpoint.port) {
                (Image::Own, _) => {
                    "those that only the operator's own proxy has by default".to_owned()
                }
                (Image::Default, 443) => String::new(),
                (Image::Default, port) => format!("the one for port {port} of spec.endpoint"),
            };
            if !closed.is_empty() {
                self.closed.push(closed);
                return;
            }
        }
        self.reach
            .egress
            .push(policy::public_rule(endpoint.port, self.settings));
        self.hint = endpoint.is_not_public(self.settings).then(|| {
            format!(
                "the proxy may reach public addresses only, and '{}' of spec.endpoint is not one: name it in spec.egress, by podLabels and namespaceLabels or by cidr, with the port of its pods",
                endpoint.host
            )
        });
    }

    fn finish(self) -> Reach {
        let (who, advice) = self.frame.why;
        let closed = (!self.closed.is_empty()).then(|| {
            let rules = self.closed.join(", ");
            format!("{who}, so these rules are closed: {rules}; {advice}")
        });
        let denied = closed.or(self.hint).map(|message| Invalid {
            reason: Reason::EgressDenied,
            message,
        });
        Reach {
            denied,
            ..self.reach
        }
    }
}
