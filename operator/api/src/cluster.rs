//! LanguageCluster: an administrator's frame around a namespace for agents: quota, members,
//! isolation. Cluster-scoped.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    approval::ApprovalPolicy,
    budget::{Budget, SynthesisDay},
    policy::{EgressRule, IngressPeer},
    quantity::Quantity,
};

/// Refuses the namespaces of Kubernetes itself. `namespace` is a reserved word of CEL, hence the
/// underscores.
const NAMESPACE_RULE: &str = "has(self.spec.__namespace__) \
     ? self.spec.__namespace__ != 'default' && !self.spec.__namespace__.startsWith('kube-') \
     : self.metadata.name != 'default' && !self.metadata.name.startsWith('kube-')";
const NAMESPACE_MESSAGE: &str = "a LanguageCluster must not use the namespace 'default' or one that begins with 'kube-': name another in spec.namespace";
/// Fixes the namespace in effect: naming the default one, or leaving it out again, changes nothing.
/// Each comparison has a bounded side (`metadata.name` has no bound), which keeps the estimated
/// cost within the budget.
const NAMESPACE_FIXED_RULE: &str = "(!has(self.spec.__namespace__) \
     || (has(oldSelf.spec.__namespace__) ? self.spec.__namespace__ == oldSelf.spec.__namespace__ : self.spec.__namespace__ == self.metadata.name)) \
     && (has(self.spec.__namespace__) || !has(oldSelf.spec.__namespace__) || oldSelf.spec.__namespace__ == self.metadata.name)";

/// A namespace for agents, with quota, members and isolation.
#[derive(CustomResource, Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "langop.io",
    version = "v1alpha1",
    kind = "LanguageCluster",
    plural = "languageclusters",
    shortname = "lcluster",
    category = "langop",
    status = "LanguageClusterStatus",
    derive = "PartialEq",
    printcolumn(name = "Namespace", type_ = "string", json_path = ".status.namespace"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Agents", type_ = "integer", json_path = ".status.agents.total"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(crate::names::NAME_RULE).message(crate::names::NAME_MESSAGE),
    validation = Rule::new(NAMESPACE_RULE).message(NAMESPACE_MESSAGE),
    validation = Rule::new(NAMESPACE_FIXED_RULE).message("spec.namespace cannot be changed: make another LanguageCluster for the other namespace"),
)]
#[serde(rename_all = "camelCase")]
pub struct LanguageClusterSpec {
    /// The namespace, created if it does not exist; the object's own name when absent. Immutable.
    /// Never deleted by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("namespace must be lower-case letters, digits and '-', beginning and ending with a letter or digit; for example 'team-a'"))]
    pub namespace: Option<String>,
    /// Hard limits by resource name, as in a ResourceQuota.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub resource_quotas: BTreeMap<String, Quantity>,
    /// Who may do what in the namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub members: Vec<Member>,
    /// Pod Security level of the namespace; `restricted` when absent.
    #[serde(default)]
    pub pod_security: PodSecurity,
    /// Whether only the namespace itself and `ingressFrom` may come in; true when absent. Agents,
    /// tools, model proxies and clients are closed in any case: they let in who uses them.
    #[serde(default = "yes")]
    pub network_isolation: bool,
    /// Further namespaces that may come in, to clients that name none, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub ingress_from: Vec<IngressPeer>,
    /// Whether agents, tools and models may declare `egress` of their own; Deny when absent.
    #[serde(default)]
    pub agent_egress: AgentEgress,
    /// What their `egress` may be even so: each of their rules must be within one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub allowed_egress: Vec<EgressRule>,
    /// What model proxies reach that name nothing. Absent: public addresses, on port 443 and from
    /// the operator's own proxy only where egress is denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub model_egress: Option<Vec<EgressRule>>,
    /// What pods of agents, tools, models and clients may ask for. What it does not name is not
    /// limited by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodFrame>,
    /// The least approval that changes of agents need here: an agent may ask for more, not for less.
    /// Never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalPolicy>,
    /// Whether an approval does not count from whom `metadata.managedFields` of the agent names as
    /// the last manager of its instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separate_approver: Option<bool>,
    /// Stops every agent of the namespace and keeps everything else: no pods, no new runs, runs in
    /// progress end, and no code is synthesized. Undone by taking it away; an agent with a
    /// `suspend` of its own stays suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// What the namespace may spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// The `RuntimeClass` of pods that name none; `pods.runtimeClassName` leaves no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(crate::pod::RUNTIME_CLASS_RULE).message(crate::pod::RUNTIME_CLASS_MESSAGE))]
    pub runtime_class_name: Option<String>,
    /// IANA name of the time zone of schedules that name none, for example `Europe/Berlin`; the
    /// operator's setting when absent, else that of kube-controller-manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
}

