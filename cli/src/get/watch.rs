//! `get --watch`: two watches, of agents and of CronJobs, however many rows there are. One that
//! ends is taken up again where it ended, or listed anew where that is too long ago; either way
//! only what differs is told.

use std::{future, pin::pin};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use kube::{
    core::ApiResource,
    runtime::watcher::{Config, Error, Event},
};
use langop_api::names::labels;

use super::{
    changes::{Change, Changes},
    read::{GetArgs, WITHOUT_CRON_JOBS, look, none},
    rows::Row,
    text::{ASSUMED_ZONE, more},
};
use crate::{
    answer::Answer,
    failure::Failure,
    kind::Kind,
    ui::format::{Output, agent_names, structured},
    world::World,
};

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    Agents,
    CronJobs,
}

/// Tells what changes by `say`, which says whether anybody still reads; ends when nobody does.
pub(crate) async fn run(
    world: &World,
    args: &GetArgs,
    mut say: impl FnMut(&Answer) -> Result<bool, Failure>,
) -> Result<Answer, Failure> {
    let everywhere = args.all_namespaces;
    let agents = world.watch(&Kind::Agent.resource(), everywhere, Config::default());
    let agents = agents.map_ok(Change::Agent);
    let of_agents = Config::default().labels(labels::AGENT);
    let cron_jobs = ApiResource::erase::<CronJob>(&());
    let cron_jobs = world.watch(&cron_jobs, everywhere, of_agents);
    let cron_jobs = cron_jobs.map_ok(Change::CronJob);
    let mut told = pin!(stream::select(
        agents.map_err(|error| (Watched::Agents, error)),
        until_denied(cron_jobs).map_err(|error| (Watched::CronJobs, error)),
    ));
    let mut screen = Screen::new(world, args);
    while let Some(told) = told.next().await {
        let answer = match told {
            Ok(change) => screen.follow(change)?,
            Err((watched, error)) => screen.failed(watched, error)?,
        };
        if let Some(answer) = answer
            && !say(&answer)?
        {
            break;
        }
    }
    Ok(Answer::fine(""))
}

/// A list that may not be had is not asked for again and again.
fn until_denied<T>(
    events: impl stream::Stream<Item = Result<T, Error>>,
) -> impl stream::Stream<Item = Result<T, Error>> {
    events.scan(false, |is_denied, event| {
        let was_denied = *is_denied;
        *is_denied = event.as_ref().is_err_and(is_forbidden);
        future::ready((!was_denied).then_some(event))
    })
}

fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::InitialListFailed(kube::Error::Api(status)) if status.is_forbidden())
}

/// What is on the terminal so far.
struct Screen<'a> {
    world: &'a World,
    args: &'a GetArgs,
    changes: Changes,
    widths: Vec<usize>,
    has_begun: bool,
    is_zone_told: bool,
    /// Since the last change was heard.
    is_failure_told: bool,
}

impl<'a> Screen<'a> {
    fn new(world: &'a World, args: &'a GetArgs) -> Self {
        Self {
            world,
            args,
            changes: Changes::default(),
            widths: Vec::new(),
            has_begun: false,
            is_zone_told: false,
            is_failure_told: false,
        }
    }

    fn follow(&mut self, change: Change) -> Result<Option<Answer>, Failure> {
        // A new list begins with each try, and is no success yet.
        if !matches!(
            &change,
            Change::Agent(Event::Init) | Change::CronJob(Event::Init)
        ) {
            self.is_failure_told = false;
        }
        let now = Timestamp::now();
        let rows = self.changes.take(change, now);
        rows.map(|rows| self.show(&rows, now)).transpose()
    }

    /// Before all is listed there is no answer without it; later there is one, and it is tried
    /// again.
    fn failed(&mut self, watched: Watched, error: Error) -> Result<Option<Answer>, Failure> {
        let is_denied = is_forbidden(&error);
        let (Error::InitialListFailed(error) | Error::WatchStartFailed(error)) = error else {
            // It ended, which is no failure unless it cannot be begun again.
            return Ok(None);
        };
        let everywhere = self.args.all_namespaces;
        match watched {
            Watched::CronJobs if is_denied && !self.has_begun => {
                let now = Timestamp::now();
                let rows = self.changes.without_cron_jobs(now);
                let answer = rows.map(|rows| self.show(&rows, now)).transpose()?;
                let mut answer = answer.unwrap_or_else(|| Answer::fine(""));
                answer.notes += WITHOUT_CRON_JOBS;
                return Ok(Some(answer));
            }
            Watched::CronJobs if !self.has_begun => {
                let act = self.world.list_act("CronJob", everywhere);
                return Err(Failure::of_call(act, &error));
            }
            Watched::Agents if !self.has_begun => {
                return Err(self.world.no_list(Kind::Agent, everywhere, &error));
            }
            Watched::Agents | Watched::CronJobs => {}
        }
        if std::mem::replace(&mut self.is_failure_told, true) {
            return Ok(None);
        }
        let failure = Failure::of_call("follow what changes", &error);
        Ok(Some(Answer {
            notes: format!("note: {failure}; it is tried again\n"),
            ..Answer::fine("")
        }))
    }

    fn show(&mut self, rows: &[Row], now: Timestamp) -> Result<Answer, Failure> {
        let mut answer = Answer::fine(self.text(rows, now)?);
        let is_table = matches!(self.args.output, Output::Table | Output::Wide);
        if !self.has_begun && rows.is_empty() {
            answer.notes = none(self.world, self.args);
        }
        if is_table && !self.is_zone_told && rows.iter().any(|row| row.is_in_assumed_zone) {
            self.is_zone_told = true;
            answer.notes.extend([ASSUMED_ZONE, "\n"]);
        }
        self.has_begun = true;
        Ok(answer)
    }

    /// Lines of a table, or a document for each row.
    fn text(&mut self, rows: &[Row], now: Timestamp) -> Result<String, Failure> {
        let output = self.args.output;
        let documents = match output {
            Output::Table | Output::Wide => {
                return Ok(more(rows, look(self.args), now, &mut self.widths));
            }
            Output::Name => return Ok(agent_names(rows.iter().map(|row| row.name.as_str()))),
            Output::Json | Output::Yaml => rows.iter().map(|row| structured(output, row)),
        };
        let begin = if output == Output::Yaml { "---\n" } else { "" };
        let mut text = String::new();
        for document in documents {
            text += begin;
            text += &document?.unwrap_or_default();
        }
        Ok(text)
    }
}
