//! The instructions: a change makes new code once; a return makes none; failure loses nothing.

use std::time::{Duration, Instant};

use k8s_openapi::api::{apps::v1::Deployment, events::v1::Event};
use kube::api::ListParams;
use langop_api::{LanguageAgent, names::CODE_KEY};
use langop_integration_tests::{
    Mark, Reply,
    env::{TestEnv, code, condition, is, mounted_code, revision, rollouts},
};
use serde_json::json;

#[tokio::test]
async fn a_change_makes_new_code_once_and_a_return_makes_none() {
    let env = TestEnv::new("instr").await;
    env.llm.reply(code("first"));
    let mark = env.settled().await;
    let begun = Instant::now();
    env.with_agent("walker", "walk the dog").await;
    let was_quick = begun.elapsed() < Duration::from_secs(5);
    let did = env.summary_since(mark).await;
    let statuses = did.statuses["languageagents walker"];
    assert!(
        statuses <= 3 || !was_quick,
        "the attempt, the code and that it is Ready: {statuses} writes"
    );
    let mark = env.mark();
    assert_eq!(env.new_events("walker").await, ["SynthesisSucceeded"]);
    let before = env.deployment("walker").await;
    assert_eq!(env.calls().await, (1, 0));

    env.llm.reply(code("second"));
    env.instruct("walker", "walk the cat").await;
    let old_code = mounted_code(&before).unwrap();
    let _: Deployment = env
        .until("walker", |d| {
            mounted_code(d).is_some_and(|name| name != old_code)
        })
        .await;
    env.until_ready("walker").await;
    let did = env.summary_since(mark).await;
    did.assert_children(&[
        "create configmaps walker-code-*",
        "patch deployments walker",
    ]);
    assert_eq!(env.new_events("walker").await, ["SynthesisSucceeded"]);
    let mark = env.mark();
    let after = env.deployment("walker").await;
    assert_eq!(env.calls().await, (2, 0), "one Synthesize for one change");
    assert_eq!(
        (rollouts(&before), rollouts(&after)),
        ("1".into(), "2".into()),
        "the pods roll once, when the new code is active"
    );
    let revisions = env.revisions("walker").await;
    assert_eq!(revisions.iter().map(revision).collect::<Vec<_>>(), [1, 2]);
    assert!(revisions[1].data.as_ref().unwrap()[CODE_KEY].contains("second"));
    assert_eq!(revisions[1].immutable, Some(true));
    env.instruct("walker", "walk the dog").await;
    let back: Deployment = env
        .until("walker", |d| mounted_code(d).as_ref() == Some(&old_code))
        .await;
    let agent = env.until_ready("walker").await;
    let did = env.summary_since(mark).await;
    did.assert_children(&["patch configmaps walker-code-*", "patch deployments walker"]);
    assert_eq!(env.new_events("walker").await, ["RevisionActivated"]);
    assert_eq!(
        env.calls().await,
        (2, 0),
        "a stored revision of these instructions is activated without a call"
    );
    assert_eq!(
        rollouts(&env.deployment(&back.metadata.name.unwrap()).await),
        "3"
    );
    assert_eq!(
        agent.status.unwrap().synthesis_info.unwrap().revision,
        Some(3),
        "old content that is active again gets max+1"
    );
}

#[tokio::test]
async fn garbage_from_the_llm_leaves_the_running_agent_alone() {
    let env = TestEnv::new("garbage").await;
    env.with_agent("steady", "be steady").await;
    let mark = env.settled().await;
    env.new_events("steady").await;
    let before = env.deployment("steady").await;
    let (requests, calls) = (env.llm.count(), env.calls().await.0);

    env.llm.reply_with(|_| {
        Reply::Code(
            "require 'language_operator'\n\nagent 'x' do\n  launch_rockets now\nend\n".into(),
        )
    });
    env.instruct("steady", "be wild").await;
    let agent = env
        .until_condition("steady", "Synthesized", "False", "ValidationFailed")
        .await;
    let message = &condition(&agent, "Synthesized").unwrap().message;
    assert!(
        message.contains("4:3"),
        "line and column of the finding: {message}"
    );
    let info = agent.status.clone().unwrap().synthesis_info.unwrap();
    assert!(!info.validation_errors.is_empty(), "{info:?}");
    // Wait for a second failed attempt, so that the back-off is seen to bound the calls.
    let agent: LanguageAgent = env
        .until("steady", |a: &LanguageAgent| {
            a.status
                .as_ref()
                .and_then(|s| s.synthesis_info.as_ref())
                .and_then(|i| i.synthesis_attempts)
                >= Some(2)
                && is(a, "Synthesized", "False")
        })
        .await;
    let attempts = agent
        .status
        .unwrap()
        .synthesis_info
        .unwrap()
        .synthesis_attempts
        .unwrap();
    let made = env.llm.count() - requests;
    let bound = 3 * usize::try_from(attempts).unwrap();
    assert!(
        made <= bound,
        "{made} LLM calls in {attempts} attempts: more than one answer and two repairs each"
    );
    let after = env.deployment("steady").await;
    assert_eq!(
        before.spec.as_ref().unwrap().template,
        after.spec.as_ref().unwrap().template
    );
    assert_eq!(before.metadata.generation, after.metadata.generation);
    assert!(is(
        &env.until("steady", |_| true).await,
        "Synthesized",
        "False"
    ));
    every_attempt_is_told(&env, mark, calls).await;
}

