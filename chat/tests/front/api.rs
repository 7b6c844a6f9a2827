//! The API, as programs use it.

use std::{fs, path::Path, sync::Arc};

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;

use super::{
    front::{Front, calls, models, slow_model},
    model::{Model, says},
};

fn post(front: &Front, body: &Json) -> RequestBuilder {
    Client::new()
        .post(front.url("/v1/chat/completions"))
        .json(body)
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

fn hello(model: Option<&str>) -> Json {
    json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
}

#[tokio::test]
async fn each_model_is_offered_by_its_name_and_asked_alone() {
    let first = Model::start([says("I am the first.")]).await;
    let second = Model::start([says("I am the second.")]).await;
    let endpoints = models(&[("first", first.address), ("second", second.address)]);
    let instructions = "You are the help desk of a bakery.".to_owned();
    let front = Front::start(&[
        ("MODEL_ENDPOINTS", endpoints),
        ("LANGOP_CHAT_INSTRUCTIONS", instructions.clone()),
    ])
    .await;
    let list: Json = reqwest::get(front.url("/v1/models"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let ids: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["id"].clone())
        .collect();
    assert_eq!(ids, ["first", "second"]);
    assert_eq!(
        list["langop"],
        json!({"name": "helpdesk", "tools": ["files"]})
    );

    let answer: Json = sent(post(&front, &hello(Some("second"))))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "I am the second."
    );
    assert_eq!(answer["model"], "second");
    let answer: Json = sent(post(&front, &hello(None))).await.json().await.unwrap();
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "I am the first."
    );
    let told = first.requests()[0]["messages"][0]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(told.contains(&instructions), "{told}");
    let unknown = sent(post(&front, &hello(Some("third")))).await;
    assert_eq!(unknown.status(), 404);
    let error: Json = unknown.json().await.unwrap();
    assert_eq!(
        error["error"]["message"],
        "there is no such model: write first or second"
    );
}

/// What the operator writes into a LanguageClient's pod, by its own golden test.
fn as_the_operator_writes() -> Vec<(String, String)> {
    let golden =
        "../operator/desired/src/client/snapshots/langop_desired__client__tests__full.snap";
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(golden);
    let golden = fs::read_to_string(golden).unwrap();
    let (_, yaml) = golden
        .split_once("---\n")
        .unwrap()
        .1
        .split_once("---\n")
        .unwrap();
    let objects: Json = serde_saphyr::from_str(yaml).unwrap();
    let container = &objects["deployments"][0]["spec"]["template"]["spec"]["containers"][0];
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let variables = container["env"].as_array().unwrap().iter();
    let variables = variables.map(|variable| (text(&variable["name"]), text(&variable["value"])));
    variables.filter(|(name, _)| name != "PORT").collect()
}

#[tokio::test]
async fn what_the_operator_writes_is_understood() {
    let variables = as_the_operator_writes();
    let borrowed = variables
        .iter()
        .map(|(name, value)| (&**name, value.clone()));
    let front = Front::start(&borrowed.collect::<Vec<_>>()).await;
    let host = "chat.demo.svc.cluster.local:8080";
    let list = Client::new()
        .get(front.url("/v1/models"))
        .header("host", host);
    let list: Json = sent(list).await.json().await.unwrap();
    assert_eq!(list["data"][0]["id"], "claude", "{list}");
    assert_eq!(list["langop"], json!({"name": "chat", "tools": ["email"]}));
}

#[tokio::test]
async fn a_stream_holds_calls_and_results_for_those_who_ask() {
    let read = || calls("read_file", &json!({"path": "notes.txt"}));
    let model = Model::start([read(), says("Milk."), read(), says("Bread.")]).await;
    let front = Front::over(&model).await;
    for (options, shown) in [(json!({"include_tool_messages": true}), 2), (json!({}), 0)] {
        let mut body = hello(None);
        body["stream"] = true.into();
        body["stream_options"] = options;
        let text = sent(post(&front, &body)).await.text().await.unwrap();
        let chunks: Vec<Json> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
            .collect();
        let choices = chunks
            .iter()
            .all(|chunk| chunk["choices"][0]["delta"].is_object());
        assert!(choices, "each chunk is one that clients know: {text}");
        let messages: Vec<_> = chunks
            .iter()
            .map(|chunk| &chunk["langop_message"])
            .filter(|m| m.is_object())
            .collect();
        assert_eq!(messages.len(), shown, "{text}");
        if let [call, result] = &messages[..] {
            assert_eq!(
                call["tool_calls"][0]["function"]["name"],
                "files__read_file"
            );
            assert_eq!(result["tool_call_id"], call["tool_calls"][0]["id"]);
            assert_eq!(result["content"], "Buy milk and bread.");
        }
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    }
    for words in ["Milk.", "Bread.", "Buy milk", "notes.txt"] {
        assert!(
            !front.log().contains(words),
            "what was said is not in the log: {words}"
        );
    }
}

