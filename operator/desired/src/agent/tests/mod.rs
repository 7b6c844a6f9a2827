//! Agents from YAML through the real validate → decide → build → status, and the code that they run
//! through the real store format.

mod approval;
mod build;
mod claim;
mod crash_loop;
mod decide;
mod executions;
mod known;
mod origin;
mod property;
mod status;
mod store;
mod suspension;
mod validate;

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::core::v1::ConfigMap,
    jiff::{SignedDuration, Timestamp},
};
use langop_api::{
    LanguageAgent, LanguageModel, LanguagePersona, LanguageTool, agent::SynthesisInfo,
    approval::ApprovalStatus,
};
use langop_dsl::AgentDefinition;
use serde_json::{Value, json};

use super::{
    AgentContext, ClusterView, ObservedAgent,
    approval::{Approval, Author, Question, judge},
    build::{Built, Workload, build},
    code::{self, NewCode, build_code_config_map},
    decide::{Decision, InFlight, decide},
    validate::{ValidatedAgent, validate},
};
use crate::{
    backoff::Backoff,
    conditions::Invalid,
    digest,
    name_conflict::NameCollision,
    observed::{
        ChildKind, CompactMap, Controller, CronJobState, DeploymentState, JobState, Observed,
        ObservedState, PodState,
    },
    powers::{CodePowers, Powers},
    references::{Found, ModelView, PersonaView, References, Source, ToolView, persona_view},
    settings::Settings,
};

pub(super) const SERVICE_TOOL: &str = include_str!("fixtures/service_tool.yaml");
pub(super) const SIDECAR_TOOL: &str = include_str!("fixtures/sidecar_tool.yaml");

pub(super) const BACKOFF: Backoff = Backoff {
    initial: std::time::Duration::from_secs(30),
    max: std::time::Duration::from_hours(1),
};

pub(super) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// An agent and all that surrounds it.
pub(super) struct World {
    pub(super) agent: LanguageAgent,
    pub(super) tools: Vec<LanguageTool>,
    pub(super) models: Vec<LanguageModel>,
    pub(super) personas: Vec<LanguagePersona>,
    /// Names of what cannot be read, whatever its kind.
    pub(super) unreadable: Vec<&'static str>,
    pub(super) cluster: Option<ClusterView>,
    pub(super) same_name: Vec<NameCollision>,
    pub(super) observed: ObservedAgent,
    pub(super) info: SynthesisInfo,
    pub(super) in_flight: Option<InFlight>,
    pub(super) synthesizer_changed: bool,
    pub(super) settings: Settings,
    /// Definitions of stored code, by the names of its ConfigMaps.
    pub(super) definitions: BTreeMap<String, AgentDefinition>,
    /// What approval recorded so far.
    pub(super) record: ApprovalStatus,
}

