//! Others that go away and come back: the API server, its memory of versions, the synthesizer; and
//! a clock that does not go on.

use std::time::Duration;

use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use langop_api::LanguageAgent;
use langop_integration_tests::{
    ControlPlane, FaultMode, Reply, audit, fake_llm::AGENT, fault_proxy::faults::Rates, run_dir,
    wait,
};
use serde_json::json;

use crate::fault_env::{End, FaultEnv, SOON};

/// Long enough for every watch to have tried again in vain.
const OUTAGE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_api_server_that_is_away_for_ten_seconds_is_caught_up_with() {
    let env = FaultEnv::new("away", 1).await;
    env.agent("walker", "walk the dog").await;
    env.agent("sitter", "sit still").await;
    env.until_settled().await;
    let (mark, pid) = (env.mark(), env.operator.pid());
    env.proxy.set(FaultMode::Cut(""));
    tokio::time::sleep(OUTAGE / 2).await;
    env.patch::<LanguageAgent>("walker", json!({"spec": {"instructions": "walk the cat"}}))
        .await;
    env.ns
        .api::<LanguageAgent>()
        .delete("sitter", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    tokio::time::sleep(OUTAGE / 2).await;
    let meanwhile = env
        .cp
        .audit()
        .unwrap()
        .writes_since(mark, &env.operator.writes())
        .unwrap();
    assert!(meanwhile.is_empty(), "the proxy was closed: {meanwhile:?}");
    env.heal();
    env.until_settled().await;
    assert_eq!(env.operator.pid(), pid, "it goes on by itself");
    assert_eq!(env.llm.count(), 3);
}

#[tokio::test]
async fn an_api_server_that_is_restarted_is_caught_up_with() {
    // One of its own, because all others would notice; it ends with this process.
    let state = run_dir().unwrap().join("restarted");
    let cp: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(&state).await.unwrap()));
    let env = FaultEnv::on(cp, "restart", 6).await;
    env.agent("walker", "walk the dog").await;
    env.agent("sitter", "sit still").await;
    env.until_settled().await;
    let pid = env.operator.pid();
    env.patch::<LanguageAgent>("walker", json!({"spec": {"instructions": "walk the cat"}}))
        .await;
    cp.restart_apiserver().await.unwrap();
    env.patch::<LanguageAgent>("sitter", json!({"spec": {"suspend": true}}))
        .await;
    env.until_settled().await;
    assert_eq!(env.operator.pid(), pid, "it goes on by itself");
    env.account.audit(3);

    let mark = env.mark();
    cp.restart_apiserver().await.unwrap();
    let writes = env.writes_since(mark).await;
    assert!(writes.is_empty(), "{}", audit::pretty(&writes));
}

#[tokio::test]
async fn an_outage_that_changes_nothing_writes_nothing() {
    let env = FaultEnv::new("blip", 2).await;
    env.agent("sleeper", "sleep well").await;
    env.until_settled().await;
    let mark = env.mark();
    for _ in 0..3 {
        env.proxy.set(FaultMode::Cut(""));
        tokio::time::sleep(Duration::from_millis(300)).await;
        env.heal();
        env.proxy.expire_watches();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let writes = env.writes_since(mark).await;
    assert!(writes.is_empty(), "{}", audit::pretty(&writes));
    // And it sees what comes after.
    env.patch::<LanguageAgent>("sleeper", json!({"spec": {"suspend": true}}))
        .await;
    env.until_settled().await;
}

#[tokio::test]
async fn expired_watches_miss_nothing() {
    let env = FaultEnv::new("expired", 3).await;
    env.agent("walker", "walk the dog").await;
    env.until_settled().await;
    // Every watch that begins is told that it is too late, so changes are seen only by lists.
    env.proxy.set(FaultMode::Storm(Rates {
        watch_expired: 1000,
        ..Rates::default()
    }));
    env.proxy.expire_watches();
    env.patch::<LanguageAgent>("walker", json!({"spec": {"instructions": "walk the cat"}}))
        .await;
    let deployment = env.ns.api::<Deployment>().get("walker").await.unwrap();
    env.ns
        .api::<Deployment>()
        .delete(&deployment.name_any(), &kube::api::DeleteParams::default())
        .await
        .unwrap();
    env.until_converged().await;
    env.heal();
    env.until_settled().await;
    assert_eq!(env.llm.count(), 2);
}

#[tokio::test]
async fn conflicts_are_no_reason_to_give_up() {
    let env = FaultEnv::new("conflict", 4).await;
    env.proxy.set(FaultMode::Storm(Rates {
        conflict: 700,
        ..Rates::default()
    }));
    env.agent("walker", "walk the dog").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    env.patch::<LanguageAgent>("walker", json!({"spec": {"instructions": "walk the cat"}}))
        .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    env.heal();
    env.until_settled().await;
    env.account.audit(2);
}

#[tokio::test]
async fn a_synthesizer_that_comes_and_goes_stops_nothing_that_runs() {
    let mut env = FaultEnv::new("flaps", 5).await;
    env.agent("walker", "walk dog 0").await;
    env.until_settled().await;
    for nth in 1..=4 {
        env.end_synthesizer(if nth % 2 == 0 { End::Stop } else { End::Kill })
            .await;
        env.patch::<LanguageAgent>(
            "walker",
            json!({"spec": {"instructions": format!("walk dog {nth}")}}),
        )
        .await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        let deployment = env.ns.api::<Deployment>().get("walker").await.unwrap();
        let ready = deployment.status.unwrap().ready_replicas;
        // Two while one takes over from the other.
        assert!(ready >= Some(1), "what runs keeps running");
        env.start_synthesizer().await;
        if nth % 2 == 0 {
            env.until_converged().await;
        }
    }
    env.until_settled().await;
    env.account.audit(5);
}

#[tokio::test]
async fn a_clock_that_was_set_back_delays_nothing() {
    const YEAR: Duration = Duration::from_hours(365 * 24);
    let mut env = FaultEnv::new("clock", 7).await;
    env.llm.reply_with(|_| Reply::status(400));
    env.agent("walker", "walk the dog").await;
    let agents = env.ns.api::<LanguageAgent>();
    let has_failed = |agent: &LanguageAgent| {
        let info = agent
            .status
            .as_ref()
            .and_then(|s| s.synthesis_info.as_ref());
        info.is_some_and(|info| info.last_failure_time.is_some())
    };
    wait::object(agents.clone(), "walker", SOON, has_failed)
        .await
        .unwrap();
    env.kill_operator().await;
    // As if the clock by which it failed had been a year ahead of what it is now.
    let failed = Timestamp::now() + YEAR;
    let status = json!({"status": {"synthesisInfo": {"lastFailureTime": failed.to_string()}}});
    agents
        .patch_status("walker", &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
    env.llm.reply_with(|_| Reply::Code(AGENT.to_owned()));
    env.operator.start_again().await.unwrap();
    // The time itself stays: the test's hand owns it, too.
    let has_code = |agent: &LanguageAgent| {
        let info = agent
            .status
            .as_ref()
            .and_then(|s| s.synthesis_info.as_ref());
        info.is_some_and(|info| info.code_hash.is_some())
    };
    wait::object(agents, "walker", SOON, has_code)
        .await
        .unwrap();
}
