//! Health and metrics over HTTP, for kubelets and Prometheus. Reads state; changes none.

mod listener;

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::listener::Bounded;
use crate::metrics::Metrics;

/// How long answers may take once the server is to end. They are made at once, and who sends half a request must not keep it.
const END: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
}

/// Serves until `end` is cancelled; `/readyz` says so once `stopping` is.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
    end: CancellationToken,
) -> io::Result<()> {
    let server = axum::serve(Bounded::new(listener), router(metrics, stopping))
        .with_graceful_shutdown(end.clone().cancelled_owned());
    tokio::select! {
        result = server => result,
        () = async { end.cancelled().await; tokio::time::sleep(END).await } => Ok(()),
    }
}

/// `/livez`, `/readyz` (503 once `stopping` is cancelled) and `/metrics`.
fn router(metrics: Arc<Metrics>, stopping: CancellationToken) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(page))
        .with_state(Admin { metrics, stopping })
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    if admin.stopping.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn page(State(admin): State<Admin>) -> impl IntoResponse {
    let page = admin
        .metrics
        .encode()
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok::<_, StatusCode>((
        [(
            CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        page,
    ))
}
