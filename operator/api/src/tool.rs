//! LanguageTool: an MCP server that agents may call, as a service of its own or as a sidecar in
//! each agent's pod.

use std::{borrow::Cow, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::{
    model::ServicePhase,
    pod::{CaBundle, EnvVar, NameRef, Resources},
    policy::EgressRule,
    shared::Shared,
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
    validation = Rule::new(crate::names::NAME_RULE).message(crate::names::NAME_MESSAGE),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.transport) || self.transport != 'stdio' || (has(self.command) && size(self.command) > 0)").message("transport stdio needs command: the server's program in its image, for example command: [npx, my-mcp-server]; its arguments may be in args"))]
#[x_kube(validation = Rule::new("!has(self.replicas) || !has(self.deploymentMode) || self.deploymentMode == 'service'").message("a sidecar has one instance in each agent's pod: leave replicas out, or use deploymentMode service"))]
#[x_kube(validation = Rule::new("!has(self.runtimeClassName) || !has(self.deploymentMode) || self.deploymentMode == 'service'").message("a sidecar runs in its agents' pods: set runtimeClassName there, or use deploymentMode service"))]
pub struct LanguageToolSpec {
    /// The protocol it speaks.
    #[serde(rename = "type", default)]
    pub type_: ToolType,
    /// How its server is spoken to: over HTTP, or over its standard input and output, which the
    /// operator makes HTTP by an adapter in front of `command`.
    #[serde(default)]
    pub transport: ToolTransport,
    /// The server's image; with transport http it listens on `PORT`, at all addresses of its pod in
    /// service mode (`0.0.0.0` or `::`), best only at localhost as a sidecar.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(crate::pod::IMAGE_RULE).message(crate::pod::IMAGE_MESSAGE))]
    pub image: String,
    /// A separate service (default), or a sidecar of each agent that names it.
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
    /// What it is for; the LLM that writes the agents reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    #[x_kube(validation = Rule::new(DESCRIPTION_RULE).message(DESCRIPTION_MESSAGE))]
    pub description: Option<String>,
    /// What it can do; the LLM that writes the agents reads it.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub operations: Shared<Operation>,
    /// Pods; left to others (an autoscaler) when absent. Service mode only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// Further environment.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]), validation = Rule::new("self.all(e, !(e.name in ['PORT', 'HOME', 'WORKSPACE_PATH']))").message("env must not set PORT (use port), HOME or WORKSPACE_PATH: the operator sets them"))]
    pub env: Shared<EnvVar>,
    /// Resources of its container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Secrets to pull its image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<NameRef>,
    /// Certificate authorities that it trusts, in addition to or instead of those of its image:
    /// mounted read-only, and named by `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` and
    /// `NODE_EXTRA_CA_CERTS`. The first two replace an image's own list, so name the public ones,
    /// too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,
    /// Replaces the image's entry point, as in a pod.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub command: Shared<String>,
    /// Arguments of the entry point, as in a pod; `$(NAME)` is expanded by Kubernetes.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub args: Shared<String>,
    /// Whether the container may write its root file system; false when absent (/tmp and
    /// `writablePaths` are writable).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable_root_filesystem: Option<bool>,
    /// Further folders that the container may write, empty at its pod's start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = Rule::new(crate::pod::WRITABLE_PATH_RULE).message(crate::pod::WRITABLE_PATH_MESSAGE))]
    pub writable_paths: Vec<String>,
    /// User id of the container's processes; not 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_294_i64))]
    pub run_as_user: Option<i64>,
    /// The `RuntimeClass` of its pods, for example one that isolates them from the node's kernel;
    /// the LanguageCluster's when absent. Service mode only: a sidecar runs in its agents' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(crate::pod::RUNTIME_CLASS_RULE).message(crate::pod::RUNTIME_CLASS_MESSAGE))]
    pub runtime_class_name: Option<String>,
    /// How the kubelet finds out whether the server is ready: by a TCP connection to its port from
    /// outside the container, or not at all. When absent: tcp in service mode, none as a sidecar,
    /// which may well listen at localhost only. Neither ends a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ToolProbe>,
    /// What it may reach in addition to DNS; nothing when absent. Sidecar mode: added to the
    /// agent's own, whose network it shares. Where the LanguageCluster denies egress, only what it
    /// allows.
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

/// How a tool's server is spoken to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ToolTransport {
    /// Streamable HTTP.
    #[default]
    Http,
    /// Standard input and output.
    Stdio,
}

/// How the kubelet finds out whether a tool is ready.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum ToolProbe {
    /// By a TCP connection to its port.
    Tcp,
    /// Not at all: it is ready once it runs.
    None,
}

/// Where a tool runs.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentMode {
    /// A Deployment and a Service.
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
    /// JSON Schema of its parameters; one of more than 16384 bytes (16 KiB) is left out, and the
    /// tool's status says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<InputSchema>,
}

/// The longest JSON Schema of an operation that is offered to the LLM, in bytes of compact JSON.
pub const MAX_INPUT_SCHEMA: usize = 16 * 1024;

/// JSON Schema of an operation's parameters, as text: it is only ever passed on, and parsed it
/// would take several times the room.
///
/// The API server cannot bound it (a structural schema has no recursion), so reading it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputSchema {
    /// Compact JSON of at most [`MAX_INPUT_SCHEMA`] bytes.
    Text(Arc<str>),
    /// It had this many bytes, and is not kept.
    TooLarge(usize),
}

impl InputSchema {
    /// The text, if it is held.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::TooLarge(_) => None,
        }
    }
}

impl From<&serde_json::Map<String, Value>> for InputSchema {
    fn from(schema: &serde_json::Map<String, Value>) -> Self {
        match serde_json::to_string(schema) {
            Ok(text) if text.len() <= MAX_INPUT_SCHEMA => Self::Text(text.into()),
            Ok(text) => Self::TooLarge(text.len()),
            // The keys of a map of JSON are texts: it can always be written.
            Err(_) => Self::TooLarge(0),
        }
    }
}

impl<'de> Deserialize<'de> for InputSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Map::deserialize(deserializer).map(|schema| Self::from(&schema))
    }
}

impl Serialize for InputSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let schema = self.text().unwrap_or("{}");
        let schema: Value = serde_json::from_str(schema).map_err(serde::ser::Error::custom)?;
        schema.serialize(serializer)
    }
}

impl JsonSchema for InputSchema {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "InputSchema".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "maxProperties": 64, "x-kubernetes-preserve-unknown-fields": true})
    }
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
    #[schemars(length(max = 1024))]
    pub endpoint: Option<String>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_mode: Option<DeploymentMode>,
    /// Pods that are ready (service mode).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Ready, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<crate::condition::Bounded>", length(max = crate::condition::MAX_CONDITIONS))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_held_as_text_up_to_its_bound() {
        let of = |length: usize| -> Operation {
            let padding = "x".repeat(length);
            serde_json::from_value(json!({"name": "o", "inputSchema": {"description": padding}}))
                .unwrap()
        };
        let room = MAX_INPUT_SCHEMA - r#"{"description":""}"#.len();
        let fits = of(room).input_schema.unwrap();
        assert_eq!(fits.text().map(str::len), Some(MAX_INPUT_SCHEMA));
        let over = of(room + 1);
        assert_eq!(
            over.input_schema,
            Some(InputSchema::TooLarge(MAX_INPUT_SCHEMA + 1))
        );
        let stored = serde_json::to_string(&over).unwrap();
        assert!(stored.len() < 100, "nothing of it is held: {stored}");
    }
}
