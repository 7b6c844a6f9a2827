//! LanguageTool: an MCP server that agents may call, as a service of its own or as a sidecar in each agent's pod.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model::ServicePhase,
    pod::{EnvVar, Resources},
    policy::EgressRule,
};

/// What the synthesizer takes of a description; maxLength counts code points.
const DESCRIPTION_RULE: &str = "bytes(self).size() <= 4096";
const DESCRIPTION_MESSAGE: &str =
    "a description is limited to 4096 bytes (4 KiB): keep what an agent must know to use it";

/// An MCP server that agents may call.
#[derive(CustomResource, Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "langop.io",
    version = "v1alpha1",
    kind = "LanguageTool",
    plural = "languagetools",
    shortname = "ltool",
    category = "langop",
    namespaced,
    status = "LanguageToolStatus",
    derive = "PartialEq",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.deploymentMode"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(crate::NAME_RULE).message(crate::NAME_MESSAGE),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.replicas) || !has(self.deploymentMode) || self.deploymentMode == 'service'").message("a sidecar has one instance in each agent's pod: leave replicas out, or use deploymentMode service"))]
pub struct LanguageToolSpec {
    /// The protocol it speaks.
    #[serde(rename = "type", default)]
    pub type_: ToolType,
    /// The server's image; it listens on `PORT`.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(crate::pod::IMAGE_RULE).message(crate::pod::IMAGE_MESSAGE))]
    pub image: String,
    /// A service of its own (default), or a sidecar of each agent that names it.
    #[serde(default)]
    pub deployment_mode: DeploymentMode,
    /// The port it listens on.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// The path of its MCP endpoint.
    #[serde(default = "default_path")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(r"self.matches('^/[^\\s?#]*$')").message("path begins with / and has no white space, ? or #; for example /mcp"))]
    pub path: String,
    /// What it is for: told to the LLM that writes the agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    #[x_kube(validation = Rule::new(DESCRIPTION_RULE).message(DESCRIPTION_MESSAGE))]
    pub description: Option<String>,
    /// What it can do: told to the LLM that writes the agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub operations: Vec<Operation>,
    /// Pods; left to others (an autoscaler) when absent. Service mode only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// Further environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]), validation = Rule::new("self.all(e, !(e.name in ['PORT', 'HOME', 'WORKSPACE_PATH']))").message("env must not set PORT (use port), HOME or WORKSPACE_PATH: the operator sets them"))]
    pub env: Vec<EnvVar>,
    /// Resources of its container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// What it may reach beside DNS; nothing when absent. Sidecar mode: added to the agent's own, whose network it shares. Where the
    /// LanguageCluster denies egress, only what it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub egress: Option<Vec<EgressRule>>,
}

fn default_port() -> i32 {
    8080
}

fn default_path() -> String {
    DEFAULT_PATH.into()
}

/// The path of an MCP endpoint unless the tool says otherwise.
pub const DEFAULT_PATH: &str = "/mcp";

/// The protocol a tool speaks.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ToolType {
    /// Model Context Protocol, Streamable HTTP.
    #[default]
    Mcp,
}

/// Where a tool runs.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentMode {
    /// A Deployment and a Service of its own.
    #[default]
    Service,
    /// A native sidecar in each agent's pod.
    Sidecar,
}

/// One operation of a tool, as MCP's tools/list has it.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its name.
    // Wider than MCP's advice (SEP-986), which servers need not follow.
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[!-~]+$')").message("the name of an operation is the server's, in ASCII and without white space; for example list_files"))]
    pub name: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    #[x_kube(validation = Rule::new(DESCRIPTION_RULE).message(DESCRIPTION_MESSAGE))]
    pub description: Option<String>,
    /// JSON Schema of its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub input_schema: Option<serde_json::Value>,
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// What is known of a tool.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct LanguageToolStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Derived from the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ServicePhase>,
    /// Where agents reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_mode: Option<DeploymentMode>,
    /// Pods that are ready (service mode).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Ready, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
