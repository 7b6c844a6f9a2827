//! Pods as every kind of ours builds them: unprivileged, without a service account's token, with a
//! writable /tmp and nothing else, requests and limits always set. All of it is accepted under Pod
//! Security `restricted`.
//!
//! Must not know what a container is for.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource,
        EnvVar, KeyToPath, LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec,
        ResourceRequirements, SeccompProfile, SecurityContext, Toleration, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use langop_api::{
    names::{CA_FILE, CA_MOUNT_PATH, env as names},
    pod::{
        CaBundle, NameRef, Resources, TaintEffect, Toleration as UserToleration, TolerationOperator,
    },
    policy::LabelValue,
};

use crate::{
    env,
    quantity::{self, InvalidQuantity},
    settings::Settings,
};

/// What every container may write.
const TMP: &str = "/tmp";
/// As many as the API takes.
const MAX_WRITABLE_PATHS: usize = 8;

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
    /// Room on the node's disk asked for: what it writes to its root file system, to emptyDirs and
    /// to its log.
    pub disk_request: &'static str,
    /// Room on the node's disk at most.
    pub disk_limit: &'static str,
}

/// For agents, tools and clients.
pub const DEFAULTS: ResourceDefaults = ResourceDefaults {
    cpu_request: "100m",
    cpu_limit: "500m",
    memory_request: "128Mi",
    memory_limit: "512Mi",
    disk_request: DISK_REQUEST,
    disk_limit: DISK_LIMIT,
};

/// Asked for of the node's disk unless the spec says otherwise.
pub const DISK_REQUEST: &str = "64Mi";
/// At most of the node's disk unless the spec says otherwise: without a bound a pod fills it, and
/// its neighbours are evicted.
pub const DISK_LIMIT: &str = "1Gi";
/// The resource of that name.
const DISK: &str = "ephemeral-storage";

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

/// Requests and limits, both set for every resource named here or there: a quota, and a LimitRange,
/// refuse a container without.
///
/// A limit that is not given is the larger of default and request; a request that is not given is
/// the smaller of default and limit.
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
    names.extend(["cpu", "memory", DISK]);
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
        DISK => Some((defaults.disk_request, defaults.disk_limit)),
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

impl From<Option<bool>> for RootFilesystem {
    /// As a spec has it.
    fn from(writable: Option<bool>) -> Self {
        match writable {
            Some(true) => Self::Writable,
            Some(false) | None => Self::ReadOnly,
        }
    }
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
    /// Replaces the image's entry point.
    pub command: Vec<String>,
    /// Arguments of the entry point.
    pub args: Vec<String>,
    /// Folders that it may write, each a volume.
    pub writable_paths: Vec<String>,
    /// User id instead of the pod's.
    pub run_as_user: Option<i64>,
    /// Whether the volume of [`ca_volume`] is there.
    pub ca_bundle: bool,
}

