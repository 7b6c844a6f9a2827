//! An HTTP server, mostly on loopback, that answers like an LLM provider, by a script.
//!
//! It speaks the response shapes of OpenAI chat completions, Anthropic messages and Ollama chat. It
//! judges nothing: what a request must hold is for the test to assert on [`FakeLlm::requests`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Tokens that every successful answer claims to have used.
pub const INPUT_TOKENS: u64 = 100;
/// As [`INPUT_TOKENS`], for the answer.
pub const OUTPUT_TOKENS: u64 = 50;

/// A valid agent, answered when the script says nothing.
pub const AGENT: &str = "require 'language_operator'

agent 'fake-agent' do
  description 'Written by the fake LLM'

  objectives [
    \"Do as told\"
  ]
end
";

/// One scripted answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 with this code in a fence marked `ruby`, and prose around it, as models write.
    Code(String),
    /// 200 with exactly this text.
    Text(String),
    /// An error in the provider's shape.
    Status {
        /// HTTP status.
        code: u16,
        /// Seconds of the `Retry-After` header, if there is to be one.
        retry_after: Option<u64>,
    },
    /// The other answer, later.
    Slow(Duration, Box<Self>),
    /// Nothing until [`FakeLlm::release`], then [`AGENT`].
    Hang,
    /// 200, and the connection is cut in the middle of a body with [`AGENT`].
    Truncated,
    /// 200, of the right shape, with a text of so many bytes.
    Huge(usize),
    /// 200 with something that is not JSON.
    Garbage,
    /// This status and JSON body, whatever shape the request asked for.
    Json {
        /// HTTP status.
        code: u16,
        /// Value of the `Retry-After` header, if there is to be one.
        retry_after: Option<&'static str>,
        /// The body.
        body: Value,
    },
}

impl Reply {
    /// An error without `Retry-After`.
    pub fn status(code: u16) -> Self {
        Self::Status {
            code,
            retry_after: None,
        }
    }
}

/// Which provider's shape a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `…/chat/completions`
    OpenAi,
    /// `…/messages`
    Anthropic,
    /// `…/api/chat`
    Ollama,
}

impl Api {
    fn of(path: &str) -> Option<Self> {
        [
            ("/chat/completions", Self::OpenAi),
            ("/messages", Self::Anthropic),
            ("/api/chat", Self::Ollama),
        ]
        .into_iter()
        .find_map(|(suffix, api)| path.ends_with(suffix).then_some(api))
    }
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct LlmRequest {
    /// Shape it asked for.
    pub api: Api,
    /// Path of its URL.
    pub path: String,
    /// Its headers, the credential among them.
    pub headers: HeaderMap,
    /// Its body; `null` if it is no JSON.
    pub body: Value,
    /// When it came in.
    pub at: Instant,
}

impl LlmRequest {
    /// A header's value, or the empty string.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

type Script = Arc<dyn Fn(&LlmRequest) -> Reply + Send + Sync>;

struct Shared {
    queue: Mutex<VecDeque<Reply>>,
    script: Mutex<Option<Script>>,
    requests: Mutex<Vec<LlmRequest>>,
    released: watch::Sender<bool>,
}

/// The server. It ends when this value is dropped.
pub struct FakeLlm {
    shared: Arc<Shared>,
    endpoint: String,
    server: JoinHandle<()>,
}

impl FakeLlm {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start() -> Result<Self> {
        Self::start_at("127.0.0.1").await
    }

