//! What goes wrong around an agent: its code is deleted under it, there is no room for new code, a provider asks to be left alone. What
//! runs keeps running, it is told, and nothing is paid for twice.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, ResourceQuota};
use kube::{ResourceExt, api::DeleteParams};
use langop_api::{LanguageAgent, persona::PersonaPhase};
use langop_integration_tests::{Reply, fake_llm::LlmRequest};
use serde_json::json;

use crate::world::{Persona, TOOL, World, code, condition, is, mounted_code, revision, rollouts};

impl World {
    /// Waits until this revision is active and the agent Ready with it.
    async fn until_revision(&self, agent: &str, number: i64) -> LanguageAgent {
        self.until(agent, |agent: &LanguageAgent| {
            let status = agent.status.as_ref();
            let info = status.and_then(|status| status.synthesis_info.as_ref());
            info.and_then(|info| info.revision) == Some(number) && is(agent, "Ready", "True")
        })
        .await
    }

    async fn delete_code(&self, name: &str) {
        self.ns
            .api::<ConfigMap>()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn deleted_code_is_made_once_more_and_the_same_answer_rolls_no_pod() {
    let world = World::new("deleted").await;
    world.with_agent("keeper", "keep the house").await;
    world.settled().await;
    let before = world.deployment("keeper").await;
    let name = mounted_code(&before).unwrap();

    world.delete_code(&name).await;
    world.until_revision("keeper", 2).await;
    world.settled().await;
    assert_eq!(world.calls().await, (2, 0), "one call for one loss");
    assert_eq!(world.llm.count(), 1, "the synthesizer remembers the answer");
    let after = world.deployment("keeper").await;
    assert_eq!(
        mounted_code(&after),
        Some(name),
        "its name says its content"
    );
    assert_eq!(before.metadata.generation, after.metadata.generation);
}

#[tokio::test]
async fn when_the_active_code_is_deleted_older_code_does_not_run_in_its_place() {
    let world = World::new("lost").await;
    world.llm.reply(code("first"));
    world.with_agent("keeper", "keep the house").await;
    world.llm.reply(code("second"));
    // Of the same instructions, so that nothing but its age speaks against the first.
    world
        .patch::<LanguageAgent>(
            "keeper",
            json!({"metadata": {"annotations": {"langop.io/resynthesize": "2"}}}),
        )
        .await;
    world.until_revision("keeper", 2).await;
    world.settled().await;
    let before = world.deployment("keeper").await;

    world.llm.reply(code("third"));
    world.delete_code(&mounted_code(&before).unwrap()).await;
    world.until_revision("keeper", 3).await;
    world.settled().await;
    assert_eq!(world.calls().await, (3, 0), "one call for one loss");
    let after = world.deployment("keeper").await;
    let revisions = world.revisions("keeper").await;
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
    let world = World::new("full").await;
    world.llm.reply(code("first"));
    world.with_agent("author", "write one").await;
    let before = world.deployment("author").await;
    world
        .apply(
            "
apiVersion: v1
kind: ResourceQuota
metadata: {name: tight}
spec: {hard: {count/configmaps: 0}}
",
        )
        .await;
    world
        .until("tight", |quota: &ResourceQuota| {
            quota
                .status
                .as_ref()
                .is_some_and(|status| status.used.is_some())
        })
        .await;

    world.llm.reply(code("second"));
    world.instruct("author", "write two").await;
    let agent = world
        .until_condition("author", "Ready", "False", "ApplyFailed")
        .await;
    let message = &condition(&agent, "Ready").unwrap().message;
    assert!(
        message.contains("ConfigMap author-code-") && message.contains("exceeded quota: tight"),
        "{message}"
    );
    // What is told once is not written again, and what runs goes on.
    let mark = world.settled().await;
    world.done_since(mark).await.assert_none();
    assert_eq!(world.deployment("author").await.spec, before.spec);

    world
        .ns
        .api::<ResourceQuota>()
        .delete("tight", &DeleteParams::default())
        .await
        .unwrap();
    world.until_revision("author", 2).await;
    world.settled().await;
    assert_eq!(world.calls().await, (2, 0), "the paid answer was kept");
    assert_eq!(world.llm.count(), 2);
    let stored = world
        .revisions("author")
        .await
        .last()
        .map(ResourceExt::name_any);
    assert_eq!(mounted_code(&world.deployment("author").await), stored);
}

/// Up to the longest pause of the operator's own, which is 4 s here; its first one is 1 s.
#[tokio::test]
async fn a_persona_waits_as_long_as_the_provider_asks_within_reason() {
    let world = World::new("asked").await;
    world.llm.reply(Reply::Status {
        code: 429,
        retry_after: Some(3600),
    });
    world
        .apply(
            "
apiVersion: langop.io/v1alpha1
kind: LanguagePersona
metadata: {name: helper}
spec: {description: A helper, systemPrompt: You help.}
",
        )
        .await;
    let is_phase = |phase| {
        move |persona: &Persona| {
            let status = persona.status.as_ref();
            status.and_then(|status| status.phase) == Some(phase)
        }
    };
    world.until("helper", is_phase(PersonaPhase::Failed)).await;
    // Others are not kept waiting by it.
    world.with_agent("other", "be another").await;
    world.until("helper", is_phase(PersonaPhase::Ready)).await;
    assert_eq!(world.calls().await, (1, 2));
    let requests = world.llm.requests();
    let is_of_persona = |request: &&LlmRequest| !request.body.to_string().contains("be another");
    let asked: Vec<_> = requests.iter().filter(is_of_persona).collect();
    assert_eq!(asked.len(), 2);
    let waited = asked[1].at - asked[0].at;
    assert!(waited >= Duration::from_secs(3), "{waited:?}");
}

#[tokio::test]
async fn the_same_code_made_again_with_another_tool_is_no_longer_stale() {
    let world = World::new("same").await;
    world.llm.reply_with(|_| code("always the same"));
    world.with_agent("keeper", "keep the house").await;
    world.apply(&TOOL.replace("name: mail", "name: bell")).await;
    world
        .patch::<LanguageAgent>(
            "keeper",
            json!({"spec": {"toolRefs": [{"name": "mail"}, {"name": "bell"}]}}),
        )
        .await;
    world
        .until_condition("keeper", "CodeStale", "True", "ReferencesChanged")
        .await;
    world
        .patch::<LanguageAgent>(
            "keeper",
            json!({"metadata": {"annotations": {"langop.io/resynthesize": "2"}}}),
        )
        .await;
    world
        .until_condition("keeper", "CodeStale", "False", "ReferencesUnchanged")
        .await;
    assert_eq!(world.revisions("keeper").await.len(), 1);
    assert_eq!(world.calls().await, (2, 0));
}
