//! The walk over a table of faults. Each begins from the same healthy agent and breaks one thing,
//! as the API server would show it; the texts are snapshots.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::api::DynamicObject;
use langop_api::LanguageAgent;
use langop_desired::observed::ChildKind;
use serde_json::{Value, json};

use super::{
    agent,
    assemble::{reduced, service_facts, subject, warning},
    facts::{AgentFacts, Children},
    finding::{Diagnosis, State},
    service, text,
};
use crate::{
    facts::{Read, decode},
    kind::Kind,
};

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn object(value: &Value) -> DynamicObject {
    serde_json::from_value(value.clone()).unwrap()
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "observedGeneration": 1, "lastTransitionTime": "2026-11-29T11:00:00Z",
    })
}

/// Everything of one namespace that matters, live.
struct Live {
    agent: Value,
    tools: Vec<Value>,
    models: Vec<Value>,
    personas: Vec<Value>,
    workloads: Vec<(ChildKind, Value)>,
    jobs: Vec<Value>,
    pods: Vec<Value>,
    revisions: Vec<Value>,
    events: Vec<Value>,
    /// What this user may not read.
    denied: Vec<Kind>,
}

fn meta(name: &str) -> Value {
    json!({
        "name": name, "namespace": "demo", "uid": name, "generation": 1,
        "creationTimestamp": "2026-11-29T10:00:00Z",
    })
}

fn ready_status() -> Value {
    json!({
        "observedGeneration": 1,
        "phase": "Running",
        "conditions": [condition("Ready", "True", "AsDesired", "1 of 1 pods are ready")],
    })
}

fn ours(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "langop.io/v1alpha1", "kind": kind, "metadata": meta(name), "spec": spec,
        "status": ready_status(),
    })
}

/// A pod whose first container has this status.
fn pod(status: &Value) -> Value {
    let mut container = json!({
        "name": "agent", "image": "registry.example/agent:1", "imageID": "", "ready": false,
        "restartCount": 0,
    });
    for (key, value) in status.as_object().unwrap() {
        container[key] = value.clone();
    }
    let is_ready = if container["ready"] == true {
        "True"
    } else {
        "False"
    };
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": meta("daily-report-7d9f"),
        "spec": {"containers": [{"name": "agent", "image": "registry.example/agent:1"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": is_ready}, {"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [container],
        },
    })
}

fn running() -> Value {
    pod(&json!({"ready": true, "state": {"running": {"startedAt": "2026-11-29T10:01:00Z"}}}))
}

fn event(kind: &str, name: &str, reason: &str, message: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": meta(&format!("{name}-{reason}")),
        "type": "Warning", "reason": reason, "message": message,
        "involvedObject": {"kind": kind, "name": name}, "lastTimestamp": "2026-11-29T11:30:00Z",
    })
}

fn deployment(spec: &Value, status: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("daily-report"),
        "spec": spec, "status": status,
    })
}

fn healthy() -> Live {
    let agent = json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent", "metadata": meta("daily-report"),
        "spec": {
            "instructions": "Report daily",
            "toolRefs": [{"name": "email-tool"}],
            "modelRefs": [{"name": "claude"}],
        },
        "status": {
            "observedGeneration": 1,
            "phase": "Running",
            "synthesisInfo": {"revision": 3},
            "conditions": [
                condition("Ready", "True", "AsDesired", "1 of 1 pods are ready"),
                condition("ReferencesResolved", "True", "AllResolved", "every reference exists"),
                condition("Synthesized", "True", "SynthesisSucceeded", "revision 3 is active, synthesized from these instructions"),
                condition("CodeStale", "False", "ReferencesUnchanged", "the code was synthesized with these references"),
            ],
        },
    });
    let deployed = deployment(
        &json!({"replicas": 1}),
        &json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}),
    );
    Live {
        agent,
        tools: vec![ours(
            "LanguageTool",
            "email-tool",
            &json!({"image": "registry.example/mail:1"}),
        )],
        models: vec![ours(
            "LanguageModel",
            "claude",
            &json!({"provider": "ollama", "model": "m"}),
        )],
        personas: Vec::new(),
        workloads: vec![(ChildKind::Deployment, deployed)],
        jobs: Vec::new(),
        pods: vec![running()],
        revisions: vec![
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("daily-report-code-0123456789ab")}),
        ],
        events: Vec::new(),
        denied: Vec::new(),
    }
}

impl Live {
    /// Sets Ready False for this reason, and Stalled or Reconciling with it.
    fn not_ready(&mut self, also: &str, reason: &str, message: &str) {
        unready(&mut self.agent, also, reason, message);
    }

