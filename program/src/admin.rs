//! The admin port: HTTP for kubelets and Prometheus over a bounded number of connections, each for
//! a bounded time. What is served is the program's business.

use std::{io, time::Duration};

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::{
    net::TcpListener,
    sync::Mutex,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::connections::{self, Bounds};

/// A kubelet and a few scrapers need a connection each. Clients that poll reconnect.
const BOUNDS: Bounds = Bounds {
    most: 64,
    idle: Duration::from_secs(10),
    longest: Duration::from_secs(10),
};
/// How long answers may take once the server is to end. They are made at once, and who sends half a
/// request must not keep it.
const END: Duration = Duration::from_secs(1);
/// How long after a page of metrics the next one is made.
const PAUSE: Duration = Duration::from_secs(1);
/// The format of a page of metrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves `router` until `end` is cancelled.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    end: CancellationToken,
) -> io::Result<()> {
    let server = connections::serve(listener, BOUNDS, router)
        .with_graceful_shutdown(end.clone().cancelled_owned());
    tokio::select! {
        result = server => result,
        () = async { end.cancelled().await; tokio::time::sleep(END).await } => Ok(()),
    }
}

/// A page of metrics as an answer.
pub fn metrics<E>(page: Result<impl Into<Bytes>, E>) -> Response {
    match page {
        Ok(text) => ([(CONTENT_TYPE, OPENMETRICS)], text.into()).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A page that takes work to make: made at most once a second, however often it is asked for.
/// An earlier request waits, and gets a page that is not older than the request.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Option<(Instant, Bytes)>>);

impl Seldom {
    /// The page, made by `make` unless another request had one made after this one began.
    pub async fn page<E>(&self, make: impl FnOnce() -> Result<String, E>) -> Result<Bytes, E> {
        let asked = Instant::now();
        let mut latest = self.0.lock().await;
        if let Some((at, page)) = &*latest {
            if *at > asked {
                return Ok(page.clone());
            }
            sleep_until(*at + PAUSE).await;
        }
        let page = Bytes::from(make()?);
        *latest = Some((Instant::now(), page.clone()));
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_page_is_made_at_most_once_a_second_and_is_not_older_than_the_question() {
        let (page, count) = (Seldom::default(), AtomicU32::new(0));
        let ask = async || {
            let make = || Ok::<_, ()>((1 + count.fetch_add(1, Ordering::Relaxed)).to_string());
            page.page(make).await.unwrap()
        };
        let start = Instant::now();
        assert_eq!(ask().await, "1");
        assert_eq!(start.elapsed(), Duration::ZERO);
        let (one, other) = tokio::join!(ask(), ask());
        assert_eq!((&one[..], &other[..]), (&b"2"[..], &b"2"[..]));
        assert_eq!(start.elapsed(), PAUSE);
        assert_eq!(ask().await, "3");
        assert_eq!(start.elapsed(), 2 * PAUSE);
        tokio::time::sleep(10 * PAUSE).await;
        let asked = Instant::now();
        assert_eq!(ask().await, "4");
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }
}
