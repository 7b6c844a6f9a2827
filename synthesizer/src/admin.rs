//! Health and metrics over HTTP, for kubelets and Prometheus. Reads state; changes none.

use std::{io, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use langop_program::admin;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

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
    admin::serve(listener, router(metrics, stopping), end).await
}

/// `/livez`, `/readyz` (503 once `stopping` is cancelled), `/metrics` and a profile of the memory.
fn router(metrics: Arc<Metrics>, stopping: CancellationToken) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(page))
        .merge(langop_memory::routes())
        .with_state(Admin { metrics, stopping })
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    if admin.stopping.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn page(State(admin): State<Admin>) -> Response {
    admin::metrics(admin.metrics.encode())
}
