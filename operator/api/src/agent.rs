//! LanguageAgent: what an agent should do, in plain language, and with which tools and models.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    approval::{ApprovalPolicy, ApprovalStatus},
    budget::SynthesisDay,
    pod::{CaBundle, EnvVar, NameRef, Resources, Toleration},
    policy::{EgressRule, LABEL_KEYS_MESSAGE, LABEL_KEYS_RULE, LabelValue},
    quantity::Quantity,
};

/// Refuses environment variables that are the operator's contract with the container.
pub(crate) const ENV_RULE: &str = "self.all(e, !(e.name in ['MCP_SERVERS', 'MODEL_ENDPOINTS', 'INSTRUCTIONS', 'PORT', 'WORKSPACE_PATH', 'HOME']) && !e.name.startsWith('AGENT_') && !e.name.startsWith('PERSONA_'))";
/// Message of the rule.
pub(crate) const ENV_MESSAGE: &str = "env must not set a reserved name (MCP_SERVERS, MODEL_ENDPOINTS, INSTRUCTIONS, PORT, WORKSPACE_PATH, HOME, AGENT_*, \
     PERSONA_*): the operator sets these from the spec; choose another name";

/// What an agent should do, in plain language.
#[derive(CustomResource, Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "langop.io",
    version = "v1alpha1",
    kind = "LanguageAgent",
    plural = "languageagents",
    shortname = "lagent",
    category = "langop",
    namespaced,
    status = "LanguageAgentStatus",
    derive = "PartialEq",
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.mode"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".status.schedule"),
    printcolumn(name = "Synthesized", type_ = "string", json_path = ".status.conditions[?(@.type==\"Synthesized\")].status"),
    printcolumn(name = "Revision", type_ = "integer", json_path = ".status.synthesisInfo.revision", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(crate::names::NAME_RULE).message(crate::names::NAME_MESSAGE),
)]
#[serde(rename_all = "camelCase")]
// The size of the instructions is a rule of the whole spec: one of the field would have the answer
// quote all 32 KiB of them.
#[x_kube(
    validation = Rule::new("!has(self.instructions) || bytes(self.instructions).size() <= 32768").message("instructions are limited to 32768 bytes (32 KiB): keep what the agent should do, and move who it is to a LanguagePersona and what tools can do to their LanguageTool").field_path(".instructions"),
    validation = Rule::new("!has(self.schedule) || !has(self.executionMode) || self.executionMode == 'scheduled'").message("schedule needs executionMode scheduled (or no executionMode): an autonomous agent runs all the time"),
    validation = Rule::new("!has(self.replicas) || !(has(self.schedule) || (has(self.executionMode) && self.executionMode == 'scheduled'))").message("replicas is for autonomous agents: a scheduled agent runs once at each time"),
    validation = Rule::new("!has(self.replicas) || self.replicas <= 1 || !has(self.workspace) || !self.workspace.enabled || self.workspace.accessMode == 'ReadWriteMany'").message("more than one replica cannot share a ReadWriteOnce workspace: use replicas 1, accessMode ReadWriteMany, or no workspace")
)]
pub struct LanguageAgentSpec {
    /// What the agent should do, in plain language; at most 32 KiB. Without it the agent's own
    /// `image` does the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub instructions: Option<String>,
    /// The runtime's image; the operator's setting when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(crate::pod::IMAGE_RULE).message(crate::pod::IMAGE_MESSAGE))]
    pub image: Option<String>,
    /// The models it may ask; the first is its default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub model_refs: Vec<NameRef>,
    /// The tools it may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tool_refs: Vec<NameRef>,
    /// Who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persona_ref: Option<NameRef>,
    /// How it runs; absent: scheduled with `schedule`, else what its code says, else autonomous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_mode: Option<ExecutionMode>,
    /// Five-field cron expression; wins over what the code says, and is never rewritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(r"self.matches('^\\S+( +\\S+){4}$')").message("schedule is a cron expression of five fields (minute, hour, day of month, month, day of week), for example '0 9 * * 1-5'; a time zone goes to timeZone, times in words to instructions"))]
    pub schedule: Option<String>,
    /// IANA name of the schedule's time zone, for example `Europe/Berlin`; wins over what the code
    /// says, which wins over the LanguageCluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Stops the agent and keeps everything else: no pods, or, if it is scheduled, no new runs (a
    /// run in progress continues; a Job created by hand runs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Pods of an autonomous agent; left to others (an autoscaler) when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// A volume that outlives the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// Which code runs, and how much history is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthesis: Option<SynthesisPolicy>,
    /// Bounds of one run; win over what the code says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// When a change waits for a person who may approve it; Never when absent. The LanguageCluster
    /// may ask for more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalPolicy>,
    /// What it may reach in addition to its tools, models and DNS, where the LanguageCluster allows
    /// it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub egress: Vec<EgressRule>,
    /// Further environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]), validation = Rule::new(ENV_RULE).message(ENV_MESSAGE))]
    pub env: Vec<EnvVar>,
    /// Resources of the agent's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The port its container listens on.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Secrets to pull images with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<NameRef>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new(LABEL_KEYS_RULE).message(LABEL_KEYS_MESSAGE))]
    pub node_selector: BTreeMap<String, LabelValue>,
    /// The `RuntimeClass` of its pods, for example one that isolates them from the node's kernel;
    /// the LanguageCluster's when absent. Sidecar tools run in the same pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(crate::pod::RUNTIME_CLASS_RULE).message(crate::pod::RUNTIME_CLASS_MESSAGE))]
    pub runtime_class_name: Option<String>,
    /// Taints it tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// Further labels of its pods; only those that the operator's setting
    /// `LANGOP_POD_LABEL_PREFIXES` allows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new(LABEL_KEYS_RULE).message(LABEL_KEYS_MESSAGE), validation = Rule::new("self.all(k, !k.startsWith('langop.io/') && !(k in ['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'app.kubernetes.io/component', 'app.kubernetes.io/part-of', 'app.kubernetes.io/managed-by']))").message("podLabels must not use langop.io/ or the app.kubernetes.io/ labels the operator sets: policies select by them; choose another prefix"))]
    pub pod_labels: BTreeMap<String, LabelValue>,
    /// Whether the container may write its root file system; false when absent (/tmp and the
    /// workspace are writable).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable_root_filesystem: Option<bool>,
    /// User id of the pod's processes; not 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_294_i64))]
    pub run_as_user: Option<i64>,
    /// Certificate authorities that it trusts, in addition to or instead of those of its image:
    /// mounted read-only, and named by `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` and
    /// `NODE_EXTRA_CA_CERTS`. The first two replace an image's own list, so name the public ones,
    /// too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,
}

