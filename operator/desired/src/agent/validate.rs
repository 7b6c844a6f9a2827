//! From the spec and its surroundings to a [`ValidatedAgent`]: typed, self-contained, every value
//! checked. Looks nothing up.
//!
//! Two grades of trouble. An agent whose names are not its own is refused whole: nothing of it is
//! written. Of an agent with any other fault only [`ValidatedAgent::run`] is missing: its workload
//! stays as it is, and its network policy goes on following its references.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::{core::v1::ResourceRequirements, networking::v1::NetworkPolicyEgressRule},
    jiff::Timestamp,
};
use kube::ResourceExt as _;
use langop_api::{
    LanguageAgentSpec, LanguageToolSpec,
    agent::{ExecutionMode, MAX_RESYNTHESIZE, Workspace},
    condition::Reason,
    names::{annotations, labels},
    pod::{CaBundle, EnvVar, NameRef, Toleration},
    policy::LabelValue,
};
use langop_dsl::{CronSchedule, ScheduleErrorKind, agent_name, instructions, parse_duration};

use super::{
    AgentContext, ClusterView,
    timing::{Requested, check_zone},
};
use crate::{
    approval::ApprovalRule,
    conditions::Invalid,
    frame::Frame,
    meta::{Owner, owner_of},
    name_conflict::{self, NamedKind},
    observed::Observed,
    pod::{self, RootFilesystem},
    quantity,
    reach::{Pods, reach},
    references::{References, ToolView},
    settings::Settings,
};

/// Revisions that are kept where the spec has no `synthesis`; the API's default where it has one.
const HISTORY_LIMIT: usize = 10;

/// An agent that may be acted on.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedAgent {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// It, as the owner of its children.
    pub owner: Owner,
    /// metadata.generation.
    pub generation: i64,
    /// What it should do; `None` also for text without a word.
    pub instructions: Option<Instructions>,
    /// Value of the annotation that asks for a new synthesis.
    pub resynthesize: Option<String>,
    /// The revision that its spec pins.
    pub pinned: Option<i64>,
    /// How many revisions are kept.
    pub history_limit: usize,
    /// The user's own image.
    pub own_image: Option<String>,
    /// What it refers to.
    pub references: References,
    /// All that its pods may reach.
    pub egress: Vec<NetworkPolicyEgressRule>,
    /// Names of the sidecar tools whose egress is part of that.
    pub sidecar_egress: Vec<String>,
    /// Tokens that its synthesis may cost in a day.
    pub tokens_per_day: Option<i64>,
    /// The LanguageCluster that suspends it with its whole namespace, if one does.
    pub suspended_by: Option<String>,
    /// What is not as the spec says although the agent runs.
    pub warnings: Vec<Invalid>,
    /// What its approvals must be.
    pub approval: ApprovalRule,
    /// What a workload is made from, or why there can be none.
    pub run: Result<Box<RunSpec>, Invalid>,
}

/// What an agent should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instructions {
    /// With line ends normalised.
    pub text: String,
    /// SHA-256 of that.
    pub hash: String,
}

/// What a workload is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSpec {
    /// The image of the agent's container.
    pub image: String,
    /// The port it listens on.
    pub port: i32,
    /// The user's variables.
    pub env: Vec<EnvVar>,
    /// Resources of the agent's container.
    pub resources: ResourceRequirements,
    /// Tools in its pod.
    pub sidecars: Vec<Sidecar>,
    /// Its workspace, if enabled.
    pub workspace: Option<Workspace>,
    /// What the spec says about how and when it runs.
    pub requested: Requested,
    /// Most rounds of thinking in one run.
    pub max_iterations: Option<i32>,
    /// Longest time of one run.
    pub timeout: Option<Timeout>,
    /// Secrets to pull images with.
    pub image_pull_secrets: Vec<NameRef>,
    /// Labels that a node must have.
    pub node_selector: BTreeMap<String, LabelValue>,
    /// Taints it tolerates.
    pub tolerations: Vec<Toleration>,
    /// The `RuntimeClass` of its pods, where it names one.
    pub runtime_class_name: Option<String>,
    /// Further labels of its pods.
    pub pod_labels: BTreeMap<String, LabelValue>,
    /// Whether the container may write its image's files.
    pub root_filesystem: RootFilesystem,
    /// User id instead of the setting's.
    pub run_as_user: Option<i64>,
    /// Authorities that it trusts.
    pub ca_bundle: Option<CaBundle>,
    /// What an administrator allows to pods here.
    pub frame: Frame,
}

