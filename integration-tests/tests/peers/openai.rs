//! OpenAI's own library against an agent that is served as a model.

use langop_integration_tests::{Agent, FakeLlm, Reply, peers::clients::ask};
use serde_json::json;

/// An agent over `model`, served as a model.
fn agent(model: &FakeLlm) -> Agent {
    Agent::new("asked", "  objectives ['Be of help']")
        .unwrap()
        .model(model.endpoint())
        .with("AGENT_MODE", "autonomous")
        .with("LANGOP_AGENT_SERVE", "chat")
}

#[tokio::test]
async fn an_agent_answers_in_one_piece_and_as_a_stream() {
    let model = FakeLlm::start().await.unwrap();
    model.reply_with(|_| Reply::Text("Nothing is new.".to_owned()));
    let agent = agent(&model);
    let _running = agent.start().unwrap();
    agent.until_idle().await.unwrap();
    for how in ["whole", "stream"] {
        let said = ask(how, &agent.url(), "asked", "What is new?")
            .await
            .unwrap();
        let expected = json!({"models": ["asked"], "text": "Nothing is new.", "tokens": 150});
        assert_eq!(said, expected, "{how}");
    }
}

/// The library repeats what failed by itself; a run that failed must not be, since its tools have
/// been called.
#[tokio::test]
async fn a_run_that_failed_is_told_once_and_not_repeated() {
    let model = FakeLlm::start().await.unwrap();
    model.reply_with(|_| Reply::Text("The first run.".to_owned()));
    let agent = agent(&model);
    let _running = agent.start().unwrap();
    agent.until_idle().await.unwrap();
    let refused = Reply::Status {
        code: 400,
        retry_after: None,
    };
    model.reply_with(move |_| refused.clone());
    let before = model.requests().len();
    for how in ["whole", "stream"] {
        let said = ask(how, &agent.url(), "asked", "What is new?")
            .await
            .unwrap();
        let message = said["error"].as_str().unwrap();
        assert!(message.contains("the model 'brain' refuses"), "{message}");
        assert_eq!(said["code"], "model-refused", "{said}");
    }
    assert_eq!(model.requests().len(), before + 2, "each was asked once");
}
