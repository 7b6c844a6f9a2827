//! The powers of an agent that runs, read from its live objects: where approval begins, this is
//! what needs none, whatever its spec says by now.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::CronJob,
    core::v1::{Container, PodTemplateSpec},
    networking::v1::NetworkPolicyEgressRule,
};
use langop_api::names::env;
use langop_dsl::parse_duration;
use serde_json::Value;

use super::{
    CodePowers, Powers, PowersError,
    limits::Limits,
    network::Network,
    pace::Pace,
    sidecars::Sidecars,
    variables::{secret, users},
};
use crate::{agent::timing::Timing, observed::AvailableRefs, policy, settings::Settings};

/// The live objects of an agent.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Its Deployment.
    pub deployment: Option<Deployment>,
    /// Its CronJobs.
    pub cron_jobs: Vec<CronJob>,
    /// The rules of its network policy.
    pub egress: Vec<NetworkPolicyEgressRule>,
}

impl Live {
    /// The ConfigMap of the code that its pods mount.
    pub fn config_map(&self) -> Option<&str> {
        let volumes = self.pods()?.spec.as_ref()?.volumes.as_ref()?;
        let code = volumes.iter().find(|volume| volume.name == "code")?;
        Some(code.config_map.as_ref()?.name.as_str())
    }

    /// What it may do with that code.
    ///
    /// # Errors
    /// If it runs nothing, or something that the operator did not make.
    pub fn powers(
        &self,
        code: Option<&CodePowers>,
        settings: &Settings,
    ) -> Result<Powers, PowersError> {
        let unreadable = |what: &str| PowersError::Unreadable(what.to_owned());
        let pods = self.pods().ok_or(PowersError::Missing)?;
        let spec = pods.spec.as_ref().ok_or(PowersError::Missing)?;
        let agent = spec.containers.iter().find(|one| one.name == "agent");
        let agent = agent.ok_or_else(|| unreadable("there is no container 'agent'"))?;
        let common = [policy::dns_rule(settings), policy::telemetry_rule(settings)];
        let own = self.egress.iter();
        let own = own.filter(|rule| !common.iter().flatten().any(|common| common == *rule));
        let to_pull = spec.image_pull_secrets.iter().flatten();
        let to_pull = to_pull.map(|secret| secret.name.clone());
        let offered = AvailableRefs {
            tools: names_in(agent, env::MCP_SERVERS),
            models: names_in(agent, env::MODEL_ENDPOINTS),
        };
        Ok(Powers {
            pace: self.pace(agent),
            limits: limits(agent),
            network: Network::of(own).map_err(|why| unreadable(&why.to_string()))?,
            image: agent
                .image
                .clone()
                .filter(|image| *image != settings.agent_image),
            env: users(agent).map(|variable| variable.name.clone()).collect(),
            secrets: users(agent).filter_map(secret).chain(to_pull).collect(),
            sidecars: Sidecars::of_pod(spec.init_containers.iter().flatten()),
            ..Powers::of_calls(code, &offered)
        })
    }

    fn pods(&self) -> Option<&PodTemplateSpec> {
        let deployment = self.deployment.as_ref().and_then(|one| one.spec.as_ref());
        let job = self.cron_jobs.first().and_then(|one| {
            let job = one.spec.job_template.spec.as_ref();
            job.map(|job| &job.template)
        });
        deployment.map(|spec| &spec.template).or(job)
    }

    fn pace(&self, agent: &Container) -> Pace {
        let timing = match (value(agent, env::AGENT_SCHEDULE), &self.deployment) {
            (Some(every), Some(_)) => {
                let length = every.strip_prefix("every ").map(parse_duration);
                length
                    .and_then(Result::ok)
                    .map(|seconds| Timing::Every { seconds })
            }
            (_, None) if !self.cron_jobs.is_empty() => Some(Timing::Cron {
                expressions: self
                    .cron_jobs
                    .iter()
                    .map(|one| one.spec.schedule.clone())
                    .collect(),
                time_zone: None,
                only: value(agent, env::AGENT_SCHEDULE_ONLY).and_then(|days| days.parse().ok()),
            }),
            _ => None,
        };
        timing.as_ref().map_or(Pace::Continuous, Pace::of)
    }
}

fn limits(agent: &Container) -> Limits {
    let iterations = value(agent, env::AGENT_MAX_ITERATIONS);
    let timeout = value(agent, env::AGENT_TIMEOUT);
    Limits {
        max_iterations: iterations.and_then(|number| number.parse().ok()),
        timeout_seconds: timeout.and_then(|length| parse_duration(length).ok()),
    }
}

fn value<'a>(agent: &'a Container, name: &str) -> Option<&'a str> {
    let mut all = agent.env.iter().flatten();
    all.find(|variable| variable.name == name)?.value.as_deref()
}

/// The names in a list of ours, sorted.
fn names_in(agent: &Container, name: &str) -> Vec<String> {
    let list: Option<Vec<Value>> =
        value(agent, name).and_then(|text| serde_json::from_str(text).ok());
    let names = list
        .iter()
        .flatten()
        .filter_map(|entry| entry["name"].as_str());
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    names.into_iter().collect()
}