fn yes() -> bool {
    true
}

/// An administrator's frame for the pods of a namespace. What goes beyond it is refused by the
/// operator, and what runs keeps running.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PodFrame {
    /// The `RuntimeClass` of all pods, and of no other, for example one that isolates them from the node's kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(crate::pod::RUNTIME_CLASS_RULE).message(crate::pod::RUNTIME_CLASS_MESSAGE))]
    pub runtime_class_name: Option<String>,
    /// Keys that `nodeSelector` may name; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 317)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub node_selector_keys: Option<Vec<String>>,
    /// Keys of taints that `tolerations` may name; empty: none. With it, a toleration needs a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 317)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub toleration_keys: Option<Vec<String>>,
    /// The largest limit of one container, by resource name; also of one that names none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    #[x_kube(validation = Rule::new(crate::pod::RESOURCE_RULE).message(crate::pod::RESOURCE_MESSAGE))]
    pub max_limits: BTreeMap<String, Quantity>,
    /// The longest run of a scheduled agent, in seconds; also that of one that names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub max_run_seconds: Option<i64>,
    /// The ids that `runAsUser` may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_user_range: Option<IdRange>,
}

/// A range of user ids, both ends included.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.min <= self.max").message("min of a range must not be larger than max: exchange the two"))]
pub struct IdRange {
    /// The smallest.
    #[schemars(range(min = 1, max = 4_294_967_294_i64))]
    pub min: i64,
    /// The largest.
    #[schemars(range(min = 1, max = 4_294_967_294_i64))]
    pub max: i64,
}

/// A subject and its role.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.subject.name.startsWith('system:') || (has(self.allowSystemSubject) && self.allowSystemSubject)").message(SYSTEM_SUBJECT_MESSAGE))]
pub struct Member {
    /// Who.
    pub subject: Subject,
    /// What they may do.
    pub role: Role,
    /// Says that a subject of Kubernetes itself (`system:…`, for example all service accounts of a
    /// namespace) is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_system_subject: Option<bool>,
}

/// Subjects whose names begin with this are Kubernetes' own: often everybody.
pub const SYSTEM_SUBJECTS: &str = "system:";
/// Message of the rule.
pub const SYSTEM_SUBJECT_MESSAGE: &str = "a subject that begins with 'system:' is one of Kubernetes itself, and often everybody: name a person, a group or a ServiceAccount, \
     or set allowSystemSubject to true";

/// A user, group or service account.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.kind == 'ServiceAccount') == has(self.__namespace__)").message("a ServiceAccount needs its namespace; a User or Group has none"))]
pub struct Subject {
    /// User, Group or `ServiceAccount`.
    pub kind: SubjectKind,
    /// The subject's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The namespace of a `ServiceAccount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// The kind of a subject.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum SubjectKind {
    /// A person, as the authenticator names them.
    User,
    /// A group, as the authenticator names it.
    Group,
    /// A service account.
    ServiceAccount,
}

/// What a member may do.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read.
    View,
    /// Read and write the namespaced kinds.
    Edit,
    /// As edit, and read the namespace's bindings.
    Admin,
    /// Read, and approve what agents may do.
    Approve,
}

/// Levels of the Pod Security Standards, from the lowest.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord,
)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurity {
    /// Everything.
    Privileged,
    /// No known privilege escalations.
    Baseline,
    /// Current hardening practice.
    #[default]
    Restricted,
}

impl PodSecurity {
    /// As in a label of a namespace.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

impl std::fmt::Display for PodSecurity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether agents, tools and models may declare egress.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentEgress {
    /// Only what they refer to, DNS, and what the administrator allows.
    #[default]
    Deny,
    /// What their specs name too.
    Allow,
}

/// What is known of a cluster.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct LanguageClusterStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Derived from the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ClusterPhase>,
    /// The namespace in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// The agents in it; written at most every 10 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<AgentCounts>,
    /// What of `spec.budget` is used up; told once a call has been paid for from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<SynthesisDay>,
    /// Ready, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<crate::condition::Bounded>", length(max = crate::condition::MAX_CONDITIONS))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Agents by phase.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AgentCounts {
    /// All.
    pub total: i32,
    /// Phase Running or Succeeded.
    pub running: i32,
    /// Phase Failed.
    pub failed: i32,
    /// Phase Suspended; told only where `spec.suspend` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<i32>,
}

/// Where a cluster stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterPhase {
    /// Not set up yet.
    Pending,
    /// Set up.
    Ready,
    /// Cannot be set up until a person changes something.
    Failed,
    /// Its namespace is going away.
    Terminating,
    /// Set up, and every agent in it is stopped by its spec.
    Suspended,
}
