//! An agent as a peer that is given tasks: polite callers and rude ones.

use std::time::Duration;

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
        .with("LANGOP_AGENT_SERVE", "a2a")
}

/// An agent whose calls of `record` never come back, and the tool that gets them.
async fn hanging() -> (Agent, Peer, Model) {
    let hangs = Habits {
        hangs_on: Some("record"),
        era: Era::Modern,
        ..Habits::default()
    };
    let peer = Peer::start(hangs).await;
    let call = |id: usize| {
        let function = json!({"name": "peer__record", "arguments": "{\"text\":\"a\"}"});
        let call = json!({"id": id.to_string(), "type": "function", "function": function});
        Reply::Message(json!({"role": "assistant", "content": null, "tool_calls": [call]}))
    };
    let model = Model::start([says("The first run.")].into_iter().chain((0..9).map(call))).await;
    let agent = agent(&model).tools(&[("peer", peer.address)]);
    (agent, peer, model)
}

fn post(agent: &Agent, body: String) -> RequestBuilder {
    let url = format!("http://127.0.0.1:{}/a2a", agent.port());
    let request = reqwest::Client::new().post(url).body(body);
    request.header("content-type", "application/json")
}

fn request(method: &str, params: &Json) -> String {
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string()
}

fn call(agent: &Agent, method: &str, params: &Json) -> RequestBuilder {
    post(agent, request(method, params)).header("a2a-version", "1.0")
}

/// What a call gives, or why it does not.
async fn answer(agent: &Agent, method: &str, params: &Json) -> Json {
    let response = call(agent, method, params).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut answer: Json = response.json().await.unwrap();
    assert_eq!(
        (&answer["jsonrpc"], &answer["id"]),
        (&json!("2.0"), &json!(7))
    );
    if answer["error"].is_null() {
        answer["result"].take()
    } else {
        answer
    }
}

fn message(id: &str, text: &str) -> Json {
    json!({"message": {"messageId": id, "role": "ROLE_USER", "parts": [{"text": text}]}})
}

fn at_once(id: &str) -> Json {
    let mut params = message(id, "Record a");
    params["configuration"] = json!({"returnImmediately": true});
    params
}

fn id(task: &Json) -> Json {
    json!({"id": task["id"]})
}

fn state(of: &Json) -> &str {
    of["status"]["state"].as_str().unwrap()
}

/// The results of a stream.
async fn events(response: Response) -> Vec<Json> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| {
        let mut event: Json = serde_json::from_str(data).unwrap();
        assert_eq!(event["id"], 7, "{event}");
        event["result"].take()
    })
    .collect()
}

/// What each event tells: a state, or an artifact.
fn told(events: &[Json]) -> Vec<&str> {
    events
        .iter()
        .map(|event| match &event["artifactUpdate"] {
            Json::Null if event["task"].is_object() => state(&event["task"]),
            Json::Null => state(&event["statusUpdate"]),
            artifact => artifact["artifact"]["parts"][0]["text"].as_str().unwrap(),
        })
        .collect()
}

#[tokio::test]
async fn a_card_says_who_is_there_and_where() {
    let model = Model::start([says("The first run.")]).await;
    let agent = agent(&model);
    let running = agent.start_serving().await;
    let base = format!("http://127.0.0.1:{}", agent.port());
    let client = reqwest::Client::new();
    let card = |path: &str| client.get(format!("{base}{path}"));
    let known = "/.well-known/agent-card.json";

    let response = card(known).send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "max-age=300");
    let tag = response.headers()["etag"].clone();
    let said: Json = response.json().await.unwrap();
    assert_eq!(
        (&said["name"], &said["description"]),
        (&json!("test-agent"), &json!("A test"))
    );
    let interface = json!({"url": format!("{base}/a2a"), "protocolBinding": "JSONRPC", "protocolVersion": "1.0"});
    assert_eq!(said["supportedInterfaces"], json!([interface]));
    let capabilities =
        json!({"streaming": true, "pushNotifications": false, "extendedAgentCard": false});
    assert_eq!(said["capabilities"], capabilities);
    for list in ["defaultInputModes", "defaultOutputModes", "skills"] {
        assert_eq!(said[list].as_array().unwrap().len(), 1, "{list}");
    }
    assert_eq!(said["version"].as_str().unwrap().len(), 12);

    let again = card(known)
        .header("if-none-match", tag.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 304);
    let outside = card(known)
        .header("host", "agent.example")
        .header("x-forwarded-proto", "https");
    let outside = outside.header("if-none-match", tag).send().await.unwrap();
    let outside: Json = outside.json().await.unwrap();
    assert_eq!(
        outside["supportedInterfaces"][0]["url"],
        "https://agent.example/a2a"
    );
    let foreign = card(known)
        .header("origin", "https://evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(foreign.status(), 403);
    let stranger = card(known)
        .header("host", "evil@agent.example")
        .send()
        .await
        .unwrap();
    assert_eq!(stranger.status(), 400);
    let old = card("/.well-known/agent.json").send().await.unwrap();
    assert_eq!(old.status(), 404);
    running.kill().await;
}