fn default_port() -> i32 {
    8088
}

/// How an agent runs.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionMode {
    /// All the time, as a Deployment.
    Autonomous,
    /// At times, as a CronJob.
    Scheduled,
}

impl ExecutionMode {
    /// As in `AGENT_MODE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Autonomous => "autonomous",
            Self::Scheduled => "scheduled",
        }
    }
}

/// A volume that outlives the pods.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)").message("workspace.storageClassName cannot be changed: write the old value again, or make an agent of another name"),
    validation = Rule::new("self.accessMode == oldSelf.accessMode").message("workspace.accessMode cannot be changed: write the old value again, or make an agent of another name"),
    validation = Rule::new(r"self.mountPath.matches('^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$') && self.mountPath != '/tmp' && self.mountPath != '/etc' && self.mountPath != '/etc/agent' && !self.mountPath.startsWith('/etc/agent/')").message("workspace.mountPath must be an absolute path of letters, digits, '.', '_' and '-', other than /tmp, /etc and /etc/agent; for example /workspace"),
    validation = Rule::new("!isQuantity(string(self.storage)) || quantity(string(self.storage)).isGreaterThan(quantity('0'))").message("workspace.storage must be more than 0, for example 10Gi; for no volume set workspace.enabled to false")
)]
pub struct Workspace {
    /// Whether there is one; true when absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Its size; may grow, not shrink.
    #[serde(default = "default_storage")]
    pub storage: Quantity,
    /// The storage class; the cluster's default when absent, none (a volume created by hand) when
    /// empty. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// Access mode: which nodes may mount it at the same time. Immutable.
    #[serde(default)]
    pub access_mode: AccessMode,
    /// Where it is mounted.
    #[serde(default = "default_mount_path")]
    #[schemars(length(max = 256))]
    pub mount_path: String,
    /// Whether it goes with the agent; Retain when absent. What a former agent of the same name
    /// kept is used, and never deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn yes() -> bool {
    true
}