/// A tool in an agent's pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// The tool's name.
    pub tool: String,
    /// The port it listens on.
    pub port: i32,
    /// What its container is made from.
    pub spec: Arc<LanguageToolSpec>,
    /// Its resources.
    pub resources: ResourceRequirements,
}

/// Longest time of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// As it is written, for example `10m`.
    pub text: String,
    /// In seconds.
    pub seconds: u64,
}

/// Checks everything that can be checked without looking anything up.
///
/// # Errors
/// If a name that the agent needs is not its own: then nothing of it may be written.
pub fn validate(
    context: &AgentContext<'_>,
    settings: &Settings,
    now: Timestamp,
) -> Result<ValidatedAgent, Invalid> {
    let (name, namespace, owner) = identity(context)?;
    let spec = &context.agent.spec;
    let workspace = spec.workspace.clone().filter(|workspace| workspace.enabled);
    names_are_free(context, workspace.as_ref(), &owner)?;

    let references = context.references.clone();
    let mut errors = Errors::default();
    let mut warnings = Vec::new();
    let pods = Pods::Agent {
        references: &references,
        egress: &spec.egress,
    };
    let reach = reach(pods, context.cluster.as_ref(), settings);
    warnings.extend(reach.denied);
    for fault in reach.errors {
        errors.spec(fault);
    }
    let resynthesize = resynthesize(context, &mut warnings);
    let cluster = context.cluster.as_ref();
    let zone = default_zone(context, settings, &mut errors);
    let requested = Requested {
        default_zone: zone,
        ..requested(spec, now, &mut errors)
    };
    let run = run(
        spec,
        &references,
        workspace,
        requested,
        cluster,
        settings,
        &mut errors,
    );
    Ok(ValidatedAgent {
        name,
        namespace,
        owner,
        generation: context.agent.metadata.generation.unwrap_or_default(),
        instructions: spec.instructions.as_deref().and_then(instructions_of),
        resynthesize,
        pinned: spec
            .synthesis
            .as_ref()
            .and_then(|synthesis| synthesis.revision),
        history_limit: spec.synthesis.as_ref().map_or(HISTORY_LIMIT, |synthesis| {
            usize::try_from(synthesis.revision_history_limit).unwrap_or(1)
        }),
        own_image: spec.image.clone(),
        sidecar_egress: reach.lent,
        tokens_per_day: spec
            .synthesis
            .as_ref()
            .and_then(|synthesis| synthesis.tokens_per_day),
        suspended_by: cluster
            .filter(|cluster| cluster.suspended)
            .map(|cluster| cluster.name.clone()),
        egress: reach.egress,
        references,
        warnings,
        approval: cluster
            .map(|cluster| cluster.approval)
            .unwrap_or_default()
            .with(spec.approval),
        run: errors.into_result(run),
    })
}

/// Everything that is wrong, to be told at once.
#[derive(Default)]
struct Errors(Vec<Invalid>);

impl Errors {
    fn spec(&mut self, message: impl Into<String>) {
        self.0.push(Invalid::spec(message));
    }

    fn take<T: Default>(&mut self, result: Result<T, String>) -> T {
        result.unwrap_or_else(|message| {
            self.spec(message);
            T::default()
        })
    }

    /// The reason of the first, the messages of all.
    fn into_result(self, run: RunSpec) -> Result<Box<RunSpec>, Invalid> {
        let Some(first) = self.0.first() else {
            return Ok(Box::new(run));
        };
        let messages: Vec<&str> = self.0.iter().map(|fault| fault.message.as_str()).collect();
        Err(Invalid {
            reason: first.reason,
            message: messages.join("; "),
        })
    }
}

fn identity(context: &AgentContext<'_>) -> Result<(String, String, Owner), Invalid> {
    let name = context.agent.name_any();
    agent_name(&name).map_err(|error| Invalid::spec(format!("metadata.name: {error}")))?;
    let namespace = context.agent.namespace();
    let owner = owner_of(context.agent);
    match (namespace, owner) {
        (Some(namespace), Some(owner)) => Ok((name, namespace, owner)),
        _ => Err(Invalid::spec(
            "the agent has no namespace or no uid: apply it to an API server",
        )),
    }
}

fn names_are_free(
    context: &AgentContext<'_>,
    workspace: Option<&Workspace>,
    owner: &Owner,
) -> Result<(), Invalid> {
    let created = context.agent.creation_timestamp().map(|time| time.0);
    if let Some(message) = name_conflict::conflict(NamedKind::Agent, created, &context.same_name) {
        return Err(Invalid {
            reason: Reason::NameConflict,
            message,
        });
    }
    match (workspace, &context.observed.claim) {
        (Some(_), Some(claim)) => usable_claim(claim, owner),
        _ => Ok(()),
    }
}

