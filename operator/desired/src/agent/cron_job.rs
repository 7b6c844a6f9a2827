//! The CronJobs of an agent that runs at times: one for each cron expression.

use k8s_openapi::{
    api::{
        batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use langop_api::names::annotations;

use super::{
    run,
    validate::{RunSpec, ValidatedAgent},
};
use crate::meta::{self, Component};

/// How late a run may start; a later one is skipped.
const STARTING_DEADLINE_SECONDS: i64 = 300;
/// Ended Jobs that are kept, of each sort.
const HISTORY: i32 = 3;

/// When a CronJob fires, and what it is called.
pub(super) struct Times<'a> {
    pub(super) name: &'a str,
    pub(super) expression: &'a str,
    pub(super) time_zone: Option<&'a str>,
}

/// The CronJob around a pod template. `timeout_seconds` ends a run.
pub(super) fn build(
    agent: &ValidatedAgent,
    spec: &RunSpec,
    times: &Times<'_>,
    timeout_seconds: Option<u64>,
    template: PodTemplateSpec,
) -> CronJob {
    let labels = meta::labels(Component::Agent, &agent.name);
    let template_hash = run::template_hash(&template);
    CronJob {
        metadata: meta::object_meta(
            times.name,
            Some(&agent.namespace),
            Some(&agent.owner),
            labels.clone(),
        ),
        spec: CronJobSpec {
            schedule: times.expression.to_owned(),
            time_zone: times.time_zone.map(str::to_owned),
            suspend: Some(spec.requested.suspended || agent.suspended_by.is_some()),
            concurrency_policy: Some("Forbid".to_owned()),
            successful_jobs_history_limit: Some(HISTORY),
            failed_jobs_history_limit: Some(HISTORY),
            starting_deadline_seconds: Some(STARTING_DEADLINE_SECONDS),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(
                        [(annotations::TEMPLATE_HASH.to_owned(), template_hash)].into(),
                    ),
                    ..ObjectMeta::default()
                }),
                spec: Some(JobSpec {
                    backoff_limit: Some(0),
                    active_deadline_seconds: timeout_seconds
                        .and_then(|seconds| i64::try_from(seconds).ok()),
                    template,
                    ..JobSpec::default()
                }),
            },
        },
        status: None,
    }
}