fn default_storage() -> Quantity {
    "10Gi".into()
}

fn default_mount_path() -> String {
    "/workspace".into()
}

/// Which nodes may mount a workspace at the same time.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessMode {
    /// The pods of one node.
    #[default]
    ReadWriteOnce,
    /// Any pod.
    ReadWriteMany,
}

/// What becomes of a workspace when its agent is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// It stays, and an agent of the same name finds it again.
    #[default]
    Retain,
    /// It goes with the agent, unless a former agent of the same name kept it.
    Delete,
}

/// Which code runs, and how much history is kept.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SynthesisPolicy {
    /// Runs this stored revision and synthesizes nothing, until removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub revision: Option<i64>,
    /// Tokens, sent and received, that synthesis for this agent may cost in a day (UTC), within the
    /// LanguageCluster's `budget`. A call begins only if the most it can cost is left. The code
    /// that runs goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_day: Option<i64>,
    /// Stored revisions, the active one included.
    #[serde(default = "default_history")]
    #[schemars(range(min = 1, max = 100))]
    pub revision_history_limit: i32,
}

fn default_history() -> i32 {
    10
}

/// Bounds of one run.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Maximum LLM iterations per run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_iterations: Option<i32>,
    /// Longest time, for example `10m` or `1h30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && self.matches('[1-9]')").message("limits.timeout is whole numbers with d, h, m or s, largest first, and at least 1s; for example 10m or 1h30m"))]
    pub timeout: Option<String>,
}

/// How many runs that still exist are remembered as counted; more wait to be counted until some of
/// these are gone.
pub const MAX_COUNTED_EXECUTIONS: usize = 1024;
/// How many stored revisions are known: more than the longest history.
pub const MAX_STORED_REVISIONS: usize = 128;
/// The longest value of the annotation `langop.io/resynthesize`, in bytes: what the synthesizer
/// takes as a variant.
pub const MAX_RESYNTHESIZE: usize = 256;
/// How many reasons are kept of why code was refused.
pub const MAX_VALIDATION_ERRORS: usize = 10;
/// Most entries of [`SynthesisInfo::powers`].
pub const MAX_TOLD_POWERS: usize = 12;
/// Most characters of one of them.
pub const MAX_TOLD_POWER: usize = 200;

/// What is known of an agent.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct LanguageAgentStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Derived from the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<AgentPhase>,
    /// How it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ExecutionMode>,
    /// When it runs: the cron expression and the zone of its times, `0 9 * * 1-5 (UTC)`, or `every
    /// 90m` where the agent keeps time itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub schedule: Option<String>,
    /// How long a run of a CronJob may take before it is ended, for example `6h`: by
    /// `limits.timeout`, else by its code, else by the operator's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub run_timeout: Option<String>,
    /// What is known of its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthesis_info: Option<SynthesisInfo>,
    /// What it may do, and what waits for approval; only where approval is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalStatus>,
    /// Runs that ended. While a container keeps crashing, its ends are counted when there are twice
    /// as many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_count: Option<i64>,
    /// Of these, successes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successful_executions: Option<i64>,
    /// Of these, failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_executions: Option<i64>,
    /// When the last one ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_execution_time: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_execution_result: Option<String>,
    /// Tokens that its runs spent at models, as its runtime reports them. Nothing if it reports
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What still exists and is counted above, so that each run is counted exactly once, also
    /// across restarts: uids of ended Jobs, and `POD-UID:RESTARTS` of long-running agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_COUNTED_EXECUTIONS), inner(length(max = 64)))]
    pub counted_executions: Vec<String>,
    /// Pods that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_replicas: Option<i32>,
    /// Pods that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Ready, Reconciling, Stalled, Synthesized, `ReferencesResolved`, `CodeStale`, Approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<crate::condition::Bounded>", length(max = crate::condition::MAX_CONDITIONS))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where an agent stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AgentPhase {
    /// Not ready yet.
    Pending,
    /// Its pods are ready, or its next run is planned.
    Running,
    /// Its last run succeeded.
    Succeeded,
    /// Needs a change by a person, or its last run failed.
    Failed,
    /// Stopped by its spec.
    Suspended,
}

