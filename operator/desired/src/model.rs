//! Models: a proxy in the namespace that speaks to the provider, so that agents never hold its key.
//!
//! The default proxy is LiteLLM with a configuration of ours; a proxy image of the user's own gets environment and its own arguments,
//! and nothing else. Nothing here reads a Secret: the key reaches the container by `secretKeyRef`.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        ConfigMap, ConfigMapVolumeSource, Container, EnvVar, HTTPGetAction, PodTemplateSpec, Probe,
        ResourceRequirements, Volume, VolumeMount,
    },
    apimachinery::pkg::util::intstr::IntOrString,
    jiff::Timestamp,
};
use langop_api::{
    LanguageModel, LanguageModelSpec, LanguageModelStatus, model::ModelProvider, names::annotations,
};
use serde_json::{Map, Value, json};

use crate::{
    agent::ClusterView,
    children::{Applied, Children, Prepared},
    conditions::{Conditions, Invalid, Standing, remarked, service_phase},
    env, hash,
    meta::{self, Component, owner_of},
    observed::ChildKind,
    pod::{self, ContainerInput, PodInput, ResourceDefaults},
    reach::{Image, Pods, Reach, network_policy, reach},
    references::{MODEL_PORT, ModelView},
    settings::Settings,
    workload::{Rollout, Workload, listening},
};

/// LiteLLM dies with less than 1.5 GiB.
const DEFAULTS: ResourceDefaults = ResourceDefaults {
    cpu_request: "100m",
    cpu_limit: "1",
    memory_request: "512Mi",
    memory_limit: "1536Mi",
};

const CONFIG_FOLDER: &str = "/etc/litellm";
const CONFIG_FILE: &str = "config.yaml";

/// A LanguageModel whose spec can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedModel {
    workload: Workload,
    resources: ResourceRequirements,
    reach: Reach,
    spec: LanguageModelSpec,
}

impl ValidatedModel {
    /// What its proxy needs or asks for and may not reach, if anything.
    pub fn denied(&self) -> Option<&Invalid> {
        self.reach.denied.as_ref()
    }
}

/// The name of a model's children.
pub fn proxy_name(model: &str) -> String {
    format!("{model}-proxy")
}

/// The name of its policy. With a dot: an agent, tool or client may be called as the proxy is, and has a policy of its name.
fn policy_name(model: &str) -> String {
    format!("{model}.proxy")
}

/// Checks what the API server could not; `taken` are the names of children that are somebody else's.
pub fn validate(
    model: &LanguageModel,
    taken: &[(ChildKind, String)],
    cluster: Option<&ClusterView>,
    settings: &Settings,
) -> Result<ValidatedModel, Invalid> {
    if let Some(conflict) = Invalid::name_conflict(taken) {
        return Err(conflict);
    }
    let owner = owner_of(model).ok_or_else(|| Invalid::spec("the object has no uid yet"))?;
    let spec = model.spec.clone();
    if spec.provider == ModelProvider::Ollama && spec.endpoint.is_none() && spec.image.is_none() {
        return Err(Invalid::spec(
            "provider ollama needs endpoint: the URL at which the proxy reaches the Ollama server, for example http://ollama.demo.svc:11434",
        ));
    }
    let resources = pod::requirements(spec.resources.as_ref(), &DEFAULTS)
        .map_err(|error| Invalid::spec(error.to_string()))?;
    let workload = Workload {
        component: Component::ModelProxy,
        namespace: model.metadata.namespace.clone().unwrap_or_default(),
        name: proxy_name(&owner.name),
        owner,
        replicas: spec.replicas,
        port: MODEL_PORT,
    };
    let pods = Pods::Model {
        endpoint: spec.endpoint.as_deref(),
        image: spec.image.as_ref().map_or(Image::Default, |_| Image::Own),
        egress: spec.egress.as_deref(),
    };
    let reach = reach(pods, cluster, settings);
    if !reach.faults.is_empty() {
        return Err(Invalid::spec(reach.faults.join("; ")));
    }
    Ok(ValidatedModel {
        workload,
        resources,
        reach,
        spec,
    })
}

/// All children.
pub fn build(model: &ValidatedModel, settings: &Settings) -> Children<Prepared> {
    let config = model.spec.image.is_none().then(|| config(model));
    let mut children = Children::default();
    let mut metadata = model.workload.metadata();
    metadata.name = Some(policy_name(&model.workload.owner.name));
    children.network_policies.push(network_policy(
        metadata,
        model.workload.selector(),
        &model.reach.egress,
        &model.reach.ingress,
    ));
    children.services.push(model.workload.service());
    children
        .deployments
        .push(
            model
                .workload
                .deployment(build_template(model, config.as_deref(), settings)),
        );
    children
        .config_maps
        .extend(config.map(|config| build_config_map(model, config)));
    children
}

fn build_config_map(model: &ValidatedModel, config: String) -> ConfigMap {
    ConfigMap {
        metadata: model.workload.metadata(),
        data: Some([(CONFIG_FILE.to_owned(), config)].into()),
        ..ConfigMap::default()
    }
}

fn build_template(
    model: &ValidatedModel,
    config: Option<&str>,
    settings: &Settings,
) -> PodTemplateSpec {
    let container = match config {
        Some(_) => default_proxy(model, settings),
        None => own_proxy(model),
    };
    let input = PodInput {
        containers: vec![container],
        volumes: config.map(|_| config_volume(model)).into_iter().collect(),
        ..PodInput::default()
    };
    let mut template = pod::template(
        meta::labels(Component::ModelProxy, &model.workload.owner.name),
        input,
        settings,
    );
    if let (Some(config), Some(metadata)) = (config, &mut template.metadata) {
        let hash = hash::sha256_hex(config.as_bytes());
        metadata.annotations = Some([(annotations::CONFIG_HASH.to_owned(), hash)].into());
    }
    template
}

