//! What must hold of a namespace once nothing goes wrong any more, judged from the specs that users wrote: a picture of all objects, and
//! what is wrong in it. It knows nothing of how the operator gets there.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::CronJob,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, PodSpec, Service},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{Resource, ResourceExt};
use langop_api::{
    LanguageAgent, LanguageModel, LanguagePersona, LanguageTool,
    agent::ExecutionMode,
    names::{CODE_KEY, INSTRUCTIONS_KEY, annotations, labels},
    tool::DeploymentMode,
};
use serde_json::Value;

use crate::world::{World, attempts};

/// All objects of a namespace at one moment.
pub(crate) struct Picture {
    agents: Vec<LanguageAgent>,
    tools: Vec<LanguageTool>,
    models: Vec<LanguageModel>,
    personas: Vec<LanguagePersona>,
    deployments: Vec<Deployment>,
    cron_jobs: Vec<CronJob>,
    policies: Vec<NetworkPolicy>,
    maps: Vec<ConfigMap>,
    services: Vec<Service>,
    claims: Vec<PersistentVolumeClaim>,
    pods: Vec<Pod>,
}

/// What is wrong, one line each.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn unless(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }

    fn same(&mut self, what: &str, expected: &BTreeSet<String>, live: &BTreeSet<String>) {
        self.unless(expected == live, || {
            format!("{what} are {live:?}, not {expected:?}")
        });
    }
}

impl Picture {
    pub(crate) async fn of(world: &World) -> Self {
        Self {
            // Children first: one that is made meanwhile is then missing, rather than an orphan.
            deployments: world.list().await,
            cron_jobs: world.list().await,
            policies: world.list().await,
            maps: world.list().await,
            services: world.list().await,
            claims: world.list().await,
            pods: world.list().await,
            agents: world.list().await,
            tools: world.list().await,
            models: world.list().await,
            personas: world.list().await,
        }
    }

    /// Names of the objects of one of our kinds.
    pub(crate) fn names(&self, kind: &str) -> Vec<String> {
        match kind {
            "LanguageAgent" => self.agents.iter().map(ResourceExt::name_any).collect(),
            "LanguageTool" => self.tools.iter().map(ResourceExt::name_any).collect(),
            "LanguageModel" => self.models.iter().map(ResourceExt::name_any).collect(),
            _ => self.personas.iter().map(ResourceExt::name_any).collect(),
        }
    }

