//! What tests read of an object, where the API has no function of its own for it.

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::ConfigMap},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{Resource as _, ResourceExt as _};
use langop_api::{LanguageAgent, LanguageAgentStatus, names::annotations};

/// Whether `Ready` is True among these.
pub fn is_ready(conditions: &[Condition]) -> bool {
    conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A condition of an agent.
pub fn condition<'a>(agent: &'a LanguageAgent, type_: &str) -> Option<&'a Condition> {
    agent
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
}

/// Whether a condition of an agent has this status.
pub fn is(agent: &LanguageAgent, type_: &str, status: &str) -> bool {
    condition(agent, type_).is_some_and(|condition| condition.status == status)
}

/// Whether its status is of its present generation.
pub fn is_current(agent: &LanguageAgent) -> bool {
    agent
        .status
        .as_ref()
        .is_some_and(|status| status.observed_generation == agent.meta().generation)
}

/// The number of a stored revision; 0 where its annotation is missing.
pub fn revision(map: &ConfigMap) -> i64 {
    map.annotations()
        .get(annotations::REVISION)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// An environment variable's plain value in the (first) container of a Deployment.
pub fn env_value(deployment: &Deployment, name: &str) -> Option<String> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let variable = pod
        .containers
        .first()?
        .env
        .as_ref()?
        .iter()
        .find(|variable| variable.name == name)?;
    variable.value.clone()
}

/// The number of its rollouts so far.
pub fn rollouts(deployment: &Deployment) -> String {
    deployment
        .annotations()
        .get("deployment.kubernetes.io/revision")
        .cloned()
        .unwrap_or_default()
}

/// The code ConfigMap a Deployment mounts.
pub fn mounted_code(deployment: &Deployment) -> Option<String> {
    let volumes = deployment
        .spec
        .as_ref()?
        .template
        .spec
        .as_ref()?
        .volumes
        .as_ref()?;
    volumes
        .iter()
        .find_map(|volume| volume.config_map.as_ref().map(|map| map.name.clone()))
}

/// Ended runs of an agent: all, well ended, badly ended.
pub fn counts(agent: &LanguageAgent) -> (i64, i64, i64) {
    let status = agent.status.clone().unwrap_or_default();
    let LanguageAgentStatus {
        execution_count,
        successful_executions,
        failed_executions,
        ..
    } = status;
    let or_zero = |count: Option<i64>| count.unwrap_or(0);
    (
        or_zero(execution_count),
        or_zero(successful_executions),
        or_zero(failed_executions),
    )
}
