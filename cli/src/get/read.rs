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
    /// What the answer looks like
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Output,
}

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
        answer.notes = if everywhere {
            "no agents in any namespace
"
            .into()
        } else {
            format!(
                "no agents in namespace {}
",
                world.namespace
            )
        };
    } else if cron_jobs.got().is_none() {
        answer.notes = "note: you may not list CronJobs, so next runs are not known\n".into();
    }
    Ok(answer)
}

fn show(rows: &[Row], args: &GetArgs, now: Timestamp) -> Result<Answer, Failure> {
    if args.output == Output::Name {
        let names = rows.iter().map(|row| row.name.as_str());
        return Ok(Answer::fine(agent_names(names)));
    }
    let look = Look {
        is_everywhere: args.all_namespaces,
        is_wide: args.output == Output::Wide,
    };
    let structured = structured(args.output, &rows)?;
    Ok(Answer::fine(
        structured.unwrap_or_else(|| screen(rows, look, now)),
    ))
}
