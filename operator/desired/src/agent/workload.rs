//! The pod template of an agent: its container, its sidecar tools, and the environment that is the
//! contract with both.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, EnvVar, PersistentVolumeClaimVolumeSource, PodTemplateSpec,
    Volume, VolumeMount,
};
use langop_api::{
    names::{self, env as variables},
    pod::NameRef,
};
use langop_dsl::format_duration;

use super::{
    claim_name,
    code::ActiveCode,
    timing::{Timing, distance},
    validate::{RunSpec, Sidecar, Timeout, ValidatedAgent},
};
use crate::{
    env,
    meta::{self, Component},
    pod::{self, ContainerInput, PodInput},
    settings::Settings,
    stdio, tool,
};

/// Name of the agent's own container.
const CONTAINER: &str = "agent";
/// Name of the volume that holds the code.
const CODE_VOLUME: &str = "code";
/// Name of the volume that is the workspace.
const WORKSPACE_VOLUME: &str = "workspace";

/// What the names of sidecars' containers begin with.
const SIDECAR_PREFIX: &str = "tool-";

/// What the pods of an agent are made from.
pub(super) struct Template<'a> {
    pub(super) agent: &'a ValidatedAgent,
    pub(super) run: &'a RunSpec,
    pub(super) code: Option<&'a ActiveCode>,
    pub(super) timing: &'a Timing,
    pub(super) settings: &'a Settings,
}