    /// Everything that is wrong.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut findings = Findings::default();
        self.each_generation_is_observed(&mut findings);
        self.nothing_is_orphaned(&mut findings);
        self.children_are_exactly_these(&mut findings);
        for persona in &self.personas {
            judge_persona(persona, &mut findings);
        }
        for agent in &self.agents {
            self.judge_agent(agent, &mut findings);
        }
        findings.0
    }

    fn each_generation_is_observed(&self, findings: &mut Findings) {
        let agents = self.agents.iter().map(|o| {
            (
                o.meta(),
                o.status.as_ref().and_then(|s| s.observed_generation),
            )
        });
        let tools = self.tools.iter().map(|o| {
            (
                o.meta(),
                o.status.as_ref().and_then(|s| s.observed_generation),
            )
        });
        let models = self.models.iter().map(|o| {
            (
                o.meta(),
                o.status.as_ref().and_then(|s| s.observed_generation),
            )
        });
        let personas = self.personas.iter().map(|o| {
            (
                o.meta(),
                o.status.as_ref().and_then(|s| s.observed_generation),
            )
        });
        for (meta, observed) in agents.chain(tools).chain(models).chain(personas) {
            let name = meta.name.as_deref().unwrap_or_default();
            findings.unless(observed == meta.generation, || {
                format!(
                    "{name}: generation {:?}, observed {observed:?}",
                    meta.generation
                )
            });
        }
    }

    /// Whatever we made belongs to something that exists.
    fn nothing_is_orphaned(&self, findings: &mut Findings) {
        let owners: BTreeSet<String> = uids(&self.agents)
            .chain(uids(&self.tools))
            .chain(uids(&self.models))
            .chain(uids(&self.personas))
            .collect();
        let children = children("Deployment", &self.deployments)
            .chain(children("CronJob", &self.cron_jobs))
            .chain(children("NetworkPolicy", &self.policies))
            .chain(children("ConfigMap", &self.maps))
            .chain(children("Service", &self.services))
            .chain(children("PersistentVolumeClaim", &self.claims));
        for (child, owner) in children {
            let is_owned = owner.as_ref().is_some_and(|owner| owners.contains(owner));
            findings.unless(is_owned, || format!("{child} has no living owner"));
        }
    }

    /// No child is missing and none is too many.
    fn children_are_exactly_these(&self, findings: &mut Findings) {
        let (running, waiting): (Vec<_>, Vec<_>) = self
            .agents
            .iter()
            .partition(|agent| self.active(agent).is_some());
        let (scheduled, autonomous): (Vec<_>, Vec<_>) =
            running.iter().partition(|agent| is_scheduled(agent));
        let services = self
            .tools
            .iter()
            .filter(|tool| tool.spec.deployment_mode == DeploymentMode::Service);
        let services: Vec<_> = services.collect();
        let mut exposed = named(services.iter().copied());
        exposed.extend(
            named(&self.models)
                .iter()
                .map(|name| format!("{name}-proxy")),
        );
        let deployments = &named(autonomous.iter().copied().copied()) | &exposed;
        findings.same("Deployments", &deployments, &named(&self.deployments));
        let cron_jobs = named(scheduled.iter().copied().copied());
        findings.same("CronJobs", &cron_jobs, &named(&self.cron_jobs));
        findings.same("Services", &exposed, &named(&self.services));

        // An agent that still waits for its code may have its policy and its claim already.
        let waiting = named(waiting.iter().copied());
        let closed = services.iter().filter(|tool| tool.spec.egress.is_some());
        let policies = &named(running.iter().copied()) | &named(closed.copied());
        let live = &named(&self.policies) - &waiting;
        findings.same("NetworkPolicies", &policies, &live);
        let with_claim = running
            .iter()
            .filter(|agent| agent.spec.workspace.is_some());
        let claims = claims_of(&named(with_claim.copied()));
        let live = &named(&self.claims) - &claims_of(&waiting);
        findings.same("claims", &claims, &live);
    }

    /// An agent's code with the highest revision.
    fn active<'a>(&'a self, agent: &'a LanguageAgent) -> Option<&'a ConfigMap> {
        self.codes(agent).max_by_key(|map| revision(map))
    }

    fn codes<'a>(&'a self, agent: &'a LanguageAgent) -> impl Iterator<Item = &'a ConfigMap> {
        let uid = agent.uid();
        self.maps.iter().filter(move |map| {
            controller(*map) == uid
                && map
                    .data
                    .as_ref()
                    .is_some_and(|data| data.contains_key(CODE_KEY))
        })
    }

    /// References of an agent that do not exist.
    fn missing(&self, agent: &LanguageAgent) -> Vec<String> {
        let (tools, models, personas) = (
            named(&self.tools),
            named(&self.models),
            named(&self.personas),
        );
        let spec = &agent.spec;
        let gone =
            |names: &BTreeSet<String>, name: &str| (!names.contains(name)).then(|| name.to_owned());
        let missing_tools = spec.tool_refs.iter().filter_map(|r| gone(&tools, &r.name));
        let missing_models = spec
            .model_refs
            .iter()
            .filter_map(|r| gone(&models, &r.name));
        let missing_persona = spec
            .persona_ref
            .iter()
            .filter_map(|r| gone(&personas, &r.name));
        missing_tools
            .chain(missing_models)
            .chain(missing_persona)
            .collect()
    }

    fn judge_agent(&self, agent: &LanguageAgent, findings: &mut Findings) {
        let (name, missing) = (agent.name_any(), self.missing(agent));
        let Some(active) = self.active(agent) else {
            let waits =
                reason(agent, "Synthesized") == "False WaitingForReferences" && !missing.is_empty();
            findings.unless(waits, || {
                format!("{name} has no code (missing: {missing:?}): {}", told(agent))
            });
            return;
        };
        judge_code(agent, active, findings);
        judge_conditions(agent, &missing, findings);
        self.judge_workload(agent, active, findings);
        let limit = agent
            .spec
            .synthesis
            .as_ref()
            .map_or(10, |synthesis| synthesis.revision_history_limit);
        let stored = self.codes(agent).count();
        let is_bounded =
            !missing.is_empty() || i64::try_from(stored).unwrap() <= i64::from(limit.max(1));
        findings.unless(is_bounded, || {
            format!("{name} has {stored} revisions, of at most {limit}")
        });
    }

    /// The one workload runs the active code, in the right number, with the tools as they are now.
    fn judge_workload(&self, agent: &LanguageAgent, active: &ConfigMap, findings: &mut Findings) {
        let name = agent.name_any();
        let suspended = agent.spec.suspend == Some(true);
        let (pod, pods) = if is_scheduled(agent) {
            let Some(cron_job) = self.cron_jobs.iter().find(|found| found.name_any() == name)
            else {
                return;
            };
            let spec = &cron_job.spec;
            findings.unless(spec.suspend.unwrap_or_default() == suspended, || {
                format!("{name}: suspend is not {suspended}")
            });
            (
                spec.job_template
                    .spec
                    .as_ref()
                    .and_then(|job| job.template.spec.as_ref()),
                0,
            )
        } else {
            let Some(deployment) = self
                .deployments
                .iter()
                .find(|found| found.name_any() == name)
            else {
                return;
            };
            let spec = deployment.spec.as_ref().unwrap();
            let replicas = i32::from(!suspended);
            findings.unless(spec.replicas == Some(replicas), || {
                format!("{name}: {:?} replicas, not {replicas}", spec.replicas)
            });
            (spec.template.spec.as_ref(), replicas)
        };
        let Some(pod) = pod else { return };
        findings.unless(mounted(pod) == active.metadata.name, || {
            format!(
                "{name} mounts {:?}, not {:?}",
                mounted(pod),
                active.metadata.name
            )
        });
        let live = self
            .pods
            .iter()
            .filter(|pod| pod.labels().get(labels::AGENT) == Some(&name));
        let live = live
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .count();
        findings.unless(i32::try_from(live) == Ok(pods), || {
            format!("{name} has {live} pods, not {pods}")
        });
        self.judge_tools(agent, pod, findings);
    }

    fn judge_tools(&self, agent: &LanguageAgent, pod: &PodSpec, findings: &mut Findings) {
        let existing = agent
            .spec
            .tool_refs
            .iter()
            .filter_map(|r| self.tools.iter().find(|tool| tool.name_any() == r.name));
        let expected: Vec<String> = existing
            .map(|tool| format!("{} :{}", tool.name_any(), tool.spec.port))
            .collect();
        let text = env(pod, "MCP_SERVERS").unwrap_or_else(|| "[]".to_owned());
        let servers: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
        let seen: Vec<String> = servers.iter().map(server).collect();
        findings.unless(seen == expected, || {
            format!("{}: tools {seen:?}, not {expected:?}", agent.name_any())
        });
    }
}