    fn set(&mut self, type_: &str, status: &str, reason: &str, message: &str) {
        set(&mut self.agent, condition(type_, status, reason, message));
    }

    fn facts(&self) -> AgentFacts {
        let live = object(&self.agent);
        let (subject, agent) = subject::<LanguageAgent>(Kind::Agent, &live);
        let services = |kind: Kind, objects: &[Value]| {
            if self.denied.contains(&kind) {
                return Read::Denied(format!("User \"eve\" cannot list {}s", kind.name()));
            }
            let facts = objects
                .iter()
                .map(|value| service_facts(kind, &object(value), now()));
            Read::Got(facts.collect::<Vec<_>>())
        };
        let reduce =
            |kind, values: &[Value]| Read::Got(reduced(kind, values.iter().map(object).collect()));
        let workloads = self.workloads.iter();
        let workloads = workloads.flat_map(|(kind, value)| reduced(*kind, vec![object(value)]));
        let warnings = self
            .events
            .iter()
            .map(|value| warning(decode(&object(value)).unwrap()));
        AgentFacts {
            now: now(),
            subject,
            agent,
            neighbours: BTreeMap::from([
                (Kind::Tool, services(Kind::Tool, &self.tools)),
                (Kind::Model, services(Kind::Model, &self.models)),
                (Kind::Persona, services(Kind::Persona, &self.personas)),
            ]),
            children: Children {
                workloads: Read::Got(workloads.collect()),
                jobs: reduce(ChildKind::Job, &self.jobs),
                pods: reduce(ChildKind::Pod, &self.pods),
                revisions: reduce(ChildKind::ConfigMap, &self.revisions),
                warnings: Read::Got(warnings.collect()),
            },
        }
    }

    fn diagnose(&self) -> Diagnosis {
        agent::diagnose(&self.facts())
    }
}

fn set(object: &mut Value, condition: Value) {
    let conditions = object["status"]["conditions"].as_array_mut().unwrap();
    conditions.retain(|other| other["type"] != condition["type"]);
    conditions.push(condition);
}

fn unready(object: &mut Value, also: &str, reason: &str, message: &str) {
    object["status"]["phase"] = json!(if also == "Stalled" {
        "Failed"
    } else {
        "Pending"
    });
    set(object, condition("Ready", "False", reason, message));
    set(object, condition(also, "True", reason, message));
}

fn plain(diagnosis: &Diagnosis) -> String {
    anstream::adapter::strip_str(&text::render(diagnosis)).to_string()
}

