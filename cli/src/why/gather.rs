//! Asks the API server for all that a walk may look at, in few calls: the object, what it refers
//! to, what was made for it, and the warnings about those. Judges only what more to ask for.

use std::collections::BTreeMap;

use clap::Args;
use futures::future;
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Event, Pod, Secret},
};
use kube::{
    api::{DynamicObject, ListParams},
    core::ApiResource,
};
use langop_api::{LanguageAgent, condition::types};
use langop_desired::observed::{ChildKind, ObservedState};

use super::{
    agent,
    assemble::{reduced, service_facts, subject, warning},
    facts::{AgentFacts, Children, ServiceFacts, Warning},
    finding::{Diagnosis, State},
    reference::{Reference, references},
    service, text,
};
use crate::{
    answer::Answer,
    facts::{Read, Subject, decode},
    failure::{Exit, Failure},
    kind::{Kind, Target},
    ui::format::{Output, structured},
    world::{World, allowed},
};

/// Most children whose events are asked for.
const MOST_ASKED: usize = 8;

/// What `why` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct WhyArgs {
    /// KIND/NAME of an agent, tool, model, persona or client; a name alone is an agent's
    #[arg(value_name = "KIND/NAME")]
    pub(crate) target: Target,
    /// What the answer looks like
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Output,
}

/// Gathers, walks and shows.
pub(crate) async fn run(world: &World, args: &WhyArgs) -> Result<Answer, Failure> {
    let diagnosis = diagnose(world, &args.target).await?;
    let structured = structured(args.output, &diagnosis)?;
    let mut answer = Answer::fine(structured.unwrap_or_else(|| text::render(&diagnosis)));
    answer.exit = match diagnosis.state {
        State::Fine | State::Suspended => Exit::Fine,
        State::Waiting | State::Failing | State::Unknown | State::Skipped => Exit::Wrong,
    };
    Ok(answer)
}

async fn diagnose(world: &World, target: &Target) -> Result<Diagnosis, Failure> {
    let object = world.get(target.kind, &target.name).await?;
    let now = Timestamp::now();
    if target.kind == Kind::Agent {
        let facts = agent_facts(world, &object, now).await?;
        return Ok(agent::diagnose(&facts));
    }
    let mut facts = service_facts(target.kind, &object, now);
    complete(world, &mut facts).await?;
    Ok(service::diagnose(&facts))
}

async fn agent_facts(
    world: &World,
    object: &DynamicObject,
    now: Timestamp,
) -> Result<AgentFacts, Failure> {
    let (subject, agent) = subject::<LanguageAgent>(Kind::Agent, object);
    let kinds = [Kind::Tool, Kind::Model, Kind::Persona];
    let wanted = agent.as_ref().map_or_else(Vec::new, references);
    let neighbours = future::try_join_all(kinds.map(|kind| neighbours(world, kind, &wanted, now)));
    let (neighbours, children) = future::try_join(neighbours, children(world, &subject)).await?;
    Ok(AgentFacts {
        now,
        subject,
        agent,
        neighbours: kinds
            .into_iter()
            .zip(neighbours)
            .collect::<BTreeMap<_, _>>(),
        children,
    })
}

