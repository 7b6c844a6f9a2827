//! What goes wrong around an agent: its code is deleted under it, there is no room for new code, a
//! provider asks to be left alone. What runs keeps running, it is told, and nothing is paid for
//! twice.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, ResourceQuota};
use kube::{ResourceExt, api::DeleteParams};
use langop_api::{LanguageAgent, LanguagePersona, persona::PersonaPhase};
use langop_integration_tests::{
    Reply,
    env::{TOOL, TestEnv, code, condition, is, mounted_code, revision, rollouts},
    fake_llm::LlmRequest,
};
use serde_json::json;

/// Waits until this revision is active and the agent Ready with it.
async fn until_revision(env: &TestEnv, agent: &str, number: i64) -> LanguageAgent {
    env.until(agent, |agent: &LanguageAgent| {
        let status = agent.status.as_ref();
        let info = status.and_then(|status| status.synthesis_info.as_ref());
        info.and_then(|info| info.revision) == Some(number) && is(agent, "Ready", "True")
    })
    .await
}

async fn delete_code(env: &TestEnv, name: &str) {
    env.ns
        .api::<ConfigMap>()
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn deleted_code_is_made_once_more_and_the_same_answer_rolls_no_pod() {
    let env = TestEnv::new("deleted").await;
    env.with_agent("keeper", "keep the house").await;
    env.settled().await;
    let before = env.deployment("keeper").await;
    let name = mounted_code(&before).unwrap();

    delete_code(&env, &name).await;
    until_revision(&env, "keeper", 2).await;
    env.settled().await;
    assert_eq!(env.calls().await, (2, 0), "one call for one loss");
    assert_eq!(env.llm.count(), 1, "the synthesizer remembers the answer");
    let after = env.deployment("keeper").await;
    assert_eq!(
        mounted_code(&after),
        Some(name),
        "its name says its content"
    );
    assert_eq!(before.metadata.generation, after.metadata.generation);
}

#[tokio::test]
async fn when_the_active_code_is_deleted_older_code_does_not_run_in_its_place() {
    let env = TestEnv::new("lost").await;
    env.llm.reply(code("first"));
    env.with_agent("keeper", "keep the house").await;
    env.llm.reply(code("second"));
    // Of the same instructions, so that nothing but its age speaks against the first.
    env.patch::<LanguageAgent>(
        "keeper",
        json!({"metadata": {"annotations": {"langop.io/resynthesize": "2"}}}),
    )
    .await;
    until_revision(&env, "keeper", 2).await;
    env.settled().await;
    let before = env.deployment("keeper").await;

    env.llm.reply(code("third"));
    delete_code(&env, &mounted_code(&before).unwrap()).await;
    until_revision(&env, "keeper", 3).await;
    env.settled().await;
    assert_eq!(env.calls().await, (3, 0), "one call for one loss");
    let after = env.deployment("keeper").await;
    let revisions = env.revisions("keeper").await;
    assert_eq!(revisions.iter().map(revision).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(mounted_code(&after), Some(revisions[1].name_any()));
    let number = |deployment| rollouts(deployment).parse::<u32>().unwrap();
    assert_eq!(
        number(&after),
        number(&before) + 1,
        "it rolls once, from the lost code to the new"
    );
}

#[tokio::test]
async fn code_that_a_quota_refuses_is_told_kept_and_stored_when_there_is_room() {
    let env = TestEnv::new("full").await;
    env.llm.reply(code("first"));
    env.with_agent("author", "write one").await;
    let before = env.deployment("author").await;
    env.apply(
        "
apiVersion: v1
kind: ResourceQuota
metadata: {name: tight}
spec: {hard: {count/configmaps: 0}}
",
    )
    .await;
    env.until("tight", |quota: &ResourceQuota| {
        quota
            .status
            .as_ref()
            .is_some_and(|status| status.used.is_some())
    })
    .await;

    env.llm.reply(code("second"));
    env.instruct("author", "write two").await;
    let agent = env
        .until_condition("author", "Ready", "False", "ApplyFailed")
        .await;
    let message = &condition(&agent, "Ready").unwrap().message;
    assert!(
        message.contains("ConfigMap author-code-") && message.contains("exceeded quota: tight"),
        "{message}"
    );
    // What is told once is not written again, and what runs goes on.
    let mark = env.settled().await;
    env.summary_since(mark).await.assert_none();
    assert_eq!(env.deployment("author").await.spec, before.spec);

    env.ns
        .api::<ResourceQuota>()
        .delete("tight", &DeleteParams::default())
        .await
        .unwrap();
    until_revision(&env, "author", 2).await;
    env.settled().await;
    assert_eq!(env.calls().await, (2, 0), "the paid answer was kept");
    assert_eq!(env.llm.count(), 2);
    let stored = env
        .revisions("author")
        .await
        .last()
        .map(ResourceExt::name_any);
    assert_eq!(mounted_code(&env.deployment("author").await), stored);
}

/// Up to the longest pause of the operator's own, which is 4 s here; its first one is 1 s.
#[tokio::test]
async fn a_persona_waits_as_long_as_the_provider_asks_within_reason() {
    let env = TestEnv::new("asked").await;
    env.llm.reply(Reply::Status {
        code: 429,
        retry_after: Some(3600),
    });
    env.apply(
        "
apiVersion: langop.io/v1alpha1
kind: LanguagePersona
metadata: {name: helper}
spec: {description: A helper, systemPrompt: You help.}
",
    )
    .await;
    let is_phase = |phase| {
        move |persona: &LanguagePersona| {
            let status = persona.status.as_ref();
            status.and_then(|status| status.phase) == Some(phase)
        }
    };
    env.until("helper", is_phase(PersonaPhase::Failed)).await;
    // Others are not kept waiting by it.
    env.with_agent("other", "be another").await;
    env.until("helper", is_phase(PersonaPhase::Ready)).await;
    assert_eq!(env.calls().await, (1, 2));
    let requests = env.llm.requests();
    let is_of_persona = |request: &&LlmRequest| !request.body.to_string().contains("be another");
    let asked: Vec<_> = requests.iter().filter(is_of_persona).collect();
    assert_eq!(asked.len(), 2);
    let waited = asked[1].at - asked[0].at;
    assert!(waited >= Duration::from_secs(3), "{waited:?}");
}

#[tokio::test]
async fn the_same_code_made_again_with_another_tool_is_no_longer_stale() {
    let env = TestEnv::new("same").await;
    env.llm.reply_with(|_| code("always the same"));
    env.with_agent("keeper", "keep the house").await;
    env.apply(&TOOL.replace("name: mail", "name: bell")).await;
    env.patch::<LanguageAgent>(
        "keeper",
        json!({"spec": {"toolRefs": [{"name": "mail"}, {"name": "bell"}]}}),
    )
    .await;
    env.until_condition("keeper", "CodeStale", "True", "ReferencesChanged")
        .await;
    env.patch::<LanguageAgent>(
        "keeper",
        json!({"metadata": {"annotations": {"langop.io/resynthesize": "2"}}}),
    )
    .await;
    env.until_condition("keeper", "CodeStale", "False", "ReferencesUnchanged")
        .await;
    assert_eq!(env.revisions("keeper").await.len(), 1);
    assert_eq!(env.calls().await, (2, 0));
}
