//! Tools, models and personas: a change reaches the agents at once, and no LLM is asked again.

use k8s_openapi::api::{apps::v1::Deployment, networking::v1::NetworkPolicy};
use langop_api::LanguageAgent;
use serde_json::json;

use crate::world::{Model, Persona, Tool, World, condition, env, is, rollouts};

#[tokio::test]
async fn a_tool_port_and_a_model_change_reach_env_and_policy_without_a_call() {
    let world = World::new("inputs").await;
    world.with_agent("wired", "use your tools").await;
    let mark = world.settled().await;
    world.news("wired").await;
    let calls = world.calls().await;

    world
        .patch::<Tool>("mail", json!({"spec": {"port": 9090}}))
        .await;
    world
        .until("wired", |d: &Deployment| {
            env(d, "MCP_SERVERS").unwrap().contains(":9090")
        })
        .await;
    world
        .until("wired", |policy: &NetworkPolicy| {
            serde_json::to_string(policy).unwrap().contains("9090")
        })
        .await;
    world.until_ready("wired").await;
    let did = world.done_since(mark).await;
    did.assert_children(&[
        "patch configmaps wired-code-*",
        "patch deployments mail",
        "patch deployments wired",
        "patch networkpolicies mail",
        "patch networkpolicies wired",
        "patch services mail",
    ]);
    assert_eq!(world.news("wired").await, ["DeploymentUpdated"]);
    assert_eq!(rollouts(&world.deployment("wired").await), "2");

    let mark = world.mark();

    world
        .patch::<Model>("brain", json!({"spec": {"model": "claude-opus-4-5"}}))
        .await;
    world
        .until("wired", |d: &Deployment| {
            env(d, "MODEL_ENDPOINTS")
                .unwrap()
                .contains("claude-opus-4-5")
        })
        .await;
    world.until_ready("wired").await;
    let did = world.done_since(mark).await;
    did.assert_children(&[
        "patch configmaps brain-proxy",
        "patch configmaps wired-code-*",
        "patch deployments brain-proxy",
        "patch deployments wired",
    ]);
    assert_eq!(world.news("wired").await, ["DeploymentUpdated"]);
    assert_eq!(rollouts(&world.deployment("wired").await), "3");
    assert_eq!(
        world.calls().await,
        calls,
        "no gRPC call for a tool or a model"
    );
}

#[tokio::test]
async fn a_persona_change_is_distilled_once_and_rolls_its_agents_once() {
    let world = World::new("persona").await;
    world.apply(PERSONA).await;
    world
        .until("helper", |p: &Persona| {
            p.status.as_ref().is_some_and(|s| s.distilled.is_some())
        })
        .await;
    world.with_agent("polite", "be polite").await;
    world
        .patch::<LanguageAgent>(
            "polite",
            json!({"spec": {"personaRef": {"name": "helper"}}}),
        )
        .await;
    world
        .until("polite", |d: &Deployment| {
            env(d, "PERSONA_TONE").as_deref() == Some("friendly")
        })
        .await;
    world.until_ready("polite").await;
    let mark = world.settled().await;
    world.news("polite").await;
    assert!(
        world.news_of("LanguagePersona", "helper").await.is_empty(),
        "the first snapshot updates nobody"
    );
    let (synthesized, distilled) = world.calls().await;
    let before = world.deployment("polite").await;

    world
        .patch::<Persona>("helper", json!({"spec": {"tone": "stern"}}))
        .await;
    let after: Deployment = world
        .until("polite", |d| {
            env(d, "PERSONA_TONE").as_deref() == Some("stern")
        })
        .await;
    world.until_ready("polite").await;
    let did = world.done_since(mark).await;
    did.assert_children(&["patch configmaps polite-code-*", "patch deployments polite"]);
    assert_eq!(world.news("polite").await, ["DeploymentUpdated"]);
    assert_eq!(
        world.news_of("LanguagePersona", "helper").await,
        ["PersonaUpdated"]
    );
    assert_eq!(
        world.calls().await,
        (synthesized, distilled + 1),
        "one DistillPersona, no Synthesize"
    );
    let settled = world.deployment("polite").await;
    let number = |d: &Deployment| rollouts(d).parse::<u32>().unwrap();
    assert_eq!(number(&settled), number(&before) + 1, "exactly one rollout");
    assert_eq!(settled.spec, after.spec);
}

const PERSONA: &str = "
apiVersion: langop.io/v1alpha1
kind: LanguagePersona
metadata: {name: helper}
spec: {description: A helper, systemPrompt: You help., tone: friendly, language: en}
";

#[tokio::test]
async fn references_that_come_and_go_mark_the_code_stale_and_close_the_policy() {
    let world = World::new("stale").await;
    world.with_agent("keeper", "keep the house").await;
    world.settled().await;
    let calls = world.calls().await;
    world
        .apply(&crate::world::TOOL.replace("name: mail", "name: bell"))
        .await;
    world
        .patch::<LanguageAgent>(
            "keeper",
            json!({"spec": {"toolRefs": [{"name": "mail"}, {"name": "bell"}]}}),
        )
        .await;
    let agent = world
        .until("keeper", |a: &LanguageAgent| is(a, "CodeStale", "True"))
        .await;
    let stale = condition(&agent, "CodeStale").unwrap();
    assert!(
        stale.message.contains("bell") && stale.message.contains("langop.io/resynthesize"),
        "{}",
        stale.message
    );
    world
        .until("keeper", |d: &Deployment| {
            env(d, "MCP_SERVERS").unwrap().contains("bell")
        })
        .await;

    world
        .ns
        .api::<Tool>()
        .delete("bell", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    world
        .until("keeper", |policy: &NetworkPolicy| {
            !serde_json::to_string(policy).unwrap().contains("bell")
        })
        .await;
    let agent = world
        .until("keeper", |a: &LanguageAgent| {
            is(a, "ReferencesResolved", "False")
        })
        .await;
    assert!(
        condition(&agent, "ReferencesResolved")
            .unwrap()
            .message
            .contains("bell")
    );
    assert_eq!(world.calls().await, calls, "no call for a reference");
}
