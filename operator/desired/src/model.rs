//! Models: a proxy in the namespace that speaks to the provider, so that agents never hold its key.
//!
//! The default proxy is LiteLLM with a configuration of ours ([`litellm`]); a proxy image of the
//! user's own gets environment and its own arguments, and nothing else. Nothing here reads a
//! Secret: the key reaches the container by `secretKeyRef`.

mod endpoint;
mod litellm;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ConfigMap, Container, EnvVar, PodTemplateSpec, ResourceRequirements},
    jiff::Timestamp,
};
use langop_api::{
    LanguageModel, LanguageModelSpec, LanguageModelStatus,
    condition::{Reason, types},
    model::ModelProvider,
    names::{annotations, proxy_env},
};
use serde_json::Value;

use crate::{
    agent::ClusterView,
    children::{Applied, Children, Prepared},
    conditions::{Conditions, Invalid, Status, Summary, service_phase, with_warning},
    env, hash,
    meta::{self, Component, owner_of},
    pod::{self, ContainerInput, PodInput, ResourceDefaults},
    reach::{Image, Pods, Reach, network_policy, reach},
    references::{MODEL_PORT, ModelView},
    settings::Settings,
    workload::{Rollout, Workload, listening},
};

/// Measured with LiteLLM 1.108.7 behind the door: 333 MB after its start, 390 MB after 2,400
/// requests, 8 at once; 459 MB was the most seen.
const DEFAULTS: ResourceDefaults = ResourceDefaults {
    cpu_request: "100m",
    cpu_limit: "1",
    memory_request: "512Mi",
    memory_limit: "768Mi",
    disk_request: pod::DISK_REQUEST,
    disk_limit: pod::DISK_LIMIT,
};

/// What a proxy of the user's own needs is not known; older LiteLLMs died with less.
const OWN_DEFAULTS: ResourceDefaults = ResourceDefaults {
    memory_limit: "1536Mi",
    ..DEFAULTS
};

/// Name of the proxy's container.
const CONTAINER: &str = "proxy";

/// A LanguageModel whose spec can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedModel {
    workload: Workload,
    resources: ResourceRequirements,
    reach: Reach,
    spec: LanguageModelSpec,
    /// The files of the default proxy; `None` for a proxy of the user's own.
    files: Option<BTreeMap<String, String>>,
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

/// The name of its policy. With a dot: an agent, tool or client may be called as the proxy is, and
/// has a policy of its name.
fn policy_name(model: &str) -> String {
    format!("{model}.proxy")
}

/// Checks what the API server could not.
pub fn validate(
    model: &LanguageModel,
    cluster: Option<&ClusterView>,
    settings: &Settings,
) -> Result<ValidatedModel, Invalid> {
    let owner = owner_of(model).ok_or_else(|| Invalid::spec("the object has no uid yet"))?;
    let spec = model.spec.clone();
    if spec.provider == ModelProvider::Ollama && spec.endpoint.is_none() && spec.image.is_none() {
        return Err(Invalid::spec(
            "provider ollama needs endpoint: the URL at which the proxy reaches the Ollama server, for example http://ollama.demo.svc:11434",
        ));
    }
    let defaults = match spec.image {
        Some(_) => OWN_DEFAULTS,
        None => DEFAULTS,
    };
    let resources = pod::requirements(spec.resources.as_ref(), &defaults)
        .map_err(|error| Invalid::spec(error.to_string()))?;
    let files = spec
        .image
        .is_none()
        .then(|| litellm::files(&owner.name, &spec))
        .transpose()
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
    if !reach.errors.is_empty() {
        return Err(Invalid::spec(reach.errors.join("; ")));
    }
    Ok(ValidatedModel {
        workload,
        resources,
        reach,
        spec,
        files,
    })
}

/// All children.
pub fn build(model: &ValidatedModel, settings: &Settings) -> Children<Prepared> {
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
        .push(model.workload.deployment(build_template(model, settings)));
    children.config_maps.extend(build_config_map(model));
    children
}

fn build_config_map(model: &ValidatedModel) -> Option<ConfigMap> {
    Some(ConfigMap {
        metadata: model.workload.metadata(),
        data: Some(model.files.clone()?),
        ..ConfigMap::default()
    })
}

fn build_template(model: &ValidatedModel, settings: &Settings) -> PodTemplateSpec {
    let container = match model.files {
        Some(_) => default_proxy(model, settings),
        None => own_proxy(model),
    };
    let volume = || litellm::volume(&model.workload.name);
    let bundle = model.spec.ca_bundle.as_ref();
    let input = PodInput {
        containers: vec![container],
        volumes: model
            .files
            .iter()
            .map(|_| volume())
            .chain(bundle.map(|bundle| pod::ca_volume(CONTAINER, bundle)))
            .collect(),
        image_pull_secrets: model.spec.image_pull_secrets.clone(),
        runtime_class_name: model.spec.runtime_class_name.clone(),
        ..PodInput::default()
    };
    let mut template = pod::template(
        meta::labels(Component::ModelProxy, &model.workload.owner.name),
        input,
        settings,
    );
    if let (Some(files), Some(metadata)) = (&model.files, &mut template.metadata) {
        let hash = hash::of_json(files);
        metadata.annotations = Some([(annotations::CONFIG_HASH.to_owned(), hash)].into());
    }
    template
}

fn default_proxy(model: &ValidatedModel, settings: &Settings) -> Container {
    let image = settings.model_proxy_image.clone();
    let key = proxy_env::PROVIDER_API_KEY;
    let mut container = container(model, image, litellm::variables(), key);
    litellm::equip(&mut container, settings);
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
        env::value(proxy_env::PROVIDER, provider),
        env::value(proxy_env::MODEL, &spec.model),
    ];
    let image = spec.image.clone().unwrap_or_default();
    let mut container = container(model, image, variables, spec.provider.api_key_env());
    container.args = Some(spec.args.clone()).filter(|args| !args.is_empty());
    container.readiness_probe = Some(listening(MODEL_PORT));
    container
}

/// What both proxies have; the provider's key is in the variable `key`.
fn container(
    model: &ValidatedModel,
    image: String,
    mut variables: Vec<EnvVar>,
    key: &str,
) -> Container {
    let spec = &model.spec;
    let secret = spec.api_key_secret_ref.as_ref();
    variables.extend(secret.map(|secret| env::from_secret(key, &secret.name, &secret.key)));
    pod::container(ContainerInput {
        name: CONTAINER.to_owned(),
        image,
        port: MODEL_PORT,
        env: variables,
        user_env: env::user_env(&spec.env),
        resources: model.resources.clone(),
        ca_bundle: spec.ca_bundle.is_some(),
        ..ContainerInput::default()
    })
}

/// The status after all children are applied, or after what kept them from being.
pub fn status(
    model: &LanguageModel,
    children: Result<&Children<Applied>, Summary>,
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
    next.summary(with_warning(rollout.summary_after(children, now), denied));
    if let Some(doubt) = litellm::doubt(&model.spec) {
        let type_ = types::CONFIGURATION_DOUBTFUL;
        next.set(type_, Status::True, Reason::TemperatureBesideTopP, doubt);
    }
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