/// What is known of an agent's code and of the attempts to make it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SynthesisInfo {
    /// When the active code was synthesized, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_synthesis_time: Option<String>,
    /// How long that took, for example `2.4s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub synthesis_duration: Option<String>,
    /// The model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub synthesis_model: Option<String>,
    /// SHA-256 of the active code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub code_hash: Option<String>,
    /// Hash of the instructions that the attempt under way, or the last one that failed, was for;
    /// else of those of the active code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub instructions_hash: Option<String>,
    /// Attempts in a row without success, for those instructions; the back-off counts from here,
    /// across restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthesis_attempts: Option<i32>,
    /// When the last attempt failed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_failure_time: Option<String>,
    /// The reason of that failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_failure_reason: Option<String>,
    /// The value of the annotation langop.io/resynthesize that the last attempt was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_RESYNTHESIZE))]
    pub attempted_resynthesize: Option<String>,
    /// The value of the annotation langop.io/resynthesize that was last obeyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_RESYNTHESIZE))]
    pub resynthesized_for: Option<String>,
    /// The active revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// The revisions that the operator stored: a ConfigMap that is none of these is not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_STORED_REVISIONS))]
    pub revisions: Vec<StoredRevision>,
    /// The key (Ed25519, hexadecimal) by which code is known that the attempt under way stored and
    /// could not record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub attempt_key: Option<String>,
    /// Tokens spent on this agent so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// What of `spec.synthesis.tokensPerDay` is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<SynthesisDay>,
    /// With so many tokens the last question could not be asked: it waits until a budget has more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_few_tokens: Option<i64>,
    /// W3C traceparent of the synthesis of the active code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub traceparent: Option<String>,
    /// What the active code calls and asks, in a few words. The whole list of what the agent may do
    /// is the annotation langop.io/powers of the code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_TOLD_POWERS), inner(length(max = MAX_TOLD_POWER)))]
    pub powers: Vec<String>,
    /// Why the last generated code was refused: `line:column: message`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_VALIDATION_ERRORS), inner(length(max = 1024)))]
    pub validation_errors: Vec<String>,
}

/// A stored revision of an agent's code.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct StoredRevision {
    /// Its number.
    pub revision: i64,
    /// SHA-256 of all data of its ConfigMap.
    #[schemars(length(max = 64))]
    pub hash: String,
}

/// Tokens that runs spent, summed when each of them is counted. While a container keeps crashing
/// only the runs that are seen ending are.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Since the agent was made.
    pub total: RunTokens,
    /// On the day of the last run that spent any. It stands until a run on another day ends.
    pub today: DayUsage,
}

/// Tokens of one day.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DayUsage {
    /// The day, in UTC: `2026-11-29`.
    #[schemars(length(max = 10))]
    pub date: String,
    /// Spent on it.
    #[serde(flatten)]
    pub tokens: RunTokens,
}

/// Tokens of runs.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunTokens {
    /// Sent, those from the provider's cache among them.
    pub input: i64,
    /// Received.
    pub output: i64,
    /// Sent and found in the provider's cache.
    pub cached_input: i64,
}

impl RunTokens {
    /// Both together; no sum overflows.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cached_input: self.cached_input.saturating_add(other.cached_input),
        }
    }
}

/// Tokens spent.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// Sent.
    pub input: i64,
    /// Received.
    pub output: i64,
}
