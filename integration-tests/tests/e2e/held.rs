//! What is deleted and held by somebody's finalizer is still governed, downwards only: it runs nothing, its policy follows what it refers
//! to, and nothing is made for it.

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::CronJob, networking::v1::NetworkPolicy};
use kube::api::DeleteParams;
use langop_api::{LanguageAgent, LanguageTool};
use langop_integration_tests::wait;
use serde_json::{Value, json};

use crate::world::{SOON, World};

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
    let world = World::new("held").await;
    world.with_agent("held", "stay").await;
    world
        .apply(
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
    world.until_ready("clock").await;
    let _: Deployment = world.until("hammer", |_| true).await;
    let agents = world.ns.api::<LanguageAgent>();
    for agent in ["held", "clock"] {
        world.patch::<LanguageAgent>(agent, held()).await;
        agents
            .delete(agent, &DeleteParams::default())
            .await
            .unwrap();
    }
    world.patch::<LanguageTool>("hammer", held()).await;
    let tools = world.ns.api::<LanguageTool>();
    tools
        .delete("hammer", &DeleteParams::default())
        .await
        .unwrap();
    world.until("held", stands_still).await;
    world.until("hammer", stands_still).await;
    let stops = |job: &CronJob| job.spec.suspend == Some(true);
    world.until("clock", stops).await;

    let before: NetworkPolicy = world.get("held").await.unwrap();
    assert!(names_tool(&before));
    tools
        .delete("mail", &DeleteParams::default())
        .await
        .unwrap();
    world
        .until("held", |policy: &NetworkPolicy| !names_tool(policy))
        .await;

    // Whoever starts it again is no reason to run.
    let started = json!({"spec": {"replicas": 1}});
    world.patch::<Deployment>("held", started).await;
    world.until("held", stands_still).await;
    let goes_on = json!({"spec": {"suspend": false}});
    world.patch::<CronJob>("clock", goes_on).await;
    world.until("clock", stops).await;

    let mark = world.settled().await;
    let policies = world.ns.api::<NetworkPolicy>();
    policies
        .delete("held", &DeleteParams::default())
        .await
        .unwrap();
    world.done_since(mark).await.assert_children(&[]);
    assert!(
        world.get::<NetworkPolicy>("held").await.is_none(),
        "nothing is made"
    );

    let freed = json!({"metadata": {"finalizers": null}});
    world.patch::<LanguageAgent>("held", freed).await;
    wait::gone(agents, "held", SOON).await.unwrap();
    wait::gone(world.ns.api::<Deployment>(), "held", SOON)
        .await
        .unwrap();
}