#[tokio::test]
async fn a_task_is_a_run_and_its_artifact_the_summary() {
    let model = Model::start([
        says("The first run."),
        says("Nothing is new."),
        says("Still."),
    ])
    .await;
    let agent = agent(&model);
    let running = agent.start_serving().await;
    let sent = message("m-1", "What is new?");

    let mut answered = answer(&agent, "SendMessage", &sent).await;
    let task = answered["task"].take();
    assert_eq!(state(&task), "TASK_STATE_COMPLETED", "{task}");
    let parts = json!([{"text": "Nothing is new.", "mediaType": "text/plain"}]);
    assert_eq!(
        task["artifacts"],
        json!([{"artifactId": "summary", "name": "summary", "parts": parts}])
    );
    let at = task["status"]["timestamp"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
    assert_eq!(
        model.requests()[1]["messages"][1]["content"],
        "What is new?"
    );
    assert!(
        running.log().contains(task["id"].as_str().unwrap()),
        "the task leads to the log"
    );

    assert_eq!(answer(&agent, "GetTask", &id(&task)).await, task);
    assert_eq!(answer(&agent, "SendMessage", &sent).await["task"], task);
    let streamed = call(&agent, "SendStreamingMessage", &sent)
        .send()
        .await
        .unwrap();
    assert_eq!(events(streamed).await, [json!({"task": task})]);
    assert_eq!(model.requests().len(), 2, "one message, one run");

    let with = |field: &str, value: &Json| {
        let mut params = message("m-2", "And now?");
        params["message"][field] = value.clone();
        params
    };
    let both = {
        let mut params = with("taskId", &task["id"]);
        params["message"]["contextId"] = json!("another");
        params
    };
    for (method, params, code, said) in [
        (
            "SendMessage",
            message("m-1", "Something else"),
            -32602,
            "write a new one",
        ),
        (
            "SendMessage",
            with("taskId", &task["id"]),
            -32004,
            "leave out taskId",
        ),
        ("SendMessage", both, -32602, "another contextId"),
        (
            "SendMessage",
            with("taskId", &json!("none")),
            -32001,
            "no such task",
        ),
        ("CancelTask", id(&task), -32002, "is over"),
        ("SubscribeToTask", id(&task), -32004, "is over"),
    ] {
        let refused = answer(&agent, method, &params).await;
        assert_eq!(refused["error"]["code"], code, "{refused}");
        let words = refused["error"]["message"].as_str().unwrap();
        assert!(words.contains(said), "{said}: {words}");
    }
    assert_eq!(model.requests().len(), 2, "what is refused does nothing");

    let next = answer(
        &agent,
        "SendMessage",
        &with("contextId", &task["contextId"]),
    )
    .await;
    assert_eq!(next["task"]["contextId"], task["contextId"]);
    assert_ne!(next["task"]["id"], task["id"]);
    running.kill().await;
}

#[tokio::test]
async fn a_stream_tells_each_state_and_how_it_ended() {
    let refused = r#"{"error":{"message":"no tea here"}}"#.to_owned();
    let replies = [
        says("The first run."),
        says("Done."),
        Reply::Raw(400, vec![], refused),
    ];
    let model = Model::start(replies).await;
    let agent = agent(&model);
    let running = agent.start_serving().await;

    let stream = call(&agent, "SendStreamingMessage", &message("m-1", "Do it"))
        .send()
        .await
        .unwrap();
    let good = events(stream).await;
    let [submitted, working] = ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"];
    assert_eq!(
        told(&good),
        [submitted, working, "Done.", "TASK_STATE_COMPLETED"]
    );
    let task = &good[0]["task"];
    for event in &good[1..] {
        let event = event.as_object().unwrap().values().next().unwrap();
        assert_eq!(
            (&event["taskId"], &event["contextId"]),
            (&task["id"], &task["contextId"])
        );
    }
    assert_eq!(good[2]["artifactUpdate"]["lastChunk"], true);

    let stream = call(&agent, "SendStreamingMessage", &message("m-2", "Do it"))
        .send()
        .await
        .unwrap();
    let bad = events(stream).await;
    assert_eq!(told(&bad), [submitted, working, "TASK_STATE_FAILED"]);
    let why = &bad[2]["statusUpdate"]["status"]["message"];
    assert_eq!(why["role"], "ROLE_AGENT");
    let words = why["parts"][0]["text"].as_str().unwrap();
    assert!(
        words.starts_with("model-refused: ") && words.contains("no tea here"),
        "{words}"
    );
    let failed = answer(&agent, "GetTask", &id(&bad[0]["task"])).await;
    assert_eq!(
        (state(&failed), &failed["artifacts"]),
        ("TASK_STATE_FAILED", &json!([]))
    );
    running.kill().await;
}

#[tokio::test]
async fn a_task_goes_on_without_its_caller_until_somebody_cancels_it() {
    let (agent, peer, model) = hanging().await;
    let running = agent.start_serving().await;
    let sent = message("m-1", "Record a");
    let waiting = call(&agent, "SendMessage", &sent);
    let waiting = tokio::spawn(async { waiting.send().await });
    until("the call is under way", || peer.effects().len() == 1).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());

    // Who comes back by the same message finds the task as it is; who follows it, too.
    let stream = call(&agent, "SendStreamingMessage", &sent)
        .send()
        .await
        .unwrap();
    let task = answer(&agent, "SendMessage", &{
        let mut params = sent.clone();
        params["configuration"] = json!({"returnImmediately": true});
        params
    })
    .await["task"]
        .take();
    assert_eq!(state(&task), "TASK_STATE_WORKING");
    let follower = call(&agent, "SubscribeToTask", &id(&task))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (peer.left(), peer.effects().len()),
        (0, 1),
        "it goes on, and once"
    );

    let cancelled = answer(&agent, "CancelTask", &id(&task)).await;
    assert_eq!(state(&cancelled), "TASK_STATE_CANCELED");
    until("the tool is told", || peer.left() == 1).await;
    for stream in [stream, follower] {
        let events = timeout(Duration::from_secs(10), events(stream))
            .await
            .unwrap();
        assert_eq!(told(&events), ["TASK_STATE_WORKING", "TASK_STATE_CANCELED"]);
    }
    let again = answer(&agent, "CancelTask", &id(&task)).await;
    assert_eq!(again["error"]["code"], -32002);
    assert!(running.log().contains("a caller cancelled the task"));
    assert_eq!(model.requests().len(), 2, "the run did not go on");
    running.kill().await;
}

