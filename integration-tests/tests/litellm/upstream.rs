//! Whoever stands behind the proxy: answers like OpenAI, Anthropic and Ollama, hears everything,
//! and is rude when told to be.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As asked: with a call of the first tool, or with a word.
    Polite,
    /// Refuses a request that has this field, as newer models do.
    Refuses(&'static [&'static str]),
    /// This status, in the provider's shape.
    Status(u16),
    /// Nothing.
    Hangs,
    /// The head at once, then a byte of white space now and then.
    Trickles,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Vec<Heard>>,
    manner: Mutex<Option<Manner>>,
}

/// The server. It ends when this is dropped.
pub(crate) struct Upstream {
    shared: Arc<Shared>,
    pub url: String,
    server: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move {
            // It ends by being aborted only.
            let _ = axum::serve(listener, router).await;
        });
        Self {
            shared,
            url,
            server,
        }
    }

    pub(crate) fn be(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = Some(manner);
    }

    /// What came in since this was last asked.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut self.shared.heard.lock().unwrap())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    _: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = uri.to_string();
    let heard = Heard {
        path: path.clone(),
        headers,
        body: body.clone(),
    };
    shared.heard.lock().unwrap().push(heard);
    let manner = shared.manner.lock().unwrap().unwrap_or(Manner::Polite);
    match manner {
        Manner::Hangs => std::future::pending().await,
        Manner::Trickles => trickle(),
        Manner::Status(status) => failure(status, "as told"),
        Manner::Refuses(fields) => match fields.iter().find(|field| !body[**field].is_null()) {
            Some(field) => failure(400, &format!("Unsupported parameter: '{field}'")),
            None => polite(&path, &body),
        },
        Manner::Polite => polite(&path, &body),
    }
}

fn failure(status: u16, message: &str) -> Response {
    let error = json!({"type": "error", "error": {"type": "invalid_request_error", "message": message, "code": "unsupported_parameter"}});
    (StatusCode::from_u16(status).unwrap(), axum::Json(error)).into_response()
}

fn trickle() -> Response {
    let bytes = futures::stream::repeat(()).then(|()| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok::<_, std::io::Error>(Bytes::from_static(b" "))
    });
    (
        [("content-type", "application/json")],
        Body::from_stream(bytes),
    )
        .into_response()
}

fn polite(path: &str, body: &Value) -> Response {
    let streams = body["stream"] == true;
    let tool = body["tools"][0].is_object();
    if path.ends_with("/chat/completions") {
        openai(streams, tool)
    } else if path.ends_with("/v1/messages") {
        anthropic(streams, tool)
    } else if path.ends_with("/api/chat") {
        ollama(streams, tool)
    } else {
        failure(404, "no such path")
    }
}

fn openai(streams: bool, tool: bool) -> Response {
    let call = json!([{"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": \"it\"}"}}]);
    let message = if tool {
        json!({"role": "assistant", "content": null, "tool_calls": call})
    } else {
        json!({"role": "assistant", "content": "hello"})
    };
    let finish = if tool { "tool_calls" } else { "stop" };
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
    let of = |object: &str, choices: Value| json!({"id": "c", "object": object, "created": 1, "model": "m", "choices": choices});
    if streams {
        let piece = of(
            "chat.completion.chunk",
            json!([{"index": 0, "delta": message, "finish_reason": null}]),
        );
        let end = of(
            "chat.completion.chunk",
            json!([{"index": 0, "delta": {}, "finish_reason": finish}]),
        );
        let mut usages = of("chat.completion.chunk", json!([]));
        usages["usage"] = usage;
        return events(
            [piece, end, usages]
                .map(|event| ("", event.to_string()))
                .into_iter()
                .chain([("", "[DONE]".to_owned())]),
        );
    }
    let mut whole = of(
        "chat.completion",
        json!([{"index": 0, "message": message, "finish_reason": finish}]),
    );
    whole["usage"] = usage;
    axum::Json(whole).into_response()
}

fn anthropic(streams: bool, tool: bool) -> Response {
    let reason = if tool { "tool_use" } else { "end_turn" };
    let content = if tool {
        json!({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "it"}})
    } else {
        json!({"type": "text", "text": "hello"})
    };
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [content], "stop_reason": reason, "stop_sequence": null, "usage": {"input_tokens": 3, "output_tokens": 2}});
    if !streams {
        return axum::Json(message).into_response();
    }
    let (block, delta) = if tool {
        (
            json!({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}),
            json!({"type": "input_json_delta", "partial_json": "{\"at\": \"it\"}"}),
        )
    } else {
        (
            json!({"type": "text", "text": ""}),
            json!({"type": "text_delta", "text": "hello"}),
        )
    };
    let mut begun = message.clone();
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    let all = [
        json!({"type": "message_start", "message": begun}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ];
    let names: Vec<_> = all
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    events(names.into_iter().zip(all.iter().map(Value::to_string)))
}

fn ollama(streams: bool, tool: bool) -> Response {
    let message = if tool {
        json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": {"at": "it"}}}]})
    } else {
        json!({"role": "assistant", "content": "hello"})
    };
    let of = |message: Value, done: bool| json!({"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": done, "done_reason": if done { json!("stop") } else { Value::Null }, "prompt_eval_count": 3, "eval_count": 2});
    if streams {
        let end = of(json!({"role": "assistant", "content": ""}), true);
        let lines = format!("{}\n{end}\n", of(message, false));
        return ([("content-type", "application/x-ndjson")], lines).into_response();
    }
    axum::Json(of(message, true)).into_response()
}

fn events<'a>(events: impl Iterator<Item = (&'a str, String)>) -> Response {
    let text: String = events
        .map(|(name, data)| match name {
            "" => format!("data: {data}\n\n"),
            name => format!("event: {name}\ndata: {data}\n\n"),
        })
        .collect();
    ([("content-type", "text/event-stream")], text).into_response()
}