/// Name of the snapshot, what breaks, and how the agent then is.
type Fault = (&'static str, fn(&mut Live), State);

const FAULTS: &[Fault] = &[
    (
        "undecodable",
        |live| live.agent["spec"]["port"] = json!("http"),
        State::Failing,
    ),
    (
        "no_operator",
        |live| live.agent["status"] = json!({"observedGeneration": -1}),
        State::Failing,
    ),
    (
        "latest_change_unseen",
        |live| live.agent["metadata"]["generation"] = json!(2),
        State::Waiting,
    ),
    (
        "deleting",
        |live| {
            live.agent["metadata"]["deletionTimestamp"] = json!("2026-11-29T11:59:00Z");
            live.agent["metadata"]["finalizers"] = json!(["example.com/backup"]);
        },
        State::Waiting,
    ),
    (
        "invalid_schedule",
        |live| {
            live.not_ready(
                "Stalled",
                "InvalidSpec",
                "spec.schedule: the minute field has `a`; write 0 to 59",
            );
        },
        State::Failing,
    ),
    (
        "egress_denied",
        |live| {
            live.not_ready(
                "Stalled",
                "EgressDenied",
                "spec.egress: 10.0.0.0/8 is not allowed here",
            );
        },
        State::Failing,
    ),
    (
        "suspended",
        |live| {
            live.agent["status"]["phase"] = json!("Suspended");
            live.set("Ready", "True", "Suspended", "suspended by spec.suspend");
        },
        State::Suspended,
    ),
    (
        "missing_tool",
        |live| {
            live.agent["spec"]["toolRefs"] = json!([{"name": "email"}]);
            live.not_ready(
                "Reconciling",
                "WaitingForReferences",
                "tool 'email' does not exist",
            );
        },
        State::Failing,
    ),
    (
        "missing_model_and_persona",
        |live| {
            live.models.clear();
            live.agent["spec"]["personaRef"] = json!({"name": "clerk"});
            live.not_ready(
                "Reconciling",
                "WaitingForReferences",
                "model 'claude' does not exist; persona 'clerk' does not exist",
            );
        },
        State::Failing,
    ),
    (
        "missing_tool_unreadable",
        |live| {
            live.denied.push(Kind::Tool);
            live.set(
                "ReferencesResolved",
                "False",
                "ReferenceNotFound",
                "tool 'email' does not exist",
            );
            live.not_ready(
                "Reconciling",
                "WaitingForReferences",
                "tool 'email' does not exist",
            );
        },
        State::Failing,
    ),
    (
        "persona_not_distilled",
        |live| {
            live.agent["spec"]["personaRef"] = json!({"name": "clerk"});
            let mut persona = ours(
                "LanguagePersona",
                "clerk",
                &json!({"systemPrompt": "Be brief"}),
            );
            unready(
                &mut persona,
                "Reconciling",
                "DistillationFailed",
                "the synthesizer cannot be reached: connection refused",
            );
            live.personas.push(persona);
            live.not_ready(
                "Reconciling",
                "WaitingForReferences",
                "persona 'clerk' is not distilled yet",
            );
        },
        State::Failing,
    ),
    (
        "broken_tool",
        |live| {
            unready(
                &mut live.tools[0],
                "Stalled",
                "InvalidSpec",
                "spec.resources.limits.memory: invalid quantity '1Q'; write for example 64Mi",
            );
        },
        State::Failing,
    ),
    (
        "synthesizing",
        |live| {
            live.set(
                "Synthesized",
                "False",
                "SynthesisStarted",
                "synthesizing: there is no code yet",
            );
            live.not_ready(
                "Reconciling",
                "SynthesisStarted",
                "synthesizing: there is no code yet",
            );
        },
        State::Waiting,
    ),
    (
        "synthesizer_unreachable",
        |live| {
            let message = "the synthesizer cannot be reached: connection refused";
            live.set("Synthesized", "False", "SynthesisFailed", message);
            live.not_ready("Reconciling", "SynthesisFailed", message);
        },
        State::Failing,
    ),
    (
        "synthesis_rate_limited",
        |live| {
            let message = "the provider's rate limit is used up";
            live.set("Synthesized", "False", "SynthesisFailed", message);
            live.not_ready("Reconciling", "SynthesisFailed", message);
        },
        State::Failing,
    ),
    (
        "synthesis_disabled",
        |live| {
            let message = "synthesis is disabled: set SYNTHESIS_MODEL";
            live.set("Synthesized", "False", "SynthesisDisabled", message);
            live.not_ready("Stalled", "SynthesisDisabled", message);
        },
        State::Failing,
    ),
    (
        "budget_exhausted",
        |live| {
            let message = "today's tokens are spent; there are new ones at 00:00 UTC";
            live.set("Synthesized", "False", "BudgetExhausted", message);
            live.not_ready("Reconciling", "BudgetExhausted", message);
        },
        State::Waiting,
    ),
    (
        "invalid_code",
        |live| {
            let message = "the generated code is invalid; the running code is unchanged: 3:5: unknown tool 'smtp'; and 1 more";
            live.agent["status"]["synthesisInfo"]["validationErrors"] = json!([
                "3:5: unknown tool 'smtp'",
                "7:1: step 'Judge' does not exist"
            ]);
            live.set("Synthesized", "False", "ValidationFailed", message);
            live.not_ready("Reconciling", "ValidationFailed", message);
        },
        State::Failing,
    ),
    (
        "pinned_revision_missing",
        |live| {
            let message = "revision 9 is not stored (stored: 1, 2, 3): correct spec.synthesis.revision or remove it";
            live.set("Synthesized", "False", "RevisionNotFound", message);
            live.not_ready("Stalled", "RevisionNotFound", message);
        },
        State::Failing,
    ),
    (
        "code_of_unknown_origin",
        |live| {
            let message = "it is not shown that the answer comes from the synthesizer: the statement is signed by key 34750f98, which is not among the public keys given; the running code is unchanged";
            live.set("Synthesized", "False", "ProvenanceRefused", message);
            live.not_ready("Reconciling", "ProvenanceRefused", message);
        },
        State::Failing,
    ),
    ("code_lost", |live| live.revisions.clear(), State::Waiting),
    (
        "apply_refused",
        |live| {
            live.not_ready("Reconciling", "ApplyFailed", "cannot apply Deployment demo/daily-report: admission webhook \"policy.example\" denied the request: no owner label");
        },
        State::Failing,
    ),
    (
        "quota",
        |live| {
            let cause = "pods \"daily-report-7d9f\" is forbidden: exceeded quota: tight, requested: limits.memory=256Mi, used: limits.memory=0, limited: limits.memory=1Mi";
            live.pods.clear();
            live.workloads[0].1 = deployment(
                &json!({"replicas": 1}),
                &json!({"observedGeneration": 1, "conditions": [{"type": "ReplicaFailure", "status": "True", "message": cause}]}),
            );
            live.not_ready(
                "Stalled",
                "PodsRefused",
                &format!("pods cannot be created: {cause}"),
            );
        },
        State::Failing,
    ),
    (
        "run_without_pod",
        |live| {
            live.pods.clear();
            let cron_job = json!({
                "apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta("daily-report"),
                "spec": {"schedule": "0 9 * * 1-5", "timeZone": "Europe/Berlin"}, "status": {"active": [{}]},
            });
            live.workloads = vec![(ChildKind::CronJob, cron_job)];
            live.jobs = vec![
                json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta("daily-report-2900"), "spec": {}, "status": {}}),
            ];
            live.events = vec![event(
                "Job",
                "daily-report-2900",
                "FailedCreate",
                "Error creating: pods \"x\" is forbidden: exceeded quota: tight",
            )];
            live.not_ready("Stalled", "PodsRefused", "Job 'daily-report-2900' is not making progress: it has no pod, which a quota or a policy may refuse");
        },
        State::Failing,
    ),
    (
        "paused",
        |live| {
            live.workloads[0].1["spec"]["paused"] = json!(true);
            live.not_ready(
                "Reconciling",
                "RolloutInProgress",
                "the Deployment is paused: go on with `kubectl rollout resume`",
            );
        },
        State::Failing,
    ),
    (
        "image_pull",
        |live| {
            live.pods = vec![pod(
                &json!({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}),
            )];
            live.events = vec![event(
                "Pod",
                "daily-report-7d9f",
                "Failed",
                "Failed to pull image \"registry.example/agent:1\": not found",
            )];
            live.not_ready("Reconciling", "RolloutInProgress", "0 of 1 pods are ready: container 'agent': the image 'registry.example/agent:1' cannot be pulled");
        },
        State::Failing,
    ),
    (
        "missing_secret_key",
        |live| {
            live.pods = vec![pod(
                &json!({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "couldn't find key api-key in Secret demo/claude-key"}}}),
            )];
            live.not_ready(
                "Reconciling",
                "RolloutInProgress",
                "the pods are not ready yet",
            );
        },
        State::Failing,
    ),
    (
        "unschedulable",
        |live| {
            let mut pending = pod(&json!({}));
            pending["status"] = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector"}]});
            live.pods = vec![pending];
            live.not_ready(
                "Reconciling",
                "RolloutInProgress",
                "the pods are not ready yet",
            );
        },
        State::Failing,
    ),
    (
        "crash_loop",
        |live| {
            live.pods = vec![pod(&json!({
                "restartCount": 4,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 3, "reason": "Error", "message": "disk full", "startedAt": "2026-11-29T11:50:00Z", "finishedAt": "2026-11-29T11:51:00Z"}},
            }))];
            live.not_ready("Reconciling", "RolloutInProgress", "0 of 1 pods are ready");
        },
        State::Failing,
    ),
    (
        "out_of_memory",
        |live| {
            live.pods = vec![pod(&json!({
                "restartCount": 4,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "startedAt": "2026-11-29T11:50:00Z", "finishedAt": "2026-11-29T11:51:00Z"}},
            }))];
            live.not_ready("Reconciling", "RolloutInProgress", "0 of 1 pods are ready");
        },
        State::Failing,
    ),
    (
        "volume_not_mounted",
        |live| {
            live.pods = vec![pod(
                &json!({"state": {"waiting": {"reason": "ContainerCreating"}}}),
            )];
            live.events = vec![event(
                "Pod",
                "daily-report-7d9f",
                "FailedMount",
                "MountVolume.SetUp failed for volume \"ca\": configmap \"ca\" not found",
            )];
            live.not_ready(
                "Reconciling",
                "RolloutInProgress",
                "the pods are not ready yet",
            );
        },
        State::Failing,
    ),
    (
        "starting",
        |live| {
            live.pods = vec![pod(
                &json!({"state": {"waiting": {"reason": "ContainerCreating"}}}),
            )];
            live.not_ready(
                "Reconciling",
                "RolloutInProgress",
                "the pods are not ready yet",
            );
        },
        State::Waiting,
    ),
    (
        "last_run_failed",
        |live| {
            live.pods.clear();
            live.workloads.clear();
            live.agent["status"]["phase"] = json!("Failed");
            live.agent["status"]["mode"] = json!("scheduled");
            live.agent["status"]["lastExecutionResult"] =
                json!("Failed: exit code 4: ToolFailed in step 'Send': 550 no such user");
        },
        State::Failing,
    ),
    (
        "nothing_explains",
        |live| {
            live.events = vec![event(
                "LanguageAgent",
                "daily-report",
                "ApplyFailed",
                "cannot apply NetworkPolicy demo/daily-report: etcdserver: request timed out",
            )];
            live.not_ready("Stalled", "SomethingNew", "a reason of a newer operator");
        },
        State::Failing,
    ),
];