impl Template<'_> {
    /// The template of the pods of a Deployment, which stay.
    pub(super) fn of_deployment(&self) -> PodTemplateSpec {
        let schedule = match self.timing {
            Timing::Every { seconds } => Some(distance(*seconds)),
            Timing::Continuous | Timing::Cron { .. } => None,
        };
        self.build(schedule, None)
    }

    /// The template of the pods of the CronJob that fires by `expression`.
    pub(super) fn of_cron_job(&self, expression: &str) -> PodTemplateSpec {
        self.build(Some(expression.to_owned()), Some("Never"))
    }

    /// `schedule` is what `AGENT_SCHEDULE` says.
    fn build(
        &self,
        schedule: Option<String>,
        restart_policy: Option<&'static str>,
    ) -> PodTemplateSpec {
        let run = self.run;
        let mut labels = meta::labels(Component::Agent, &self.agent.name);
        for (key, value) in &run.pod_labels {
            // A label of ours decides which policy holds; nobody overrides it.
            labels.entry(key.clone()).or_insert_with(|| value.0.clone());
        }
        let input = PodInput {
            containers: vec![self.container(schedule)],
            init_containers: self.init_containers(),
            volumes: self.volumes(),
            run_as_user: run.run_as_user,
            image_pull_secrets: self.image_pull_secrets(),
            node_selector: run.node_selector.clone(),
            tolerations: run.tolerations.clone(),
            runtime_class_name: run.runtime_class_name.clone(),
            restart_policy,
        };
        pod::template(labels, input, self.settings)
    }

    /// What a run may take at most: the spec's word, else the code's.
    pub(super) fn timeout(&self) -> Option<Timeout> {
        self.run.timeout.clone().or_else(|| {
            let seconds = self.code?.requirements.constraints.timeout_seconds?;
            Some(Timeout {
                text: format_duration(seconds),
                seconds,
            })
        })
    }

    fn container(&self, schedule: Option<String>) -> Container {
        let code_mount = self.code.map(|_| VolumeMount {
            name: CODE_VOLUME.to_owned(),
            mount_path: names::CODE_MOUNT_PATH.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
        pod::container(ContainerInput {
            name: CONTAINER.to_owned(),
            image: self.run.image.clone(),
            port: self.run.port,
            env: self.env(schedule),
            user_env: env::user_env(&self.run.env),
            resources: self.run.resources.clone(),
            mounts: code_mount
                .into_iter()
                .chain(self.workspace_mount())
                .collect(),
            root_filesystem: self.run.root_filesystem,
            ca_bundle: self.run.ca_bundle.is_some(),
            ..ContainerInput::default()
        })
    }

    /// What the sidecars need, then they.
    fn init_containers(&self) -> Vec<Container> {
        let adapter = self.has_adapter().then(|| stdio::installer(self.settings));
        let sidecars = self.run.sidecars.iter();
        adapter
            .into_iter()
            .chain(sidecars.map(|sidecar| self.sidecar(sidecar)))
            .collect()
    }

    fn has_adapter(&self) -> bool {
        let mut sidecars = self.run.sidecars.iter();
        sidecars.any(|sidecar| stdio::is_adapted(&sidecar.spec))
    }

    /// A native sidecar: it starts before the agent's container, runs beside it, and does not keep
    /// a Job from ending.
    fn sidecar(&self, sidecar: &Sidecar) -> Container {
        let also = ContainerInput {
            env: self.workspace_path().into_iter().collect(),
            mounts: self.workspace_mount().into_iter().collect(),
            ..ContainerInput::default()
        };
        let mut container = tool::container(
            &sidecar_name(sidecar),
            &sidecar.spec,
            sidecar.resources.clone(),
            also,
        );
        container.restart_policy = Some("Always".to_owned());
        container
    }

    /// The images of all containers are pulled with the secrets of the pod.
    fn image_pull_secrets(&self) -> Vec<NameRef> {
        let sidecars = self.run.sidecars.iter();
        let lent = sidecars.flat_map(|sidecar| &sidecar.spec.image_pull_secrets);
        self.run
            .image_pull_secrets
            .iter()
            .chain(lent)
            .cloned()
            .collect()
    }

    /// The contract, in the order of its documentation.
    fn env(&self, schedule: Option<String>) -> Vec<EnvVar> {
        let mut all = env::given(&self.agent.references);
        all.push(env::value(variables::AGENT_NAME, &self.agent.name));
        all.push(env::value(
            variables::AGENT_NAMESPACE,
            &self.agent.namespace,
        ));
        all.push(env::value(
            variables::AGENT_MODE,
            self.timing.mode().as_str(),
        ));
        let (only, time_zone) = self.only();
        let optional = [
            (variables::AGENT_SCHEDULE, schedule),
            (variables::AGENT_SCHEDULE_ONLY, only),
            (variables::AGENT_TIME_ZONE, time_zone),
            (variables::AGENT_MAX_ITERATIONS, self.max_iterations()),
            (
                variables::AGENT_TIMEOUT,
                self.timeout().map(|timeout| timeout.text),
            ),
        ];
        all.extend(
            optional
                .into_iter()
                .filter_map(|(name, text)| Some(env::value(name, text?))),
        );
        all.extend(self.workspace_path());
        if self.code.is_some() {
            let path = format!("{}/{}", names::CODE_MOUNT_PATH, names::CODE_KEY);
            all.push(env::value(variables::AGENT_CODE_PATH, path));
        }
        all.extend(self.instructions());
        all.extend(self.telemetry());
        all
    }

    /// The days on which a run has something to do, and the zone whose days they are. Without such
    /// days neither is said, so that nothing rolls.
    fn only(&self) -> (Option<String>, Option<String>) {
        match self.timing {
            Timing::Cron {
                only: Some(only),
                time_zone,
                ..
            } => (Some(only.to_string()), time_zone.clone()),
            _ => (None, None),
        }
    }

    /// OpenTelemetry's own variables, but for those that the user sets.
    fn telemetry(&self) -> Vec<EnvVar> {
        let Some(collector) = &self.settings.agent_telemetry else {
            return Vec::new();
        };
        let attributes = format!(
            "k8s.namespace.name={},service.namespace={}",
            self.agent.namespace, self.agent.namespace
        );
        let mut variables = vec![
            env::value(variables::OTEL_ENDPOINT, &collector.endpoint),
            env::value(variables::OTEL_PROTOCOL, &collector.protocol),
            env::value(variables::OTEL_SERVICE_NAME, &self.agent.name),
            env::value(variables::OTEL_RESOURCE_ATTRIBUTES, attributes),
        ];
        let synthesis = self.code.and_then(|code| code.traceparent.as_ref());
        variables
            .extend(synthesis.map(|trace| env::value(variables::SYNTHESIS_TRACEPARENT, trace)));
        variables.retain(|ours| self.run.env.iter().all(|theirs| theirs.name != ours.name));
        variables
    }

    fn max_iterations(&self) -> Option<String> {
        let by_code = || {
            self.code?
                .requirements
                .constraints
                .max_iterations
                .map(|number| number.to_string())
        };
        self.run
            .max_iterations
            .map(|number| number.to_string())
            .or_else(by_code)
    }

    /// Those that the code was made from, not those in spec, which may have moved on.
    fn instructions(&self) -> Option<EnvVar> {
        match (self.code, &self.agent.instructions) {
            (Some(code), _) => Some(env::from_config_map(
                variables::INSTRUCTIONS,
                &code.config_map,
                names::INSTRUCTIONS_KEY,
            )),
            (None, Some(instructions)) => {
                Some(env::value(variables::INSTRUCTIONS, &instructions.text))
            }
            (None, None) => None,
        }
    }

    fn workspace_path(&self) -> Option<EnvVar> {
        let workspace = self.run.workspace.as_ref()?;
        Some(env::value(variables::WORKSPACE_PATH, &workspace.mount_path))
    }

    fn workspace_mount(&self) -> Option<VolumeMount> {
        let workspace = self.run.workspace.as_ref()?;
        Some(VolumeMount {
            name: WORKSPACE_VOLUME.to_owned(),
            mount_path: workspace.mount_path.clone(),
            ..VolumeMount::default()
        })
    }

    fn volumes(&self) -> Vec<Volume> {
        let code = self.code.map(|code| Volume {
            name: CODE_VOLUME.to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: code.config_map.clone(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        });
        let workspace = self.run.workspace.as_ref().map(|_| Volume {
            name: WORKSPACE_VOLUME.to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(&self.agent.name),
                read_only: None,
            }),
            ..Volume::default()
        });
        let own = self
            .run
            .ca_bundle
            .as_ref()
            .map(|bundle| pod::ca_volume(CONTAINER, bundle));
        let sidecars = self.run.sidecars.iter().filter_map(|sidecar| {
            let bundle = sidecar.spec.ca_bundle.as_ref()?;
            Some(pod::ca_volume(&sidecar_name(sidecar), bundle))
        });
        code.into_iter()
            .chain(workspace)
            .chain(own)
            .chain(sidecars)
            .chain(self.has_adapter().then(stdio::volume))
            .collect()
    }
}

/// Name of a sidecar's container.
fn sidecar_name(sidecar: &Sidecar) -> String {
    format!("{SIDECAR_PREFIX}{}", sidecar.tool)
}

/// The tool whose sidecar a container is, by its name.
pub(crate) fn sidecar_of(container: &str) -> Option<&str> {
    container.strip_prefix(SIDECAR_PREFIX)
}
