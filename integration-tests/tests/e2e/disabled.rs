//! Without synthesis: what can run runs, what cannot says why, and nobody is asked again and again.

use k8s_openapi::api::apps::v1::Deployment;
use langop_integration_tests::{FakeLlm, Operator, Synthesizer};

use crate::world::{Persona, World, agent_yaml, condition, env, is, mounted_code};

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
    let world = World::with("disabled", llm, disabled, |operator| {
        operator.synthesizer(&url).synthesis_backoff("1s", "1h")
    })
    .await;
    what_can_run_runs(&world, "SYNTHESIS_MODEL").await;
    assert_eq!(
        world.calls().await,
        (2, 1),
        "once for each agent with instructions and for the persona; again only after an hour"
    );
}

#[tokio::test]
async fn an_operator_without_a_synthesizer_says_so_and_images_run_alone() {
    let unused = Synthesizer::builder().start().await.unwrap();
    let llm = FakeLlm::start().await.unwrap();
    let mut world = World::with("without", llm, unused, |operator| operator).await;
    what_can_run_runs(&world, "LANGOP_SYNTHESIZER_ENDPOINT").await;

    let mark = world.mark();
    world.operator.restart().await.unwrap();
    world.done_since(mark).await.assert_none();
    assert_eq!(world.calls().await, (0, 0));
}

#[tokio::test]
async fn an_operator_that_is_restarted_with_a_synthesizer_asks_it_for_whoever_was_refused() {
    let llm = FakeLlm::start().await.unwrap();
    let synthesizer = Synthesizer::asking(&llm).start().await.unwrap();
    let url = synthesizer.grpc_url().to_owned();
    let mut world = World::with("cured", llm, synthesizer, |operator| operator).await;
    world.with_tool_and_model().await;
    world.apply(&agent_yaml("coder", "write code")).await;
    world
        .until_condition("coder", "Synthesized", "False", "SynthesisDisabled")
        .await;

    world.operator.stop().await.unwrap();
    let cured = Operator::builder(world.cp)
        .namespaces(&[world.ns.name()])
        .synthesizer(&url);
    world.operator = cured.start().await.unwrap();
    world.until_ready("coder").await;
    assert_eq!(world.calls().await.0, 1);
}

/// `setting` is what has to be set for more.
async fn what_can_run_runs(world: &World, setting: &str) {
    world.with_tool_and_model().await;
    let mark = world.settled().await;
    world.apply(&agent_yaml("coder", "write code")).await;
    let agent = world
        .until_condition("coder", "Synthesized", "False", "SynthesisDisabled")
        .await;
    let message = &condition(&agent, "Synthesized").unwrap().message;
    assert!(message.contains(setting), "it says what to set: {message}");
    assert!(is(&agent, "Stalled", "True"));
    let did = world.done_since(mark).await;
    did.assert_children(&["patch networkpolicies coder"]);

    world.apply(BOTH).await;
    for alone in ["both", "own"] {
        world.until_ready(alone).await;
        let deployment = world.deployment(alone).await;
        assert!(env(&deployment, "MCP_SERVERS").unwrap().contains("mail"));
        assert_eq!(
            (
                mounted_code(&deployment),
                env(&deployment, "AGENT_CODE_PATH")
            ),
            (None, None)
        );
    }
    // The persona may come after its agent: then the agent rolls to it.
    let both: Deployment = world
        .until("both", |d| env(d, "PERSONA_DISTILLED_PROMPT").is_some())
        .await;
    assert_eq!(
        env(&both, "INSTRUCTIONS").as_deref(),
        Some("Do it alone"),
        "without code, from spec"
    );
    assert_eq!(
        env(&both, "PERSONA_DISTILLED_PROMPT").as_deref(),
        Some("You help."),
        "the persona's own text stands in"
    );
    world
        .until("helper", |p: &Persona| {
            let status = p.status.clone().unwrap_or_default();
            status.conditions.iter().any(|c| {
                c.type_ == "Ready" && c.status == "True" && c.reason == "SynthesisDisabled"
            })
        })
        .await;

    world.settled().await;
    assert!(world.get::<Deployment>("coder").await.is_none());
    assert_eq!(world.llm.count(), 0);
    assert_eq!(world.news("own").await, ["DeploymentCreated"]);
    let coder = world.news("coder").await;
    assert_eq!(
        coder
            .iter()
            .filter(|said| *said == "SynthesisFailed")
            .count(),
        1,
        "said once: {coder:?}"
    );
}
