//! Tools: an MCP server. In service mode it has a Deployment, a Service, and a policy for both
//! directions; in sidecar mode it has no children, because it runs in the pods of its agents.

use k8s_openapi::{
    api::{
        core::v1::{Container, PodTemplateSpec, ResourceRequirements},
        networking::v1::NetworkPolicy,
    },
    jiff::Timestamp,
};
use langop_api::{
    LanguageTool, LanguageToolSpec, LanguageToolStatus,
    condition::{Reason, types},
    tool::{DeploymentMode, InputSchema, MAX_INPUT_SCHEMA, ToolProbe},
};

use crate::{
    agent::ClusterView,
    children::{Applied, Children, Prepared},
    conditions::{Conditions, Invalid, Status, Summary, service_phase, with_warning},
    env,
    meta::{self, Component, owner_of},
    name_conflict::{self, NameCollision, NamedKind},
    pod::{self, ContainerInput, PodInput, RootFilesystem},
    reach::{Pods, Reach, network_policy, reach},
    references::ToolView,
    settings::Settings,
    stdio,
    workload::{Rollout, Workload, listening},
};

/// Name of the container of a tool that is a service.
const CONTAINER: &str = "tool";

/// A LanguageTool whose spec can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedTool {
    workload: Workload,
    resources: ResourceRequirements,
    reach: Reach,
    spec: LanguageToolSpec,
}

/// Checks what the API server could not: `same_name` are the agents and clients of the same name.
pub fn validate(
    tool: &LanguageTool,
    same_name: &[NameCollision],
    cluster: Option<&ClusterView>,
    settings: &Settings,
) -> Result<ValidatedTool, Invalid> {
    let created = tool.metadata.creation_timestamp.as_ref().map(|time| time.0);
    if let Some(message) = name_conflict::conflict(NamedKind::Tool, created, same_name) {
        return Err(Invalid {
            reason: Reason::NameConflict,
            message,
        });
    }
    let owner = owner_of(tool).ok_or_else(|| Invalid::spec("the object has no uid yet"))?;
    let spec = tool.spec.clone();
    let resources = pod::requirements(spec.resources.as_ref(), &pod::DEFAULTS)
        .map_err(|error| Invalid::spec(error.to_string()))?;
    let workload = Workload {
        component: Component::Tool,
        namespace: tool.metadata.namespace.clone().unwrap_or_default(),
        name: owner.name.clone(),
        owner,
        replicas: spec.replicas,
        port: spec.port,
    };
    let reach = reach(
        Pods::Tool {
            port: spec.port,
            egress: spec.egress.as_deref().unwrap_or_default(),
        },
        cluster,
        settings,
    );
    if !reach.errors.is_empty() {
        return Err(Invalid::spec(reach.errors.join("; ")));
    }
    Ok(ValidatedTool {
        workload,
        resources,
        reach,
        spec,
    })
}

impl ValidatedTool {
    /// What it asks for and may not reach, if anything. In sidecar mode its agents say so.
    pub fn denied(&self) -> Option<&Invalid> {
        let is_service = self.spec.deployment_mode == DeploymentMode::Service;
        self.reach.denied.as_ref().filter(|_| is_service)
    }
}

/// All children; none in sidecar mode.
pub fn build(tool: &ValidatedTool, settings: &Settings) -> Children<Prepared> {
    let mut children = Children::default();
    if tool.spec.deployment_mode == DeploymentMode::Service {
        children.network_policies.push(build_policy(tool));
        children.services.push(tool.workload.service());
        children
            .deployments
            .push(tool.workload.deployment(build_template(tool, settings)));
    }
    children
}

fn build_template(tool: &ValidatedTool, settings: &Settings) -> PodTemplateSpec {
    let container = container(
        CONTAINER,
        &tool.spec,
        tool.resources.clone(),
        ContainerInput::default(),
    );
    let bundle = tool.spec.ca_bundle.as_ref();
    let is_adapted = stdio::is_adapted(&tool.spec);
    let adapter = is_adapted.then(stdio::volume);
    let input = PodInput {
        containers: vec![container],
        init_containers: is_adapted
            .then(|| stdio::installer(settings))
            .into_iter()
            .collect(),
        volumes: bundle
            .map(|bundle| pod::ca_volume(CONTAINER, bundle))
            .into_iter()
            .chain(adapter)
            .collect(),
        image_pull_secrets: tool.spec.image_pull_secrets.clone(),
        runtime_class_name: tool.spec.runtime_class_name.clone(),
        ..PodInput::default()
    };
    pod::template(
        meta::labels(Component::Tool, &tool.workload.owner.name),
        input,
        settings,
    )
}

