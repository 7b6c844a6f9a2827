//! Without synthesis: what can run runs, what cannot says why, and nobody is asked again and again.

use k8s_openapi::api::apps::v1::Deployment;
use langop_api::LanguagePersona;
use langop_integration_tests::{
    FakeLlm, Operator, Synthesizer,
    env::{TestEnv, agent_yaml, condition, env_value, is, mounted_code},
};

/// An image of its own that could also run code, if there were any.
const BOTH: &str = "
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: both}
spec:
  instructions: Do it alone
  image: 'registry.example/own:1'
  toolRefs: [{name: mail}]
  personaRef: {name: helper}
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: own}
spec: {image: 'registry.example/own:1', toolRefs: [{name: mail}]}
---
apiVersion: langop.io/v1alpha1
kind: LanguagePersona
metadata: {name: helper}
spec: {description: A helper, systemPrompt: You help., tone: friendly, language: en}
";

#[tokio::test]
async fn a_synthesizer_without_a_model_is_asked_once_and_images_run_alone() {
    let disabled = Synthesizer::builder().start().await.unwrap();
    let url = disabled.grpc_url().to_owned();
    let llm = FakeLlm::start().await.unwrap();
    let env = TestEnv::with("disabled", llm, disabled, |operator| {
        operator.synthesizer(&url).synthesis_backoff("1s", "1h")
    })
    .await;
    what_can_run_runs(&env, "SYNTHESIS_MODEL").await;
    assert_eq!(
        env.calls().await,
        (2, 1),
        "once for each agent with instructions and for the persona; again only after an hour"
    );
}

#[tokio::test]
async fn an_operator_without_a_synthesizer_says_so_and_images_run_alone() {
    let unused = Synthesizer::builder().start().await.unwrap();
    let llm = FakeLlm::start().await.unwrap();
    let mut env = TestEnv::with("without", llm, unused, |operator| operator).await;
    what_can_run_runs(&env, "LANGOP_SYNTHESIZER_ENDPOINT").await;

    let mark = env.mark();
    env.operator.restart().await.unwrap();
    env.summary_since(mark).await.assert_none();
    assert_eq!(env.calls().await, (0, 0));
}

#[tokio::test]
async fn an_operator_that_is_restarted_with_a_synthesizer_asks_it_for_whoever_was_refused() {
    let llm = FakeLlm::start().await.unwrap();
    let synthesizer = Synthesizer::asking(&llm).start().await.unwrap();
    let url = synthesizer.grpc_url().to_owned();
    let mut env = TestEnv::with("cured", llm, synthesizer, |operator| operator).await;
    env.with_tool_and_model().await;
    env.apply(&agent_yaml("coder", "write code")).await;
    env.until_condition("coder", "Synthesized", "False", "SynthesisDisabled")
        .await;

    env.operator.stop().await.unwrap();
    let cured = Operator::builder(env.cp)
        .namespaces(&[env.ns.name()])
        .synthesizer(&url);
    env.operator = cured.start().await.unwrap();
    env.until_ready("coder").await;
    assert_eq!(env.calls().await.0, 1);
}

/// `setting` is what has to be set for more.
async fn what_can_run_runs(env: &TestEnv, setting: &str) {
    env.with_tool_and_model().await;
    let mark = env.settled().await;
    env.apply(&agent_yaml("coder", "write code")).await;
    let agent = env
        .until_condition("coder", "Synthesized", "False", "SynthesisDisabled")
        .await;
    let message = &condition(&agent, "Synthesized").unwrap().message;
    assert!(message.contains(setting), "it says what to set: {message}");
    assert!(is(&agent, "Stalled", "True"));
    let did = env.summary_since(mark).await;
    did.assert_children(&["patch networkpolicies coder"]);

    env.apply(BOTH).await;
    for alone in ["both", "own"] {
        env.until_ready(alone).await;
        let deployment = env.deployment(alone).await;
        assert!(
            env_value(&deployment, "MCP_SERVERS")
                .unwrap()
                .contains("mail")
        );
        assert_eq!(
            (
                mounted_code(&deployment),
                env_value(&deployment, "AGENT_CODE_PATH")
            ),
            (None, None)
        );
    }
    // The persona may come after its agent: then the agent rolls to it.
    let both: Deployment = env
        .until("both", |d| {
            env_value(d, "PERSONA_DISTILLED_PROMPT").is_some()
        })
        .await;
    assert_eq!(
        env_value(&both, "INSTRUCTIONS").as_deref(),
        Some("Do it alone"),
        "without code, from spec"
    );
    assert_eq!(
        env_value(&both, "PERSONA_DISTILLED_PROMPT").as_deref(),
        Some("You help."),
        "the persona's own text stands in"
    );
    env.until("helper", |p: &LanguagePersona| {
        let status = p.status.clone().unwrap_or_default();
        status
            .conditions
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True" && c.reason == "SynthesisDisabled")
    })
    .await;

    env.settled().await;
    assert!(env.get::<Deployment>("coder").await.is_none());
    assert_eq!(env.llm.count(), 0);
    assert_eq!(env.new_events("own").await, ["DeploymentCreated"]);
    let coder = env.new_events("coder").await;
    assert_eq!(
        coder
            .iter()
            .filter(|said| *said == "SynthesisFailed")
            .count(),
        1,
        "said once: {coder:?}"
    );
}
