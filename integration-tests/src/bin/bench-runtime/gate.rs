//! Stands before a tool, passes everything on, and sees when a caller makes its first call.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// Longest wait for a process of a peer.
const PATIENCE: Duration = Duration::from_mins(1);

/// The gate. It ends when this is dropped.
pub(crate) struct Gate {
    url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    target: String,
    client: reqwest::Client,
    called: watch::Sender<Option<Instant>>,
    /// Open once the memory of the caller has been read.
    passes: watch::Sender<bool>,
}

/// What was seen of a caller.
pub(crate) struct FirstCall {
    /// Since its process was started.
    pub(crate) after: Duration,
    /// Most memory that it had, in MiB.
    pub(crate) memory_mib: f64,
}

impl Gate {
    pub(crate) async fn before(target: &str) -> Result<Self> {
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            client: reqwest::Client::builder().no_proxy().build()?,
            called: watch::Sender::new(None),
            passes: watch::Sender::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/mcp", listener.local_addr()?);
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            // It ends by being aborted only.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            url,
            shared,
            server,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Waits for the first call of the process that was begun then.
    pub(crate) async fn first_call(&self, begun: Instant, pid: u32) -> Result<FirstCall> {
        let mut called = self.shared.called.subscribe();
        let at = tokio::time::timeout(PATIENCE, called.wait_for(Option::is_some)).await;
        let at = at
            .context("it called no tool within a minute")??
            .unwrap_or(begun);
        let memory_mib = memory_mib(pid)?;
        self.shared.passes.send_replace(true);
        self.shared.called.send_replace(None);
        Ok(FirstCall {
            after: at.saturating_duration_since(begun),
            memory_mib,
        })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// `VmHWM`, the peak of what was resident.
fn memory_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: f64 = kib.context("/proc tells no memory")?.parse()?;
    Ok(kib / 1024.0)
}

async fn pass(
    State(shared): State<Arc<Shared>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_call = body
        .windows(b"\"tools/call\"".len())
        .any(|window| window == b"\"tools/call\"");
    if is_call {
        let mut passes = shared.passes.subscribe();
        shared.passes.send_replace(false);
        shared.called.send_replace(Some(Instant::now()));
        // The sender lives as long as the server.
        let _ = passes.wait_for(|open| *open).await;
    }
    forward(&shared, method, headers, body)
        .await
        .unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

async fn forward(
    shared: &Shared,
    method: Method,
    mut headers: HeaderMap,
    body: Bytes,
) -> Result<Response, reqwest::Error> {
    headers.remove(header::HOST);
    let request = shared.client.request(method, &shared.target);
    let answer = request.headers(headers).body(body).send().await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    for (name, value) in answer.headers() {
        if name != header::TRANSFER_ENCODING {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    *response.body_mut() = Body::from(answer.bytes().await?);
    Ok(response)
}
