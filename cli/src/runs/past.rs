//! Past runs, as the Jobs that still exist and their pods tell, and how many there were in all.

use std::cmp::Reverse;

use jiff::Timestamp;
use langop_api::{LanguageAgentStatus, agent::RunTokens};
use langop_desired::observed::{JobState, Observed, ObservedState, Termination};
use serde::Serialize;

use crate::ui::{
    table::{Cell, Table},
    time,
    tone::Tone,
};

/// One run. What is not known is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    pub(crate) job: String,
    pub(crate) is_by_hand: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) began: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
    /// `None`: it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) has_succeeded: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) says: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokens: Option<RunTokens>,
}

/// The runs, newest first.
pub(crate) fn runs(jobs: &[Observed], pods: &[Observed]) -> Vec<Run> {
    let mut runs: Vec<Run> = jobs.iter().filter_map(|job| run(job, pods)).collect();
    runs.sort_by_key(|run| Reverse((run.began, run.job.clone())));
    runs
}

fn run(job: &Observed, pods: &[Observed]) -> Option<Run> {
    let ObservedState::Job(facts) = &job.state else {
        return None;
    };
    let end = pods.iter().find_map(|pod| end_of(job, pod));
    let JobState {
        succeeded,
        ended,
        message,
        by_hand,
        ..
    } = &**facts;
    let said = end.and_then(|end| end.message.clone());
    Some(Run {
        job: job.name.clone(),
        is_by_hand: *by_hand,
        began: time::parse(Some(&job.created)),
        ended: time::parse(ended.as_deref()),
        has_succeeded: *succeeded,
        says: said.or_else(|| message.clone()),
        tokens: end.and_then(|end| end.report).map(|report| report.tokens),
    })
}

fn end_of<'a>(job: &Observed, pod: &'a Observed) -> Option<&'a Termination> {
    let controller = pod.controller.as_ref()?;
    match &pod.state {
        ObservedState::Pod(state) if controller.uid == job.uid => state.last_termination.as_ref(),
        _ => None,
    }
}

/// A row for each run.
pub(crate) fn table(runs: &[Run], now: Timestamp) -> String {
    let mut table = Table::new(&["JOB", "BEGAN", "TOOK", "RESULT", "TOKENS", "SAYS"]);
    for run in runs {
        let (result, tone) = match run.has_succeeded {
            None => ("under way", Tone::Waiting),
            Some(true) => ("Succeeded", Tone::Good),
            Some(false) => ("Failed", Tone::Bad),
        };
        let tokens = run
            .tokens
            .map(|tokens| tokens.input.saturating_add(tokens.output));
        table.push(vec![
            Cell::new(if run.is_by_hand {
                format!("{} (by hand)", run.job)
            } else {
                run.job.clone()
            }),
            Cell::known(run.began.map(|began| time::ago(began, now))),
            Cell::known(took(run)),
            Cell::new(result).toned(tone),
            Cell::number(tokens),
            Cell::known(run.says.as_deref()),
        ]);
    }
    table.render()
}

fn took(run: &Run) -> Option<String> {
    let seconds = run.ended?.as_second() - run.began?.as_second();
    Some(time::distance(seconds))
}

/// `57 runs in all, 55 succeeded, 2 failed`, as the operator counts them; nothing where it has
/// counted none.
pub(crate) fn totals(status: &LanguageAgentStatus) -> String {
    let Some(all) = status.execution_count else {
        return String::new();
    };
    let known =
        |count: Option<i64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let runs = if all == 1 { "run" } else { "runs" };
    format!(
        "{all} {runs} in all: {} succeeded, {} failed\n",
        known(status.successful_executions),
        known(status.failed_executions)
    )
}