#[tokio::test]
async fn four_tasks_at_once_and_a_cancelled_one_gives_its_place_back() {
    let (agent, peer, _model) = hanging().await;
    let running = agent.start_serving().await;
    let mut tasks = Vec::new();
    for number in 0..4 {
        let begun = answer(&agent, "SendMessage", &at_once(&number.to_string())).await;
        assert_eq!(state(&begun["task"]), "TASK_STATE_SUBMITTED");
        tasks.push(begun["task"].clone());
    }
    until("four calls are under way", || peer.effects().len() == 4).await;
    for method in ["SendMessage", "SendStreamingMessage"] {
        let fifth = call(&agent, method, &message("5", "Record a"))
            .send()
            .await
            .unwrap();
        assert_eq!(
            (fifth.status().as_u16(), &fifth.headers()["retry-after"]),
            (429, &"5".parse().unwrap())
        );
        let fifth: Json = fifth.json().await.unwrap();
        assert_eq!(
            (&fifth["id"], &fifth["error"]["code"]),
            (&json!(7), &json!(-32603))
        );
    }
    // What takes no place is answered all the same.
    let known = answer(&agent, "SendMessage", &at_once("0")).await;
    assert_eq!(known["task"]["id"], tasks[0]["id"]);
    answer(&agent, "CancelTask", &id(&tasks[0])).await;
    until("the tool is told", || peer.left() == 1).await;
    let fifth = answer(&agent, "SendMessage", &at_once("5")).await;
    assert_eq!(state(&fifth["task"]), "TASK_STATE_SUBMITTED", "{fifth}");
    until("the fifth is under way", || peer.effects().len() == 5).await;
    running.kill().await;
}

/// Each of these bodies gets this code, and words that say what to do.
async fn refused(agent: &Agent, bodies: impl IntoIterator<Item = (String, i32, &str)>) {
    for (body, code, said) in bodies {
        let status = if body.len() > 1024 * 1024 { 413 } else { 200 };
        let request = post(agent, body).header("a2a-version", "1.0");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{said}");
        let error = response.json::<Json>().await.unwrap()["error"].take();
        assert_eq!(error["code"], code, "{said}: {error}");
        let words = error["message"].as_str().unwrap();
        assert!(words.contains(said), "{said}: {error}");
        let info = &error["data"][0];
        assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
        assert_eq!(info["domain"], "a2a-protocol.org");
    }
}

