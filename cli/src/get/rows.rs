//! What `get` says of each agent. Pure, and lenient: an agent that cannot be decoded is a row like
//! the others.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use kube::{ResourceExt as _, api::DynamicObject};
use langop_api::{LanguageAgent, agent::RunTokens, condition::types, names::labels};
use serde::Serialize;

use crate::{
    facts::{Read, Subject, decode},
    kind::Kind,
    schedule::{NextRun, next_run},
    ui::time,
};

/// Namespace and name.
pub(crate) type Key = (String, String);

/// One agent. What is not known is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) namespace: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phase: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schedule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_run: Option<Timestamp>,
    /// Whether that time is right only where the cluster's zone is UTC.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_in_assumed_zone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_run: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_result: Option<String>,
    /// What its runs spent so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokens: Option<RunTokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<i64>,
    /// What keeps it from being as its spec says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waits_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<Timestamp>,
    /// Whether this is what it was last: a watch saw it go.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_deleted: bool,
}

/// A row for each agent, by namespace and name.
pub(crate) fn rows(
    agents: &[DynamicObject],
    cron_jobs: &Read<Vec<DynamicObject>>,
    now: Timestamp,
) -> Vec<Row> {
    let next = next_runs(cron_jobs.got().into_iter().flatten(), now);
    let row_of = |agent| row(agent, next.get(&key_of(agent)).copied());
    let mut rows: Vec<Row> = agents.iter().map(row_of).collect();
    rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    rows
}

/// Of an object itself.
pub(crate) fn key_of(object: &DynamicObject) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Of the agent that a CronJob is for.
pub(crate) fn agent_of(cron_job: &DynamicObject) -> Option<Key> {
    let agent = cron_job.labels().get(labels::AGENT)?;
    Some((cron_job.namespace().unwrap_or_default(), agent.clone()))
}

/// The first run of each agent, which may have several CronJobs.
fn next_runs<'a>(
    cron_jobs: impl Iterator<Item = &'a DynamicObject>,
    now: Timestamp,
) -> BTreeMap<Key, NextRun> {
    let mut next = BTreeMap::new();
    for object in cron_jobs {
        if let (Some(key), Some(run)) = (agent_of(object), run_of(object, now)) {
            let first = next.entry(key).or_insert(run);
            if run.at < first.at {
                *first = run;
            }
        }
    }
    next
}

/// When a CronJob begins its next run.
pub(crate) fn run_of(cron_job: &DynamicObject, now: Timestamp) -> Option<NextRun> {
    next_run(&decode::<CronJob>(cron_job).ok()?, now)
}

/// What is said of an agent.
pub(crate) fn row(object: &DynamicObject, next: Option<NextRun>) -> Row {
    let subject = Subject::of(Kind::Agent, object);
    let agent = decode::<LanguageAgent>(object);
    let waits_for = match &agent {
        Err(why) => Some(format!("a correction, it cannot be read: {why}")),
        Ok(_) => waits_for(&subject),
    };
    let status = agent
        .ok()
        .and_then(|agent| agent.status)
        .unwrap_or_default();
    let info = status.synthesis_info.unwrap_or_default();
    Row {
        phase: subject.phase,
        mode: status.mode.map(|mode| mode.as_str().to_owned()),
        schedule: status.schedule,
        next_run: next.map(|next| next.at),
        is_in_assumed_zone: next.is_some_and(|next| next.is_in_assumed_zone),
        last_run: time::parse(status.last_execution_time.as_deref()),
        last_result: status.last_execution_result,
        tokens: status.usage.map(|usage| usage.total),
        revision: info.revision,
        waits_for,
        created: subject.created,
        is_deleted: false,
        namespace: subject.namespace,
        name: subject.name,
    }
}

fn waits_for(subject: &Subject) -> Option<String> {
    let Some(ready) = subject.condition(types::READY) else {
        return Some("an operator: none has looked at it yet".to_owned());
    };
    if ready.status == "True" {
        return None;
    }
    Some(match ready.message.as_str() {
        "" => ready.reason.clone(),
        message => message.to_owned(),
    })
}
