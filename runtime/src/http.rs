//! What is answered on PORT whatever the agent does: health and metrics. Reads state; changes none.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use langop_program::{
    admin,
    connections::{self, Bounds},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Most connections at once. Beyond, the oldest one without a request makes room.
pub const CONNECTIONS: usize = 256;
/// How long a connection without a request stays.
pub const IDLE: Duration = Duration::from_secs(30);

/// Whether environment and code are good. Tools and models are no condition: they may come later.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on they are.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Health {
    readiness: Readiness,
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
}

/// Takes the port on all addresses, of both families where the machine has both.
pub async fn bind(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    }
}

/// Serves `router`, whose answers take at most `longest`, until `end` is cancelled; what is in
/// flight then is dropped with its caller's run.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    longest: Duration,
    end: CancellationToken,
) -> io::Result<()> {
    let bounds = Bounds {
        most: CONNECTIONS,
        idle: IDLE,
        longest,
    };
    tokio::select! {
        served = async { connections::serve(listener, bounds, router).await } => served,
        () = end.cancelled() => Ok(()),
    }
}

/// `/livez`, `/readyz` (503 before it is ready and once `stopping` is cancelled) and `/metrics`.
pub fn router(readiness: Readiness, metrics: Arc<Metrics>, stopping: CancellationToken) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(page))
        .with_state(Health {
            readiness,
            metrics,
            stopping,
        })
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    if health.stopping.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if health.readiness.0.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
    }
}

async fn page(State(health): State<Health>) -> Response {
    admin::metrics(health.metrics.encode())
}
