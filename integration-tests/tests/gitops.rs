//! What deployment tools make of our objects: kstatus (Flux, kubectl-based appliers) and Argo CD
//! read the statuses that the operator's own functions produce, for every way a resource can stand,
//! and both come to the same end. No operator; a real API server only for what it says of an object
//! that nobody has looked at.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use kube::{Api, api::DeleteParams};
use langop_api::{
    LanguageAgent, LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool,
    condition::Reason, crds,
};
use langop_desired::{
    agent::{ObservedAgent, status::interrupted},
    client::{self, Usable},
    cluster,
    conditions::Summary,
    model, persona,
    settings::Settings,
    tool,
    workload::Rollout,
};
use langop_integration_tests::{ControlPlane, TestNamespace, manifests};
use mlua::{Lua, LuaOptions, StdLib, Table, Value as LuaValue};
use serde::Serialize;
use serde_json::{Value, json};

const HEALTH: &str = include_str!("../../deploy/argocd/health.lua");
const CONFIG_MAP: &str = include_str!("../../deploy/argocd/argocd-cm.yaml");

/// Kinds whose status is made from a standing; a persona's is made from what happened to it.
const STANDING: [&str; 5] = [
    "LanguageAgent",
    "LanguageClient",
    "LanguageCluster",
    "LanguageModel",
    "LanguageTool",
];

/// What kstatus says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kstatus {
    Current,
    InProgress,
    Failed,
}

/// The generic rules of sigs.k8s.io/cli-utils/pkg/kstatus/status: `checkGenericProperties` in
/// generic.go (generation, then the first of Reconciling and Stalled that is True), and after it
/// `checkReadyCondition` (Ready), for kinds it has no rules of their own for.
fn kstatus(object: &Value) -> Kstatus {
    let observed = object["status"]["observedGeneration"].as_i64();
    if observed.is_some_and(|observed| object["metadata"]["generation"] != observed) {
        return Kstatus::InProgress;
    }
    let conditions = object["status"]["conditions"].as_array();
    for condition in conditions.into_iter().flatten() {
        match (condition["type"].as_str(), condition["status"].as_str()) {
            (Some("Reconciling"), Some("True")) => return Kstatus::InProgress,
            (Some("Stalled"), Some("True")) => return Kstatus::Failed,
            _ => {}
        }
    }
    let mut conditions = conditions.into_iter().flatten();
    match conditions.find(|condition| condition["type"] == "Ready") {
        Some(ready) if ready["status"] != "True" => Kstatus::InProgress,
        _ => Kstatus::Current,
    }
}

/// What Argo CD says of an object: the word, and what it tells people. As there, the script sees
/// the object as `obj`, in Lua 5.1 with the base and table libraries.
fn argo(object: &Value) -> (String, String) {
    let lua = Lua::new_with(StdLib::TABLE, LuaOptions::default()).unwrap();
    lua.globals().set("obj", of_json(&lua, object)).unwrap();
    let health: Table = lua.load(HEALTH).eval().unwrap();
    (
        health.get("status").unwrap(),
        health.get("message").unwrap(),
    )
}

fn of_json(lua: &Lua, value: &Value) -> LuaValue {
    let table = |entries: Vec<(LuaValue, LuaValue)>| {
        LuaValue::Table(lua.create_table_from(entries).unwrap())
    };
    let text = |text: &str| LuaValue::String(lua.create_string(text).unwrap());
    match value {
        Value::Null => LuaValue::Nil,
        Value::Bool(value) => LuaValue::Boolean(*value),
        Value::Number(number) => LuaValue::Number(number.as_f64().unwrap()),
        Value::String(value) => text(value),
        Value::Array(items) => {
            let numbered = (1_u32..).zip(items);
            table(
                numbered
                    .map(|(index, item)| (LuaValue::Number(index.into()), of_json(lua, item)))
                    .collect(),
            )
        }
        Value::Object(fields) => table(
            fields
                .iter()
                .map(|(key, field)| (text(key), of_json(lua, field)))
                .collect(),
        ),
    }
}

/// An object of a kind, as sent, of generation 3.
fn object(kind: &str) -> Value {
    let spec = match kind {
        "LanguageModel" => json!({"provider": "ollama", "model": "m"}),
        "LanguagePersona" => json!({"description": "d"}),
        "LanguageTool" | "LanguageClient" => json!({"image": "i"}),
        _ => json!({}),
    };
    json!({
        "apiVersion": "langop.io/v1alpha1", "kind": kind, "spec": spec,
        "metadata": {"name": "n", "namespace": "ns", "uid": "u", "generation": 3},
    })
}

fn with(mut object: Value, status: impl Serialize) -> Value {
    object["status"] = serde_json::to_value(status).unwrap();
    object
}

/// The object with the status that the operator writes where it stands so.
fn status_with(kind: &str, summary: Summary) -> Value {
    let sent = object(kind);
    let (settings, now, rollout) = (
        Settings::default(),
        Timestamp::UNIX_EPOCH,
        Rollout::default(),
    );
    match kind {
        "LanguageAgent" => {
            let agent: LanguageAgent = serde_json::from_value(sent.clone()).unwrap();
            let before = agent.status.unwrap_or_default();
            with(
                sent,
                interrupted(&before, 3, summary, &ObservedAgent::default(), now),
            )
        }
        "LanguageClient" => {
            let client: LanguageClient = serde_json::from_value(sent.clone()).unwrap();
            with(
                sent,
                client::status(
                    &client,
                    &Usable::default(),
                    Err(summary),
                    rollout,
                    &settings,
                    now,
                ),
            )
        }
        "LanguageCluster" => {
            let cluster: LanguageCluster = serde_json::from_value(sent.clone()).unwrap();
            with(
                sent,
                cluster::status(&cluster, Err(summary), None, None, now),
            )
        }
        "LanguageModel" => {
            let model: LanguageModel = serde_json::from_value(sent.clone()).unwrap();
            with(
                sent,
                model::status(&model, Err(summary), None, rollout, &settings, now),
            )
        }
        "LanguageTool" => {
            let tool: LanguageTool = serde_json::from_value(sent.clone()).unwrap();
            with(
                sent,
                tool::status(&tool, Err(summary), None, rollout, &settings, now),
            )
        }
        other => panic!("{other} has no standing"),
    }
}