/// Whether the live claim of the workspace's name is the agent's: its own, or one that it, or one
/// of its name, kept.
fn usable_claim(claim: &Observed, owner: &Owner) -> Result<(), Invalid> {
    let kept = claim.labels.get(labels::AGENT) == Some(owner.name.as_str());
    let why = match &claim.controller {
        Some(controller) if controller.uid == owner.uid => return Ok(()),
        None if kept => return Ok(()),
        Some(controller) => format!(
            "is controlled by another {} '{}'",
            controller.kind, controller.name
        ),
        None => format!("does not carry the label {}={}", labels::AGENT, owner.name),
    };
    Err(Invalid {
        reason: Reason::WorkspaceConflict,
        message: format!(
            "the PersistentVolumeClaim '{}' {why}, so it is not used: delete it, label it if its data is this agent's, or give this agent another name",
            claim.name
        ),
    })
}

fn instructions_of(text: &str) -> Option<Instructions> {
    (!text.trim().is_empty()).then(|| Instructions {
        text: instructions::normalise(text),
        hash: instructions::hash(text),
    })
}

/// A value that is too long asks for nothing.
fn resynthesize(context: &AgentContext<'_>, warnings: &mut Vec<Invalid>) -> Option<String> {
    let value = context.agent.annotations().get(annotations::RESYNTHESIZE)?;
    if value.len() > MAX_RESYNTHESIZE {
        warnings.push(Invalid::spec(format!(
            "the annotation {} is longer than {MAX_RESYNTHESIZE} bytes and asks for nothing: write a short value, for example the time",
            annotations::RESYNTHESIZE
        )));
        return None;
    }
    Some(value.clone()).filter(|value| !value.is_empty())
}

fn run(
    spec: &LanguageAgentSpec,
    references: &References,
    workspace: Option<Workspace>,
    requested: Requested,
    cluster: Option<&ClusterView>,
    settings: &Settings,
    errors: &mut Errors,
) -> RunSpec {
    let run = RunSpec {
        image: spec
            .image
            .clone()
            .unwrap_or_else(|| settings.agent_image.clone()),
        port: spec.port,
        env: spec.env.clone(),
        resources: errors.take(
            pod::requirements(spec.resources.as_ref(), &pod::DEFAULTS)
                .map_err(|error| format!("spec.{error}")),
        ),
        sidecars: sidecars(references, errors),
        workspace,
        requested,
        max_iterations: spec
            .limits
            .as_ref()
            .and_then(|limits| limits.max_iterations),
        timeout: errors.take(timeout(spec)),
        image_pull_secrets: spec.image_pull_secrets.clone(),
        node_selector: spec.node_selector.clone(),
        tolerations: spec.tolerations.clone(),
        runtime_class_name: spec.runtime_class_name.clone(),
        pod_labels: spec.pod_labels.clone(),
        root_filesystem: RootFilesystem::from(spec.writable_root_filesystem),
        run_as_user: spec.run_as_user,
        ca_bundle: spec.ca_bundle.clone(),
        frame: Frame::of(cluster),
    };
    pod_labels(&run, settings, errors);
    errors.take(run.workspace.as_ref().map_or(Ok(()), storage));
    ports(&run, errors);
    run
}

/// No object can be larger than what the API server takes, and the environment of all sidecars is
/// in one; so nobody needs to hold more.
const MAX_SIDECAR_ENV: usize = 512 * 1024;

fn sidecars(references: &References, errors: &mut Errors) -> Vec<Sidecar> {
    let tools = || references.tools.iter().filter(|tool| tool.is_sidecar());
    let variables = tools().flat_map(|tool| &tool.spec.env);
    let bytes: usize = variables
        .map(|variable| variable.name.len() + variable.value.as_ref().map_or(0, String::len))
        .sum();
    if bytes > MAX_SIDECAR_ENV {
        errors.spec(format!(
            "the sidecar tools of spec.toolRefs have {bytes} bytes of environment, more than the {MAX_SIDECAR_ENV} that fit into a pod: name fewer of them, or mount their files by a service"
        ));
        return Vec::new();
    }
    tools().map(|tool| sidecar(tool, errors)).collect()
}

