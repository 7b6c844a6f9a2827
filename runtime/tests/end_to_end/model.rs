//! A model of the OpenAI shape that answers by a script, politely or not, and remembers what it was
//! asked.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

#[derive(Clone)]
pub(crate) enum Reply {
    /// A chat completion of this message, with usage 10 and 2.
    Message(Json),
    /// Anything else, word for word.
    Raw(u16, Vec<(&'static str, &'static str)>, String),
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    requests: Vec<Json>,
}

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

/// A reply of words alone.
pub(crate) fn says(text: &str) -> Reply {
    Reply::Message(json!({"role": "assistant", "content": text}))
}

impl Model {
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::start_at(0, replies).await
    }

    /// At a port that is known before.
    pub(crate) async fn start_at(port: u16, replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script {
            replies: replies.into_iter().collect(),
            requests: Vec::new(),
        }));
        let router = Router::new()
            .route("/v1/chat/completions", post(answer))
            .with_state(Arc::clone(&script));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { address, script }
    }

    pub(crate) fn requests(&self) -> Vec<Json> {
        self.script.lock().unwrap().requests.clone()
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, body: Bytes) -> Response {
    let mut script = script.lock().unwrap();
    script.requests.push(serde_json::from_slice(&body).unwrap());
    let no_more = Reply::Raw(
        500,
        vec![],
        r#"{"error":{"message":"no more replies"}}"#.to_owned(),
    );
    match script.replies.pop_front().unwrap_or(no_more) {
        Reply::Message(message) => axum::Json(json!({
            "model": "claude-x-1", "choices": [{"message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2},
        }))
        .into_response(),
        Reply::Raw(status, headers, body) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
    }
}
