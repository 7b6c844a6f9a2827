//! Health and metrics over HTTP: `/livez`, `/readyz`, `/metrics`, and a profile of the memory. Serves
//! nothing that names an object's content.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use langop_program::admin::{self, Seldom};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// Serves until stopped.
pub(crate) async fn serve(
    address: SocketAddr,
    ctx: Arc<Context>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (LANGOP_ADMIN_LISTEN)"))?;
    tracing::info!(address = %listener.local_addr()?, "health and metrics");
    Ok(admin::serve(listener, router(ctx), stop).await?)
}

fn router(ctx: Arc<Context>) -> Router {
    let seldom = Arc::<Seldom>::default();
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(|ctx: State<Arc<Context>>| metrics(ctx, seldom)),
        )
        .merge(langop_memory::routes())
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

/// Goes through all that waits, so it is not made for each question.
async fn metrics(State(ctx): State<Arc<Context>>, seldom: Arc<Seldom>) -> Response {
    let page = seldom.page(|| {
        ctx.metrics.set_retrying(ctx.error_backoff.len());
        for (kind, number) in ctx.cache.triggers.waiting() {
            ctx.metrics.set_queued(kind, number);
        }
        let agents = &ctx.cache.stores.agents;
        agents.sum(|tally| ctx.metrics.render(tally))
    });
    admin::metrics(page.await)
}