fn check(object: &Value, by_kstatus: Kstatus, by_argo: &str, says: &str) {
    assert_eq!(kstatus(object), by_kstatus, "{object:#}");
    let (health, message) = argo(object);
    assert_eq!(health, by_argo, "{object:#}");
    assert!(message.contains(says), "{message}: {object:#}");
}

#[test]
fn each_standing_is_read_as_it_is_meant() {
    let text = || "why".to_owned();
    for kind in STANDING {
        for (summary, by_kstatus, by_argo, says) in [
            (
                Summary::Ready(Reason::AsDesired, text()),
                Kstatus::Current,
                "Healthy",
                "AsDesired: why",
            ),
            (
                Summary::Progressing(Reason::RolloutInProgress, text()),
                Kstatus::InProgress,
                "Progressing",
                "RolloutInProgress: why",
            ),
            (
                Summary::Stalled(Reason::InvalidSpec, text()),
                Kstatus::Failed,
                "Degraded",
                "InvalidSpec: why",
            ),
            // Tried again by itself: whoever waits shall go on waiting.
            (
                Summary::Failed(Reason::ApplyFailed, text()),
                Kstatus::InProgress,
                "Progressing",
                "ApplyFailed: why",
            ),
        ] {
            check(&status_with(kind, summary), by_kstatus, by_argo, says);
        }
    }
    let suspended = Summary::Ready(Reason::Suspended, text());
    check(
        &status_with("LanguageAgent", suspended),
        Kstatus::Current,
        "Suspended",
        "Suspended: why",
    );
}

#[test]
fn a_persona_is_read_by_what_happened_to_it() {
    use persona::Outcome;
    let sent = object("LanguagePersona");
    let persona: LanguagePersona = serde_json::from_value(sent.clone()).unwrap();
    for (outcome, by_kstatus, by_argo) in [
        (Outcome::Attempt, Kstatus::InProgress, "Progressing"),
        (
            Outcome::Failed("no".into()),
            Kstatus::InProgress,
            "Progressing",
        ),
        (Outcome::Disabled("no".into()), Kstatus::Current, "Healthy"),
        (Outcome::Distilled("p".into()), Kstatus::Current, "Healthy"),
        (Outcome::Done, Kstatus::Current, "Healthy"),
    ] {
        let status = persona::status(&persona, &outcome, Timestamp::UNIX_EPOCH);
        check(&with(sent.clone(), status), by_kstatus, by_argo, "");
    }
}

#[test]
fn the_status_of_an_older_generation_counts_for_nothing() {
    for kind in STANDING {
        for summary in [
            Summary::Ready(Reason::AsDesired, String::new()),
            Summary::Stalled(Reason::InvalidSpec, String::new()),
        ] {
            let mut edited = status_with(kind, summary);
            edited["metadata"]["generation"] = json!(4);
            check(&edited, Kstatus::InProgress, "Progressing", "generation");
        }
    }
}

/// kstatus takes an object without observedGeneration for Current, so a new object has one from the
/// beginning: that of no generation.
#[tokio::test]
async fn an_object_that_nobody_has_looked_at_is_in_progress() {
    const FAMILY: &str = include_str!("../fixtures/family.yaml");
    const CLUSTER: &str = "{apiVersion: langop.io/v1alpha1, kind: LanguageCluster, metadata: {name: unseen}, spec: {}}";
    let cp = ControlPlane::shared().await;
    cp.install_crds().await.unwrap();
    let ns = TestNamespace::create(cp, "unseen").await.unwrap();
    let mut kinds = BTreeSet::new();
    for text in [FAMILY, CLUSTER] {
        for object in manifests::parse(text).unwrap() {
            let made = manifests::apply(&ns.client(), &object, ns.name()).await;
            let made = serde_json::to_value(made.unwrap()).unwrap();
            check(&made, Kstatus::InProgress, "Progressing", "generation");
            kinds.insert(made["kind"].as_str().unwrap().to_owned());
        }
    }
    // It is of no namespace that goes with the test.
    let clusters = Api::<LanguageCluster>::all(ns.client());
    let deleted = clusters.delete("unseen", &DeleteParams::default()).await;
    assert!(deleted.is_ok(), "{deleted:?}");
    let all = crds::all().into_iter().map(|crd| crd.spec.names.kind);
    assert_eq!(kinds, all.collect());
}

/// Our definitions give every object a status, but those of an older release may not.
#[test]
fn argo_waits_for_a_status() {
    for kind in STANDING {
        for status in [Value::Null, json!({}), json!({"conditions": []})] {
            let (health, message) = argo(&with(object(kind), status));
            assert_eq!(health, "Progressing", "{message}");
        }
    }
}

#[test]
fn the_config_map_has_the_script_for_every_kind() {
    let patch: Value = serde_saphyr::from_str(CONFIG_MAP).unwrap();
    let wanted = crds::all().into_iter().map(|crd| {
        let kind = crd.spec.names.kind;
        (
            format!("resource.customizations.health.langop.io_{kind}"),
            json!(HEALTH),
        )
    });
    assert_eq!(
        patch,
        json!({"data": wanted.collect::<serde_json::Map<_, _>>()})
    );
}