#[tokio::test]
async fn pages_of_others_are_turned_away() {
    let model = Model::start([says("1"), says("2"), says("3")]).await;
    let front = Front::start(&[
        ("MODEL_ENDPOINTS", models(&[("claude", model.address)])),
        ("LANGOP_CHAT_ORIGINS", "https://chat.example.com".to_owned()),
    ])
    .await;
    let own = front.url("");
    for (host, origin, status) in [
        (None, Some(own.as_str()), 200),
        (
            Some("chat.example.com"),
            Some("https://chat.example.com"),
            200,
        ),
        (Some("helpdesk.demo.svc:8080"), None, 200),
        (None, Some("https://evil.example"), 403),
        (None, Some("http://127.0.0.1:1"), 403),
        (Some("evil.example"), Some("http://evil.example"), 403),
        (Some("evil.example"), None, 403),
    ] {
        let mut request = post(&front, &hello(None));
        if let Some(host) = host {
            request = request.header("host", host);
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        assert_eq!(sent(request).await.status(), status, "{host:?} {origin:?}");
    }
    assert_eq!(model.requests().len(), 3, "nobody else was asked");
    let list = Client::new()
        .get(front.url("/v1/models"))
        .header("host", "evil.example");
    assert_eq!(sent(list).await.status(), 403, "not even for the list");
}

#[tokio::test]
async fn every_answer_of_the_page_is_guarded() {
    let model = Model::start([]).await;
    let front = Front::over(&model).await;
    for path in [
        "/",
        "/chat.css",
        "/chat.js",
        "/answers.js",
        "/markdown.js",
        "/icon.svg",
        "/v1/models",
        "/nothing",
    ] {
        let answer = reqwest::get(front.url(path)).await.unwrap();
        assert_eq!(answer.status().is_success(), path != "/nothing", "{path}");
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn faults_of_the_environment_say_what_to_write() {
    let output = |variable: &str, value: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_langop-chat"))
            .env_clear()
            .env(variable, value)
            .output()
            .unwrap()
    };
    for (variable, value) in [
        ("MCP_SERVERS", "{}"),
        ("LANGOP_CHAT_ORIGINS", "chat.example.com"),
        ("LANGOP_LOG", "=,="),
    ] {
        let output = output(variable, value);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(variable) && said.contains("write"), "{said}");
    }
}

#[tokio::test]
async fn without_a_model_the_page_is_there_and_says_so() {
    let front = Front::start(&[]).await;
    assert_eq!(reqwest::get(front.url("/")).await.unwrap().status(), 200);
    assert_eq!(
        reqwest::get(front.url("/readyz")).await.unwrap().status(),
        200
    );
    let answer = sent(post(&front, &hello(None))).await;
    assert_eq!(answer.status(), 503);
    let error: Json = answer.json().await.unwrap();
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("modelRefs"), "{message}");
}

/// A signal lets nothing new begin; who waits is told, and nothing is left open.
#[tokio::test]
async fn a_signal_ends_what_is_under_way() {
    let gate = Arc::new(Semaphore::new(0));
    let slow = slow_model(Arc::clone(&gate)).await;
    let front = Front::start(&[("MODEL_ENDPOINTS", models(&[("claude", slow)]))]).await;
    let mut body = hello(None);
    body["stream"] = true.into();
    let mut waiting = sent(post(&front, &body)).await;
    let first = waiting.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: "), "the answer has begun");
    let rest = tokio::spawn(waiting.text());
    front.terminate();
    front
        .until("it stops", |log| log.contains("stopping"))
        .await;
    gate.close();
    assert_eq!(front.end().await, Some(0));
    let rest = rest.await.unwrap().unwrap();
    assert!(rest.contains("\"code\":\"stopped\""), "{rest}");
}
