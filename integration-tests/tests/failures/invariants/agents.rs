//! Agents: the right code, in one workload of the right kind, with what it was given as it is now,
//! and a status that says so.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ConfigMap, PersistentVolumeClaim, PodSpec},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::ResourceExt;
use langop_api::{
    LanguageAgent, LanguageModel, LanguageTool,
    agent::{AgentPhase, DeletionPolicy, ExecutionMode, Workspace},
    names::{CODE_KEY, INSTRUCTIONS_KEY, annotations, labels},
    tool::DeploymentMode,
};
use serde_json::{Value, json};

use super::{FOREIGN_WRITER, Findings, Snapshot, controller, reason, told};
use crate::{fault_env::attempts, llm};

/// What is to become of an agent.
pub(super) enum Course<'a> {
    /// This code runs.
    Runs(&'a ConfigMap),
    /// It has no code, or has lost it, and gets none before all references exist. What runs stays.
    Waits,
    /// The revision that it pins is not stored. What runs stays.
    NotStored,
}

impl Snapshot {
    pub(super) fn course<'a>(&'a self, agent: &'a LanguageAgent) -> Course<'a> {
        let pinned = agent
            .spec
            .synthesis
            .as_ref()
            .and_then(|synthesis| synthesis.revision);
        if let Some(pinned) = pinned {
            let stored = self.codes(agent).find(|map| revision(map) == pinned);
            return stored.map_or(Course::NotStored, Course::Runs);
        }
        // Older code does not take the place of what is lost.
        let ran = agent
            .status
            .as_ref()
            .and_then(|status| status.synthesis_info.as_ref()?.revision);
        let newest = self.codes(agent).max_by_key(|map| revision(map));
        newest
            .filter(|map| Some(revision(map)) >= ran)
            .map_or(Course::Waits, Course::Runs)
    }

    /// How agents ended, by what Ready says: which of the many ends a test has tried.
    pub(crate) fn ends(&self) -> BTreeMap<String, u32> {
        let mut ends = BTreeMap::new();
        for agent in &self.agents {
            *ends.entry(reason(conditions(agent), "Ready")).or_default() += 1;
        }
        ends
    }

    /// Its stored code.
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
    fn missing(&self, agent: &LanguageAgent) -> usize {
        let spec = &agent.spec;
        let personas = self.personas.iter().filter(|persona| {
            spec.persona_ref
                .as_ref()
                .is_some_and(|reference| reference.name == persona.name_any())
        });
        let named =
            spec.tool_refs.len() + spec.model_refs.len() + usize::from(spec.persona_ref.is_some());
        let found = self.tools_of(&spec.tool_refs).len()
            + self.models_of(&spec.model_refs).len()
            + personas.count();
        named - found
    }

    pub(super) fn judge_agent(&self, agent: &LanguageAgent, findings: &mut Findings) {
        let (name, missing) = (agent.name_any(), self.missing(agent));
        self.judge_status(agent, missing, findings);
        match self.course(agent) {
            Course::Waits => findings.unless(missing > 0, || {
                format!("{name} has no code: {}", told(conditions(agent)))
            }),
            Course::NotStored => {}
            Course::Runs(active) => {
                judge_code(agent, active, findings);
                self.judge_staleness(agent, active, findings);
                self.judge_workload(agent, active, findings);
                let limit = agent
                    .spec
                    .synthesis
                    .as_ref()
                    .map_or(10, |synthesis| synthesis.revision_history_limit);
                let stored = self.codes(agent).count();
                findings.unless(i32::try_from(stored).unwrap() <= limit, || {
                    format!("{name} has {stored} revisions, of at most {limit}")
                });
            }
        }
    }