fn judge_persona(persona: &LanguagePersona, findings: &mut Findings) {
    let status = persona.status.clone().unwrap_or_default();
    let distilled = status
        .distilled
        .as_ref()
        .and_then(|distilled| distilled.description.clone());
    let ready = status
        .conditions
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    findings.unless(ready && distilled == persona.spec.description, || {
        format!(
            "{}: ready {ready}, distilled of {distilled:?}",
            persona.name_any()
        )
    });
}

/// The active code was made from the present instructions, and was asked for.
fn judge_code(agent: &LanguageAgent, active: &ConfigMap, findings: &mut Findings) {
    let name = agent.name_any();
    let data = active.data.clone().unwrap_or_default();
    let instructions = agent.spec.instructions.clone().unwrap_or_default();
    let made_from = data.get(INSTRUCTIONS_KEY).cloned().unwrap_or_default();
    findings.unless(made_from == instructions, || {
        format!("{name} runs code of '{made_from}', not of '{instructions}'")
    });
    let code = data.get(CODE_KEY).cloned().unwrap_or_default();
    findings.unless(code.contains(&instructions), || {
        format!("{name} runs the code of others: {code}")
    });
    let asked = agent.annotations().get(annotations::RESYNTHESIZE);
    let info = agent
        .status
        .as_ref()
        .and_then(|status| status.synthesis_info.clone())
        .unwrap_or_default();
    let is_answered = asked.is_none() || info.resynthesized_for.as_ref() == asked;
    findings.unless(is_answered, || {
        format!(
            "{name}: resynthesized for {:?}, not {asked:?}",
            info.resynthesized_for
        )
    });
    findings.unless(attempts(agent) == 0, || {
        format!("{name} has {} attempts pending", attempts(agent))
    });
    findings.unless(info.revision == Some(revision(active)), || {
        format!(
            "{name}: status says revision {:?}, active is {}",
            info.revision,
            revision(active)
        )
    });
}

