//! An HTTP server that speaks the three LLM APIs and misbehaves on demand; [`streaming`] has the
//! answers that come piece by piece.

mod streaming;

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, Uri, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use futures::stream;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

/// Code the checker accepts, in a fence, as a model answers it.
pub(crate) const GOOD: &str = "Here it is:\n\n```ruby\nrequire 'language_operator'\n\nagent 'agent' do\n  \
                        objectives [\"Watch the door\"]\nend\n```\n";
/// Code it refuses, with the finding on line 4.
pub(crate) const BAD: &str = "```ruby\nrequire 'language_operator'\n\nagent 'agent' do\n  system 'ls'\n  \
                       objectives ['x']\nend\n```";
/// What every good answer costs.
pub(crate) const COST: (u64, u64) = (100, 20);

/// What the server does with one request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Answers with this text.
    Say(&'static str),
    /// Answers with this text, cut off by the limit on its length.
    SayCut(&'static str),
    /// Answers with this text once a permit is given.
    SayAfter(Arc<Semaphore>, &'static str),
    /// Answers with one half of this text at once, as far as it streams, and with the other once a
    /// permit is given.
    SayHalfThen(Arc<Semaphore>, &'static str),
    /// Answers as a whole whoever asks for a stream.
    SayWhole(&'static str),
    /// Streams, but never says what it cost.
    SayForFree(&'static str),
    /// Answers as a whole and refuses to stream.
    RefuseStreams(&'static str),
    /// Reports an error in the middle of a stream; it quotes the key.
    FailMidway(&'static str),
    /// Reports an error as the first event of a stream.
    FailAtOnce,
    /// Fails with a status, and Retry-After; the body quotes the key.
    Fail(u16, Option<&'static str>),
    /// Answers with something that is no answer.
    Garbage,
    /// Breaks off in the middle of the body.
    BreakOff,
    /// Answers with 30 MB.
    Flood,
    /// Streams one half of this text and then something that is no answer.
    GarbleMidway(&'static str),
    /// Streams one half of this text and then 30 MB.
    FloodMidway(&'static str),
    /// Never answers.
    Hang,
    /// Answers as a whole with what this makes of the request: a rude habit.
    Behave(fn(&Recorded) -> Reply),
}

/// Status, Retry-After and body.
pub(crate) type Reply = (u16, Option<&'static str>, Value);

struct Shared {
    script: Mutex<VecDeque<Act>>,
    requests: Mutex<Vec<Recorded>>,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// Path of the URL.
    pub(crate) path: String,
    /// Its JSON body.
    pub(crate) body: Value,
    /// `authorization` or `x-api-key`.
    pub(crate) key: String,
}

pub(crate) struct FakeLlm {
    pub(crate) url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl FakeLlm {
    /// Acts as `script` says, request by request; the last act is repeated.
    pub(crate) async fn start(script: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Mutex::new(script.into_iter().collect());
        let shared = Arc::new(Shared {
            script,
            requests: Mutex::default(),
        });
        let router = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            shared,
            server,
        }
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.requests().len()
    }
}

impl Drop for FakeLlm {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    request: axum::extract::Request,
) -> Response {
    let (head, body) = request.into_parts();
    let key = head
        .headers
        .get("authorization")
        .or_else(|| head.headers.get("x-api-key"));
    let key = key
        .map(|value| value.to_str().unwrap().to_owned())
        .unwrap_or_default();
    let path = uri.path().to_owned();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let is_streamed = body["stream"] == true;
    let recorded = Recorded {
        path: path.clone(),
        body,
        key: key.clone(),
    };
    shared.requests.lock().unwrap().push(recorded.clone());
    let act = {
        let mut script = shared.script.lock().unwrap();
        if script.len() > 1 {
            script.pop_front()
        } else {
            script.front().cloned()
        }
    };
    let act = act.expect("an act");
    if let Act::Behave(habit) = act {
        let (status, retry_after, body) = habit(&recorded);
        return error_response(status, retry_after, &body);
    }
    if is_streamed {
        streaming::perform(act, &path, &key).await
    } else {
        perform(act, &path, &key).await
    }
}

pub(crate) async fn perform(act: Act, path: &str, key: &str) -> Response {
    match act {
        Act::Say(text)
        | Act::SayWhole(text)
        | Act::SayForFree(text)
        | Act::RefuseStreams(text)
        | Act::FailMidway(text) => json_response(&answer(path, text, false)),
        Act::FailAtOnce => json_response(&json!({"error": {"type": "overloaded_error"}})),
        Act::SayCut(text) => json_response(&answer(path, text, true)),
        Act::SayAfter(gate, text) | Act::SayHalfThen(gate, text) => {
            gate.acquire().await.unwrap().forget();
            json_response(&answer(path, text, false))
        }
        Act::Fail(status, retry_after) => {
            let error = json!({"type": "some_error", "message": format!("you sent {key}")});
            error_response(status, retry_after, &json!({"error": error}))
        }
        Act::Garbage | Act::GarbleMidway(_) => json_response(&json!(["this is", "no answer"])),
        Act::BreakOff => {
            let start = answer(path, GOOD, false).to_string().into_bytes();
            let start = Bytes::copy_from_slice(&start[..start.len() / 2]);
            Body::from_stream(stream::iter([
                Ok(start),
                Err(io::Error::other("cable cut")),
            ]))
            .into_response()
        }
        Act::Flood | Act::FloodMidway(_) => {
            Body::from_stream(stream::iter(flood().map(Ok::<_, Infallible>))).into_response()
        }
        Act::Hang | Act::Behave(_) => futures::future::pending().await,
    }
}

fn error_response(status: u16, retry_after: Option<&str>, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let mut response = (status, body.to_string()).into_response();
    if let Some(value) = retry_after {
        response
            .headers_mut()
            .insert(RETRY_AFTER, value.parse().unwrap());
    }
    response
}

/// 30 MB.
fn flood() -> impl Iterator<Item = Bytes> {
    std::iter::repeat_n(Bytes::from(vec![b' '; 1 << 20]), 30)
}

fn json_response(body: &Value) -> Response {
    body.to_string().into_response()
}

pub(crate) fn answer(path: &str, text: &str, is_cut: bool) -> Value {
    let (input, output) = COST;
    match path {
        path if path.ends_with("/chat/completions") => json!({
            "model": "fake-1",
            "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": if is_cut { "length" } else { "stop" }}],
            "usage": {"prompt_tokens": input, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": 40}},
        }),
        "/v1/messages" => json!({
            "model": "fake-1",
            "content": [{"type": "text", "text": text}],
            "stop_reason": if is_cut { "max_tokens" } else { "end_turn" },
            "usage": {"input_tokens": input - 50, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 10, "output_tokens": output},
        }),
        "/api/chat" => json!({
            "model": "fake-1",
            "message": {"role": "assistant", "content": text},
            "done_reason": if is_cut { "length" } else { "stop" },
            "prompt_eval_count": input,
            "eval_count": output,
        }),
        other => panic!("no API has the path {other}"),
    }
}
