//! Pods as every kind of ours builds them: unprivileged, without a service account's token, with a writable /tmp and nothing else,
//! requests and limits always set. All of it is accepted under Pod Security `restricted`.
//!
//! Must not know what a container is for.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, LocalObjectReference,
        PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile,
        SecurityContext, TCPSocketAction, Toleration, Volume, VolumeMount,
    },
    apimachinery::pkg::{
        api::resource::Quantity, apis::meta::v1::ObjectMeta, util::intstr::IntOrString,
    },
};
use langop_api::{
    names::env as names,
    pod::{NameRef, Resources, TaintEffect, Toleration as UserToleration, TolerationOperator},
    policy::LabelValue,
};

use crate::{
    env,
    quantity::{self, InvalidQuantity},
    settings::Settings,
};

/// What every container may write.
const TMP: &str = "/tmp";

/// What a container gets of a resource that its spec does not name.
#[derive(Clone, Copy, Debug)]
pub struct ResourceDefaults {
    /// CPU asked for.
    pub cpu_request: &'static str,
    /// CPU at most.
    pub cpu_limit: &'static str,
    /// Memory asked for.
    pub memory_request: &'static str,
    /// Memory at most.
    pub memory_limit: &'static str,
}

/// For agents, tools and clients.
pub const DEFAULTS: ResourceDefaults = ResourceDefaults {
    cpu_request: "100m",
    cpu_limit: "500m",
    memory_request: "128Mi",
    memory_limit: "512Mi",
};

/// Resources that no container can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourcesError {
    /// Not a quantity.
    #[error("resources: {resource}: {source}")]
    Quantity {
        /// Of which resource.
        resource: String,
        /// What is wrong with it.
        source: InvalidQuantity,
    },
    /// A request above its limit.
    #[error(
        "resources: the request of {resource} ({request}) is larger than its limit ({limit}): raise the limit or lower the request"
    )]
    RequestAboveLimit {
        /// Of which resource.
        resource: String,
        /// The request.
        request: String,
        /// The limit.
        limit: String,
    },
}

/// Requests and limits, both set for every resource named here or there: a quota, and a LimitRange, refuse a container without.
///
/// A limit that is not given is the larger of default and request; a request that is not given is the smaller of default and limit.
pub fn requirements(
    resources: Option<&Resources>,
    defaults: &ResourceDefaults,
) -> Result<ResourceRequirements, ResourcesError> {
    let empty = Resources::default();
    let given = resources.unwrap_or(&empty);
    let mut names: Vec<&str> = given
        .requests
        .keys()
        .chain(given.limits.keys())
        .map(String::as_str)
        .collect();
    names.extend(["cpu", "memory"]);
    names.sort_unstable();
    names.dedup();
    let mut requests = BTreeMap::new();
    let mut limits = BTreeMap::new();
    for name in names {
        let (request, limit) = pair(name, given, defaults)?;
        requests.insert(name.to_owned(), Quantity(request.to_owned()));
        limits.insert(name.to_owned(), Quantity(limit.to_owned()));
    }
    Ok(ResourceRequirements {
        requests: Some(requests),
        limits: Some(limits),
        claims: None,
    })
}

/// Request and limit of one resource.
fn pair<'a>(
    name: &str,
    given: &'a Resources,
    defaults: &ResourceDefaults,
) -> Result<(&'a str, &'a str), ResourcesError> {
    let larger = |a: &'a str, b: &'a str| {
        Ok(if amount(name, a)? >= amount(name, b)? {
            a
        } else {
            b
        })
    };
    let smaller = |a: &'a str, b: &'a str| {
        Ok(if amount(name, a)? <= amount(name, b)? {
            a
        } else {
            b
        })
    };
    let standard = match name {
        "cpu" => Some((defaults.cpu_request, defaults.cpu_limit)),
        "memory" => Some((defaults.memory_request, defaults.memory_limit)),
        _ => None,
    };
    let request = given.requests.get(name).map(|quantity| quantity.0.as_str());
    let limit = given.limits.get(name).map(|quantity| quantity.0.as_str());
    let (request, limit) = match (request, limit, standard) {
        (Some(request), Some(limit), _) => (request, limit),
        (Some(request), None, Some((_, limit))) => (request, larger(request, limit)?),
        (None, Some(limit), Some((request, _))) => (smaller(limit, request)?, limit),
        (None, None, Some(both)) => both,
        (Some(one), None, None) | (None, Some(one), None) => (one, one),
        (None, None, None) => ("0", "0"),
    };
    if amount(name, request)? > amount(name, limit)? {
        return Err(ResourcesError::RequestAboveLimit {
            resource: name.to_owned(),
            request: request.to_owned(),
            limit: limit.to_owned(),
        });
    }
    Ok((request, limit))
}

