//! Health and metrics over HTTP: `/livez`, `/readyz`, `/metrics`. Serves nothing that names an object's content.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// Serves until told to stop.
pub(crate) async fn serve(
    address: SocketAddr,
    ctx: Arc<Context>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (LANGOP_ADMIN_LISTEN)"))?;
    tracing::info!(address = %listener.local_addr()?, "health and metrics");
    axum::serve(listener, router(ctx))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await?;
    Ok(())
}

fn router(ctx: Arc<Context>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(ctx)
}

/// Ready when all watches have listed; a standby is ready too.
async fn ready(State(ctx): State<Arc<Context>>) -> Response {
    let pending = ctx.readiness.pending();
    if pending.is_empty() {
        return "ok\n".into_response();
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("not listed yet: {}\n", pending.join(", ")),
    )
        .into_response()
}

async fn metrics(State(ctx): State<Arc<Context>>) -> Response {
    ctx.metrics.set_retrying(ctx.failing.len());
    let agents = ctx.stores.agents.list(None);
    let decoded = agents.iter().filter_map(|agent| agent.0.as_ref().ok());
    match ctx.metrics.render(decoded) {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(std::fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
