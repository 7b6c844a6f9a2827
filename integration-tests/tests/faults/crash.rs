//! kill -9 at the moments that cost money, and resume: nothing is paid for twice. `steps` kills at every write.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use langop_api::LanguageAgent;
use langop_integration_tests::{Reply, Weather, metrics::metric_value, wait};
use serde_json::json;

use crate::world::{End, SOON, World, attempts};

#[tokio::test]
async fn killed_while_the_llm_thinks_it_gets_the_answer_it_has_paid_for() {
    let mut world = World::new("thinks", 1).await;
    world.llm.reply(Reply::Hang);
    world.agent("walker", "walk the dog").await;
    world.until_asked(1).await;
    world.kill_operator().await;
    world.operator.start_again().await.unwrap();
    // Its second question waits for the answer to the first, which was cancelled.
    wait::until("the question again", SOON, async || {
        let metrics = world.operator.metrics().await.ok()?;
        let asking = metric_value(&metrics, "langop_synthesis_in_flight", &[]);
        (asking == Some(1.0)).then_some(())
    })
    .await
    .unwrap();
    world.llm.release();
    wait::until("code", SOON, async || {
        (!world.codes("walker").await.is_empty()).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(
        world.llm.count(),
        1,
        "the replica that was asked lives, so the second question costs nothing"
    );
    let metrics = world.operator.metrics().await.unwrap();
    let shared = |outcome| {
        let name = "langop_synthesis_duration_seconds_count";
        metric_value(&metrics, name, &[("outcome", outcome)]).unwrap_or_default()
    };
    let (joined, cached) = (shared("coalesced"), shared("cached"));
    assert!(joined + cached > 0.0, "{metrics}");
    world
        .patch::<LanguageAgent>("walker", json!({"spec": {"instructions": "walk the cat"}}))
        .await;
    world.until_settled().await;
    assert_eq!(world.llm.count(), 2);
}

#[tokio::test]
async fn killed_right_after_the_code_is_stored_it_uses_the_code() {
    let mut world = World::new("stored", 2).await;
    // Nothing after the creation of the code gets through: the status does not say that the attempt has ended.
    world.agent("first", "be the first").await;
    world.until_settled().await;
    world.proxy.set(Weather::CutAfter("/configmaps"));
    world.agent("walker", "walk the dog").await;
    wait::until("code", SOON, async || {
        (!world.codes("walker").await.is_empty()).then_some(())
    })
    .await
    .unwrap();
    world.kill_operator().await;
    let before = world.codes("walker").await;
    let agent = world.ns.api::<LanguageAgent>().get("walker").await.unwrap();
    assert_eq!(attempts(&agent), 1, "nothing is known of its end");
    world.calm();
    world.operator.start_again().await.unwrap();
    world.until_settled().await;
    let after = world.codes("walker").await;
    let versions = |codes: &[ConfigMap]| {
        codes
            .iter()
            .map(|map| (map.uid(), map.data.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        versions(&before),
        versions(&after),
        "the stored code is the one that runs"
    );
    world.account.audit(2);
}

#[tokio::test]
async fn a_synthesizer_killed_while_the_llm_thinks_costs_one_call_more() {
    let mut world = World::new("dies", 5).await;
    world.llm.reply(Reply::Hang);
    world.agent("walker", "walk the dog").await;
    world.until_asked(1).await;
    world.end_synthesizer(End::Kill).await;
    world.start_synthesizer().await;
    world.until_settled().await;
    assert_eq!(
        world.llm.count(),
        2,
        "one for each interrupted attempt, and one for the answer"
    );
}
