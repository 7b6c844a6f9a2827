//! Tools, models and personas: a change reaches the agents at once, and no LLM is asked again.

use k8s_openapi::api::{apps::v1::Deployment, networking::v1::NetworkPolicy};
use langop_api::{LanguageAgent, LanguageModel, LanguagePersona, LanguageTool};
use serde_json::json;

use langop_integration_tests::env::{TestEnv, condition, env_value, is, rollouts};

#[tokio::test]
async fn a_tool_port_and_a_model_change_reach_env_and_policy_without_a_call() {
    let env = TestEnv::new("inputs").await;
    env.with_agent("wired", "use your tools").await;
    let mark = env.settled().await;
    env.new_events("wired").await;
    let calls = env.calls().await;

    env.patch::<LanguageTool>("mail", json!({"spec": {"port": 9090}}))
        .await;
    env.until("wired", |d: &Deployment| {
        env_value(d, "MCP_SERVERS").unwrap().contains(":9090")
    })
    .await;
    env.until("wired", |policy: &NetworkPolicy| {
        serde_json::to_string(policy).unwrap().contains("9090")
    })
    .await;
    env.until_ready("wired").await;
    let did = env.summary_since(mark).await;
    did.assert_children(&[
        "patch configmaps wired-code-*",
        "patch deployments mail",
        "patch deployments wired",
        "patch networkpolicies mail",
        "patch networkpolicies wired",
        "patch services mail",
    ]);
    assert_eq!(env.new_events("wired").await, ["DeploymentUpdated"]);
    assert_eq!(rollouts(&env.deployment("wired").await), "2");

    let mark = env.mark();

    env.patch::<LanguageModel>("brain", json!({"spec": {"model": "claude-opus-4-5"}}))
        .await;
    env.until("wired", |d: &Deployment| {
        env_value(d, "MODEL_ENDPOINTS")
            .unwrap()
            .contains("claude-opus-4-5")
    })
    .await;
    env.until_ready("wired").await;
    let did = env.summary_since(mark).await;
    did.assert_children(&[
        "patch configmaps brain-proxy",
        "patch configmaps wired-code-*",
        "patch deployments brain-proxy",
        "patch deployments wired",
    ]);
    assert_eq!(env.new_events("wired").await, ["DeploymentUpdated"]);
    assert_eq!(rollouts(&env.deployment("wired").await), "3");
    assert_eq!(
        env.calls().await,
        calls,
        "no gRPC call for a tool or a model"
    );
}

#[tokio::test]
async fn a_persona_change_is_distilled_once_and_rolls_its_agents_once() {
    let env = TestEnv::new("persona").await;
    env.apply(PERSONA).await;
    env.until("helper", |p: &LanguagePersona| {
        p.status.as_ref().is_some_and(|s| s.distilled.is_some())
    })
    .await;
    env.with_agent("polite", "be polite").await;
    env.patch::<LanguageAgent>(
        "polite",
        json!({"spec": {"personaRef": {"name": "helper"}}}),
    )
    .await;
    env.until("polite", |d: &Deployment| {
        env_value(d, "PERSONA_TONE").as_deref() == Some("friendly")
    })
    .await;
    env.until_ready("polite").await;
    let mark = env.settled().await;
    env.new_events("polite").await;
    assert!(
        env.new_events_of("LanguagePersona", "helper")
            .await
            .is_empty(),
        "the first snapshot updates nobody"
    );
    let (synthesized, distilled) = env.calls().await;
    let before = env.deployment("polite").await;

    env.patch::<LanguagePersona>("helper", json!({"spec": {"tone": "stern"}}))
        .await;
    let after: Deployment = env
        .until("polite", |d| {
            env_value(d, "PERSONA_TONE").as_deref() == Some("stern")
        })
        .await;
    env.until_ready("polite").await;
    let did = env.summary_since(mark).await;
    did.assert_children(&["patch configmaps polite-code-*", "patch deployments polite"]);
    assert_eq!(env.new_events("polite").await, ["DeploymentUpdated"]);
    assert_eq!(
        env.new_events_of("LanguagePersona", "helper").await,
        ["PersonaUpdated"]
    );
    assert_eq!(
        env.calls().await,
        (synthesized, distilled + 1),
        "one DistillPersona, no Synthesize"
    );
    let settled = env.deployment("polite").await;
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
    let env = TestEnv::new("stale").await;
    env.with_agent("keeper", "keep the house").await;
    env.settled().await;
    let calls = env.calls().await;
    env.apply(&langop_integration_tests::env::TOOL.replace("name: mail", "name: bell"))
        .await;
    env.patch::<LanguageAgent>(
        "keeper",
        json!({"spec": {"toolRefs": [{"name": "mail"}, {"name": "bell"}]}}),
    )
    .await;
    let agent = env
        .until("keeper", |a: &LanguageAgent| is(a, "CodeStale", "True"))
        .await;
    let stale = condition(&agent, "CodeStale").unwrap();
    assert!(
        stale.message.contains("bell") && stale.message.contains("langop.io/resynthesize"),
        "{}",
        stale.message
    );
    env.until("keeper", |d: &Deployment| {
        env_value(d, "MCP_SERVERS").unwrap().contains("bell")
    })
    .await;

    env.ns
        .api::<LanguageTool>()
        .delete("bell", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    env.until("keeper", |policy: &NetworkPolicy| {
        !serde_json::to_string(policy).unwrap().contains("bell")
    })
    .await;
    let agent = env
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
    assert_eq!(env.calls().await, calls, "no call for a reference");
}
