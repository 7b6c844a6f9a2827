//! The contract with agents, tools and administrators, whole: what the API server really holds, for
//! a service tool and a sidecar tool, in a namespace that enforces Pod Security `restricted`.

use k8s_openapi::api::{apps::v1::Deployment, networking::v1::NetworkPolicy};
use kube::ResourceExt as _;
use langop_api::{LanguageAgent, LanguageClient, LanguageModel, LanguagePersona, LanguageTool};
use langop_integration_tests::{
    env::{TestEnv, is_ready},
    touch,
};
use serde_json::{Value, json};

const FAMILY: &str = include_str!("../../fixtures/family.yaml");

#[tokio::test]
async fn what_the_api_server_holds_is_the_contract() {
    let env = TestEnv::new("contract").await;
    env.apply(FAMILY).await;
    env.until("clerk", |p: &LanguagePersona| {
        p.status.as_ref().is_some_and(|s| s.distilled.is_some())
    })
    .await;
    env.until_ready("office").await;
    env.settled().await;

    insta::assert_yaml_snapshot!(
        "agent-deployment",
        tidy(&env, &env.deployment("office").await)
    );
    for name in ["office", "mail", "chat"] {
        let policy = env.get::<NetworkPolicy>(name).await.unwrap();
        insta::assert_yaml_snapshot!(format!("network-policy-{name}"), tidy(&env, &policy));
    }
    for name in ["brain-proxy", "mail", "chat"] {
        insta::assert_yaml_snapshot!(
            format!("deployment-{name}"),
            tidy(&env, &env.deployment(name).await)
        );
    }
    let code = env.revisions("office").await.remove(0);
    insta::assert_yaml_snapshot!("code", tidy(&env, &code));
}

#[tokio::test]
async fn every_pod_we_build_is_accepted_under_restricted() {
    let env = TestEnv::new("restricted").await;
    env.apply(FAMILY).await;
    for name in ["office", "brain-proxy", "mail", "chat"] {
        env.until(name, |d: &Deployment| {
            d.status
                .as_ref()
                .is_some_and(|s| s.ready_replicas == Some(1))
        })
        .await;
    }
    all_are_ready(&env).await;

    // A scheduled agent's pods too: the CronJob's template is tried by a Job made from it by hand.
    env.patch::<LanguageAgent>("office", json!({"spec": {"schedule": "0 9 * * *"}}))
        .await;
    let cron: k8s_openapi::api::batch::v1::CronJob = env.until("office", |_| true).await;
    let template = cron.spec.job_template;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "by-hand", "labels": template.metadata.as_ref().and_then(|m| m.labels.clone())},
        "spec": template.spec,
    });
    env.apply(&serde_json::to_string(&job).unwrap()).await;
    env.until("by-hand", |job: &k8s_openapi::api::batch::v1::Job| {
        job.status
            .as_ref()
            .is_some_and(|s| s.active.unwrap_or_default() + s.succeeded.unwrap_or_default() > 0)
    })
    .await;
}

/// The whole family is Ready.
async fn all_are_ready(env: &TestEnv) {
    for agent in ["office", "clock"] {
        env.until_ready(agent).await;
    }
    env.until("brain", |m: &LanguageModel| {
        m.status.as_ref().is_some_and(|s| is_ready(&s.conditions))
    })
    .await;
    for tool in ["mail", "files"] {
        env.until(tool, |t: &LanguageTool| {
            t.status.as_ref().is_some_and(|s| is_ready(&s.conditions))
        })
        .await;
    }
    env.until("chat", |c: &LanguageClient| {
        c.status.as_ref().is_some_and(|s| is_ready(&s.conditions))
    })
    .await;
    env.until("clerk", |p: &LanguagePersona| {
        p.status.as_ref().is_some_and(|s| is_ready(&s.conditions))
    })
    .await;
}

/// The object as it is, without what differs from run to run.
fn tidy<K: serde::Serialize + kube::Resource>(env: &TestEnv, object: &K) -> Value {
    let mut value = serde_json::to_value(object).unwrap();
    value.as_object_mut().unwrap().remove("status");
    let metadata = value["metadata"].as_object_mut().unwrap();
    for key in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "generation",
    ] {
        metadata.remove(key);
    }
    if let Some(annotations) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    {
        // URLs, and so the hashes over them, name the test's namespace.
        let varying = [
            "attestation",
            "synthesized-at",
            "traceparent",
            "desired-hash",
            "persona-hash",
            "tools-hash",
            "models-hash",
        ];
        for key in varying.map(|name| format!("langop.io/{name}")) {
            if annotations.contains_key(&key) {
                annotations.insert(key, json!("(varies)"));
            }
        }
    }
    for owner in metadata
        .get_mut("ownerReferences")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        owner["uid"] = json!("(varies)");
    }
    let text = value.to_string().replace(env.ns.name(), "NAMESPACE");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_touched_sidecar_reaches_the_agents_pod() {
    let env = TestEnv::new("sidecar").await;
    env.apply(FAMILY).await;
    env.until_ready("office").await;
    env.patch::<LanguageTool>(
        "files",
        json!({"spec": {"image": "registry.example/files:2"}}),
    )
    .await;
    let deployment: Deployment = env
        .until("office", |d: &Deployment| {
            serde_json::to_string(d)
                .unwrap()
                .contains("registry.example/files:2")
        })
        .await;
    let pod = deployment
        .spec
        .as_ref()
        .unwrap()
        .template
        .spec
        .as_ref()
        .unwrap();
    let sidecar = &pod.init_containers.as_ref().unwrap()[0];
    assert_eq!(
        (sidecar.name.as_str(), sidecar.restart_policy.as_deref()),
        ("tool-files", Some("Always"))
    );
    assert!(deployment.name_any() == "office");
}

#[tokio::test]
async fn a_touch_and_a_restart_of_the_whole_family_write_nothing() {
    let mut env = TestEnv::new("silent").await;
    env.apply(FAMILY).await;
    all_are_ready(&env).await;
    let mark = env.settled().await;
    let calls = env.calls().await;
    assert_eq!(calls, (2, 1), "one for each agent, one for the persona");
    assert_eq!(env.new_events("clock").await, ["SynthesisSucceeded"]);
    env.new_events("office").await;

    let touched = touch::everything(&env.ns.client(), env.ns.name())
        .await
        .unwrap();
    assert!(touched > 20, "{touched} objects are not the whole family");
    env.summary_since(mark).await.assert_none();

    let mark = env.mark();
    env.operator.restart().await.unwrap();
    env.summary_since(mark).await.assert_none();
    assert_eq!(env.calls().await, calls, "and no gRPC call");
    for agent in ["office", "clock"] {
        assert_eq!(env.new_events(agent).await, [""; 0]);
    }
}