impl World {
    /// From YAML documents, one of which is the agent.
    pub(super) fn of(yaml: &str) -> Self {
        let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
        let of_kind = |kind: &'static str| {
            documents
                .iter()
                .filter(move |document| document["kind"] == kind)
                .cloned()
        };
        Self {
            agent: of_kind("LanguageAgent")
                .map(|value| serde_json::from_value(value).unwrap())
                .next()
                .unwrap(),
            tools: of_kind("LanguageTool")
                .map(|value| serde_json::from_value(value).unwrap())
                .collect(),
            models: of_kind("LanguageModel")
                .map(|value| serde_json::from_value(value).unwrap())
                .collect(),
            personas: of_kind("LanguagePersona")
                .map(|value| serde_json::from_value(value).unwrap())
                .collect(),
            unreadable: vec![],
            cluster: None,
            same_name: vec![],
            observed: ObservedAgent::default(),
            info: SynthesisInfo::default(),
            in_flight: None,
            synthesizer_changed: false,
            definitions: BTreeMap::new(),
            record: ApprovalStatus::default(),
            settings: Settings {
                cluster_cidrs: vec!["10.96.0.0/12".into()],
                pod_label_prefixes: vec!["team".into(), "app.kubernetes.io/version".into()],
                default_egress: langop_api::cluster::AgentEgress::Allow,
                ..Settings::default()
            },
        }
    }

    /// An agent with this spec and nothing around it.
    pub(super) fn of_spec(spec: &Value) -> Self {
        let agent = json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent", "spec": spec,
            "metadata": {"name": "scout", "namespace": "wood", "uid": "uid-scout", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
        });
        Self::of(&agent.to_string())
    }

    /// Changes the agent's spec as a merge patch would.
    pub(super) fn patch(&mut self, patch: &Value) {
        let mut spec = serde_json::to_value(&self.agent.spec).unwrap();
        merge(&mut spec, patch);
        self.agent.spec = serde_json::from_value(spec).unwrap();
    }

    pub(super) fn annotate(&mut self, key: &str, value: &str) {
        self.agent
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(key.into(), value.into());
    }

    pub(super) fn context(&self) -> AgentContext<'_> {
        let spec = &self.agent.spec;
        AgentContext {
            agent: &self.agent,
            references: References::resolve(
                &spec.tool_refs,
                &spec.model_refs,
                spec.persona_ref.as_ref(),
                self,
            ),
            cluster: self.cluster.clone(),
            same_name: self.same_name.clone(),
            observed: self.observed.clone(),
        }
    }

    pub(super) fn try_validated(&self) -> Result<ValidatedAgent, Invalid> {
        validate(&self.context(), &self.settings, now())
    }

    pub(super) fn validated(&self) -> ValidatedAgent {
        self.try_validated().unwrap()
    }

    pub(super) fn decide(&self) -> Decision {
        let in_flight = self.in_flight.as_ref();
        decide(
            &self.validated(),
            &self.info,
            &self.observed.revisions,
            in_flight,
            self.synthesizer_changed,
            &BACKOFF,
            now(),
        )
    }

    pub(super) fn workload(&self) -> Workload {
        self.decide().workload(&self.validated(), &self.info)
    }

    /// What the operator asks of approval, of code whose definition it reads.
    pub(super) fn approval(&self) -> Approval {
        let (agent, decision) = (self.validated(), self.decide());
        let code = decision.code().map(|code| &**code);
        let definition = code.and_then(|code| self.definitions.get(&code.name));
        let powers = definition.map(CodePowers::from);
        let asked = match self.workload() {
            Workload::Run(_) => Some(Powers::of(&agent, powers.as_ref(), &self.settings)),
            _ => None,
        };
        judge(&Question {
            agent: &agent,
            is_supported: true,
            code,
            asked,
            record: &self.record,
            begins: false,
            author: Author::default(),
            settings: &self.settings,
        })
    }

    pub(super) fn build(&self) -> Built {
        let workload = self.approval().workload(self.workload());
        build(&self.validated(), &workload, &self.observed, &self.settings)
    }

    /// Makes code for the agent as it is now, as the synthesizer would.
    pub(super) fn new_code(&self, definition: &Value) -> NewCode {
        let agent = self.validated();
        let mut all = json!({"name": agent.name});
        merge(&mut all, definition);
        let definition: AgentDefinition = serde_json::from_value(all).unwrap();
        NewCode {
            code: format!("agent '{}' # {definition:?}", agent.name),
            code_hash: "c0de".into(),
            definition,
            instructions: self.agent.spec.instructions.clone().unwrap_or_default(),
            offered: code::offered(&agent.references),
            model: "writer-1".into(),
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            synthesized_at: "2026-02-01T08:00:00Z".parse().unwrap(),
            provenance: String::new(),
        }
    }

    /// Stores code as the next revision.
    pub(super) fn store(&mut self, definition: &Value) -> Arc<Observed> {
        let revision = code::next_revision(&self.observed.revisions, &self.info);
        let new = self.new_code(definition);
        let map = build_code_config_map(&self.validated(), &new, revision);
        let stored = observe_code(&map, revision);
        self.definitions.insert(stored.name.clone(), new.definition);
        self.observed.revisions.push(stored.clone());
        stored
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

/// As the API server would hand it to the operator's watch.
pub(super) fn observe_code(map: &ConfigMap, number: i64) -> Arc<Observed> {
    let mut live = serde_json::to_value(map).unwrap();
    live["metadata"]["uid"] = json!(format!("uid-code-{number}"));
    live["metadata"]["creationTimestamp"] = json!(format!("2026-02-01T08:00:{number:02}Z"));
    Arc::new(digest::reduce(ChildKind::ConfigMap, live).unwrap())
}

/// A live child of the agent.
pub(super) fn child(kind: ChildKind, name: &str, state: ObservedState) -> Observed {
    Observed {
        kind,
        name: name.into(),
        namespace: "wood".into(),
        uid: format!("uid-{kind:?}-{name}"),
        controller: Some(Controller {
            kind: "LanguageAgent".into(),
            name: "scout".into(),
            uid: "uid-scout".into(),
        }),
        labels: [("langop.io/agent", "scout")].into_iter().collect(),
        annotations: CompactMap::default(),
        created: "2026-02-01T00:00:00Z".into(),
        deleting: false,
        owned_digest: String::new(),
        state,
    }
}

pub(super) fn deployment(ready: i32) -> Arc<Observed> {
    let state = DeploymentState {
        generation: 1,
        observed_generation: 1,
        desired: 1,
        replicas: 1,
        updated: 1,
        ready,
        ..DeploymentState::default()
    };
    Arc::new(child(
        ChildKind::Deployment,
        "scout",
        ObservedState::Deployment(state),
    ))
}

pub(super) fn cron_job(active: i32) -> Arc<Observed> {
    Arc::new(child(
        ChildKind::CronJob,
        "scout",
        ObservedState::CronJob(CronJobState {
            active,
            schedule: "0 9 * * *".into(),
            ..CronJobState::default()
        }),
    ))
}

pub(super) fn pod(runner: &str, state: PodState) -> Arc<Observed> {
    let mut pod = child(ChildKind::Pod, "pod-1", ObservedState::Pod(Box::new(state)));
    pod.controller = Some(Controller {
        kind: runner.into(),
        name: "r".into(),
        uid: format!("uid-{runner}"),
    });
    Arc::new(pod)
}

pub(super) fn job(uid: &str, state: JobState) -> Arc<Observed> {
    let mut job = child(ChildKind::Job, uid, ObservedState::Job(Box::new(state)));
    job.uid = uid.into();
    Arc::new(job)
}

impl World {
    fn found<T>(&self, name: &str, view: Option<T>) -> Found<T> {
        if self.unreadable.contains(&name) {
            Found::Unreadable
        } else {
            view.map_or(Found::Missing, Found::Present)
        }
    }
}

fn named<'a, K: kube::Resource>(objects: &'a [K], name: &str) -> Option<&'a K> {
    let is_named = |object: &&K| object.meta().name.as_deref() == Some(name);
    objects.iter().find(is_named)
}

impl Source for World {
    fn tool(&self, name: &str) -> Found<ToolView> {
        let tool = named(&self.tools, name);
        self.found(name, tool.map(|tool| ToolView::new(tool, &self.settings)))
    }

    fn model(&self, name: &str) -> Found<ModelView> {
        let model = named(&self.models, name);
        self.found(
            name,
            model.map(|model| ModelView::new(model, &self.settings)),
        )
    }

    fn persona(&self, name: &str) -> Found<Option<PersonaView>> {
        self.found(name, named(&self.personas, name).map(persona_view))
    }
}
