//! LanguageClient: a chat or API front end over models and tools, with the same environment as an
//! agent.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    model::ServicePhase,
    pod::{CaBundle, EnvVar, NameRef, Resources},
    policy::IngressPeer,
};

/// A chat or API front end over models and tools.
#[derive(CustomResource, Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "langop.io",
    version = "v1alpha1",
    kind = "LanguageClient",
    plural = "languageclients",
    shortname = "lclient",
    category = "langop",
    namespaced,
    status = "LanguageClientStatus",
    derive = "PartialEq",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(crate::names::NAME_RULE).message(crate::names::NAME_MESSAGE),
)]
#[serde(rename_all = "camelCase")]
pub struct LanguageClientSpec {
    /// The front end's image; it listens on `PORT`.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(crate::pod::IMAGE_RULE).message(crate::pod::IMAGE_MESSAGE))]
    pub image: String,
    /// The port it listens on.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Pods; left to others (an autoscaler) when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// The models it may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub model_refs: Vec<NameRef>,
    /// The tools it may use; service mode only, because a sidecar has no address outside its pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tool_refs: Vec<NameRef>,
    /// Further environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]), validation = Rule::new(crate::agent::ENV_RULE).message(crate::agent::ENV_MESSAGE))]
    pub env: Vec<EnvVar>,
    /// Resources of its container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Secrets to pull its image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<NameRef>,
    /// The `RuntimeClass` of its pods, for example one that isolates them from the node's kernel;
    /// the LanguageCluster's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(crate::pod::RUNTIME_CLASS_RULE).message(crate::pod::RUNTIME_CLASS_MESSAGE))]
    pub runtime_class_name: Option<String>,
    /// Certificate authorities that it trusts, in addition to or instead of those of its image:
    /// mounted read-only, and named by `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` and
    /// `NODE_EXTRA_CA_CERTS`. The first two replace an image's own list, so name the public ones,
    /// too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,
    /// Namespaces that may come in, on its port only; absent: its own, and those that the
    /// LanguageCluster lets in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub ingress_from: Option<Vec<IngressPeer>>,
}

fn default_port() -> i32 {
    8080
}

/// What is known of a client.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct LanguageClientStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Derived from the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ServicePhase>,
    /// Where people reach it in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub endpoint: Option<String>,
    /// Pods that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Ready, Reconciling, Stalled, `ReferencesResolved`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<crate::condition::Bounded>", length(max = crate::condition::MAX_CONDITIONS))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
