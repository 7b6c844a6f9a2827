//! Health and metrics over HTTP, for kubelets and Prometheus. Reads state; changes none.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
}

/// `/livez`, `/readyz` (503 once `stopping` is cancelled) and `/metrics`.
pub fn router(metrics: Arc<Metrics>, stopping: CancellationToken) -> Router {
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