/// Labels give identities, ways round meshes and other workloads' traffic: only those that an
/// administrator knows are taken.
fn pod_labels(run: &RunSpec, settings: &Settings, errors: &mut Errors) {
    let refused = run
        .pod_labels
        .keys()
        .filter(|key| !settings.allows_pod_label(key));
    let refused: Vec<String> = refused.map(|key| format!("'{key}'")).collect();
    if refused.is_empty() {
        return;
    }
    errors.0.push(Invalid {
        reason: Reason::PodNotAllowed,
        message: format!(
            "spec.podLabels: {} may not be set: leave it out, or have an administrator add it to the operator's setting LANGOP_POD_LABEL_PREFIXES, which now allows {}",
            refused.join(", "),
            if settings.pod_label_prefixes.is_empty() { "none".to_owned() } else { settings.pod_label_prefixes.join(", ") }
        ),
    });
}

fn sidecar(tool: &ToolView, errors: &mut Errors) -> Sidecar {
    let resources = pod::requirements(tool.spec.resources.as_ref(), &pod::DEFAULTS);
    Sidecar {
        tool: tool.name.clone(),
        port: tool.port,
        spec: tool.spec.clone(),
        resources: errors
            .take(resources.map_err(|error| format!("the sidecar tool '{}': {error}", tool.name))),
    }
}

fn requested(spec: &LanguageAgentSpec, now: Timestamp, errors: &mut Errors) -> Requested {
    // A schedule is read to the time at which it fires next, which is most of what a validation
    // costs.
    let checked = match (&spec.schedule, &spec.time_zone) {
        (Some(schedule), zone) => CronSchedule::parse(schedule, zone.as_deref(), now).map(drop),
        (None, Some(zone)) => check_zone(zone),
        (None, None) => Ok(()),
    };
    if let Err(error) = checked {
        let field = if error.kind() == ScheduleErrorKind::TimeZone {
            "timeZone"
        } else {
            "schedule"
        };
        errors.spec(format!("spec.{field}: {error}"));
    }
    if spec.schedule.is_some() && spec.execution_mode == Some(ExecutionMode::Autonomous) {
        errors.spec("spec.schedule needs executionMode scheduled (or no executionMode): an autonomous agent runs all the time");
    }
    Requested {
        mode: spec.execution_mode,
        schedule: spec.schedule.clone(),
        time_zone: spec.time_zone.clone(),
        default_zone: None,
        replicas: spec.replicas,
        suspended: spec.suspend == Some(true),
    }
}

/// The zone of a schedule that names none. Of a LanguageCluster that cannot be read, the live
/// CronJob knows more than we do.
fn default_zone(
    context: &AgentContext<'_>,
    settings: &Settings,
    errors: &mut Errors,
) -> Option<String> {
    let Some(cluster) = &context.cluster else {
        return settings.time_zone.clone();
    };
    if cluster.agent_egress.is_none() {
        let mut lives = context.observed.cron_job_state();
        return lives.next().and_then(|live| live.time_zone.clone());
    }
    let zone = cluster.time_zone.as_deref();
    if let Some(Err(error)) = zone.map(check_zone) {
        errors.spec(format!(
            "timeZone of the LanguageCluster '{}': {error}",
            cluster.name
        ));
    }
    cluster
        .time_zone
        .clone()
        .or_else(|| settings.time_zone.clone())
}

fn timeout(spec: &LanguageAgentSpec) -> Result<Option<Timeout>, String> {
    let text = spec
        .limits
        .as_ref()
        .and_then(|limits| limits.timeout.clone());
    text.map(|text| match parse_duration(&text) {
        Ok(seconds) => Ok(Timeout { text, seconds }),
        Err(error) => Err(format!("spec.limits.timeout: {error}")),
    })
    .transpose()
}

fn storage(workspace: &Workspace) -> Result<(), String> {
    let zero = quantity::parse("0").ok();
    match quantity::parse(&workspace.storage.0) {
        Ok(amount) if Some(amount) > zero => Ok(()),
        Ok(_) => Err("spec.workspace.storage must be more than 0, for example 10Gi; for no volume set workspace.enabled to false".to_owned()),
        Err(error) => Err(format!("spec.workspace.storage: {error}")),
    }
}

/// Containers of one pod share its ports.
fn ports(run: &RunSpec, errors: &mut Errors) {
    let mut taken: BTreeMap<i32, String> = [(run.port, "the agent (spec.port)".to_owned())].into();
    for Sidecar { tool, port, .. } in &run.sidecars {
        let this = format!("the sidecar tool '{tool}'");
        match taken.get(port) {
            Some(first) => errors.0.push(Invalid {
                reason: Reason::PortConflict,
                message: format!("{first} and {this} both listen on port {port} of one pod: give one of them another port"),
            }),
            None => drop(taken.insert(*port, this)),
        }
    }
}