#[tokio::test]
async fn a_call_that_is_none_of_ours_is_refused() {
    let model = Model::start([says("The first run.")]).await;
    let agent = agent(&model);
    let running = agent.start_serving().await;
    let good = request("SendMessage", &message("m-1", "Hi"));
    let none = json!({"id": "0"});
    let push = "called back";
    let calls = [
        ("message/send", json!({}), -32601, "write SendMessage"),
        ("SendMessage", json!({}), -32602, "`message`"),
        ("GetTask", json!([]), -32602, "GetTask"),
        ("GetTask", none.clone(), -32001, "no such task"),
        ("CancelTask", none.clone(), -32001, "no such task"),
        ("SubscribeToTask", none, -32001, "no such task"),
        ("ListTasks", json!({}), -32004, "write GetTask"),
        ("GetExtendedAgentCard", json!({}), -32004, "card.json"),
        ("CreateTaskPushNotificationConfig", json!({}), -32003, push),
    ];
    let calls = calls.map(|(method, params, code, said)| (request(method, &params), code, said));
    let bodies = [
        ("{".to_owned(), -32700, "not JSON"),
        (format!("[{good}]"), -32600, "one method"),
        (good.replace("2.0", "1.0"), -32600, "jsonrpc"),
        (good.replace("\"id\":7", "\"id\":null"), -32600, "an id"),
        (good.replace("\"id\":7", "\"id\":[7]"), -32600, "an id"),
    ];
    refused(&agent, calls.into_iter().chain(bodies)).await;
    running.kill().await;
}

#[tokio::test]
async fn a_message_that_would_be_answered_otherwise_than_meant_is_refused() {
    let model = Model::start([says("The first run.")]).await;
    let agent = agent(&model);
    let running = agent.start_serving().await;
    let push = json!({"url": "http://x"});
    let file = json!([{"text": "Read this:"}, {"raw": "aGk=", "mediaType": "image/png"}]);
    let long = json!([{"text": "x".repeat(1024 * 1024)}]);
    let no_text = "a part with a text";
    let edits = [
        ("message", "role", json!("user"), -32602, "ROLE_USER"),
        ("message", "messageId", json!(""), -32602, "messageId"),
        (
            "message",
            "contextId",
            json!("x".repeat(257)),
            -32602,
            "256",
        ),
        ("message", "parts", json!([]), -32602, no_text),
        ("message", "parts", json!([{"text": " "}]), -32602, no_text),
        ("message", "parts", file, -32005, "only parts with text"),
        ("message", "parts", long, -32600, "larger than 1048576"),
        (
            "configuration",
            "taskPushNotificationConfig",
            push,
            -32003,
            "called back",
        ),
    ];
    let edits = edits.map(|(of, field, value, code, said)| {
        let mut params = message("m-1", "Hi");
        params[of][field] = value;
        (request("SendMessage", &params), code, said)
    });
    refused(&agent, edits).await;
    assert_eq!(model.requests().len(), 1, "nothing began");
    running.kill().await;
}

#[tokio::test]
async fn one_version_is_spoken_and_none_is_another() {
    let model = Model::start([says("The first run.")]).await;
    let agent = agent(&model);
    let running = agent.start_serving().await;
    for (version, is_good) in [
        (None, false),
        (Some(""), false),
        (Some("0.3"), false),
        (Some("1.1"), false),
        (Some("10.0"), false),
        (Some("1.0.1"), true),
    ] {
        let call = post(&agent, request("GetTask", &json!({"id": "0"})));
        let call = match version {
            Some(version) => call.header("a2a-version", version),
            None => call,
        };
        let answer: Json = call.send().await.unwrap().json().await.unwrap();
        let error = &answer["error"];
        let code = if is_good { -32001 } else { -32009 };
        assert_eq!(error["code"], code, "{version:?}: {error}");
        let supported = &error["data"][0]["metadata"]["supportedVersions"];
        assert_eq!(supported == "1.0", !is_good, "{version:?}: {error}");
    }
    running.kill().await;
}

#[tokio::test]
async fn a_web_page_of_others_gives_no_task() {
    let model = Model::start([says("The first run."), says("Hello.")]).await;
    let agent = agent(&model);
    let running = agent.start_serving().await;
    for (name, value, status) in [
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        // As a form of a web page would.
        ("content-type", "text/plain", 415),
        ("origin", "http://localhost:3000", 200),
    ] {
        let call = call(&agent, "SendMessage", &message("m-1", "Hi"));
        let mut call = call.build().unwrap();
        call.headers_mut().insert(name, value.parse().unwrap());
        let response = reqwest::Client::new().execute(call).await.unwrap();
        assert_eq!(response.status(), status, "{name}: {value}");
    }
    assert_eq!(model.requests().len(), 2, "only the last was carried out");
    running.kill().await;
}