#[test]
fn a_healthy_agent_has_no_cause() {
    let diagnosis = healthy().diagnose();
    assert_eq!((diagnosis.state, &diagnosis.cause), (State::Fine, &None));
    insta::assert_snapshot!("healthy", plain(&diagnosis));
}

#[test]
fn each_fault_is_found_and_told_with_what_to_do() {
    assert!(FAULTS.len() >= 15);
    for (name, break_it, state) in FAULTS {
        let mut live = healthy();
        break_it(&mut live);
        let diagnosis = live.diagnose();
        assert_eq!(diagnosis.state, *state, "{name}");
        let has_advice = !diagnosis.advice.is_empty();
        let is_waiting = matches!(state, State::Waiting);
        assert!(
            has_advice || is_waiting || *name == "nothing_explains",
            "{name}"
        );
        insta::assert_snapshot!(*name, plain(&diagnosis));
    }
}

#[test]
fn who_may_read_little_is_told_what_is_not_known() {
    let mut live = healthy();
    live.denied = vec![Kind::Tool, Kind::Model, Kind::Persona];
    let mut facts = live.facts();
    let said = || "User \"eve\" cannot list it".to_owned();
    facts.children = Children {
        workloads: Read::Denied(said()),
        jobs: Read::Denied(said()),
        pods: Read::Denied(said()),
        revisions: Read::Denied(said()),
        warnings: Read::Denied(said()),
    };
    let diagnosis = agent::diagnose(&facts);
    assert_eq!(
        diagnosis.state,
        State::Fine,
        "the agent itself says that it is Ready"
    );
    insta::assert_snapshot!("no_rights", plain(&diagnosis));
}

