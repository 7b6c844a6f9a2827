//! One trace from the operator's reconcile to the LLM call, seen by an OTLP receiver.

use langop_integration_tests::{
    FakeLlm, OtlpReceiver, Synthesizer,
    env::{MODEL, SOON, TOOL, TestEnv, agent_yaml},
    otlp,
};

/// An environment whose operator and synthesizer send their spans to `otlp`.
async fn traced_world(otlp: &OtlpReceiver) -> TestEnv {
    let llm = FakeLlm::start().await.unwrap();
    let synthesizer = Synthesizer::asking(&llm)
        .otlp(otlp.endpoint())
        .start()
        .await
        .unwrap();
    let (url, receiver) = (synthesizer.grpc_url().to_owned(), otlp.endpoint());
    TestEnv::with("trace", llm, synthesizer, |operator| {
        operator.synthesizer(&url).otlp(receiver)
    })
    .await
}

#[tokio::test]
async fn one_trace_leads_from_reconcile_to_the_llm_call() {
    let otlp = OtlpReceiver::start().await.unwrap();
    let env = traced_world(&otlp).await;
    env.apply(TOOL).await;
    env.apply(MODEL).await;
    env.apply(&agent_yaml("traced", "leave a trace")).await;
    let agent = env.until_ready("traced").await;

    let chat = otlp
        .wait_for("the span of the LLM call", SOON, |spans| {
            spans
                .iter()
                .find(|span| span.name == "chat fake-model")
                .cloned()
        })
        .await
        .unwrap();
    let trees = otlp
        .wait_for("the whole trace", SOON, |spans| {
            let trees = otlp::trees(spans, &chat.trace_id);
            trees
                .iter()
                .any(|tree| tree.span.name == "reconcile" && tree.find("chat fake-model").is_some())
                .then_some(trees)
        })
        .await
        .unwrap();
    let root = trees
        .iter()
        .find(|tree| tree.span.name == "reconcile")
        .unwrap();
    let create = root
        .find("create_agent traced")
        .expect("create_agent below reconcile");
    let rpc = "langop.synthesis.v1.SynthesisService/Synthesize";
    let client = create.find(rpc).expect("the gRPC client span");
    assert_eq!(
        (client.span.kind.as_str(), client.span.service.as_str()),
        ("Client", "langop-operator")
    );
    let server = client
        .children
        .iter()
        .find_map(|child| child.find(rpc))
        .expect("the gRPC server span");
    assert_eq!(
        (server.span.kind.as_str(), server.span.service.as_str()),
        ("Server", "langop-synthesizer")
    );
    let chat = server
        .find("chat fake-model")
        .expect("the LLM call below the server span");
    assert_eq!(chat.span.kind, "Client");
    assert_eq!(chat.span.attribute("gen_ai.operation.name"), "chat");
    assert_eq!(chat.span.attribute("gen_ai.provider.name"), "openai");
    assert_eq!(chat.span.attribute("gen_ai.usage.input_tokens"), "100");
    let said = ["kind", "namespace", "name", "outcome"].map(|key| root.span.attribute(key));
    assert_eq!(
        said,
        ["LanguageAgent", env.ns.name(), "traced", "changed"],
        "the reconcile that asked for code recorded so, thus it changed something"
    );
    let generation = agent.metadata.generation.unwrap().to_string();
    assert_eq!(root.span.attribute("generation"), generation);
    assert_eq!(
        create.span.attribute("gen_ai.operation.name"),
        "create_agent"
    );
    let stored = agent
        .status
        .unwrap()
        .synthesis_info
        .unwrap()
        .traceparent
        .unwrap();
    assert!(
        stored.contains(&chat.span.trace_id),
        "the status names the trace: {stored}"
    );
    let everything = format!("{:?}", otlp.spans());
    assert!(
        !everything.contains("leave a trace"),
        "no content is recorded"
    );
    assert!(!everything.contains("sk-secret-of-the-test"));
}