/// Of attempts that go on for ever: each writes its status and an event, and never a child. The
/// last may be under way.
async fn every_attempt_is_told(env: &TestEnv, mark: Mark, calls: u64) {
    let did = env.summary_since(mark).await;
    assert!(did.children.is_empty(), "{did:?}");
    let news = env.new_events("steady").await;
    let refused = news.len();
    assert!(
        refused >= 2 && news.iter().all(|reason| reason == "ValidationFailed"),
        "{news:?}"
    );
    let made = usize::try_from(env.calls().await.0 - calls).unwrap();
    assert!(
        (refused..=refused + 1).contains(&made),
        "{made} calls, but {news:?}"
    );
    let statuses = did.statuses["languageagents steady"];
    assert!(
        statuses <= 2 * made + 1,
        "{statuses} writes of the status in {made} attempts"
    );
}

#[tokio::test]
async fn removed_instructions_leave_an_agent_with_an_image_running_without_code() {
    let env = TestEnv::new("removed").await;
    env.with_agent("empty", "do something").await;
    let mark = env.settled().await;
    env.new_events("empty").await;
    let before = env.deployment("empty").await;

    env.patch::<LanguageAgent>("empty", json!({"spec": {"instructions": null}}))
        .await;
    let agent = env
        .until("empty", |a: &LanguageAgent| is(a, "Stalled", "True"))
        .await;
    assert_eq!(condition(&agent, "Stalled").unwrap().reason, "NothingToRun");
    assert_eq!(
        env.deployment("empty").await.spec,
        before.spec,
        "the workload is untouched"
    );
    env.summary_since(mark).await.assert_children(&[]);
    assert_eq!(env.new_events("empty").await, ["NothingToRun"]);

    let mark = env.mark();
    env.patch::<LanguageAgent>(
        "empty",
        json!({"spec": {"image": "registry.example/own:1"}}),
    )
    .await;
    let after: Deployment = env.until("empty", |d| mounted_code(d).is_none()).await;
    let pod = after.spec.unwrap().template.spec.unwrap();
    assert_eq!(
        pod.containers[0].image.as_deref(),
        Some("registry.example/own:1")
    );
    assert!(
        !pod.containers[0]
            .env
            .as_ref()
            .unwrap()
            .iter()
            .any(|v| v.name == "AGENT_CODE_PATH")
    );
    env.until_ready("empty").await;
    let did = env.summary_since(mark).await;
    did.assert_children(&["patch deployments empty"]);
    assert_eq!(env.new_events("empty").await, ["DeploymentUpdated"]);
    assert_eq!(env.calls().await.0, 1, "nothing to synthesize");
}

/// The number of the code that runs, as the status has it.
fn told(agent: &LanguageAgent) -> Option<i64> {
    let status = agent.status.as_ref()?;
    status.synthesis_info.as_ref()?.revision
}

#[tokio::test]
async fn the_resynthesize_annotation_asks_for_other_code_and_a_pin_returns_to_the_old() {
    let env = TestEnv::new("resynth").await;
    env.llm.reply(code("first"));
    env.with_agent("again", "try your luck").await;

    env.llm.reply(code("second"));
    env.patch::<LanguageAgent>(
        "again",
        json!({"metadata": {"annotations": {"langop.io/resynthesize": "2"}}}),
    )
    .await;
    env.until("again", |a: &LanguageAgent| told(a) == Some(2))
        .await;
    env.settled().await;
    assert_eq!(env.calls().await.0, 2, "one call for one new value");

    let revisions = env.revisions("again").await;
    env.patch::<LanguageAgent>("again", json!({"spec": {"synthesis": {"revision": 1}}}))
        .await;
    let first = revisions[0].metadata.name.clone();
    env.until("again", |d: &Deployment| mounted_code(d) == first)
        .await;
    // What is overtaken before it is told has no event.
    env.until("again", |a: &LanguageAgent| told(a) == Some(1))
        .await;
    env.patch::<LanguageAgent>("again", json!({"spec": {"synthesis": {"revision": 9}}}))
        .await;
    let agent = env
        .until("again", |a: &LanguageAgent| is(a, "Stalled", "True"))
        .await;
    assert_eq!(
        condition(&agent, "Stalled").unwrap().reason,
        "RevisionNotFound"
    );
    assert_eq!(
        mounted_code(&env.deployment("again").await),
        first,
        "the workload is untouched"
    );
    env.patch::<LanguageAgent>("again", json!({"spec": {"synthesis": null}}))
        .await;
    let second = revisions[1].metadata.name.clone();
    env.until("again", |d: &Deployment| mounted_code(d) == second)
        .await;
    env.until_ready("again").await;
    assert_eq!(
        env.calls().await.0,
        2,
        "pinning and un-pinning make no call"
    );
    env.settled().await;
    let events = env.ns.api::<Event>().list(&ListParams::default()).await;
    let activated = events.unwrap().items.into_iter().filter(|event| {
        event.reason.as_deref() == Some("RevisionActivated")
            && event
                .regarding
                .as_ref()
                .and_then(|about| about.name.as_deref())
                == Some("again")
    });
    let mut notes: Vec<_> = activated.filter_map(|event| event.note).collect();
    notes.sort_unstable();
    assert_eq!(
        notes,
        [
            "revision 1 is active, as spec.synthesis.revision says; it was 2; updated Deployment 'again'",
            "revision 2 is active, the newest that is stored; it was 1; updated Deployment 'again'",
        ],
        "one event each for the pin and its end"
    );
}
