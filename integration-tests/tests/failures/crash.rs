//! kill -9 at the moments that cost money, and resume: nothing is paid for twice. `steps` kills at
//! every write.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use langop_api::LanguageAgent;
use langop_integration_tests::{FaultMode, Reply, metrics::metric_value, wait};
use serde_json::json;

use crate::fault_env::{End, FaultEnv, SOON, attempts};

#[tokio::test]
async fn killed_while_the_llm_thinks_it_gets_the_answer_it_has_paid_for() {
    let mut env = FaultEnv::new("thinks", 1).await;
    env.llm.reply(Reply::Hang);
    env.agent("walker", "walk the dog").await;
    env.until_asked(1).await;
    env.kill_operator().await;
    env.operator.start_again().await.unwrap();
    // Its second question waits for the answer to the first, which was cancelled.
    wait::until("the question again", SOON, async || {
        let metrics = env.operator.metrics().await.ok()?;
        let asking = metric_value(&metrics, "langop_synthesis_in_flight", &[]);
        (asking == Some(1.0)).then_some(())
    })
    .await
    .unwrap();
    env.llm.release();
    wait::until("code", SOON, async || {
        (!env.revisions("walker").await.is_empty()).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(
        env.llm.count(),
        1,
        "the replica that was asked lives, so the second question costs nothing"
    );
    let metrics = env.operator.metrics().await.unwrap();
    let shared = |outcome| {
        let name = "langop_synthesis_duration_seconds_count";
        metric_value(&metrics, name, &[("outcome", outcome)]).unwrap_or_default()
    };
    let (joined, cached) = (shared("coalesced"), shared("cached"));
    assert!(joined + cached > 0.0, "{metrics}");
    env.patch::<LanguageAgent>("walker", json!({"spec": {"instructions": "walk the cat"}}))
        .await;
    env.until_settled().await;
    assert_eq!(env.llm.count(), 2);
}

#[tokio::test]
async fn killed_right_after_the_code_is_stored_it_uses_the_code() {
    let mut env = FaultEnv::new("stored", 2).await;
    // Nothing after the creation of the code gets through: the status does not say that the attempt
    // has ended.
    env.agent("first", "be the first").await;
    env.until_settled().await;
    env.proxy.set(FaultMode::CutAfter("/configmaps"));
    env.agent("walker", "walk the dog").await;
    wait::until("code", SOON, async || {
        (!env.revisions("walker").await.is_empty()).then_some(())
    })
    .await
    .unwrap();
    env.kill_operator().await;
    let before = env.revisions("walker").await;
    let agent = env.ns.api::<LanguageAgent>().get("walker").await.unwrap();
    assert_eq!(attempts(&agent), 1, "nothing is known of its end");
    env.heal();
    env.operator.start_again().await.unwrap();
    env.until_settled().await;
    let after = env.revisions("walker").await;
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
    env.account.audit(2);
}

#[tokio::test]
async fn a_synthesizer_killed_while_the_llm_thinks_costs_one_call_more() {
    let mut env = FaultEnv::new("dies", 5).await;
    env.llm.reply(Reply::Hang);
    env.agent("walker", "walk the dog").await;
    env.until_asked(1).await;
    env.end_synthesizer(End::Kill).await;
    env.start_synthesizer().await;
    env.until_settled().await;
    assert_eq!(
        env.llm.count(),
        2,
        "one for each interrupted attempt, and one for the answer"
    );
}
