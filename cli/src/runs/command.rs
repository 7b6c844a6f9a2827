//! Begins runs and lists past ones.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{CronJob, Job},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    ResourceExt as _,
    api::{ListParams, PostParams},
    core::ApiResource,
};
use langop_api::{LanguageAgentStatus, names::labels};
use langop_desired::{
    digest,
    observed::{ChildKind, Observed},
};

use super::past::{runs, table, totals};
use crate::{
    answer::Answer,
    facts::Read,
    failure::Failure,
    kind::Kind,
    ui::format::{Output, structured},
    world::{FIELD_MANAGER, World},
};

/// By which the Job's controller knows a Job that a person made; kubectl's.
const INSTANTIATE: &str = "cronjob.kubernetes.io/instantiate";

/// What `run` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// The agent
    pub(crate) agent: String,
}

/// What `history` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The agent
    pub(crate) agent: String,
    /// What the answer looks like
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Output,
}

/// Runs a scheduled agent now, as `kubectl create job --from` does.
pub(crate) async fn run(world: &World, args: &RunArgs) -> Result<Answer, Failure> {
    let RunArgs { agent } = args;
    world.get(Kind::Agent, agent).await?;
    let act = || format!("run agent '{agent}' now");
    let cron_job = world.typed::<CronJob>().get_opt(agent).await;
    let cron_job = cron_job.map_err(|error| Failure::of_call(act(), &error))?;
    let cron_job = cron_job.ok_or_else(|| {
        Failure::told(
            format!("agent '{agent}' has no CronJob to run now"),
            format!("only agents that cron expressions start can be run by hand; `kubectl langop why {agent}` says how it is"),
        )
    })?;
    let job = job(agent, cron_job);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let made = world.typed::<Job>().create(&params, &job).await;
    let name = made
        .map_err(|error| Failure::of_call(act(), &error))?
        .name_any();
    Ok(Answer::fine(format!(
        "job.batch/{name}\nfollow it by: kubectl -n {} logs -f job/{name}\n",
        world.namespace
    )))
}

fn job(agent: &str, cron_job: CronJob) -> Job {
    let owner = OwnerReference {
        api_version: "batch/v1".to_owned(),
        kind: "CronJob".to_owned(),
        name: cron_job.name_any(),
        uid: cron_job.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    let template = cron_job.spec.job_template;
    let meta = template.metadata.unwrap_or_default();
    let mut annotations: BTreeMap<String, String> = meta.annotations.unwrap_or_default();
    annotations.insert(INSTANTIATE.to_owned(), "manual".to_owned());
    Job {
        metadata: ObjectMeta {
            generate_name: Some(format!("{agent}-")),
            labels: meta.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

/// Past runs.
pub(crate) async fn history(world: &World, args: &HistoryArgs) -> Result<Answer, Failure> {
    let object = world.get(Kind::Agent, &args.agent).await?;
    let (jobs, pods) = (
        ApiResource::erase::<Job>(&()),
        ApiResource::erase::<Pod>(&()),
    );
    let jobs = observed(world, ChildKind::Job, &jobs, &args.agent).await?;
    let pods = observed(world, ChildKind::Pod, &pods, &args.agent).await?;
    let runs = runs(&jobs, &pods);
    if args.output == Output::Name {
        let names: Vec<String> = runs
            .iter()
            .map(|run| format!("job.batch/{}\n", run.job))
            .collect();
        return Ok(Answer::fine(names.concat()));
    }
    let structured = structured(args.output, &runs)?;
    let mut answer = Answer::fine(structured.unwrap_or_else(|| table(&runs, Timestamp::now())));
    let status = serde_json::from_value::<LanguageAgentStatus>(object.data["status"].clone());
    answer.notes = status.map_or_else(|_| String::new(), |status| totals(&status));
    if runs.is_empty() && answer.notes.is_empty() {
        answer.notes = format!("agent '{}' has not run yet\n", args.agent);
    }
    Ok(answer)
}

async fn observed(
    world: &World,
    kind: ChildKind,
    resource: &ApiResource,
    agent: &str,
) -> Result<Vec<Observed>, Failure> {
    let ours = ListParams::default().labels(&format!("{}={agent}", labels::AGENT));
    match world.select(resource, false, &ours).await? {
        Read::Got(objects) => Ok(objects
            .into_iter()
            .filter_map(|object| digest::reduce_object(kind, object))
            .collect()),
        Read::Denied(said) => Err(Failure::Forbidden {
            act: format!("read the runs of agent '{agent}'"),
            said,
        }),
    }
}
