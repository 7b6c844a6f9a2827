//! The default proxy: LiteLLM, its configuration, and the door before it (guard.py) that lets
//! through what the LanguageModel says and nothing else.
//!
//! The door is a file in LiteLLM's own process rather than a program of ours in front: it needs no
//! image beside LiteLLM's, and no second hop for a stream. It stands before LiteLLM's whole
//! application and writes what passes anew, so nothing depends on which routes, headers and fields
//! a release knows.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        ConfigMapVolumeSource, Container, EnvVar, HTTPGetAction, Probe, Volume, VolumeMount,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use langop_api::{
    LanguageModelSpec,
    model::{ModelConfiguration, ModelProvider},
    names::proxy_env as names,
};
use serde_json::{Map, Value, json};

use super::endpoint::{self, EndpointError};
use crate::{
    env,
    references::MODEL_PORT,
    settings::{IpFamily, Settings},
};

const FOLDER: &str = "/etc/litellm";
const CONFIG_FILE: &str = "config.yaml";
const GUARD_FILE: &str = "guard.py";
const RULES_FILE: &str = "guard.json";
const GUARD: &str = include_str!("guard.py");

/// The files of the default proxy, by name. Their texts are the same for the same spec.
pub(super) fn files(
    name: &str,
    spec: &LanguageModelSpec,
) -> Result<BTreeMap<String, String>, EndpointError> {
    let config = config(name, spec)?;
    Ok([
        (CONFIG_FILE, format!("{config:#}\n")),
        (GUARD_FILE, GUARD.to_owned()),
        (RULES_FILE, format!("{:#}\n", rules(name, spec))),
    ]
    .map(|(file, text)| (file.to_owned(), text))
    .into())
}

/// LiteLLM's `config.yaml`. JSON is YAML.
fn config(name: &str, spec: &LanguageModelSpec) -> Result<Value, EndpointError> {
    Ok(json!({
        "model_list": [{"model_name": name, "litellm_params": parameters(spec)?}],
        "general_settings": {"custom_auth": "guard.authenticate"},
        // Reasoning models refuse temperature and top_p, and would so refuse every request.
        "litellm_settings": {"drop_params": true},
        // One deployment: to try again multiplies a time-out and a bill, to rest after an error
        // takes the model from everybody.
        "router_settings": {"num_retries": 0, "disable_cooldowns": true},
    }))
}

/// What the door goes by. Agents may ask for the model by the LanguageModel's name or by the
/// provider's id.
fn rules(name: &str, spec: &LanguageModelSpec) -> Value {
    let configuration = spec.configuration.clone().unwrap_or_default();
    let mut names = vec![name, &spec.model];
    names.dedup();
    json!({
        "model": name,
        "names": names,
        "max_tokens": configuration.max_tokens,
        "requests_per_minute": configuration.requests_per_minute,
        "timeout_seconds": configuration.timeout_seconds,
    })
}

/// What LiteLLM is told of the model.
fn parameters(spec: &LanguageModelSpec) -> Result<Map<String, Value>, EndpointError> {
    let prefix = match spec.provider {
        ModelProvider::Anthropic => "anthropic",
        ModelProvider::Ollama => "ollama_chat",
        ModelProvider::Openai | ModelProvider::OpenaiCompatible | ModelProvider::Custom => "openai",
    };
    let endpoint = spec.endpoint.as_deref();
    let base = endpoint
        .map(|endpoint| endpoint::api_base(spec.provider, endpoint))
        .transpose()?;
    let configuration = spec.configuration.clone().unwrap_or_default();
    let told = [
        ("model", Some(json!(format!("{prefix}/{}", spec.model)))),
        ("api_key", api_key(spec).map(Value::from)),
        ("api_base", base.map(Value::from)),
        ("temperature", configuration.temperature.map(Value::from)),
        ("max_tokens", configuration.max_tokens.map(Value::from)),
        ("top_p", configuration.top_p.map(Value::from)),
        ("timeout", configuration.timeout_seconds.map(Value::from)),
    ];
    Ok(told
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect())
}

/// Where LiteLLM finds the key: in a variable that it knows only from here. For a server of these
/// protocols that wants none, its client still wants a text.
fn api_key(spec: &LanguageModelSpec) -> Option<String> {
    match (&spec.api_key_secret_ref, spec.provider) {
        (Some(_), _) => Some(format!("os.environ/{}", names::PROVIDER_API_KEY)),
        (None, ModelProvider::Ollama) => None,
        (None, _) => Some("none".to_owned()),
    }
}

/// The variables of the default proxy beside the key's.
pub(super) fn variables() -> Vec<EnvVar> {
    let mut variables = vec![
        // It starts with none without one. Nobody is given it: the door takes no keys.
        env::from_field(names::MASTER_KEY, "metadata.uid"),
    ];
    // Any value of the first two means on; without them start and requests wait for what a closed
    // network does not give.
    variables.extend(
        [
            (names::LOCAL_MODEL_COST_MAP, "True"),
            (names::LOCAL_ANTHROPIC_BETA_HEADERS, "True"),
            (names::MODE, "PRODUCTION"),
            (names::NO_DOCS, "True"),
            (names::NO_REDOC, "True"),
            (names::NO_OPENAPI, "True"),
        ]
        .map(|(name, text)| env::value(name, text)),
    );
    variables
}

/// Makes a container the default proxy.
pub(super) fn equip(container: &mut Container, settings: &Settings) {
    let host = match settings.pod_ip_family {
        IpFamily::V4 => "0.0.0.0",
        IpFamily::V6 => "::",
    };
    let (config, port) = (format!("{FOLDER}/{CONFIG_FILE}"), MODEL_PORT.to_string());
    container.args = Some(
        [
            ["--config", &config],
            ["--host", host],
            ["--port", &port],
            // The door counts requests, and so does one process.
            ["--num_workers", "1"],
        ]
        .as_flattened()
        .iter()
        .map(|arg| (*arg).to_owned())
        .collect(),
    );
    let mounts = container.volume_mounts.get_or_insert_default();
    mounts.push(VolumeMount {
        name: "config".to_owned(),
        mount_path: FOLDER.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    });
    // Never `/health`, which asks the paid upstream. A start takes some 15 s of CPU, and longer
    // where there is less.
    container.startup_probe = Some(probe("/health/liveness", 5, 60));
    container.liveness_probe = Some(probe("/health/liveness", 10, 6));
    container.readiness_probe = Some(probe("/health/readiness", 5, 3));
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(MODEL_PORT),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

/// The volume with the files.
pub(super) fn volume(config_map: &str) -> Volume {
    Volume {
        name: "config".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map.to_owned(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// Why a configuration may be refused by the provider, if it may.
pub(super) fn doubt(spec: &LanguageModelSpec) -> Option<&'static str> {
    let both = |configuration: &ModelConfiguration| {
        configuration.temperature.is_some() && configuration.top_p.is_some()
    };
    let doubtful =
        spec.provider == ModelProvider::Anthropic && spec.configuration.as_ref().is_some_and(both);
    doubtful.then_some(
        "configuration sets temperature and topP: Anthropic's newer models refuse every request that has both; leave one of them out",
    )
}
