//! A tool of our own server glue that writes down what it does, and a model that always answers
//! alike; the gate stands in front of both.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::post,
};
use langop_tools::toolbox::{Call, Effect, Output, ToolError, Toolbox, operation};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::moment::{Event, Gate};

/// The operation that counts each time.
pub(super) const APPEND: &str = "append";

/// A call that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) operation: String,
    pub(super) text: String,
    pub(super) key: String,
}

#[derive(Clone)]
pub(super) struct Recorder {
    gate: Arc<Gate>,
    done: Arc<Mutex<Vec<Done>>>,
}

impl Recorder {
    pub(super) fn new(gate: &Arc<Gate>) -> Self {
        Self {
            gate: Arc::clone(gate),
            done: Arc::default(),
        }
    }

    /// All that took effect, in order.
    pub(super) fn done(&self) -> Vec<Done> {
        self.done.lock().unwrap().clone()
    }

    /// Serves it. Without discovery, clients begin with a handshake.
    pub(super) async fn serve(&self, has_discovery: bool) -> SocketAddr {
        let gate = Arc::clone(&self.gate);
        let before =
            move |request, next| requested(Arc::clone(&gate), has_discovery, request, next);
        let tool = langop_tools::server::router(self.clone(), "/mcp", CancellationToken::new());
        serve(tool.layer(middleware::from_fn(before))).await
    }
}

async fn requested(gate: Arc<Gate>, has_discovery: bool, request: Request, next: Next) -> Response {
    gate.hold(gate.process(), Event::Requested, false).await;
    let method = request.headers().get("mcp-method");
    if !has_discovery && method.is_some_and(|method| method == "server/discover") {
        return StatusCode::NOT_FOUND.into_response();
    }
    next.run(request).await
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

impl Toolbox for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn operations(&self) -> Vec<rmcp::model::Tool> {
        let text = json!({"text": {"type": "string"}});
        vec![
            operation(APPEND, "Adds a text", Effect::EachTime, &text, &["text"]),
            operation("look", "Looks", Effect::ReadOnly, &text, &["text"]),
            operation("put", "Puts a text", Effect::Idempotent, &text, &["text"]),
        ]
    }

    #[expect(
        clippy::manual_async_fn,
        reason = "the trait wants a future that is Send"
    )]
    fn call(
        &self,
        operation: &str,
        call: Call,
    ) -> impl Future<Output = Option<Result<Output, ToolError>>> + Send {
        async move {
            let process = self.gate.process();
            let is_harmless = operation != APPEND;
            self.gate.hold(process, Event::Called, is_harmless).await;
            let arguments = call.arguments.unwrap_or_default();
            self.done.lock().unwrap().push(Done {
                operation: operation.to_owned(),
                text: arguments["text"].as_str().unwrap().to_owned(),
                key: call.idempotency_key.unwrap(),
            });
            self.gate.hold(process, Event::Effective, is_harmless).await;
            self.gate.pass(process, Event::Answered);
            Some(Ok(Output::text("done")))
        }
    }
}

/// A model whose answer depends on nothing but the question, so that it may be asked again.
pub(super) async fn model(gate: &Arc<Gate>) -> SocketAddr {
    let gate = Arc::clone(gate);
    let answer = async move |axum::Json(request): axum::Json<Json>| {
        let process = gate.process();
        gate.hold(process, Event::Asked, true).await;
        let message = reply(&request);
        gate.pass(process, Event::Replied);
        axum::Json(json!({
            "choices": [{"message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2},
        }))
    };
    serve(Router::new().route("/v1/chat/completions", post(answer))).await
}

fn reply(request: &Json) -> Json {
    if request["tools"].is_array() {
        return turn(request);
    }
    let content = if request["temperature"] == 0 {
        "YES"
    } else {
        r#"["x", "y"]"#
    };
    json!({"role": "assistant", "content": content})
}

/// The next turn of a loop, by the number of calls that were answered.
fn turn(request: &Json) -> Json {
    let messages = request["messages"].as_array().unwrap();
    let answered = messages.iter().filter(|message| message["role"] == "tool");
    let calls: &[(&str, &str)] = match answered.count() {
        0 => &[(APPEND, "first")],
        1 => &[("put", "put"), ("look", "look")],
        3 => &[(APPEND, "x"), (APPEND, "y")],
        5 => &[(APPEND, "last")],
        _ => return json!({"role": "assistant", "content": "done"}),
    };
    let call = |(operation, text): &(&str, &str)| {
        let arguments = json!({"text": text}).to_string();
        json!({"id": text, "type": "function",
            "function": {"name": format!("recorder__{operation}"), "arguments": arguments}})
    };
    let calls: Vec<Json> = calls.iter().map(call).collect();
    json!({"role": "assistant", "content": null, "tool_calls": calls})
}
