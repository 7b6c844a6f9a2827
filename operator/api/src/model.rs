//! LanguageModel: an LLM, reached through a proxy in the namespace, so that agents never hold the
//! provider's key.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    pod::{CaBundle, EnvVar, NameRef, Resources, SecretKeyRef},
    policy::EgressRule,
};

/// Names that the operator sets in some model proxy, the providers' own names of a key among them.
const ENV_RULE: &str = "self.all(e, !(e.name in ['PORT', 'HOME', 'LITELLM_PROVIDER', 'LITELLM_MODEL', 'ANTHROPIC_API_KEY', 'OPENAI_API_KEY', \
     'OLLAMA_API_KEY', 'CUSTOM_API_KEY', 'PROVIDER_API_KEY', 'LITELLM_MASTER_KEY', 'LITELLM_LOCAL_MODEL_COST_MAP', \
     'LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS', 'LITELLM_MODE', 'NO_DOCS', 'NO_REDOC', 'NO_OPENAPI']))";
const ENV_MESSAGE: &str = "env must not set a name the operator sets itself (PORT, HOME, the API keys of providers, PROVIDER_API_KEY, NO_DOCS, NO_REDOC, \
     NO_OPENAPI, and of LITELLM_*: PROVIDER, MODEL, MASTER_KEY, LOCAL_MODEL_COST_MAP, LOCAL_ANTHROPIC_BETA_HEADERS, MODE); use apiKeySecretRef for the key";
/// LiteLLM takes them for many models, several models, and an environment variable.
const MODEL_RULE: &str =
    "!self.contains('*') && !self.contains(',') && !self.startsWith('os.environ/')";
const MODEL_MESSAGE: &str = "model names one model: it must not contain '*' or ',', nor begin with os.environ/; write the provider's id, for example claude-sonnet-4-5";

/// An LLM, and the proxy through which agents reach it.
#[derive(CustomResource, Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "langop.io",
    version = "v1alpha1",
    kind = "LanguageModel",
    plural = "languagemodels",
    shortname = "lmodel",
    category = "langop",
    namespaced,
    status = "LanguageModelStatus",
    derive = "PartialEq",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider"),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(crate::names::NAME_RULE).message(crate::names::NAME_MESSAGE),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.provider != 'custom' || has(self.image)").message("provider custom needs image: the proxy that speaks to it"),
    validation = Rule::new("self.provider != 'openai-compatible' || has(self.endpoint) || has(self.image)").message("provider openai-compatible needs endpoint: the base URL of the server, for example https://llm.example.com/v1"),
    validation = Rule::new("!(self.provider in ['anthropic', 'openai']) || has(self.apiKeySecretRef) || has(self.endpoint) || has(self.image)").message("this provider needs apiKeySecretRef: the name of a Secret in this namespace that holds the key under 'api-key'"),
    validation = Rule::new("!has(self.args) || has(self.image)").message("args are for a proxy image of your own: set image, or leave args out"),
    validation = Rule::new("!has(self.configuration) || !has(self.image)").message("configuration is for the default proxy: a proxy image of your own takes env and args instead"),
    validation = Rule::new("!has(self.endpoint) || !has(self.image)").message("endpoint is for the default proxy: a proxy image of your own takes env and args instead")
)]
pub struct LanguageModelSpec {
    /// Who serves the model.
    pub provider: ModelProvider,
    /// The provider's id of the model, for example `claude-sonnet-4-5`.
    #[schemars(length(max = 256))]
    #[x_kube(
        validation = Rule::new("self.matches('^[!-~]+$')").message("model is the provider's id of the model, without white space; for example claude-sonnet-4-5"),
        validation = Rule::new(MODEL_RULE).message(MODEL_MESSAGE)
    )]
    pub model: String,
    /// The Secret with the provider's key. The operator never reads it: the proxy's container does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyRef>,
    /// Base URL of the provider, where it is not the provider's own, as its SDK takes it:
    /// `/chat/completions` is asked below it (anthropic: `/v1/messages`, ollama: `/api/chat`).
    /// `/v1` is added only for OpenAI's API and where there is no path; a full URL is taken as it
    /// is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://\\S+$')").message("endpoint is a URL that begins with http:// or https://, for example https://llm.example.com/v1"))]
    pub endpoint: Option<String>,
    /// Settings of the default proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ModelConfiguration>,
    /// A proxy of your own instead of the default one; it listens on `PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(crate::pod::IMAGE_RULE).message(crate::pod::IMAGE_MESSAGE))]
    pub image: Option<String>,
    /// Arguments of that image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub args: Vec<String>,
    /// Pods of the proxy; left to others (an autoscaler) when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// Resources of the proxy. Default: 512Mi of memory, 768Mi at most; 1536Mi for a proxy image of
    /// your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Secrets to pull its image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<NameRef>,
    /// The `RuntimeClass` of the proxy's pods, for example one that isolates them from the node's kernel;
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
    /// Further environment of the proxy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]), validation = Rule::new(ENV_RULE).message(ENV_MESSAGE))]
    pub env: Vec<EnvVar>,
    /// What the proxy may reach in addition to DNS. Absent: public addresses, on the port of
    /// `endpoint` or 443; a server in the cluster must be named here. Where the LanguageCluster
    /// denies egress, only what it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub egress: Option<Vec<EgressRule>>,
}

/// Who serves a model.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum ModelProvider {
    /// Anthropic.
    Anthropic,
    /// OpenAI.
    Openai,
    /// Ollama.
    Ollama,
    /// Any server that speaks OpenAI's API.
    OpenaiCompatible,
    /// Whatever the given image speaks to.
    Custom,
}

/// Settings of the default proxy.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ModelConfiguration {
    /// 0 to 2, for requests that say none. Left out where the model takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
    /// Maximum tokens of one answer, whatever a request says; the proxy gives one answer to a
    /// request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_tokens: Option<i32>,
    /// 0 to 1, for requests that say none. Left out where the model takes none. Anthropic's newer
    /// models refuse it together with temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f64>,
    /// Longest time of one request, in seconds: the whole of it, also of a stream. It is not tried
    /// again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_seconds: Option<i32>,
    /// Maximum requests in any minute, over all agents and both names of the model, for each pod of
    /// the proxy. More get 429 and `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_minute: Option<i32>,
}

/// What is known of a model.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct LanguageModelStatus {
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
    /// Pods of the proxy that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Ready, Reconciling, Stalled, `ConfigurationDoubtful`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<crate::condition::Bounded>", length(max = crate::condition::MAX_CONDITIONS))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where a model, tool or client stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServicePhase {
    /// Not ready yet.
    Pending,
    /// Ready.
    Running,
    /// Cannot become ready until a person changes something.
    Failed,
}

impl ModelProvider {
    /// The variable that carries the provider's key into the proxy.
    pub fn api_key_env(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::Openai | Self::OpenaiCompatible => "OPENAI_API_KEY",
            Self::Ollama => "OLLAMA_API_KEY",
            Self::Custom => "CUSTOM_API_KEY",
        }
    }
}