    /// Starts it on a free port of an address of this machine.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start_at(address: &str) -> Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            script: Mutex::default(),
            requests: Mutex::default(),
            released: watch::Sender::new(false),
        });
        let listener = tokio::net::TcpListener::bind((address, 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            // It ends by being aborted only.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            shared,
            endpoint,
            server,
        })
    }

    /// Scheme, host and port, without a path: any path that ends like a provider's is served.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Adds one answer to the queue. When it is empty, the function answers, and else [`AGENT`].
    pub fn reply(&self, reply: Reply) -> &Self {
        lock(&self.shared.queue).push_back(reply);
        self
    }

    /// Answers by this function whatever the queue does not.
    pub fn reply_with(
        &self,
        script: impl Fn(&LlmRequest) -> Reply + Send + Sync + 'static,
    ) -> &Self {
        *lock(&self.shared.script) = Some(Arc::new(script));
        self
    }

    /// Lets every [`Reply::Hang`], of now and of later, go on.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// All requests so far, also those still unanswered.
    pub fn requests(&self) -> Vec<LlmRequest> {
        lock(&self.shared.requests).clone()
    }

    /// Forgets the requests so far: they hold whole prompts, and a benchmark makes many.
    pub fn forget(&self) {
        lock(&self.shared.requests).clear();
    }

    /// How many requests there were so far.
    pub fn count(&self) -> usize {
        lock(&self.shared.requests).len()
    }
}

impl Drop for FakeLlm {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A panicking test leaves the data whole: every lock is held for one statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(api) = Api::of(uri.path()).filter(|_| method == Method::POST) else {
        return (
            StatusCode::NOT_FOUND,
            format!("the fake LLM serves no {method} {uri}\n"),
        )
            .into_response();
    };
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let request = LlmRequest {
        api,
        path: uri.path().to_owned(),
        headers,
        body,
        at: Instant::now(),
    };
    let reply = next(&shared, &request);
    let model = request.body["model"]
        .as_str()
        .unwrap_or("fake-model")
        .to_owned();
    lock(&shared.requests).push(request);
    respond(&shared, api, &model, reply).await
}

fn next(shared: &Shared, request: &LlmRequest) -> Reply {
    if let Some(reply) = lock(&shared.queue).pop_front() {
        return reply;
    }
    let script = lock(&shared.script).clone();
    script.map_or_else(|| Reply::Code(AGENT.to_owned()), |script| script(request))
}

async fn respond(shared: &Shared, api: Api, model: &str, mut reply: Reply) -> Response {
    loop {
        match reply {
            Reply::Code(code) => return success(api, model, &fenced(&code)),
            Reply::Text(text) => return success(api, model, &text),
            Reply::Status { code, retry_after } => return failure(api, code, retry_after),
            Reply::Slow(pause, then) => {
                tokio::time::sleep(pause).await;
                reply = *then;
            }
            Reply::Hang => {
                // The sender lives as long as the server.
                let _ = shared
                    .released
                    .subscribe()
                    .wait_for(|released| *released)
                    .await;
                reply = Reply::Code(AGENT.to_owned());
            }
            Reply::Truncated => return truncated(api, model),
            Reply::Huge(bytes) => return success(api, model, &"x".repeat(bytes)),
            Reply::Garbage => return (StatusCode::OK, "<html>this is no JSON {{{").into_response(),
            Reply::Json {
                code,
                retry_after,
                body,
            } => return json(code, retry_after, body),
        }
    }
}

fn json(code: u16, retry_after: Option<&'static str>, body: Value) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(body)).into_response();
    if let Some(value) = retry_after {
        let value = header::HeaderValue::from_static(value);
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

fn fenced(code: &str) -> String {
    format!(
        "Here is the agent you asked for.\n\n```ruby\n{}\n```\n\nIt does what the instructions say.\n",
        code.trim_end()
    )
}

fn success(api: Api, model: &str, text: &str) -> Response {
    axum::Json(envelope(api, model, text)).into_response()
}

fn envelope(api: Api, model: &str, text: &str) -> Value {
    match api {
        Api::OpenAi => json!({
            "id": "chatcmpl-fake", "object": "chat.completion", "created": 1_767_225_600, "model": model,
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }],
            "usage": {
                "prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
            },
        }),
        Api::Anthropic => json!({
            "id": "msg_fake", "type": "message", "role": "assistant", "model": model,
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS},
        }),
        Api::Ollama => json!({
            "model": model, "created_at": "2026-01-01T00:00:00Z",
            "message": {"role": "assistant", "content": text},
            "done": true, "done_reason": "stop",
            "prompt_eval_count": INPUT_TOKENS, "eval_count": OUTPUT_TOKENS,
        }),
    }
}

