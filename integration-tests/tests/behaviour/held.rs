//! What is deleted and held by somebody's finalizer is still governed, downwards only: it runs
//! nothing, its policy follows what it refers to, and nothing is made for it.

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::CronJob, networking::v1::NetworkPolicy};
use kube::api::DeleteParams;
use langop_api::{LanguageAgent, LanguageTool};
use langop_integration_tests::{
    env::{SOON, TestEnv},
    wait,
};
use serde_json::{Value, json};

fn held() -> Value {
    json!({"metadata": {"finalizers": ["langop.test/held"]}})
}

fn stands_still(deployment: &Deployment) -> bool {
    deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(0)
}

fn names_tool(policy: &NetworkPolicy) -> bool {
    json!(policy.spec).to_string().contains("langop.io/tool")
}

#[tokio::test]
async fn who_is_deleted_and_held_runs_nothing_and_reaches_nothing_that_is_gone() {
    let env = TestEnv::new("held").await;
    env.with_agent("held", "stay").await;
    env.apply(
        "
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: clock}
spec: {instructions: tick, executionMode: scheduled, schedule: '0 0 1 1 *'}
---
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: hammer}
spec: {image: 'registry.example/hammer:1'}
",
    )
    .await;
    env.until_ready("clock").await;
    let _: Deployment = env.until("hammer", |_| true).await;
    let agents = env.ns.api::<LanguageAgent>();
    for agent in ["held", "clock"] {
        env.patch::<LanguageAgent>(agent, held()).await;
        agents
            .delete(agent, &DeleteParams::default())
            .await
            .unwrap();
    }
    env.patch::<LanguageTool>("hammer", held()).await;
    let tools = env.ns.api::<LanguageTool>();
    tools
        .delete("hammer", &DeleteParams::default())
        .await
        .unwrap();
    env.until("held", stands_still).await;
    env.until("hammer", stands_still).await;
    let stops = |job: &CronJob| job.spec.suspend == Some(true);
    env.until("clock", stops).await;

    let before: NetworkPolicy = env.get("held").await.unwrap();
    assert!(names_tool(&before));
    tools
        .delete("mail", &DeleteParams::default())
        .await
        .unwrap();
    env.until("held", |policy: &NetworkPolicy| !names_tool(policy))
        .await;

    // Whoever starts it again is no reason to run.
    let started = json!({"spec": {"replicas": 1}});
    env.patch::<Deployment>("held", started).await;
    env.until("held", stands_still).await;
    let goes_on = json!({"spec": {"suspend": false}});
    env.patch::<CronJob>("clock", goes_on).await;
    env.until("clock", stops).await;

    let mark = env.settled().await;
    let policies = env.ns.api::<NetworkPolicy>();
    policies
        .delete("held", &DeleteParams::default())
        .await
        .unwrap();
    env.summary_since(mark).await.assert_children(&[]);
    assert!(
        env.get::<NetworkPolicy>("held").await.is_none(),
        "nothing is made"
    );

    let freed = json!({"metadata": {"finalizers": null}});
    env.patch::<LanguageAgent>("held", freed).await;
    wait::gone(agents, "held", SOON).await.unwrap();
    wait::gone(env.ns.api::<Deployment>(), "held", SOON)
        .await
        .unwrap();
}
