//! The order in which things come, and the synthesizer being away: the end is the same.

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::CronJob};
use langop_api::LanguageAgent;
use serde_json::json;

use langop_integration_tests::env::{
    MODEL, TOOL, TestEnv, agent_yaml, code, condition, env_value, is, is_current, scheduled_code,
};

#[tokio::test]
async fn an_agent_before_its_tool_and_model_waits_and_ends_the_same() {
    let early = TestEnv::new("early").await;
    early.llm.reply_with(|_| code("wait for it"));
    let mark = early.mark();
    early.apply(&agent_yaml("patient", "wait for it")).await;
    let agent = early
        .until("patient", |a: &LanguageAgent| {
            is(a, "ReferencesResolved", "False") && is_current(a)
        })
        .await;
    let message = &condition(&agent, "ReferencesResolved").unwrap().message;
    assert!(
        message.contains("mail") && message.contains("brain"),
        "{message}"
    );
    let did = early.summary_since(mark).await;
    did.assert_children(&[
        "patch networkpolicies langop.baseline",
        "patch networkpolicies patient",
    ]);
    assert_eq!(early.calls().await, (0, 0), "no call until they are there");
    assert_eq!(early.new_events("patient").await, [""; 0]);
    early.apply(TOOL).await;
    early.settled().await;
    assert_eq!(early.calls().await, (0, 0), "one of the two is not enough");
    early.apply(MODEL).await;
    early.until_ready("patient").await;

    let late = TestEnv::new("late").await;
    late.llm.reply_with(|_| code("wait for it"));
    late.with_agent("patient", "wait for it").await;
    let template = |d: Deployment, ns: &str| {
        serde_json::to_string(&d.spec.unwrap().template)
            .unwrap()
            .replace(ns, "NAMESPACE")
    };
    assert_eq!(
        template(early.deployment("patient").await, early.ns.name()),
        template(late.deployment("patient").await, late.ns.name())
    );
    assert_eq!(early.calls().await, late.calls().await);
    early.settled().await;
    late.settled().await;
    assert_eq!(
        early.new_events("patient").await,
        late.new_events("patient").await
    );
}

#[tokio::test]
async fn a_synthesizer_that_is_down_is_told_of_and_awaited() {
    let mut env = TestEnv::new("down").await;
    env.synthesizer.stop().await.unwrap();
    env.apply(TOOL).await;
    env.apply(MODEL).await;
    env.apply(&agent_yaml("hopeful", "hope for the best")).await;
    let agent = env
        .until_condition("hopeful", "Synthesized", "False", "SynthesisFailed")
        .await;
    let info = agent.status.unwrap().synthesis_info.unwrap();
    assert!(
        info.synthesis_attempts >= Some(1) && info.last_failure_time.is_some(),
        "{info:?}"
    );
    assert!(
        env.get::<Deployment>("hopeful").await.is_none(),
        "nothing runs without code"
    );

    env.synthesizer.start_again().await.unwrap();
    let agent = env.until_ready("hopeful").await;
    let info = agent.status.unwrap().synthesis_info.unwrap();
    assert_eq!(
        info.synthesis_attempts.unwrap_or_default(),
        0,
        "success resets the back-off"
    );
    assert_eq!(env.llm.count(), 1);
    env.settled().await;
    let news = env.new_events("hopeful").await;
    let told = |reason: &str| news.iter().filter(|said| *said == reason).count();
    let failed = told("SynthesisFailed");
    assert_eq!(told("SynthesisSucceeded"), 1);
    assert_eq!(news.len(), failed + 1, "nothing else: {news:?}");
}