#[test]
fn a_model_without_its_secret_is_told_which_and_how_to_make_it() {
    let spec =
        json!({"provider": "anthropic", "model": "m", "apiKeySecretRef": {"name": "claude-key"}});
    let model = ours("LanguageModel", "claude", &spec);
    let mut facts = service_facts(Kind::Model, &object(&model), now());
    assert_eq!(service::diagnose(&facts).state, State::Fine);
    facts.secrets[0].exists = Read::Got(false);
    let diagnosis = service::diagnose(&facts);
    assert_eq!(diagnosis.state, State::Failing);
    insta::assert_snapshot!("model_without_secret", plain(&diagnosis));
    facts.secrets[0].exists = Read::Denied("no".to_owned());
    assert_eq!(
        service::diagnose(&facts).state,
        State::Fine,
        "not knowing is no fault"
    );
}

#[test]
fn a_client_whose_references_are_missing_says_which() {
    let mut client = ours(
        "LanguageClient",
        "chat",
        &json!({"image": "registry.example/chat:1"}),
    );
    let message = "tool 'email' does not exist";
    let unresolved = condition("ReferencesResolved", "False", "ReferenceNotFound", message);
    set(&mut client, unresolved);
    unready(&mut client, "Reconciling", "ReferenceNotFound", message);
    let diagnosis = service::diagnose(&service_facts(Kind::Client, &object(&client), now()));
    assert_eq!(diagnosis.state, State::Failing);
    let cause = diagnosis.cause.unwrap();
    assert_eq!(
        (&*cause.object, &*cause.message),
        ("LanguageClient demo/chat", message)
    );
    assert!(
        diagnosis.advice[0]
            .command
            .as_ref()
            .unwrap()
            .contains("edit lclient chat")
    );
}

#[test]
fn words_of_others_cannot_paint_the_terminal() {
    let mut live = healthy();
    live.not_ready("Stalled", "InvalidSpec", "a\u{1b}[2Jb");
    let text = text::render(&live.diagnose());
    assert!(!text.contains("\u{1b}[2J"), "{text}");
}