fn amount(resource: &str, text: &str) -> Result<quantity::Amount, ResourcesError> {
    quantity::parse(text).map_err(|source| ResourcesError::Quantity {
        resource: resource.to_owned(),
        source,
    })
}

/// Whether a container may write its image's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootFilesystem {
    /// No: only /tmp and its mounts.
    #[default]
    ReadOnly,
    /// Yes, until it restarts.
    Writable,
}

/// What differs between containers.
#[derive(Clone, Debug, Default)]
pub struct ContainerInput {
    /// Its name: a DNS label of at most 58 characters.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The port it listens on; also in `PORT`.
    pub port: i32,
    /// Variables of ours beside `PORT` and `HOME`.
    pub env: Vec<EnvVar>,
    /// The user's variables, which come last.
    pub user_env: Vec<EnvVar>,
    /// From [`requirements`].
    pub resources: ResourceRequirements,
    /// Mounts beside /tmp.
    pub mounts: Vec<VolumeMount>,
    /// Whether it may write its image's files.
    pub root_filesystem: RootFilesystem,
}

/// A container with /tmp and the whole security context.
pub fn container(input: ContainerInput) -> Container {
    let mut variables = input.env;
    variables.push(env::value(names::PORT, input.port.to_string()));
    variables.push(env::value(names::HOME, TMP));
    variables.extend(input.user_env);
    let mut mounts = vec![VolumeMount {
        name: tmp_volume(&input.name),
        mount_path: TMP.to_owned(),
        ..VolumeMount::default()
    }];
    mounts.extend(input.mounts);
    Container {
        name: input.name,
        image: Some(input.image),
        ports: Some(vec![ContainerPort {
            container_port: input.port,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        env: Some(variables),
        resources: Some(input.resources),
        volume_mounts: Some(mounts),
        security_context: Some(security_context(input.root_filesystem)),
        ..Container::default()
    }
}

fn security_context(root_filesystem: RootFilesystem) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        read_only_root_filesystem: Some(root_filesystem == RootFilesystem::ReadOnly),
        ..SecurityContext::default()
    }
}

/// Each container has a /tmp of its own: a sidecar is not trusted with the agent's files.
fn tmp_volume(container: &str) -> String {
    format!("tmp-{container}")
}

/// What differs between pods.
#[derive(Clone, Debug, Default)]
pub struct PodInput {
    /// From [`container`].
    pub containers: Vec<Container>,
    /// Sidecars, from [`container`].
    pub init_containers: Vec<Container>,
    /// Volumes beside those at /tmp.
    pub volumes: Vec<Volume>,
    /// User id instead of the setting's.
    pub run_as_user: Option<i64>,
    /// Secrets to pull images with.
    pub image_pull_secrets: Vec<NameRef>,
    /// Labels that a node must have.
    pub node_selector: BTreeMap<String, LabelValue>,
    /// Taints it tolerates.
    pub tolerations: Vec<UserToleration>,
    /// `Never` for Jobs; absent: the API server's default.
    pub restart_policy: Option<&'static str>,
}

/// A pod template with the whole security context.
pub fn template(
    labels: BTreeMap<String, String>,
    input: PodInput,
    settings: &Settings,
) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            ..ObjectMeta::default()
        }),
        spec: Some(spec(input, settings)),
    }
}

fn spec(input: PodInput, settings: &Settings) -> PodSpec {
    let mut volumes = input.volumes;
    let containers = input.init_containers.iter().chain(&input.containers);
    volumes.extend(containers.map(|container| empty_dir(tmp_volume(&container.name))));
    let secrets = input.image_pull_secrets.into_iter();
    let labels = input.node_selector.into_iter();
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(pod_security_context(input.run_as_user, settings)),
        init_containers: present(input.init_containers),
        containers: input.containers,
        volumes: Some(volumes),
        restart_policy: input.restart_policy.map(str::to_owned),
        image_pull_secrets: present(
            secrets
                .map(|NameRef { name }| LocalObjectReference { name })
                .collect(),
        ),
        node_selector: Some(
            labels
                .map(|(key, LabelValue(value))| (key, value))
                .collect(),
        )
        .filter(|map: &BTreeMap<_, _>| !map.is_empty()),
        tolerations: present(input.tolerations.into_iter().map(toleration).collect()),
        ..PodSpec::default()
    }
}