    fn judge_status(&self, agent: &LanguageAgent, missing: usize, findings: &mut Findings) {
        let suspended = agent.spec.suspend == Some(true);
        let tools = self.tools_of(&agent.spec.tool_refs);
        let mut sidecars = tools
            .iter()
            .filter(|tool| tool.spec.deployment_mode == DeploymentMode::Sidecar);
        let lent = sidecars.any(|tool| {
            let rules = tool.spec.egress.as_ref();
            rules.is_some_and(|rules| !rules.is_empty())
        });
        let denied = (lent || !agent.spec.egress.is_empty()) && self.denies_egress();
        let (ready, phase) = match self.course(agent) {
            Course::NotStored => ("False RevisionNotFound", AgentPhase::Failed),
            Course::Waits => ("False WaitingForReferences", AgentPhase::Pending),
            Course::Runs(_) if suspended => ("True Suspended", AgentPhase::Suspended),
            Course::Runs(_) if denied => ("False EgressDenied", AgentPhase::Running),
            Course::Runs(_) if self.is_too_large(agent) => {
                ("False WorkspaceShrinkRefused", AgentPhase::Running)
            }
            Course::Runs(_) if self.is_of_a_former_agent(agent) => {
                ("False WorkspaceKept", AgentPhase::Running)
            }
            Course::Runs(_) if missing > 0 => ("False ReferenceNotFound", AgentPhase::Running),
            Course::Runs(_) => ("True AsDesired", AgentPhase::Running),
        };
        let synthesized = match self.course(agent) {
            Course::NotStored => "False RevisionNotFound",
            Course::Waits => "False WaitingForReferences",
            Course::Runs(active) if is_made_from(active, agent) => "True",
            Course::Runs(_) => "False RevisionActivated",
        };
        let resolved = if missing == 0 { "True" } else { "False" };
        let name = agent.name_any();
        for (type_, expected) in [
            ("Ready", ready),
            ("Synthesized", synthesized),
            ("ReferencesResolved", resolved),
        ] {
            let is = reason(conditions(agent), type_);
            findings.unless(is.starts_with(expected), || {
                format!(
                    "{name}: {type_} is '{is}', not '{expected}' ({missing} missing): {}",
                    told(conditions(agent))
                )
            });
        }
        let is = agent.status.as_ref().and_then(|status| status.phase);
        findings.unless(is == Some(phase), || {
            format!("{name}: phase {is:?}, not {phase:?}")
        });
    }

    /// Stale is code that was not offered what there is now, or uses what there is no more.
    fn judge_staleness(&self, agent: &LanguageAgent, active: &ConfigMap, findings: &mut Findings) {
        let (offered, used) = llm::offered_and_used(&text(active, CODE_KEY));
        let tools: Vec<String> = self
            .tools_of(&agent.spec.tool_refs)
            .iter()
            .map(|tool| tool.name_any())
            .collect();
        let models = self.models_of(&agent.spec.model_refs);
        let models: Vec<String> = models.iter().map(|model| model.name_any()).collect();
        let is_stale = tools.iter().any(|tool| !offered[0].contains(tool))
            || models.iter().any(|model| !offered[1].contains(model))
            || used.iter().any(|tool| !tools.contains(tool));
        let expected = if is_stale {
            "True ReferencesChanged"
        } else {
            "False ReferencesUnchanged"
        };
        let is = reason(conditions(agent), "CodeStale");
        findings.unless(is == expected, || {
            format!(
                "{}: CodeStale is '{is}', not '{expected}'",
                agent.name_any()
            )
        });
    }

    /// The one workload runs the active code, in the right number, with everything as it is now.
    fn judge_workload(&self, agent: &LanguageAgent, active: &ConfigMap, findings: &mut Findings) {
        let Some((pod, pods)) = self.workload(agent, findings) else {
            return;
        };
        let name = agent.name_any();
        let live = self
            .pods
            .iter()
            .filter(|pod| pod.labels().get(labels::AGENT) == Some(&name));
        let live = live
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .count();
        findings.unless(live == pods, || {
            format!("{name} has {live} pods, not {pods}")
        });
        let mounts = mounted(pod);
        findings.unless(mounts == active.metadata.name, || {
            format!("{name} mounts {mounts:?}, not {:?}", active.metadata.name)
        });
        let image = pod.containers[0].image.clone().unwrap_or_default();
        findings.unless(!image.contains(FOREIGN_WRITER), || {
            format!("{name} runs {image}")
        });
        let tools = self.tools_of(&agent.spec.tool_refs);
        self.judge_given(
            &name,
            pod,
            &tools,
            &self.models_of(&agent.spec.model_refs),
            findings,
        );
        judge_sidecars(&name, pod, &tools, findings);
        self.judge_persona_of(agent, pod, findings);
        self.judge_workspace(agent, pod, findings);
    }

    /// The pod of the workload that there should be, and how many of it; `None` if it is missing,
    /// which is found elsewhere.
    fn workload(
        &self,
        agent: &LanguageAgent,
        findings: &mut Findings,
    ) -> Option<(&PodSpec, usize)> {
        let (name, suspended) = (agent.name_any(), agent.spec.suspend == Some(true));
        if is_scheduled(agent) {
            let spec = &self
                .cron_jobs
                .iter()
                .find(|found| found.name_any() == name)?
                .spec;
            findings.unless(spec.suspend == Some(suspended), || {
                format!("{name}: suspend is not {suspended}")
            });
            findings.unless(Some(&spec.schedule) == agent.spec.schedule.as_ref(), || {
                format!("{name} fires at {}", spec.schedule)
            });
            return Some((spec.job_template.spec.as_ref()?.template.spec.as_ref()?, 0));
        }
        let spec = self
            .deployments
            .iter()
            .find(|found| found.name_any() == name)?
            .spec
            .as_ref()?;
        let replicas = i32::from(!suspended);
        findings.unless(spec.replicas == Some(replicas), || {
            format!("{name}: {:?} replicas, not {replicas}", spec.replicas)
        });
        let strategy = spec
            .strategy
            .as_ref()
            .and_then(|strategy| strategy.type_.as_deref());
        let wanted = if workspace(agent).is_some() {
            "Recreate"
        } else {
            "RollingUpdate"
        };
        findings.unless(strategy == Some(wanted), || {
            format!("{name} rolls by {strategy:?}, not {wanted}")
        });
        Some((spec.template.spec.as_ref()?, usize::from(!suspended)))
    }