/// A container with /tmp and the whole security context.
pub fn container(input: ContainerInput) -> Container {
    let mut variables = input.env;
    variables.push(env::value(names::PORT, input.port.to_string()));
    variables.push(env::value(names::HOME, TMP));
    if input.ca_bundle {
        // A variable that the user sets is the user's.
        let is_free = |name: &&str| input.user_env.iter().all(|variable| variable.name != *name);
        let file = format!("{CA_MOUNT_PATH}/{CA_FILE}");
        variables.extend(
            CA_VARIABLES
                .iter()
                .copied()
                .filter(is_free)
                .map(|name| env::value(name, &file)),
        );
    }
    variables.extend(input.user_env);
    let mount = |name: String, path: &str| VolumeMount {
        name,
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount(tmp_volume(&input.name), TMP)];
    let writable = input.writable_paths.iter().enumerate();
    mounts.extend(writable.map(|(index, path)| mount(writable_volume(&input.name, index), path)));
    if input.ca_bundle {
        let volume = mount(ca_volume_name(&input.name), CA_MOUNT_PATH);
        mounts.push(VolumeMount {
            read_only: Some(true),
            ..volume
        });
    }
    mounts.extend(input.mounts);
    Container {
        name: input.name,
        image: Some(input.image),
        command: present(input.command),
        args: present(input.args),
        ports: Some(vec![ContainerPort {
            container_port: input.port,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        env: Some(variables),
        resources: Some(input.resources),
        volume_mounts: Some(mounts),
        security_context: Some(SecurityContext {
            run_as_user: input.run_as_user,
            ..security_context(input.root_filesystem)
        }),
        ..Container::default()
    }
}

pub(crate) fn security_context(root_filesystem: RootFilesystem) -> SecurityContext {
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

/// Short, because the names of containers leave little room in those of volumes.
fn writable_volume(container: &str, index: usize) -> String {
    format!("w{index}-{container}")
}

fn ca_volume_name(container: &str) -> String {
    format!("ca-{container}")
}

/// What programs read to find the authorities that they are to trust.
const CA_VARIABLES: [&str; 3] = [
    names::SSL_CERT_FILE,
    names::REQUESTS_CA_BUNDLE,
    names::NODE_EXTRA_CA_CERTS,
];

/// The volume of a container's authorities.
pub fn ca_volume(container: &str, bundle: &CaBundle) -> Volume {
    Volume {
        name: ca_volume_name(container),
        config_map: Some(ConfigMapVolumeSource {
            name: bundle.name.clone(),
            items: Some(vec![KeyToPath {
                key: bundle.key.clone(),
                path: CA_FILE.to_owned(),
                mode: None,
            }]),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The volumes that are made for a container: empty, and no larger than what it may use of the
/// node's disk.
fn own_volumes(container: &Container) -> Vec<Volume> {
    let mounts = container.volume_mounts.iter().flatten();
    let is_own = |name: &str| {
        name == tmp_volume(&container.name)
            || (0..MAX_WRITABLE_PATHS).any(|index| name == writable_volume(&container.name, index))
    };
    let limit = container
        .resources
        .as_ref()
        .and_then(|resources| resources.limits.as_ref()?.get(DISK).cloned());
    mounts
        .filter(|mount| is_own(&mount.name))
        .map(|mount| Volume {
            name: mount.name.clone(),
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: limit.clone(),
                medium: None,
            }),
            ..Volume::default()
        })
        .collect()
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
    /// The `RuntimeClass`; absent: its namespace's, if that has one.
    pub runtime_class_name: Option<String>,
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
    volumes.extend(containers.flat_map(own_volumes));
    let mut named = HashSet::new();
    let secrets = input.image_pull_secrets.into_iter();
    let secrets = secrets.filter(|secret| named.insert(secret.name.clone()));
    let labels = input.node_selector.into_iter();
    PodSpec {
        automount_service_account_token: Some(false),
        // Left out unless it is wanted: where the field means nothing yet, it is not sent.
        host_users: settings.user_namespaces.then_some(false),
        enable_service_links: Some(false),
        security_context: Some(pod_security_context(input.run_as_user, settings)),
        init_containers: present(input.init_containers),
        containers: input.containers,
        volumes: Some(volumes),
        runtime_class_name: input.runtime_class_name,
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

    #[test]
    fn nothing_on_the_nodes_disk_is_without_bound() {
        let made = container(ContainerInput {
            name: "agent".into(),
            resources: requirements(None, &DEFAULTS).unwrap(),
            writable_paths: vec!["/var/cache".into()],
            ..ContainerInput::default()
        });
        let limits = made.resources.clone().unwrap().limits.unwrap();
        assert_eq!(limits["ephemeral-storage"].0, "1Gi");
        let input = PodInput {
            containers: vec![made],
            ..PodInput::default()
        };
        let volumes = spec(input, &Settings::default()).volumes.unwrap();
        let sizes: Vec<_> = volumes
            .iter()
            .map(|volume| {
                (
                    volume.name.as_str(),
                    volume
                        .empty_dir
                        .as_ref()
                        .unwrap()
                        .size_limit
                        .as_ref()
                        .unwrap()
                        .0
                        .as_str(),
                )
            })
            .collect();
        assert_eq!(sizes, [("tmp-agent", "1Gi"), ("w0-agent", "1Gi")]);
    }

    #[test]
    fn a_user_namespace_is_a_setting() {
        let of = |user_namespaces| {
            let settings = Settings {
                user_namespaces,
                ..Settings::default()
            };
            spec(PodInput::default(), &settings).host_users
        };
        assert_eq!([of(false), of(true)], [None, Some(false)]);
    }

    #[test]
    fn a_secret_of_several_containers_is_named_once() {
        let secret = |name: &str| NameRef { name: name.into() };
        let input = PodInput {
            image_pull_secrets: vec![secret("a"), secret("b"), secret("a")],
            ..PodInput::default()
        };
        let secrets = spec(input, &Settings::default())
            .image_pull_secrets
            .unwrap();
        assert_eq!(
            secrets
                .iter()
                .map(|secret| secret.name.as_str())
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
    }
}
