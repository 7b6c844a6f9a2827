//! Agents as tools of each other: a circle is refused where it would close.

use langop_integration_tests::{Agent, FakeLlm, Reply, fake_llm::LlmRequest};
use serde_json::{Value, json};

fn calls(function: &str) -> Reply {
    let call = json!({"id": "1", "type": "function", "function": {
        "name": function, "arguments": json!({"message": "What is new?"}).to_string(),
    }});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    Reply::Json {
        code: 200,
        retry_after: None,
        body: json!({"choices": [{"message": message, "finish_reason": "tool_calls"}]}),
    }
}

/// Calls the other agent when it is asked something, and says what it heard.
fn asks_the_other(function: &'static str) -> impl Fn(&LlmRequest) -> Reply {
    move |request| {
        let messages = request.body["messages"].as_array().unwrap();
        let answer = messages.iter().find(|message| message["role"] == "tool");
        match answer {
            Some(answer) => Reply::Text(answer["content"].as_str().unwrap().to_owned()),
            None if messages[1]["content"] == "What is new?" => calls(function),
            None => Reply::Text("ready".to_owned()),
        }
    }
}

async fn resident(name: &str, other: &'static str) -> (Agent, FakeLlm) {
    let model = FakeLlm::start().await.unwrap();
    model.reply_with(asks_the_other(other));
    let agent = Agent::new(name, "  objectives ['Be of help']")
        .unwrap()
        .model(model.endpoint())
        .with("AGENT_MODE", "autonomous")
        .with("LANGOP_AGENT_SERVE", "mcp");
    (agent, model)
}

#[tokio::test]
async fn an_agent_that_is_on_the_way_to_itself_is_refused() {
    let (first, first_model) = resident("first", "second__ask").await;
    let (second, second_model) = resident("second", "first__ask").await;
    let first_url = first.url();
    let first = first.tools(&[("second", second.url())]);
    let second = second.tools(&[("first", first_url)]);
    let (_one, _other) = (first.start().unwrap(), second.start().unwrap());
    for (agent, model) in [(&first, &first_model), (&second, &second_model)] {
        agent.until_idle().await.unwrap();
        assert_eq!(model.count(), 1);
    }

    let body = r#"
  workflow do
    step "Ask" do
      use_tool "first", params: { message: "What is new?" }
    end
  end"#;
    let asker = Agent::new("asker", body)
        .unwrap()
        .tools(&[("first", first.url())]);
    let ended = asker.run().await.unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    // Each was asked for what to do, and once more with the answer of the other.
    assert_eq!((first_model.count(), second_model.count()), (3, 3));
    let heard = |model: &FakeLlm| {
        let requests = model.requests();
        let messages = requests[2].body["messages"].as_array().unwrap().clone();
        messages.last().map(|last: &Value| last["content"].clone())
    };
    let refused = "error: refused: this agent is already on the way to itself";
    assert_eq!(heard(&second_model), Some(json!(refused)));
    assert_eq!(
        heard(&first_model),
        Some(json!(refused)),
        "its words are handed on"
    );
}
