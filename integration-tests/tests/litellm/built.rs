//! The default proxy as the operator builds it: its files, arguments and environment, taken from
//! the builder, so that nothing is copied by hand.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::EnvVar;
use langop_api::LanguageModel;
use langop_desired::{model, settings::Settings};
use serde::Serialize;
use serde_json::{Value, json};

/// Where the operator mounts the files.
pub(crate) const FOLDER: &str = "/etc/litellm";
/// The text in the Secret.
pub(crate) const KEY: &str = "the-key-of-the-provider";
/// What stands for the pod's uid.
const UID: &str = "6f1c1b8e-52d0-4b0e-9a0e-0d1f4c3b2a19";

/// What of the default proxy's pod LiteLLM sees.
#[derive(Serialize)]
pub(crate) struct Built {
    pub files: BTreeMap<String, String>,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
}

/// The proxy of a LanguageModel `brain` with this spec.
pub(crate) fn built(spec: &Value) -> Built {
    let model: LanguageModel = serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageModel",
        "metadata": {"name": "brain", "namespace": "demo", "uid": "uid-of-brain", "generation": 1},
        "spec": spec,
    }))
    .unwrap();
    let settings = Settings::default();
    let validated = model::validate(&model, None, &settings).unwrap();
    let children = model::build(&validated, &settings);
    let template = children.deployments[0].spec.clone().unwrap().template;
    let container = template.spec.unwrap().containers.remove(0);
    Built {
        files: children.config_maps[0].data.clone().unwrap(),
        args: container.args.unwrap(),
        env: container.env.iter().flatten().map(text).collect(),
    }
}

/// What the kubelet would put into a variable.
fn text(variable: &EnvVar) -> (String, String) {
    (variable.name.clone(), value(variable))
}

fn value(variable: &EnvVar) -> String {
    let source = variable.value_from.as_ref();
    if source.is_some_and(|source| source.secret_key_ref.is_some()) {
        return KEY.to_owned();
    }
    if let Some(field) = source.and_then(|source| source.field_ref.as_ref()) {
        assert_eq!(field.field_path, "metadata.uid");
        return UID.to_owned();
    }
    variable.value.clone().unwrap().replace("$$", "$")
}

/// A spec of each provider, with everything that the proxy is told, in front of this address.
pub(crate) fn specs(upstream: &str) -> BTreeMap<&'static str, Value> {
    let key = json!({"name": "key"});
    let limits = json!({"maxTokens": 64, "timeoutSeconds": 3});
    let sampling = json!({"maxTokens": 64, "timeoutSeconds": 20, "temperature": 0.5, "topP": 0.5});
    let rate = json!({"maxTokens": 64, "timeoutSeconds": 20, "requestsPerMinute": 5});
    [
        (
            "openai-compatible",
            json!({"provider": "openai-compatible", "model": "org/model:7b", "endpoint": format!("{upstream}/v1/"), "configuration": limits, "apiKeySecretRef": key}),
        ),
        (
            "openai",
            json!({"provider": "openai", "model": "gpt-5", "endpoint": upstream, "configuration": sampling, "apiKeySecretRef": key}),
        ),
        (
            "anthropic",
            json!({"provider": "anthropic", "model": "claude-sonnet-4-5", "endpoint": format!("{upstream}/v1"), "configuration": rate, "apiKeySecretRef": key}),
        ),
        (
            "ollama",
            json!({"provider": "ollama", "model": "qwen3", "endpoint": upstream, "configuration": {"maxTokens": 64}}),
        ),
    ]
    .into()
}
