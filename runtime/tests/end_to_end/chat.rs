//! An agent as a model that one talks to: over HTTP, in one piece and as a stream.

use std::time::Duration;

use futures::StreamExt as _;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use super::{
    agent::{Agent, until},
    model::{Model, Reply, says},
    peer::{Era, Habits, Peer},
};

const BODY: &str = "  objectives ['Be of help']";

fn agent(model: &Model) -> Agent {
    Agent::new(BODY)
        .model(model.address)
        .with("AGENT_MODE", "autonomous")
        .with("LANGOP_AGENT_SERVE", "chat")
}

fn post(agent: &Agent, body: &Json) -> RequestBuilder {
    let url = format!("http://127.0.0.1:{}/v1/chat/completions", agent.port());
    reqwest::Client::new().post(url).json(body)
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

fn user(text: &str) -> Json {
    json!({"role": "user", "content": text})
}

/// A call of the peer's `record`.
fn call(id: &str) -> Json {
    json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": id, "type": "function", "function": {"name": "peer__record", "arguments": "{\"text\":\"a\"}"}}]})
}

/// The data of each event.
async fn events(response: Response) -> Vec<Json> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into()))
        .collect()
}

#[tokio::test]
async fn an_agent_answers_by_its_own_loop_and_tools() {
    let peer = Peer::start(Habits::default()).await;
    let model = Model::start([
        says("The first run."),
        Reply::Message(call("1")),
        says("It is recorded."),
    ])
    .await;
    let agent = agent(&model).tools(&[("peer", peer.address)]);
    let running = agent.start_serving().await;

    let url = format!("http://127.0.0.1:{}/v1/models", agent.port());
    let models: Json = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(models["data"][0]["id"], "test-agent", "{models}");
    assert_eq!(
        models["langop"],
        Json::Null,
        "its tools are its own business"
    );

    let system = json!({"role": "system", "content": "Write in verse."});
    let messages =
        json!([system, user("Hi"), {"role": "assistant", "content": "Hello"}, user("Record a")]);
    let body = json!({"model": "test-agent", "messages": messages});
    let response = sent(post(&agent, &body)).await;
    assert_eq!(response.status(), 200);
    let answer: Json = response.json().await.unwrap();
    assert_eq!(answer["object"], "chat.completion");
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], "It is recorded.");
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(
        answer["usage"]["total_tokens"], 24,
        "of both answers: {answer}"
    );
    assert_eq!(peer.effects(), [json!({"text": "a"})]);

    let asked = &model.requests()[1];
    let roles: Vec<_> = asked["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].clone())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    let told = asked["messages"][0]["content"].as_str().unwrap();
    for part in [
        "Be of help",
        "The caller adds:\nWrite in verse.",
        "You talk with a person",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let tools = asked["tools"].to_string();
    assert!(tools.contains("peer__record"), "{tools}");
    assert!(
        !tools.contains("\"finish\""),
        "a conversation has no end of its own: {tools}"
    );
    let id = answer["id"]
        .as_str()
        .unwrap()
        .trim_start_matches("chatcmpl-")
        .to_owned();
    assert!(running.log().contains(&id), "the answer leads to the log");
    running.kill().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_words_and_does_not_show_what_was_called() {
    let peer = Peer::start(Habits::default()).await;
    let replies = [
        says("The first run."),
        Reply::Message(call("1")),
        says("Done."),
    ];
    let model = Model::start(replies).await;
    let agent = agent(&model).tools(&[("peer", peer.address)]);
    let running = agent.start_serving().await;
    let options = json!({"include_usage": true, "include_tool_messages": true});
    let body = json!({"messages": [user("Record a")], "stream": true, "stream_options": options});
    let events = events(sent(post(&agent, &body)).await).await;
    let words: String = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(words, "Done.");
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(events.last().unwrap(), "[DONE]");
    assert_eq!(events[events.len() - 2]["usage"]["prompt_tokens"], 20);
    assert!(
        !json!(events).to_string().contains("peer__record"),
        "{events:?}"
    );
    assert_eq!(peer.effects().len(), 1);
    running.kill().await;
}

#[tokio::test]
async fn what_is_refused_says_what_to_do() {
    let no = || {
        Reply::Raw(
            400,
            vec![],
            r#"{"error":{"message":"no tea here"}}"#.to_owned(),
        )
    };
    let model = Model::start([says("The first run."), no(), no()]).await;
    let agent = agent(&model);
    let running = agent.start_serving().await;
    let good = json!({"messages": [user("Hi")]});
    // As a form of a web page would.
    let url = format!("http://127.0.0.1:{}/v1/chat/completions", agent.port());
    let plain = reqwest::Client::new().post(url).body(good.to_string());
    let plain = plain.header("content-type", "text/plain");
    let long = json!({"messages": [user(&"x".repeat(1024 * 1024))]});
    for (request, status, said) in [
        (
            post(&agent, &good).header("origin", "https://evil.example"),
            403,
            "use a LanguageClient",
        ),
        (
            post(&agent, &good).header("origin", "null"),
            403,
            "use a LanguageClient",
        ),
        (plain, 415, "write content-type"),
        (post(&agent, &long), 413, "leave out what was said long ago"),
        (
            post(&agent, &json!({"messages": []})),
            400,
            "nothing to answer",
        ),
        (
            post(&agent, &json!({"model": "gpt", "messages": [user("Hi")]})),
            404,
            "write test-agent",
        ),
        // The run began, and may have done something.
        (
            post(&agent, &good).header("origin", "http://localhost:3000"),
            502,
            "no tea here",
        ),
    ] {
        let response = sent(request).await;
        let repeats = response.headers().get("x-should-retry").cloned();
        assert_eq!(response.status(), status, "{said}");
        assert_eq!(
            repeats.is_some_and(|repeats| repeats == "false"),
            status == 502,
            "{said}"
        );
        let error: Json = response.json().await.unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{said}: {message}");
        assert!(error["error"]["type"].is_string() && error["error"]["code"].is_string());
    }
    let body = json!({"messages": [user("Hi")], "stream": true});
    let events = events(sent(post(&agent, &body)).await).await;
    assert_eq!(
        events.last().unwrap()["error"]["code"],
        "model-refused",
        "{events:?}"
    );
    running.kill().await;
}

/// Calls that never come back: whoever waits for them, in one piece or as a stream, takes a place.
#[tokio::test]
async fn four_at_once_and_who_goes_gives_the_place_back() {
    let hangs = Habits {
        hangs_on: Some("record"),
        era: Era::Modern,
        ..Habits::default()
    };
    let peer = Peer::start(hangs).await;
    let calls = (0..9).map(|id| Reply::Message(call(&id.to_string())));
    let model = Model::start([says("The first run.")].into_iter().chain(calls)).await;
    let agent = agent(&model).tools(&[("peer", peer.address)]);
    let running = agent.start_serving().await;
    let body = |is_stream: bool| json!({"messages": [user("Record a")], "stream": is_stream});
    let mut waiting = Vec::new();
    for is_stream in [false, true, false, true] {
        let request = post(&agent, &body(is_stream));
        waiting.push(tokio::spawn(async move {
            let response = request.send().await.unwrap();
            response.bytes_stream().count().await
        }));
    }
    until("four calls are under way", || peer.effects().len() == 4).await;
    let response = sent(post(&agent, &body(false))).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "5");
    for one in &waiting {
        one.abort();
    }
    until("the tool was told of all four", || peer.left() == 4).await;
    until("the log says so", || {
        running.log().matches("the caller has gone").count() == 4
    })
    .await;
    let fifth = post(&agent, &body(true)).send();
    let response = timeout(Duration::from_secs(10), fifth)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(response.status(), 200, "there are places again");
    running.kill().await;
}
