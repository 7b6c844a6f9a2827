//! The agent as a peer that is given tasks, by A2A 1.0 over JSON-RPC: a task is a run, its artifact
//! the run's summary. A task goes on when its caller goes, who may come back for it; `CancelTask`
//! ends it. [`wire`] reads and writes JSON, [`tasks`] remembers, and nothing outlives the process.

mod task;
mod tasks;
mod wire;

use std::{collections::VecDeque, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, ETAG, HOST, IF_NONE_MATCH, RETRY_AFTER, VARY},
        uri::Authority,
    },
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::{FutureExt as _, Stream, stream};
use langop_dsl::hash::sha256_hex;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use self::{
    task::State as TaskState,
    tasks::{Followed, Handle, Tasks},
    wire::{Call, Fault, Sent, UNSUPPORTED},
};
use super::{BUSY, Callers, check_kind, events, read, refuse_foreign};
use crate::run::{self, Request};

const CARD: &str = "/.well-known/agent-card.json";
const PATH: &str = "/a2a";
/// How a request becomes smaller.
const SHORTER: &str = "say less, or where it can be read";
/// How long a card may be kept.
const CARD_AGE: &str = "max-age=300";
/// By which a proxy in front says how it was spoken to.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

#[derive(Debug, Clone)]
struct A2a {
    callers: Callers,
    tasks: Arc<Tasks>,
}

/// The routes `/a2a` and of the card, closed to web pages of others.
pub fn router(callers: Callers) -> Router {
    let tasks = Arc::default();
    Router::new()
        .route(CARD, get(card))
        .route(PATH, post(answer))
        .layer(middleware::from_fn(refuse_foreign))
        .with_state(A2a { callers, tasks })
}

/// The card names the agent's address as the caller wrote it: the agent knows no other.
async fn card(State(a2a): State<A2a>, headers: HeaderMap) -> Response {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = header(HOST.as_str()).and_then(|host| host.parse::<Authority>().ok());
    let Some(host) = host.filter(|host| !host.as_str().contains('@')) else {
        return (StatusCode::BAD_REQUEST, "there is no Host: write one\n").into_response();
    };
    let is_https = header(FORWARDED_PROTO) == Some("https");
    let scheme = if is_https { "https" } else { "http" };
    let name = &a2a.callers.agent.environment.name;
    let code = &a2a.callers.agent.code;
    let description = code.definition.description.clone();
    let description = description.unwrap_or_else(|| format!("Asks the agent '{name}'."));
    let version = code.hash.get(..12).unwrap_or(&code.hash);
    let card = wire::card(
        &format!("{scheme}://{host}{PATH}"),
        name,
        &description,
        version,
    );
    let tag = format!("\"{}\"", &sha256_hex(card.to_string().as_bytes())[..16]);
    let is_known = header(IF_NONE_MATCH.as_str()) == Some(&tag);
    let kept = [
        (ETAG, &*tag),
        (CACHE_CONTROL, CARD_AGE),
        (VARY, FORWARDED_PROTO),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    (kept, Json(card)).into_response()
}

async fn answer(State(a2a): State<A2a>, headers: HeaderMap, body: Body) -> Response {
    let mut id = Value::Null;
    let answered = a2a.answer(&headers, body, &mut id).await;
    answered.unwrap_or_else(|fault| {
        let mut response = (fault.status, Json(fault.body(&id))).into_response();
        if fault.status == StatusCode::TOO_MANY_REQUESTS {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(BUSY));
        }
        response
    })
}

impl A2a {
    async fn answer(
        &self,
        headers: &HeaderMap,
        body: Body,
        id: &mut Value,
    ) -> Result<Response, Fault> {
        check_kind(headers)?;
        let (method, params) = wire::envelope(&read(body, SHORTER).await?, id)?;
        let version = headers.get("a2a-version").map(HeaderValue::as_bytes);
        wire::check_version(version.unwrap_or_default())?;
        let result = match wire::call(&method, params)? {
            Call::Get(task) => self.tasks.find(&task)?.borrow().json(),
            Call::Cancel(task) => self.tasks.cancel(&task)?.borrow().json(),
            Call::Subscribe(task) => {
                let task = self.tasks.find(&task)?;
                if task.borrow().is_over() {
                    let message = "the task is over: write GetTask to see how it ended";
                    return Err(Fault::new(UNSUPPORTED, message));
                }
                return Ok(events(follow(id.clone(), task)));
            }
            Call::Send(sent) => {
                let mut task = self.begin(&sent, headers)?;
                if sent.is_stream {
                    return Ok(events(follow(id.clone(), task)));
                }
                if !sent.returns_at_once {
                    // Its handle is kept by its run, so that it ends before it is lost.
                    let _ = task.wait_for(task::Task::is_over).await;
                }
                let task = task.borrow().json();
                json!({"task": task})
            }
        };
        Ok(Json(result_of(id, &result)).into_response())
    }

    /// The task of a message, which is begun unless it was before.
    fn begin(&self, sent: &Sent, headers: &HeaderMap) -> Result<Followed, Fault> {
        let place = || self.callers.place().map_err(Fault::from);
        let (followed, begun) = self.tasks.begin(sent, place)?;
        if let Some((handle, place)) = begun {
            let request = Request {
                id: Some(followed.borrow().id.to_string()),
                message: Some(sent.text.clone()),
                ..self.callers.request(headers)
            };
            tokio::spawn(carry_out(self.callers.clone(), request, handle, place));
        }
        Ok(followed)
    }
}

/// Runs to the end of the run, or until the task is cancelled; holds the place until then.
async fn carry_out(
    callers: Callers,
    request: Request,
    handle: Handle,
    _place: OwnedSemaphorePermit,
) {
    handle.change(|task| task.change(TaskState::Working, None));
    // A bug in a run must not leave its callers waiting.
    let run = AssertUnwindSafe(run::run(&callers.agent, &request)).catch_unwind();
    tokio::select! {
        biased;
        () = handle.cancelled.cancelled() => {
            tracing::info!(run = request.id, "a caller cancelled the task: so is the run");
        }
        ended = run => {
            handle.change(|task| match ended {
                Ok(finished) => task.end(&finished.report),
                Err(_) => task.change(TaskState::Failed, Some("something went wrong here: see the log")),
            });
        }
    }
}

fn result_of(id: &Value, result: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

/// The task as it is, and what then happens to it until it is over.
fn follow(id: Value, mut task: Followed) -> impl Stream<Item = String> {
    let (first, seen) = {
        let task = task.borrow_and_update();
        (json!({"task": task.json()}), task.events(usize::MAX).1)
    };
    let state = (task, seen, VecDeque::from([first]));
    stream::unfold(state, move |(mut task, mut seen, mut events)| {
        let id = id.clone();
        async move {
            while events.is_empty() {
                let is_over = task.borrow().is_over();
                let (new, count) = task.borrow_and_update().events(seen);
                (events, seen) = (new.into(), count);
                if events.is_empty() && (is_over || task.changed().await.is_err()) {
                    return None;
                }
            }
            let event = events.pop_front()?;
            Some((result_of(&id, &event).to_string(), (task, seen, events)))
        }
    })
}
