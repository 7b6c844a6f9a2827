//! Namespaces share the synthesizer fairly: one that asks for much, none of which is answered,
//! keeps nobody in another from being Ready in seconds.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use langop_api::LanguageAgent;
use langop_integration_tests::{
    ControlPlane, FakeLlm, Operator, Reply, Synthesizer, TestNamespace,
    env::{SOON, is},
    fake_llm::AGENT,
    manifests,
    metrics::metric_value,
    wait,
};
use serde_json::json;

const ASKS: u16 = 500;
/// Applied at once.
const AT_ONCE: usize = 16;
/// A pod of kwok and a rollout are within it, on a small machine with other tests beside.
const SECONDS: Duration = Duration::from_secs(20);

const MUCH: &str = "Ask for much";

#[tokio::test]
async fn a_namespace_that_asks_five_hundred_times_keeps_no_other_waiting() {
    let llm = FakeLlm::start().await.unwrap();
    llm.reply_with(|request| {
        if request.body.to_string().contains(MUCH) {
            Reply::Hang
        } else {
            Reply::Code(AGENT.to_owned())
        }
    });
    // As the manifests do, so that namespaces are told apart behind the operator, too.
    let synthesizer = Synthesizer::asking(&llm).env("LANGOP_TRUSTED_CALLERS", "anonymous");
    let synthesizer = synthesizer.start().await.unwrap();
    let cp = ControlPlane::shared().await;
    cp.install_crds().await.unwrap();
    let greedy = TestNamespace::create(cp, "greedy").await.unwrap();
    let modest = TestNamespace::create(cp, "modest").await.unwrap();
    let operator = Operator::builder(cp)
        .namespaces(&[greedy.name(), modest.name()])
        .synthesizer(synthesizer.grpc_url());
    let operator = operator.start().await.unwrap();

    let asks = stream::iter(0..ASKS).for_each_concurrent(AT_ONCE, async |nth| {
        apply(&greedy, &format!("ask-{nth}"), &format!("{MUCH}, {nth}")).await;
    });
    asks.await;
    let all = wait::until("all to wait for an answer", SOON, async || {
        in_flight(&operator)
            .await
            .filter(|count| *count >= f64::from(ASKS))
    });
    all.await.unwrap();

    apply(&modest, "once", "Ask once").await;
    let ready = wait::object(modest.api(), "once", SECONDS, |agent: &LanguageAgent| {
        is(agent, "Ready", "True")
    });
    ready.await.unwrap();
    let waiting = in_flight(&operator).await;
    assert!(waiting >= Some(f64::from(ASKS)), "{waiting:?} still wait");
}

async fn apply(ns: &TestNamespace, name: &str, instructions: &str) {
    let agent = json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
        "metadata": {"name": name}, "spec": {"instructions": instructions},
    });
    let agent = serde_json::from_value(agent).unwrap();
    let applied = manifests::apply(&ns.client(), &agent, ns.name()).await;
    applied.unwrap();
}

async fn in_flight(operator: &Operator) -> Option<f64> {
    let page = operator.metrics().await.unwrap();
    metric_value(&page, "langop_synthesis_in_flight", &[])
}