/// All of a kind in the namespace; more is asked only of those that are referred to and not Ready.
async fn neighbours(
    world: &World,
    kind: Kind,
    wanted: &[Reference<'_>],
    now: Timestamp,
) -> Result<Read<Vec<ServiceFacts>>, Failure> {
    let all = ListParams::default();
    let found = world.select(&kind.resource(), false, &all).await?;
    let mut found = found.map(|objects| {
        objects
            .iter()
            .map(|object| service_facts(kind, object, now))
            .collect::<Vec<_>>()
    });
    if let Read::Got(services) = &mut found {
        let asked = services.iter_mut().filter(|service| {
            let is_wanted =
                |wanted: &Reference<'_>| wanted.kind == kind && wanted.name == service.subject.name;
            wanted.iter().any(is_wanted)
        });
        let asked = asked
            .filter(|service| !service.subject.is(types::READY) || !service.secrets.is_empty());
        future::try_join_all(asked.map(|service| complete(world, service))).await?;
    }
    Ok(found)
}

/// What was made for it, and whether its Secrets are there.
async fn complete(world: &World, service: &mut ServiceFacts) -> Result<(), Failure> {
    for need in &mut service.secrets {
        need.exists = secret_exists(world, &need.name).await?;
    }
    if !service.subject.is(types::READY) {
        service.children = children(world, &service.subject).await?;
    }
    Ok(())
}

/// By its metadata alone: its content is never asked for.
async fn secret_exists(world: &World, name: &str) -> Result<Read<bool>, Failure> {
    let found = world.typed::<Secret>().get_metadata_opt(name).await;
    let act = format!("look for Secret '{name}'");
    Ok(allowed(found, &act)?.map(|found| found.is_some()))
}

async fn children(world: &World, subject: &Subject) -> Result<Children, Failure> {
    let Some(label) = subject.kind.label() else {
        return Ok(Children::none());
    };
    let ours = ListParams::default().labels(&format!("{label}={}", subject.name));
    let of = |kind: ChildKind, resource: ApiResource| {
        let ours = &ours;
        async move {
            let found = world.select(&resource, false, ours).await?;
            Ok::<_, Failure>(found.map(|objects| reduced(kind, objects)))
        }
    };
    let (deployments, cron_jobs, jobs, pods, revisions) = future::try_join5(
        of(ChildKind::Deployment, ApiResource::erase::<Deployment>(&())),
        of(ChildKind::CronJob, ApiResource::erase::<CronJob>(&())),
        of(ChildKind::Job, ApiResource::erase::<Job>(&())),
        of(ChildKind::Pod, ApiResource::erase::<Pod>(&())),
        of(ChildKind::ConfigMap, ApiResource::erase::<ConfigMap>(&())),
    )
    .await?;
    let workloads = match (deployments, cron_jobs) {
        (Read::Got(mut deployments), Read::Got(cron_jobs)) => {
            deployments.extend(cron_jobs);
            Read::Got(deployments)
        }
        (Read::Denied(said), _) | (_, Read::Denied(said)) => Read::Denied(said),
    };
    let mut children = Children {
        workloads,
        jobs,
        pods,
        revisions,
        warnings: Read::Got(Vec::new()),
    };
    children.warnings = warnings(world, subject, &children).await?;
    Ok(children)
}

/// The warnings about the object, its workload, and those of its pods and Jobs that do not get on.
async fn warnings(
    world: &World,
    subject: &Subject,
    children: &Children,
) -> Result<Read<Vec<Warning>>, Failure> {
    let pods = children.live_pods();
    let pods = pods
        .filter(|(_, facts)| !facts.ready)
        .map(|(pod, _)| pod.name.clone());
    let jobs = children.jobs.got().into_iter().flatten();
    let jobs = jobs
        .filter(|job| matches!(&job.state, ObservedState::Job(facts) if facts.succeeded.is_none()));
    let mut names: Vec<String> = pods.chain(jobs.map(|job| job.name.clone())).collect();
    names.truncate(MOST_ASKED);
    names.push(subject.name.clone());
    names.push(subject.kind.workload(&subject.name));
    names.dedup();
    let asked = future::try_join_all(names.iter().map(|name| warnings_of(world, name))).await?;
    let mut all = Vec::new();
    for found in asked {
        match found {
            Read::Got(found) => all.extend(found),
            Read::Denied(said) => return Ok(Read::Denied(said)),
        }
    }
    all.sort_by_key(|warning| warning.last);
    Ok(Read::Got(all))
}

async fn warnings_of(world: &World, name: &str) -> Result<Read<Vec<Warning>>, Failure> {
    let about = ListParams::default().fields(&format!("involvedObject.name={name},type=Warning"));
    let found = world
        .select(&ApiResource::erase::<Event>(&()), false, &about)
        .await?;
    Ok(found.map(|events| {
        let events = events
            .iter()
            .filter_map(|event| decode::<Event>(event).ok());
        events.map(warning).collect()
    }))
}