    /// The tools and models in the environment of a pod.
    pub(super) fn judge_given(
        &self,
        name: &str,
        pod: &PodSpec,
        tools: &[&LanguageTool],
        models: &[&LanguageModel],
        findings: &mut Findings,
    ) {
        let service = |name: &str, port: i32| {
            format!("http://{name}.{}.svc.cluster.local:{port}", self.namespace)
        };
        let tools = tools.iter().map(|tool| {
            let (name, port) = (tool.name_any(), tool.spec.port);
            let url = match tool.spec.deployment_mode {
                DeploymentMode::Service => service(&name, port),
                DeploymentMode::Sidecar => format!("http://localhost:{port}"),
            };
            json!({"name": name, "url": url})
        });
        let models = models.iter().map(|model| {
            let name = model.name_any();
            json!({"name": name, "url": service(&format!("{name}-proxy"), 8000), "model": model.spec.model})
        });
        for (variable, wanted) in [
            ("MCP_SERVERS", tools.collect::<Value>()),
            ("MODEL_ENDPOINTS", models.collect()),
        ] {
            let given = env(pod, variable).unwrap_or_default();
            let given: Value = serde_json::from_str(&given).unwrap_or_default();
            findings.unless(given == wanted, || {
                format!("{name} has {variable}={given}, not {wanted}")
            });
        }
    }

    fn judge_persona_of(&self, agent: &LanguageAgent, pod: &PodSpec, findings: &mut Findings) {
        let named = agent.spec.persona_ref.as_ref();
        let persona = named.and_then(|named| {
            self.personas
                .iter()
                .find(|persona| persona.name_any() == named.name)
        });
        let of_spec = |field: fn(&langop_api::LanguagePersonaSpec) -> &Option<String>| {
            persona.and_then(|persona| field(&persona.spec).clone())
        };
        for (variable, wanted) in [
            ("PERSONA_NAME", persona.map(ResourceExt::name_any)),
            ("PERSONA_DESCRIPTION", of_spec(|spec| &spec.description)),
            ("PERSONA_SYSTEM_PROMPT", of_spec(|spec| &spec.system_prompt)),
            ("PERSONA_TONE", of_spec(|spec| &spec.tone)),
            ("PERSONA_LANGUAGE", of_spec(|spec| &spec.language)),
            (
                "PERSONA_DISTILLED_PROMPT",
                persona.map(|_| llm::CONDENSED.to_owned()),
            ),
        ] {
            let given = env(pod, variable);
            findings.unless(given == wanted, || {
                format!(
                    "{} has {variable}={given:?}, not {wanted:?}",
                    agent.name_any()
                )
            });
        }
    }

    /// The workspace is mounted exactly where there is to be one, and its claim is as the spec
    /// says.
    fn judge_workspace(&self, agent: &LanguageAgent, pod: &PodSpec, findings: &mut Findings) {
        let name = agent.name_any();
        let volumes = pod.volumes.iter().flatten();
        let mounted: Vec<_> = volumes
            .filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone()))
            .collect();
        let Some(workspace) = workspace(agent) else {
            return findings.unless(mounted.is_empty(), || format!("{name} mounts {mounted:?}"));
        };
        findings.unless(mounted == [format!("{name}-workspace")], || {
            format!("{name} mounts {mounted:?}")
        });
        // One that is missing is found elsewhere.
        let Some(claim) = self.claim(agent) else {
            return;
        };
        let owner = controller(claim);
        let wanted = match workspace.deletion_policy {
            DeletionPolicy::Delete => agent
                .uid()
                .filter(|uid| made_for(claim) == Some(uid.as_str())),
            DeletionPolicy::Retain => None,
        };
        findings.unless(owner == wanted, || {
            format!("the claim of {name} belongs to {owner:?}, not to {wanted:?}")
        });
        let is_right = storage(claim) == workspace.storage.0 || self.is_too_large(agent);
        findings.unless(is_right, || {
            format!(
                "the claim of {name} has {}, not {}",
                storage(claim),
                workspace.storage.0
            )
        });
    }

    fn claim(&self, agent: &LanguageAgent) -> Option<&PersistentVolumeClaim> {
        let name = format!("{}-workspace", agent.name_any());
        self.claims.iter().find(|claim| claim.name_any() == name)
    }

    /// Whether it should delete a claim that one before it kept.
    fn is_of_a_former_agent(&self, agent: &LanguageAgent) -> bool {
        let goes = workspace(agent)
            .is_some_and(|workspace| workspace.deletion_policy == DeletionPolicy::Delete);
        let claim = self.claim(agent);
        goes && claim.is_some_and(|claim| made_for(claim) != agent.uid().as_deref())
    }

    /// Whether its claim has more than its spec asks for; a volume cannot shrink. The sizes of
    /// these tests compare as texts.
    fn is_too_large(&self, agent: &LanguageAgent) -> bool {
        let too_large = |workspace: &Workspace| {
            self.claim(agent)
                .is_some_and(|claim| storage(claim) > workspace.storage.0)
        };
        workspace(agent).is_some_and(too_large)
    }
}