fn failure(api: Api, code: u16, retry_after: Option<u64>) -> Response {
    let message = format!("the fake LLM was told to answer {code}");
    let body = match api {
        Api::OpenAi => json!({"error": {"message": message, "type": "fake_error", "code": null}}),
        Api::Anthropic => {
            json!({"type": "error", "error": {"type": "fake_error", "message": message}})
        }
        Api::Ollama => json!({"error": message}),
    };
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(body)).into_response();
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The length promises a whole body; an error in the stream makes the server cut the connection.
fn truncated(api: Api, model: &str) -> Response {
    let whole = envelope(api, model, &fenced(AGENT))
        .to_string()
        .into_bytes();
    let half = Bytes::copy_from_slice(&whole[..whole.len() / 2]);
    let cut = futures::stream::once(async {
        // After a while, else the error would overtake the first half.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(std::io::Error::other("cut"))
    });
    let body = Body::from_stream(futures::stream::iter([Ok(half)]).chain(cut));
    (
        [
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (header::CONTENT_LENGTH, whole.len().to_string()),
        ],
        body,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn post(llm: &FakeLlm, path: &str) -> reqwest::Response {
        crate::cluster::install_crypto_provider();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client
            .post(format!("{}{path}", llm.endpoint()))
            .bearer_auth("key")
            .json(&json!({"model": "m"}));
        request.send().await.unwrap()
    }

    #[tokio::test]
    async fn each_provider_finds_the_text_where_it_looks() {
        let llm = FakeLlm::start().await.unwrap();
        for (path, pointer) in [
            ("/v1/chat/completions", "/choices/0/message/content"),
            ("/v1/messages", "/content/0/text"),
            ("/api/chat", "/message/content"),
        ] {
            let body: Value = post(&llm, path).await.json().await.unwrap();
            let text = body.pointer(pointer).and_then(Value::as_str).unwrap();
            assert!(
                text.contains("```ruby\nrequire 'language_operator'"),
                "{path}: {text}"
            );
            assert_eq!(body["model"], "m");
        }
        assert_eq!(llm.count(), 3);
        assert_eq!(llm.requests()[0].header("authorization"), "Bearer key");
        assert_eq!(post(&llm, "/v1/embeddings").await.status(), 404);
    }

    #[tokio::test]
    async fn the_queue_comes_before_the_function() {
        let llm = FakeLlm::start().await.unwrap();
        llm.reply_with(|request| Reply::Text(request.path.clone()));
        llm.reply(Reply::Status {
            code: 429,
            retry_after: Some(7),
        })
        .reply(Reply::Garbage)
        .reply(Reply::Truncated);
        let limited = post(&llm, "/api/chat").await;
        assert_eq!(
            (
                limited.status().as_u16(),
                limited.headers()["retry-after"].to_str().unwrap()
            ),
            (429, "7")
        );
        assert!(post(&llm, "/api/chat").await.json::<Value>().await.is_err());
        assert!(
            post(&llm, "/api/chat").await.bytes().await.is_err(),
            "the body must be cut"
        );
        let body: Value = post(&llm, "/api/chat").await.json().await.unwrap();
        assert_eq!(body["message"]["content"], "/api/chat");
    }

    #[tokio::test]
    async fn a_hanging_answer_comes_when_it_is_released() {
        let llm = FakeLlm::start().await.unwrap();
        llm.reply(Reply::Hang);
        let answered = async {
            tokio::select! {
                _ = post(&llm, "/api/chat") => panic!("it did not hang"),
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        };
        answered.await;
        llm.reply(Reply::Hang);
        llm.release();
        assert_eq!(post(&llm, "/api/chat").await.status(), 200);
    }
}
