//! Reads for `get`: agents and their CronJobs, each in pages, however many rows there are.

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use kube::{api::ListParams, core::ApiResource};
use langop_api::names::labels;

use super::{
    rows::{Row, rows},
    text::{Look, screen},
};
use crate::{
    answer::Answer,
    failure::Failure,
    kind::Kind,
    ui::format::{Output, agent_names, structured},
    world::World,
};

/// What `get` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct GetArgs {
    /// Agents of all namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// After the table, a line for each change, until it is stopped
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// What the answer looks like
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Output,
}

/// Said where the user may not list them.
pub(crate) const WITHOUT_CRON_JOBS: &str =
    "note: you may not list CronJobs, so next runs are not known\n";

/// Reads and shows.
pub(crate) async fn run(world: &World, args: &GetArgs) -> Result<Answer, Failure> {
    let everywhere = args.all_namespaces;
    let now = Timestamp::now();
    let agents = world.list(Kind::Agent, everywhere).await?;
    let of_agents = ListParams::default().labels(labels::AGENT);
    let cron_jobs = ApiResource::erase::<CronJob>(&());
    let cron_jobs = world.select(&cron_jobs, everywhere, &of_agents).await?;
    let rows = rows(&agents, &cron_jobs, now);
    let mut answer = show(&rows, args, now)?;
    if rows.is_empty() {
        answer.notes = none(world, args);
    } else if cron_jobs.got().is_none() {
        answer.notes = WITHOUT_CRON_JOBS.into();
    }
    Ok(answer)
}

/// Said where there is no row.
pub(crate) fn none(world: &World, args: &GetArgs) -> String {
    if args.all_namespaces {
        "no agents in any namespace\n".to_owned()
    } else {
        format!("no agents in namespace {}\n", world.namespace)
    }
}

fn show(rows: &[Row], args: &GetArgs, now: Timestamp) -> Result<Answer, Failure> {
    if args.output == Output::Name {
        let names = rows.iter().map(|row| row.name.as_str());
        return Ok(Answer::fine(agent_names(names)));
    }
    let structured = structured(args.output, &rows)?;
    Ok(Answer::fine(
        structured.unwrap_or_else(|| screen(rows, look(args), now)),
    ))
}

/// How a table is to look.
pub(crate) fn look(args: &GetArgs) -> Look {
    Look {
        is_everywhere: args.all_namespaces,
        is_wide: args.output == Output::Wide,
    }
}