/// Code that runs without being pinned was made from the present instructions, and was asked for.
fn judge_code(agent: &LanguageAgent, active: &ConfigMap, findings: &mut Findings) {
    let name = agent.name_any();
    let (code, made_from) = (text(active, CODE_KEY), text(active, INSTRUCTIONS_KEY));
    findings.unless(code.contains(&made_from), || {
        format!("{name} runs the code of others: {code}")
    });
    let info = agent
        .status
        .as_ref()
        .and_then(|status| status.synthesis_info.clone())
        .unwrap_or_default();
    findings.unless(info.revision == Some(revision(active)), || {
        format!(
            "{name}: status says revision {:?}, active is {}",
            info.revision,
            revision(active)
        )
    });
    if agent
        .spec
        .synthesis
        .as_ref()
        .is_some_and(|synthesis| synthesis.revision.is_some())
    {
        return;
    }
    findings.unless(is_made_from(active, agent), || {
        format!(
            "{name} runs code of '{made_from}', not of '{:?}'",
            agent.spec.instructions
        )
    });
    let asked = agent.annotations().get(annotations::RESYNTHESIZE);
    findings.unless(
        asked.is_none() || info.resynthesized_for.as_ref() == asked,
        || {
            format!(
                "{name}: resynthesized for {:?}, not {asked:?}",
                info.resynthesized_for
            )
        },
    );
    findings.unless(attempts(agent) == 0, || {
        format!("{name} has {} attempts pending", attempts(agent))
    });
}

/// Each sidecar tool is in the pod, as its spec says.
fn judge_sidecars(name: &str, pod: &PodSpec, tools: &[&LanguageTool], findings: &mut Findings) {
    let sidecars = tools
        .iter()
        .filter(|tool| tool.spec.deployment_mode == DeploymentMode::Sidecar);
    let wanted: Vec<_> = sidecars
        .map(|tool| {
            (
                format!("tool-{}", tool.name_any()),
                Some(tool.spec.image.clone()),
                Some(tool.spec.port.to_string()),
            )
        })
        .collect();
    let containers = pod.init_containers.iter().flatten();
    let live: Vec<_> = containers
        .map(|container| {
            let port = container
                .env
                .iter()
                .flatten()
                .find(|variable| variable.name == "PORT");
            (
                container.name.clone(),
                container.image.clone(),
                port.and_then(|port| port.value.clone()),
            )
        })
        .collect();
    findings.unless(live == wanted, || {
        format!("{name} has the sidecars {live:?}, not {wanted:?}")
    });
}

fn is_made_from(code: &ConfigMap, agent: &LanguageAgent) -> bool {
    Some(text(code, INSTRUCTIONS_KEY)) == agent.spec.instructions
}

fn text(map: &ConfigMap, key: &str) -> String {
    map.data
        .as_ref()
        .and_then(|data| data.get(key).cloned())
        .unwrap_or_default()
}

pub(super) fn is_scheduled(agent: &LanguageAgent) -> bool {
    agent.spec.execution_mode == Some(ExecutionMode::Scheduled)
}

pub(super) fn workspace(agent: &LanguageAgent) -> Option<&Workspace> {
    agent
        .spec
        .workspace
        .as_ref()
        .filter(|workspace| workspace.enabled)
}

/// The uid of the agent that a claim was made for.
fn made_for(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim
        .annotations()
        .get(annotations::KEPT_BY)
        .map(String::as_str)
}

fn storage(claim: &PersistentVolumeClaim) -> String {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    requests
        .and_then(|requests| Some(requests.get("storage")?.0.clone()))
        .unwrap_or_default()
}

fn conditions(agent: &LanguageAgent) -> &[Condition] {
    agent
        .status
        .as_ref()
        .map_or(&[], |status| &status.conditions)
}

fn revision(map: &ConfigMap) -> i64 {
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
