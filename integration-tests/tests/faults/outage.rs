//! Others that go away and come back: the API server, its memory of versions, and the synthesizer.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use langop_api::LanguageAgent;
use langop_integration_tests::{Weather, fault_proxy::faults::Rates};
use serde_json::json;

use crate::world::{End, World};

/// Long enough for every watch to have tried again in vain.
const OUTAGE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_api_server_that_is_away_for_ten_seconds_is_caught_up_with() {
    let world = World::new("away", 1).await;
    world.agent("walker", "walk the dog").await;
    world.agent("sitter", "sit still").await;
    world.until_settled().await;
    let (mark, pid) = (world.mark(), world.operator.pid());
    world.proxy.set(Weather::Cut(""));
    tokio::time::sleep(OUTAGE / 2).await;
    world
        .patch::<LanguageAgent>("walker", json!({"spec": {"instructions": "walk the cat"}}))
        .await;
    world
        .ns
        .api::<LanguageAgent>()
        .delete("sitter", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    tokio::time::sleep(OUTAGE / 2).await;
    let meanwhile = world
        .cp
        .audit()
        .unwrap()
        .writes_since(mark, &world.operator.writes())
        .unwrap();
    assert!(meanwhile.is_empty(), "the proxy was closed: {meanwhile:?}");
    world.calm();
    world.until_settled().await;
    assert_eq!(world.operator.pid(), pid, "it goes on by itself");
    assert_eq!(world.llm.count(), 3);
}

#[tokio::test]
async fn an_outage_that_changes_nothing_writes_nothing() {
    let world = World::new("blip", 2).await;
    world.agent("sleeper", "sleep well").await;
    world.until_settled().await;
    let mark = world.mark();
    for _ in 0..3 {
        world.proxy.set(Weather::Cut(""));
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.calm();
        world.proxy.expire_watches();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let writes = world.writes_since(mark).await;
    assert!(
        writes.is_empty(),
        "{}",
        langop_integration_tests::audit::pretty(&writes)
    );
    // And it sees what comes after.
    world
        .patch::<LanguageAgent>("sleeper", json!({"spec": {"suspend": true}}))
        .await;
    world.until_settled().await;
}

#[tokio::test]
async fn expired_watches_miss_nothing() {
    let world = World::new("expired", 3).await;
    world.agent("walker", "walk the dog").await;
    world.until_settled().await;
    // Every watch that begins is told that it is too late, so changes are seen only by lists.
    world.proxy.set(Weather::Storm(Rates {
        watch_expired: 1000,
        ..Rates::default()
    }));
    world.proxy.expire_watches();
    world
        .patch::<LanguageAgent>("walker", json!({"spec": {"instructions": "walk the cat"}}))
        .await;
    let deployment = world.ns.api::<Deployment>().get("walker").await.unwrap();
    world
        .ns
        .api::<Deployment>()
        .delete(&deployment.name_any(), &kube::api::DeleteParams::default())
        .await
        .unwrap();
    world.until_converged().await;
    world.calm();
    world.until_settled().await;
    assert_eq!(world.llm.count(), 2);
}

#[tokio::test]
async fn conflicts_are_no_reason_to_give_up() {
    let world = World::new("conflict", 4).await;
    world.proxy.set(Weather::Storm(Rates {
        conflict: 700,
        ..Rates::default()
    }));
    world.agent("walker", "walk the dog").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    world
        .patch::<LanguageAgent>("walker", json!({"spec": {"instructions": "walk the cat"}}))
        .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.calm();
    world.until_settled().await;
    world.account.audit(2);
}

#[tokio::test]
async fn a_synthesizer_that_comes_and_goes_stops_nothing_that_runs() {
    let mut world = World::new("flaps", 5).await;
    world.agent("walker", "walk dog 0").await;
    world.until_settled().await;
    for nth in 1..=4 {
        world
            .end_synthesizer(if nth % 2 == 0 { End::Stop } else { End::Kill })
            .await;
        world
            .patch::<LanguageAgent>(
                "walker",
                json!({"spec": {"instructions": format!("walk dog {nth}")}}),
            )
            .await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        let deployment = world.ns.api::<Deployment>().get("walker").await.unwrap();
        let ready = deployment.status.unwrap().ready_replicas;
        assert_eq!(ready, Some(1), "what runs keeps running");
        world.start_synthesizer().await;
        if nth % 2 == 0 {
            world.until_converged().await;
        }
    }
    world.until_settled().await;
    world.account.audit(5);
}
