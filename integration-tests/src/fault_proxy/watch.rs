//! Watches on their way through the proxy: passed on piece by piece as they come, and ended early
//! where that is planned or ordered.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::faults::Fault;
use super::message::{CUT, end_to_end, seen};

/// How a watch ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As the server itself ends watches now and then.
    Silent,
    /// In the middle, as networks do.
    Cut,
    /// By an event that says that the resource version is too old.
    Expired,
}

/// To all watches under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) end: End,
    /// Only those whose path contains this.
    pub(super) paths_with: &'static str,
}

struct Passing {
    answer: reqwest::Response,
    orders: broadcast::Receiver<Order>,
    path: String,
    planned: Option<(Instant, End)>,
    /// Whether what was passed on ends with a whole event, after which another may stand.
    is_whole: bool,
    /// To be ended, once that is the case.
    ending: Option<End>,
    is_over: bool,
}

/// Passes on what the server sends.
pub(super) fn pass_on(
    answer: reqwest::Response,
    fault: Option<Fault>,
    orders: broadcast::Receiver<Order>,
    path: String,
) -> Response {
    let (code, headers) = (answer.status(), end_to_end(answer.headers()));
    let passing = Passing {
        answer,
        orders,
        path,
        planned: fault.and_then(planned),
        is_whole: true,
        ending: None,
        is_over: false,
    };
    let body = stream::unfold(passing, |mut passing| async move {
        let piece = passing.next().await?;
        Some((piece, passing))
    });
    (code, headers, Body::from_stream(body)).into_response()
}

/// A watch that gets nothing but word that it is too late.
pub(super) fn expired_at_once() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::OK, json, expired()).into_response()
}

fn planned(fault: Fault) -> Option<(Instant, End)> {
    let in_ms = |after: Duration| Instant::now() + after;
    match fault {
        // Which of the two is as good as random.
        Fault::Dropped(after) if after.as_millis() % 2 == 0 => Some((in_ms(after), End::Silent)),
        Fault::Dropped(after) => Some((in_ms(after), End::Cut)),
        Fault::Expired(after) => Some((in_ms(after), End::Expired)),
        _ => None,
    }
}

fn expired() -> Bytes {
    let event = json!({"type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version (made by the fault proxy)", "reason": "Expired", "code": 410,
    }});
    format!("{event}\n").into()
}

impl Passing {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.is_over {
            return None;
        }
        loop {
            match self.ending {
                Some(End::Silent) => return None,
                Some(End::Cut) => {
                    self.is_over = true;
                    return Some(Err(io::Error::other(CUT)));
                }
                Some(End::Expired) if self.is_whole => {
                    self.is_over = true;
                    return Some(Ok(expired()));
                }
                Some(End::Expired) | None => {}
            }
            tokio::select! {
                piece = self.answer.chunk() => return self.passed(piece),
                end = ordered(&mut self.orders, &self.path), if self.ending.is_none() => self.ending = Some(end),
                end = due(self.planned), if self.ending.is_none() => self.ending = Some(end),
            }
        }
    }

    fn passed(&mut self, piece: reqwest::Result<Option<Bytes>>) -> Option<io::Result<Bytes>> {
        match piece {
            Ok(Some(piece)) => {
                self.is_whole = piece.last().map_or(self.is_whole, |last| *last == b'\n');
                Some(Ok(seen(piece, &self.path)))
            }
            Ok(None) => None,
            Err(error) => {
                self.is_over = true;
                Some(Err(io::Error::other(error)))
            }
        }
    }
}

/// The next order to a watch of this path.
async fn ordered(orders: &mut broadcast::Receiver<Order>, path: &str) -> End {
    loop {
        match orders.recv().await {
            Ok(order) if path.contains(order.paths_with) => return order.end,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            // The proxy is gone.
            Err(broadcast::error::RecvError::Closed) => return End::Cut,
        }
    }
}

async fn due(planned: Option<(Instant, End)>) -> End {
    match planned {
        Some((at, end)) => {
            tokio::time::sleep_until(at).await;
            end
        }
        None => std::future::pending().await,
    }
}