fn judge_conditions(agent: &LanguageAgent, missing: &[String], findings: &mut Findings) {
    let expected = match (agent.spec.suspend == Some(true), missing) {
        (true, _) => "True Suspended",
        (false, []) => "True AsDesired",
        (false, _) => "False ReferenceNotFound",
    };
    let ready = reason(agent, "Ready");
    findings.unless(ready == expected, || {
        format!(
            "{}: Ready is '{ready}', not '{expected}': {}",
            agent.name_any(),
            told(agent)
        )
    });
    let expected = if missing.is_empty() { "True" } else { "False" };
    let resolved = reason(agent, "ReferencesResolved");
    findings.unless(resolved.starts_with(expected), || {
        format!(
            "{}: ReferencesResolved is '{resolved}' (missing: {missing:?})",
            agent.name_any()
        )
    });
}

fn is_scheduled(agent: &LanguageAgent) -> bool {
    agent.spec.execution_mode == Some(ExecutionMode::Scheduled)
}

fn conditions(agent: &LanguageAgent) -> &[Condition] {
    agent
        .status
        .as_ref()
        .map_or(&[], |status| &status.conditions)
}

/// `True AsDesired`
fn reason(agent: &LanguageAgent, type_: &str) -> String {
    let condition = conditions(agent)
        .iter()
        .find(|condition| condition.type_ == type_);
    condition
        .map(|condition| format!("{} {}", condition.status, condition.reason))
        .unwrap_or_default()
}

fn told(agent: &LanguageAgent) -> String {
    let lines = conditions(agent)
        .iter()
        .map(|c| format!("{}={} {} ({})", c.type_, c.status, c.reason, c.message));
    lines.collect::<Vec<_>>().join("; ")
}

pub(crate) fn revision(map: &ConfigMap) -> i64 {
    map.annotations()
        .get(annotations::REVISION)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

fn mounted(pod: &PodSpec) -> Option<String> {
    let volumes = pod.volumes.as_ref()?;
    volumes
        .iter()
        .find_map(|volume| Some(volume.config_map.as_ref()?.name.clone()))
}

fn env(pod: &PodSpec, name: &str) -> Option<String> {
    let all = pod.containers.first()?.env.as_ref()?;
    all.iter()
        .find(|variable| variable.name == name)?
        .value
        .clone()
}

/// `mail :8080`
fn server(server: &Value) -> String {
    let url = server["url"].as_str().unwrap_or_default();
    let port = url.rsplit_once(':').map_or("", |(_, port)| port);
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    format!("{} :{port}", server["name"].as_str().unwrap_or_default())
}

fn uids<K: Resource>(objects: &[K]) -> impl Iterator<Item = String> {
    objects.iter().filter_map(ResourceExt::uid)
}

fn controller<K: Resource>(object: &K) -> Option<String> {
    let owners = object.owner_references().iter();
    owners
        .filter(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.clone())
        .next()
}

/// The operator's children among these, and who owns them.
fn children<'a, K: Resource>(
    kind: &'a str,
    objects: &'a [K],
) -> impl Iterator<Item = (String, Option<String>)> + 'a {
    let ours = objects.iter().filter(|object| {
        object
            .labels()
            .get(labels::PART_OF)
            .is_some_and(|v| v == labels::PART_OF_VALUE)
    });
    ours.map(move |object| (format!("{kind} {}", object.name_any()), controller(object)))
}

fn named<'a, K: Resource + 'a>(objects: impl IntoIterator<Item = &'a K>) -> BTreeSet<String> {
    objects.into_iter().map(ResourceExt::name_any).collect()
}

fn claims_of(agents: &BTreeSet<String>) -> BTreeSet<String> {
    agents
        .iter()
        .map(|agent| format!("{agent}-workspace"))
        .collect()
}