fn present<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn empty_dir(name: String) -> Volume {
    Volume {
        name,
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}

fn pod_security_context(run_as_user: Option<i64>, settings: &Settings) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: run_as_user.or(settings.run_as_user),
        run_as_group: settings.run_as_user,
        fs_group: settings.run_as_user,
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

fn toleration(user: UserToleration) -> Toleration {
    let operator = |operator| match operator {
        TolerationOperator::Exists => "Exists",
        TolerationOperator::Equal => "Equal",
    };
    let effect = |effect| match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    };
    Toleration {
        key: user.key,
        operator: user.operator.map(|value| operator(value).to_owned()),
        value: user.value,
        effect: user.effect.map(|value| effect(value).to_owned()),
        toleration_seconds: user.toleration_seconds,
    }
}

/// Succeeds when something listens on the port. Tries every two seconds, for two minutes.
pub fn tcp_probe(port: i32) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::Int(port),
            host: None,
        }),
        period_seconds: Some(2),
        failure_threshold: Some(60),
        ..Probe::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<[String; 4], ResourcesError> {
        let resources: Resources = serde_json::from_str(json).unwrap();
        let made = requirements(Some(&resources), &DEFAULTS)?;
        let (requests, limits) = (made.requests.unwrap(), made.limits.unwrap());
        Ok([
            &requests["cpu"],
            &limits["cpu"],
            &requests["memory"],
            &limits["memory"],
        ]
        .map(|quantity| quantity.0.clone()))
    }

    #[test]
    fn requests_and_limits_are_always_set_and_never_crossed() {
        for (json, made) in [
            ("{}", ["100m", "500m", "128Mi", "512Mi"]),
            (
                r#"{"requests": {"cpu": "2"}}"#,
                ["2", "2", "128Mi", "512Mi"],
            ),
            (
                r#"{"requests": {"cpu": "0.2"}}"#,
                ["0.2", "500m", "128Mi", "512Mi"],
            ),
            (
                r#"{"limits": {"memory": "64Mi"}}"#,
                ["100m", "500m", "64Mi", "64Mi"],
            ),
            (
                r#"{"limits": {"memory": "4Gi"}}"#,
                ["100m", "500m", "128Mi", "4Gi"],
            ),
            (
                r#"{"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}"#,
                ["100m", "500m", "1Gi", "2Gi"],
            ),
        ] {
            assert_eq!(of(json), Ok(made.map(str::to_owned)), "{json}");
        }
    }

    #[test]
    fn other_resources_get_both_sides() {
        let resources: Resources = serde_json::from_str(
            r#"{"limits": {"example.com/gpu": 1}, "requests": {"ephemeral-storage": "1Gi"}}"#,
        )
        .unwrap();
        let made = requirements(Some(&resources), &DEFAULTS).unwrap();
        let (requests, limits) = (made.requests.unwrap(), made.limits.unwrap());
        for name in ["example.com/gpu", "ephemeral-storage"] {
            assert_eq!(requests[name], limits[name]);
        }
    }

    #[test]
    fn impossible_resources_are_refused() {
        assert!(matches!(
            of(r#"{"requests": {"cpu": "many"}}"#),
            Err(ResourcesError::Quantity { .. })
        ));
        assert!(matches!(
            of(r#"{"limits": {"gpu.io/x": "1x"}}"#),
            Err(ResourcesError::Quantity { .. })
        ));
        let crossed = of(r#"{"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}"#).unwrap_err();
        assert!(crossed.to_string().contains("cpu (2)"), "{crossed}");
    }

    #[test]
    fn an_empty_setting_leaves_the_user_to_the_platform() {
        let settings = Settings {
            run_as_user: None,
            ..Settings::default()
        };
        let context = pod_security_context(None, &settings);
        assert_eq!(
            (context.run_as_user, context.run_as_group, context.fs_group),
            (None, None, None)
        );
        assert_eq!(context.run_as_non_root, Some(true));
        assert_eq!(
            pod_security_context(Some(7), &settings).run_as_user,
            Some(7)
        );
    }
}
