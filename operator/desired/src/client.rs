//! Clients: a chat or API front end over models and tools. A Deployment, a Service, and one policy
//! for both directions.
//!
//! Its environment is an agent's: `MCP_SERVERS`, `MODEL_ENDPOINTS`, `AGENT_NAME` and
//! `AGENT_NAMESPACE` (its own), `PORT`, `HOME`; it has no mode, instructions, code or workspace.

use k8s_openapi::{
    api::{
        core::v1::{PodTemplateSpec, ResourceRequirements},
        networking::v1::NetworkPolicy,
    },
    jiff::Timestamp,
};
use langop_api::{
    LanguageClient, LanguageClientSpec, LanguageClientStatus,
    condition::{Reason, types},
    names::env as names,
};

use crate::{
    agent::ClusterView,
    children::{Applied, Children, Prepared},
    conditions::{Conditions, Invalid, Status, Summary, service_phase},
    env,
    meta::{self, Component, owner_of},
    name_conflict::{self, NameCollision, NamedKind},
    pod::{self, ContainerInput, PodInput},
    reach::{Pods, Reach, network_policy, reach},
    references::{References, ToolView, service_url},
    settings::Settings,
    workload::{Rollout, Workload, listening},
};

/// Name of its container.
const CONTAINER: &str = "client";

/// A LanguageClient whose spec can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedClient {
    workload: Workload,
    resources: ResourceRequirements,
    references: Usable,
    reach: Reach,
    spec: LanguageClientSpec,
}

/// What a client can use of its references: a sidecar tool has no address outside its agents' pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usable(References);

impl From<References> for Usable {
    fn from(mut references: References) -> Self {
        let (sidecars, services): (Vec<ToolView>, Vec<ToolView>) =
            references.tools.into_iter().partition(ToolView::is_sidecar);
        references.tools = services;
        references.unresolved.extend(sidecars.iter().map(|tool| {
            format!(
                "tool '{}' is a sidecar of agents and cannot be reached by a client: set its deploymentMode to service, or leave it out",
                tool.name
            )
        }));
        references.unresolved.sort();
        Self(references)
    }
}

/// Checks what the API server could not: `same_name` are the agents and tools of the same name.
pub fn validate(
    client: &LanguageClient,
    references: Usable,
    same_name: &[NameCollision],
    cluster: Option<&ClusterView>,
    settings: &Settings,
) -> Result<ValidatedClient, Invalid> {
    let created = client
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0);
    if let Some(message) = name_conflict::conflict(NamedKind::Client, created, same_name) {
        return Err(Invalid {
            reason: Reason::NameConflict,
            message,
        });
    }
    let owner = owner_of(client).ok_or_else(|| Invalid::spec("the object has no uid yet"))?;
    let spec = client.spec.clone();
    let resources = pod::requirements(spec.resources.as_ref(), &pod::DEFAULTS)
        .map_err(|error| Invalid::spec(error.to_string()))?;
    let workload = Workload {
        component: Component::Client,
        namespace: client.metadata.namespace.clone().unwrap_or_default(),
        name: owner.name.clone(),
        owner,
        replicas: spec.replicas,
        port: spec.port,
    };
    let pods = Pods::Client {
        references: &references.0,
        port: spec.port,
        ingress_from: spec.ingress_from.as_deref(),
    };
    let reach = reach(pods, cluster, settings);
    Ok(ValidatedClient {
        workload,
        resources,
        references,
        reach,
        spec,
    })
}

/// How a client stands whose children are to be left as they are: what it refers to may be in use
/// and cannot be read.
pub fn held(Usable(references): &Usable) -> Option<Summary> {
    references
        .unreadable
        .then(|| Summary::Progressing(Reason::ReferenceNotFound, references.unresolved.join("; ")))
}

/// All children.
pub fn build(client: &ValidatedClient, settings: &Settings) -> Children<Prepared> {
    let mut children = Children::default();
    children.network_policies.push(build_policy(client));
    children.services.push(client.workload.service());
    children
        .deployments
        .push(client.workload.deployment(build_template(client, settings)));
    children
}

fn build_template(client: &ValidatedClient, settings: &Settings) -> PodTemplateSpec {
    let mut variables = env::given(&client.references.0);
    variables.push(env::value(names::AGENT_NAME, &client.workload.owner.name));
    variables.push(env::value(
        names::AGENT_NAMESPACE,
        &client.workload.namespace,
    ));
    let mut container = pod::container(ContainerInput {
        name: CONTAINER.to_owned(),
        image: client.spec.image.clone(),
        port: client.spec.port,
        env: variables,
        user_env: env::user_env(&client.spec.env),
        resources: client.resources.clone(),
        ca_bundle: client.spec.ca_bundle.is_some(),
        ..ContainerInput::default()
    });
    container.readiness_probe = Some(listening(client.spec.port));
    let bundle = client.spec.ca_bundle.as_ref();
    let input = PodInput {
        containers: vec![container],
        volumes: bundle
            .map(|bundle| pod::ca_volume(CONTAINER, bundle))
            .into_iter()
            .collect(),
        image_pull_secrets: client.spec.image_pull_secrets.clone(),
        runtime_class_name: client.spec.runtime_class_name.clone(),
        ..PodInput::default()
    };
    pod::template(
        meta::labels(Component::Client, &client.workload.owner.name),
        input,
        settings,
    )
}

/// Out: DNS and the pods of what it refers to. In: its own port only, from those that are named,
/// else from whom the namespace lets in.
fn build_policy(client: &ValidatedClient) -> NetworkPolicy {
    let ValidatedClient {
        workload, reach, ..
    } = client;
    network_policy(
        workload.metadata(),
        workload.selector(),
        &reach.egress,
        &reach.ingress,
    )
}

/// The status after all children are applied, or after what kept them from being.
pub fn status(
    client: &LanguageClient,
    Usable(references): &Usable,
    children: Result<&Children<Applied>, Summary>,
    rollout: Rollout<'_>,
    settings: &Settings,
    now: Timestamp,
) -> LanguageClientStatus {
    let generation = client.metadata.generation.unwrap_or_default();
    let before = client
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.conditions);
    let missing = references.unresolved.join("; ");
    let mut next = Conditions::new(before, generation, now);
    match (missing.is_empty(), references.is_empty()) {
        (false, _) => next.set(
            types::REFERENCES_RESOLVED,
            Status::False,
            Reason::ReferenceNotFound,
            missing.clone(),
        ),
        (true, true) => next.set(
            types::REFERENCES_RESOLVED,
            Status::True,
            Reason::NoReferences,
            "nothing is referenced",
        ),
        (true, false) => next.set(
            types::REFERENCES_RESOLVED,
            Status::True,
            Reason::AllResolved,
            "every reference can be used",
        ),
    }
    next.summary(match rollout.summary_after(children, now) {
        Summary::Ready(..) if !missing.is_empty() => {
            Summary::Progressing(Reason::ReferenceNotFound, missing)
        }
        summary => summary,
    });
    let conditions = next.finish();
    let name = client.metadata.name.as_deref().unwrap_or_default();
    let namespace = client.metadata.namespace.as_deref().unwrap_or_default();
    LanguageClientStatus {
        observed_generation: Some(generation),
        phase: Some(service_phase(&conditions)),
        endpoint: Some(service_url(name, namespace, client.spec.port, settings)),
        ready_replicas: rollout.ready_replicas(now),
        conditions,
    }
}

#[cfg(test)]
mod tests;