/// A tool's container: its pod's, or, with what `also` has, one beside an agent's.
///
/// A probe only ever says whether it is ready. One that ends a container would end a sidecar that
/// listens at localhost, as many do, for ever: the kubelet comes from outside.
pub(crate) fn container(
    name: &str,
    spec: &LanguageToolSpec,
    resources: ResourceRequirements,
    also: ContainerInput,
) -> Container {
    let by_default = match spec.deployment_mode {
        DeploymentMode::Service => ToolProbe::Tcp,
        DeploymentMode::Sidecar => ToolProbe::None,
    };
    let mut input = ContainerInput {
        name: name.to_owned(),
        image: spec.image.clone(),
        port: spec.port,
        user_env: env::user_env(&spec.env),
        resources,
        root_filesystem: RootFilesystem::from(spec.writable_root_filesystem),
        command: spec.command.to_vec(),
        args: spec.args.to_vec(),
        writable_paths: spec.writable_paths.clone(),
        run_as_user: spec.run_as_user,
        ca_bundle: spec.ca_bundle.is_some(),
        ..also
    };
    if stdio::is_adapted(spec) {
        stdio::adapt(&mut input, spec);
    }
    let mut container = pod::container(input);
    container.readiness_probe = match spec.probe.unwrap_or(by_default) {
        ToolProbe::Tcp => Some(listening(spec.port)),
        ToolProbe::None => None,
    };
    container
}

fn build_policy(tool: &ValidatedTool) -> NetworkPolicy {
    let ValidatedTool {
        workload, reach, ..
    } = tool;
    network_policy(
        workload.metadata(),
        workload.selector(),
        &reach.egress,
        &reach.ingress,
    )
}

/// Which schemas the LLM is not told, if any.
fn left_out(spec: &LanguageToolSpec) -> Option<String> {
    let too_large = spec
        .operations
        .iter()
        .filter_map(|operation| match operation.input_schema {
            Some(InputSchema::TooLarge(bytes)) => {
                Some(format!("'{}' ({bytes} bytes)", operation.name))
            }
            _ => None,
        });
    let names: Vec<String> = too_large.collect();
    (!names.is_empty()).then(|| {
        format!(
            "an inputSchema may have {MAX_INPUT_SCHEMA} bytes, and larger ones are not sent to the LLM: shorten those of the operations {}",
            names.join(", ")
        )
    })
}

/// The status after all children are applied, or after what kept them from being.
pub fn status(
    tool: &LanguageTool,
    children: Result<&Children<Applied>, Summary>,
    denied: Option<&Invalid>,
    rollout: Rollout<'_>,
    settings: &Settings,
    now: Timestamp,
) -> LanguageToolStatus {
    let generation = tool.metadata.generation.unwrap_or_default();
    let before = tool
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.conditions);
    let mode = tool.spec.deployment_mode;
    let mut next = Conditions::new(before, generation, now);
    next.summary(match (mode, children) {
        (_, Err(problem)) => problem,
        (DeploymentMode::Service, Ok(_)) => with_warning(rollout.summary(now), denied),
        (DeploymentMode::Sidecar, Ok(_)) => Summary::Ready(
            Reason::AsDesired,
            "runs as a sidecar in the pods of the agents that name it".into(),
        ),
    });
    if let Some(message) = left_out(&tool.spec) {
        next.set(
            types::OPERATIONS_OFFERED,
            Status::False,
            Reason::TooLarge,
            message,
        );
    }
    let conditions = next.finish();
    LanguageToolStatus {
        observed_generation: Some(generation),
        phase: Some(service_phase(&conditions)),
        endpoint: Some(ToolView::new(tool, settings).url),
        deployment_mode: Some(mode),
        ready_replicas: rollout
            .ready_replicas(now)
            .filter(|_| mode == DeploymentMode::Service),
        conditions,
    }
}

#[cfg(test)]
mod tests;
