//! What an agent answers on its port where a setting says so: [`mcp`] makes it a tool of other
//! agents, [`chat`] a model that one talks to, [`a2a`] a peer that is given tasks. All are runs
//! that somebody asks for, and bounded in number; but for a task, a run is cancelled when whoever
//! asked has gone. [`completion`] reads and writes what clients of chat completions say (pure).

pub mod a2a;
pub mod chat;
pub mod completion;
pub mod mcp;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request as HttpRequest,
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ORIGIN},
    },
    middleware::{self, Next},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt as _};
use langop_program::connections::hold;
use reqwest::Url;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use self::completion::Refusal;
use crate::{
    deadline::Deadline,
    env::Environment,
    http::CONNECTIONS,
    outcome::Reason,
    resident::Resident,
    run::{Agent, Request},
};

/// Most runs that were asked for, at once.
pub const MAX_RUNS: usize = 4;
/// Most requests at once, to all that is served. The other connections are left to health.
const MAX_REQUESTS: usize = CONNECTIONS - 64;
/// How long a connection may outlive its longest run.
const LAST_WORDS: Duration = Duration::from_mins(5);
/// Largest request.
const MAX_BODY: usize = 1024 * 1024;
/// Longest time of an answer where the environment does not say.
const ANSWER: Duration = Duration::from_mins(10);
/// How long a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// How often a stream says that work goes on; whoever does not take it has gone.
const ALIVE: Duration = Duration::from_secs(10);
/// When to ask again if all places are taken, in seconds.
const BUSY: &str = "5";

/// What callers of an agent share, whichever way they come.
#[derive(Debug, Clone)]
pub struct Callers {
    /// The agent.
    pub agent: Arc<Agent>,
    /// A place for each run at a time.
    pub places: Arc<Semaphore>,
    /// Cancelled when nothing new may start.
    pub stopping: CancellationToken,
}

impl Callers {
    /// Of an agent that also runs by itself.
    pub fn of(resident: &Resident, stopping: CancellationToken) -> Self {
        Self {
            agent: Arc::clone(&resident.agent),
            places: Arc::new(Semaphore::new(MAX_RUNS)),
            stopping,
        }
    }

    /// A place for a run.
    fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        if self.stopping.is_cancelled() {
            let message = "this process is stopping: ask again, another one answers";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Refusal::new(status, Reason::Stopped.as_str(), message));
        }
        let place = self.places.clone().try_acquire_owned();
        place.map_err(|_| taken())
    }

    /// A run that begins now, for whoever sent these headers.
    fn request(&self, headers: &HeaderMap) -> Request {
        let timeout = self.agent.environment.timeout.unwrap_or(ANSWER);
        let deadline = Deadline::of_run(Instant::now(), Some(timeout));
        let traceparent = headers.get("traceparent");
        let traceparent = traceparent.and_then(|value| value.to_str().ok());
        Request {
            traceparent: traceparent.map(str::to_owned),
            is_remembered: false,
            ..Request::new(deadline, self.stopping.clone())
        }
    }
}

/// How long an answer of this agent may take, the request and its last words included.
pub fn longest(environment: &Environment) -> Duration {
    environment.timeout.unwrap_or(ANSWER) + LAST_WORDS
}

/// The same routes for a bounded number of requests at once, so that health, which is not among
/// them, always finds a connection.
pub fn bounded(routes: Router) -> Router {
    let places = Arc::new(Semaphore::new(MAX_REQUESTS));
    let admit = move |request: HttpRequest, next: Next| {
        let place = Arc::clone(&places).try_acquire_owned();
        async move {
            match place {
                Ok(place) => hold(next.run(request).await, place),
                Err(_) => taken().into_response(),
            }
        }
    };
    routes.layer(middleware::from_fn(admit))
}

fn taken() -> Refusal {
    let message = "all places are taken: ask again in a few seconds";
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "busy", message)
}

/// Lets no page of others in.
async fn refuse_foreign(request: HttpRequest, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN);
    let is_good = origin.is_none_or(|origin| origin.to_str().is_ok_and(is_loopback));
    if is_good {
        return next.run(request).await;
    }
    let message = "an agent answers no web pages but those of its own machine: use a LanguageClient in front of it";
    Refusal::new(StatusCode::FORBIDDEN, "foreign_origin", message).into_response()
}

/// A web page of others may send what it likes but JSON, unless it is asked whether it may.
fn check_kind(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    if kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let message = "the request must be JSON: write content-type: application/json";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Refusal::new(status, "unsupported_media_type", message))
}

/// Reads a request, in bounded time and size; `shorter`: how it becomes smaller.
async fn read(body: Body, shorter: &str) -> Result<Bytes, Refusal> {
    match timeout(ARRIVAL, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            let message = format!("the request is larger than {MAX_BODY} bytes: {shorter}");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Err(Refusal::new(status, "too_large", message))
        }
        Err(_) => {
            let message = "the request did not arrive in time: send it again";
            let status = StatusCode::REQUEST_TIMEOUT;
            Err(Refusal::new(status, "timeout", message))
        }
    }
}

/// Server-sent events, each with these data.
fn events(data: impl Stream<Item = String> + Send + 'static) -> Response {
    // A proxy in between must hand on each event as it comes.
    let unbuffered = [
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let events = data.map(|data| Ok::<_, Infallible>(Event::default().data(data)));
    let alive = KeepAlive::new().interval(ALIVE);
    (unbuffered, Sse::new(events).keep_alive(alive)).into_response()
}

/// Whether an `Origin` is a page of this machine.
fn is_loopback(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else {
        return false;
    };
    let is_web = matches!(url.scheme(), "http" | "https");
    is_web && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_machine_are_loopback() {
        for origin in [
            "http://localhost:3000",
            "https://127.0.0.1",
            "http://[::1]:8080",
        ] {
            assert!(is_loopback(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "file://localhost",
            "http://127.0.0.1@evil.example",
        ] {
            assert!(!is_loopback(origin), "{origin}");
        }
    }
}
