//! The Python SDK of A2A against an agent that is given tasks.

use langop_integration_tests::{Agent, FakeLlm, Reply, peers::clients::give_task};
use serde_json::{Value, json};

/// An agent over `model` that is given tasks.
fn agent(model: &FakeLlm) -> Agent {
    Agent::new("asked", "  objectives ['Be of help']")
        .unwrap()
        .model(model.endpoint())
        .with("AGENT_MODE", "autonomous")
        .with("LANGOP_AGENT_SERVE", "a2a")
}

/// What the client says beside the card.
async fn said(agent: &Agent, how: &str) -> Value {
    let mut said = give_task(how, &agent.url(), "What is new?").await.unwrap();
    let card = said.as_object_mut().unwrap();
    assert_eq!(card.remove("name"), Some(json!("asked")));
    assert_eq!(card.remove("streaming"), Some(json!(true)));
    said
}

#[tokio::test]
async fn a_task_is_given_in_one_piece_as_a_stream_and_to_come_back_for() {
    let model = FakeLlm::start().await.unwrap();
    model.reply_with(|_| Reply::Text("Nothing is new.".to_owned()));
    let agent = agent(&model);
    let _running = agent.start().unwrap();
    agent.until_idle().await.unwrap();
    let [submitted, working, completed] = [
        "TASK_STATE_SUBMITTED",
        "TASK_STATE_WORKING",
        "TASK_STATE_COMPLETED",
    ];
    let text = "Nothing is new.";
    for (how, expected) in [
        ("whole", json!({"told": [completed, text]})),
        (
            "stream",
            json!({"told": [submitted, working, text, completed]}),
        ),
        (
            "polled",
            json!({"told": [submitted], "ended": completed, "texts": [text]}),
        ),
    ] {
        assert_eq!(said(&agent, how).await, expected, "{how}");
    }
    assert_eq!(model.count(), 4, "its own run, and one for each task");
}

#[tokio::test]
async fn a_client_cancels_what_it_began_and_one_without_a_version_begins_nothing() {
    let model = FakeLlm::start().await.unwrap();
    model.reply_with(|_| Reply::Text("The first run.".to_owned()));
    let agent = agent(&model);
    let _running = agent.start().unwrap();
    agent.until_idle().await.unwrap();
    model.reply_with(|_| Reply::Hang);

    let refused = said(&agent, "unversioned").await;
    assert_eq!(refused["error"], "VersionNotSupportedError");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("write A2A-Version: 1.0"), "{message}");
    assert_eq!(model.count(), 1, "nothing began");

    let canceled = "TASK_STATE_CANCELED";
    let expected = json!({"told": ["TASK_STATE_SUBMITTED"], "ended": canceled, "texts": []});
    assert_eq!(said(&agent, "cancelled").await, expected);
    assert!(agent.log().contains("a caller cancelled the task"));
}