#[tokio::test]
async fn a_mode_switch_both_ways_leaves_one_workload() {
    let env = TestEnv::new("mode").await;
    env.with_agent("switcher", "switch").await;
    let mark = env.settled().await;
    env.new_events("switcher").await;
    env.patch::<LanguageAgent>(
        "switcher",
        json!({"spec": {"executionMode": "scheduled", "schedule": "0 9 * * 1-5"}}),
    )
    .await;
    env.until("switcher", |job: &CronJob| {
        job.spec.schedule == "0 9 * * 1-5"
    })
    .await;
    assert!(
        env.get::<Deployment>("switcher").await.is_none(),
        "the old workload ended before the new one was made"
    );
    assert!(
        env.pods("switcher").await.is_empty(),
        "and its pods were gone"
    );
    let agent = env.until_ready("switcher").await;
    assert_eq!(
        agent.status.unwrap().schedule.as_deref(),
        Some("0 9 * * 1-5 (the cluster's zone)")
    );
    let did = env.summary_since(mark).await;
    did.assert_children(&["delete deployments switcher", "patch cronjobs switcher"]);
    assert_eq!(env.new_events("switcher").await, ["CronJobCreated"]);

    let mark = env.mark();
    env.patch::<LanguageAgent>(
        "switcher",
        json!({"spec": {"executionMode": "autonomous", "schedule": null}}),
    )
    .await;
    env.until("switcher", |d: &Deployment| {
        d.status
            .as_ref()
            .is_some_and(|s| s.ready_replicas == Some(1))
    })
    .await;
    assert!(env.get::<CronJob>("switcher").await.is_none());
    env.until_ready("switcher").await;
    let did = env.summary_since(mark).await;
    did.assert_children(&["delete cronjobs switcher", "patch deployments switcher"]);
    assert_eq!(env.new_events("switcher").await, ["DeploymentCreated"]);
    assert_eq!(env.calls().await, (1, 0), "how it runs is not what it does");
}

#[tokio::test]
async fn the_code_says_when_unless_the_user_does() {
    let env = TestEnv::new("says").await;
    env.llm.reply(scheduled_code(
        "cron: '30 7 * * *', time_zone: 'Europe/Berlin'",
    ));
    env.with_agent("riser", "rise early").await;
    let job: CronJob = env.until("riser", |_| true).await;
    assert_eq!(
        (job.spec.schedule.as_str(), job.spec.time_zone.as_deref()),
        ("30 7 * * *", Some("Europe/Berlin"))
    );
    env.patch::<LanguageAgent>("riser", json!({"spec": {"schedule": "0 10 * * *"}}))
        .await;
    env.until("riser", |job: &CronJob| job.spec.schedule == "0 10 * * *")
        .await;

    env.llm.reply(scheduled_code("every: '90m'"));
    env.apply(&agent_yaml("ticker", "tick")).await;
    let ticker: Deployment = env.until("ticker", |_| true).await;
    assert_eq!(
        env_value(&ticker, "AGENT_SCHEDULE").as_deref(),
        Some("every 90m"),
        "no cron says it: the agent keeps time itself"
    );
    assert_eq!(
        env_value(&ticker, "AGENT_MODE").as_deref(),
        Some("scheduled")
    );

    env.llm.reply(scheduled_code("every: '15m'"));
    env.apply(&agent_yaml("quarter", "chime")).await;
    env.until("quarter", |job: &CronJob| {
        job.spec.schedule == "*/15 * * * *"
    })
    .await;
}

#[tokio::test]
async fn each_cron_of_the_code_is_a_cron_job_and_one_too_many_goes() {
    let env = TestEnv::new("often").await;
    env.llm.reply(scheduled_code(
        "cron: ['15 8 * * 1-5', '45 12 * * 1-5'], only: 'last day of month'",
    ));
    env.with_agent("twice", "look twice").await;
    env.until("twice-2", |job: &CronJob| {
        job.spec.schedule == "45 12 * * 1-5"
    })
    .await;
    let agent = env.until_ready("twice").await;
    let told = agent.status.unwrap().schedule.unwrap();
    assert_eq!(
        told,
        "15 8 * * 1-5, 45 12 * * 1-5 (the cluster's zone), only last day of month"
    );
    env.settled().await;
    let mark = env.mark();
    env.llm.reply(scheduled_code("cron: '45 12 * * 1-5'"));
    env.instruct("twice", "look once").await;
    env.until("twice", |job: &CronJob| {
        job.spec.schedule == "45 12 * * 1-5"
    })
    .await;
    env.until_ready("twice").await;
    env.settled().await;
    assert!(env.get::<CronJob>("twice-2").await.is_none());
    let did = env.summary_since(mark).await;
    did.assert_children(&[
        "create configmaps twice-code-*",
        "delete cronjobs twice-2",
        "patch cronjobs twice",
    ]);
}