fn default_proxy(model: &ValidatedModel, settings: &Settings) -> Container {
    let mut container = container(model, settings.model_proxy_image.clone(), Vec::new());
    let file = format!("{CONFIG_FOLDER}/{CONFIG_FILE}");
    container.args = Some(
        ["--config", &file, "--port", &MODEL_PORT.to_string()]
            .map(str::to_owned)
            .into(),
    );
    container
        .volume_mounts
        .get_or_insert_default()
        .push(VolumeMount {
            name: "config".to_owned(),
            mount_path: CONFIG_FOLDER.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
    container.readiness_probe = Some(Probe {
        http_get: Some(HTTPGetAction {
            path: Some("/health/readiness".to_owned()),
            port: IntOrString::Int(MODEL_PORT),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(5),
        timeout_seconds: Some(5),
        ..Probe::default()
    });
    container
}

fn own_proxy(model: &ValidatedModel) -> Container {
    let spec = &model.spec;
    let provider = serde_json::to_value(spec.provider).ok();
    let provider = provider
        .as_ref()
        .and_then(Value::as_str)
        .unwrap_or_default();
    let variables = vec![
        env::value("LITELLM_PROVIDER", provider),
        env::value("LITELLM_MODEL", &spec.model),
    ];
    let mut container = container(model, spec.image.clone().unwrap_or_default(), variables);
    container.args = Some(spec.args.clone()).filter(|args| !args.is_empty());
    container.readiness_probe = Some(listening(MODEL_PORT));
    container
}

/// What both proxies have.
fn container(model: &ValidatedModel, image: String, mut variables: Vec<EnvVar>) -> Container {
    let spec = &model.spec;
    let key = spec.api_key_secret_ref.as_ref();
    variables.extend(
        key.map(|secret| env::from_secret(spec.provider.api_key_env(), &secret.name, &secret.key)),
    );
    pod::container(ContainerInput {
        name: "proxy".to_owned(),
        image,
        port: MODEL_PORT,
        env: variables,
        user_env: env::user_env(&spec.env),
        resources: model.resources.clone(),
        ..ContainerInput::default()
    })
}

fn config_volume(model: &ValidatedModel) -> Volume {
    Volume {
        name: "config".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: model.workload.name.clone(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// LiteLLM's `config.yaml`. JSON is YAML, and its text is the same for the same spec.
///
/// Agents may ask for the model by the LanguageModel's name or by the provider's id.
fn config(model: &ValidatedModel) -> String {
    let spec = &model.spec;
    let parameters = Value::Object(parameters(spec));
    let mut names = vec![&model.workload.owner.name, &spec.model];
    names.dedup();
    let models: Vec<Value> = names
        .into_iter()
        .map(|name| json!({"model_name": name, "litellm_params": parameters}))
        .collect();
    let mut config = BTreeMap::from([("model_list", json!(models))]);
    if parameters.get("rpm").is_some() {
        // Without it LiteLLM only weighs by `rpm` and refuses nothing.
        config.insert("router_settings", json!({"enable_pre_call_checks": true}));
    }
    format!("{:#}\n", json!(config))
}

/// What LiteLLM is told of the model.
fn parameters(spec: &LanguageModelSpec) -> Map<String, Value> {
    let prefix = match spec.provider {
        ModelProvider::Anthropic => "anthropic",
        ModelProvider::Ollama => "ollama_chat",
        ModelProvider::Openai | ModelProvider::OpenaiCompatible | ModelProvider::Custom => "openai",
    };
    let configuration = spec.configuration.clone().unwrap_or_default();
    [
        ("model", Some(json!(format!("{prefix}/{}", spec.model)))),
        ("api_key", api_key(spec).map(Value::from)),
        ("api_base", spec.endpoint.clone().map(Value::from)),
        ("temperature", configuration.temperature.map(Value::from)),
        ("max_tokens", configuration.max_tokens.map(Value::from)),
        ("top_p", configuration.top_p.map(Value::from)),
        ("timeout", configuration.timeout_seconds.map(Value::from)),
        ("rpm", configuration.requests_per_minute.map(Value::from)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

/// Where LiteLLM finds the key. For a server of these protocols that wants none, its client still wants a text.
fn api_key(spec: &LanguageModelSpec) -> Option<String> {
    match (&spec.api_key_secret_ref, spec.provider) {
        (Some(_), provider) => Some(format!("os.environ/{}", provider.api_key_env())),
        (None, ModelProvider::Ollama) => None,
        (None, _) => Some("none".to_owned()),
    }
}

/// The status after all children are applied, or after what kept them from being.
pub fn status(
    model: &LanguageModel,
    children: Result<&Children<Applied>, Standing>,
    denied: Option<&Invalid>,
    rollout: Rollout<'_>,
    settings: &Settings,
    now: Timestamp,
) -> LanguageModelStatus {
    let generation = model.metadata.generation.unwrap_or_default();
    let before = model
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.conditions);
    let mut next = Conditions::new(before, generation, now);
    next.summary(remarked(rollout.standing_after(children, now), denied));
    let conditions = next.finish();
    LanguageModelStatus {
        observed_generation: Some(generation),
        phase: Some(service_phase(&conditions)),
        endpoint: Some(ModelView::new(model, settings).url),
        ready_replicas: rollout.ready_replicas(now),
        conditions,
    }
}

#[cfg(test)]
mod tests;
