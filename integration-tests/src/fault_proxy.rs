//! A proxy on loopback between a program under test and its API server, that can make the network
//! and the server misbehave.
//!
//! It speaks plain HTTP to the program and TLS to the server, passes credentials and bodies through
//! as they are (but for [`LOOPBACK`]), and keeps nothing. What goes wrong is decided in [`faults`]
//! from a seed; how a watch ends early is in `watch`. It must not know what the program under test
//! is: whatever it does, a real network or a real API server may do.

pub mod faults;
mod message;
mod watch;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::cluster::{self, Cluster};
use faults::{Fault, Nature, Plan, Random, Rates};
pub use message::LOOPBACK;
use message::{CUT, end_to_end, seen};
use watch::{End, Order};

/// The label of what [`FaultMode::Raced`] makes.
pub const FOREIGN: &str = "langop.test/foreign";

/// What the proxy does to requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultMode {
    /// Nothing.
    None,
    /// Random faults, so often.
    Storm(Rates),
    /// Every request whose path contains this is cut before it reaches the server, watches under
    /// way too. The empty text: all of them.
    Cut(&'static str),
    /// The next write to a path that contains this is done, and not answered. Then everything is
    /// cut.
    CutAfter(&'static str),
    /// Every write to a path that contains this fails as if an admission webhook were broken, in
    /// these words.
    Broken(&'static str, &'static str),
    /// Before an apply to a path that contains this reaches the server, somebody makes an object of
    /// that name, unless there is one.
    Raced(&'static str),
    /// So many more writes (those of Leases aside) reach the server and are answered. With the next
    /// one everything is cut.
    Writes(u32),
}

/// How often each fault was made, by its name.
pub type Tally = BTreeMap<&'static str, u32>;

struct Shared {
    server: String,
    upstream: reqwest::Client,
    via: HeaderValue,
    mode: Mutex<FaultMode>,
    random: Mutex<Random>,
    tally: Mutex<Tally>,
    /// To all watches under way.
    orders: broadcast::Sender<Order>,
}

/// The proxy. It ends, with all its connections, when this value is dropped.
pub struct FaultProxy {
    shared: Arc<Shared>,
    url: String,
    listener: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts one before this cluster's API server, in calm mode. `name` is added to the user agent
    /// of every request, so that the audit log tells apart programs that use one account; `seed`
    /// decides all faults to come.
    ///
    /// # Errors
    /// If there is no port, or the kubeconfig does not hold the server's address and CA.
    pub async fn start(cluster: &Cluster, name: &str, seed: u64) -> Result<Self> {
        cluster::install_crypto_provider();
        let (server, ca) = cluster.server()?;
        let upstream = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes())?])
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let shared = Arc::new(Shared {
            server,
            upstream,
            via: HeaderValue::from_str(name).context("the name cannot stand in a header")?,
            mode: Mutex::new(FaultMode::None),
            random: Mutex::new(Random::new(seed)),
            tally: Mutex::default(),
            orders: broadcast::Sender::new(16),
        });
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", socket.local_addr()?);
        let router = Router::new()
            .fallback(handle)
            .layer(DefaultBodyLimit::max(8 << 20))
            .with_state(Arc::clone(&shared));
        let listener = tokio::spawn(async move {
            // It ends by being aborted only.
            let _ = axum::serve(socket, router).await;
        });
        Ok(Self {
            shared,
            url,
            listener,
        })
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Changes the mode for all requests that begin from now on, and for watches under way.
    pub fn set(&self, mode: FaultMode) {
        if let FaultMode::Cut(part) = mode {
            self.order(Order {
                end: End::Cut,
                paths_with: part,
            });
        }
        *lock(&self.shared.mode) = mode;
    }

    /// What it is now; [`FaultMode::CutAfter`] and [`FaultMode::Writes`] become [`FaultMode::Cut`].
    pub fn mode(&self) -> FaultMode {
        lock(&self.shared.mode).clone()
    }

    /// Tells every watch under way that its resource version has expired (410), and ends it.
    pub fn expire_watches(&self) {
        self.order(Order {
            end: End::Expired,
            paths_with: "",
        });
    }

    /// Faults made so far.
    pub fn tally(&self) -> Tally {
        lock(&self.shared.tally).clone()
    }

    fn order(&self, order: Order) {
        // An error says that no watch is under way.
        let _ = self.shared.orders.send(order);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.listener.abort();
        // Connections are tasks of their own: their watches end, and new requests are cut.
        self.set(FaultMode::Cut(""));
    }
}

/// Every lock is held for one step that leaves the value whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let nature = Nature::of(&method, &uri);
    let plan = plan(&shared, nature, uri.path());
    tokio::time::sleep(plan.delay).await;
    if let Some(refusal) = plan.fault.and_then(before) {
        return refusal;
    }
    if let Some(broken) = broken(&shared, nature, uri.path()) {
        return broken;
    }
    if is_raced(&shared, nature, uri.path()) {
        race(&shared, uri.path(), &headers, &body).await;
    }
    // Subscribed before the server is asked: an order in between must not be missed.
    let orders = shared.orders.subscribe();
    let Ok(answer) = forward(&shared, method, &uri, &headers, body).await else {
        return cut();
    };
    match (plan.fault, nature) {
        (Some(Fault::AnswerLost), _) => status(500, "InternalError", "the answer was lost"),
        (Some(Fault::CutAfter), _) => cut(),
        (fault, Nature::Watch) if answer.status().is_success() => {
            watch::pass_on(answer, fault, orders, uri.path().to_owned())
        }
        _ => whole(answer, uri.path()).await,
    }
}

/// Decides, and counts what is decided.
fn plan(shared: &Shared, nature: Nature, path: &str) -> Plan {
    let mut mode = lock(&shared.mode);
    let plan = match &mut *mode {
        FaultMode::Storm(rates) => faults::plan(rates, &mut lock(&shared.random), nature),
        FaultMode::Cut(part) if path.contains(*part) => Fault::CutBefore.into(),
        FaultMode::CutAfter(part) if nature.is_write() && path.contains(*part) => {
            *mode = cut_everything(shared);
            Fault::CutAfter.into()
        }
        FaultMode::Writes(left) if nature.is_write() && !path.contains("/leases") => {
            if let Some(fewer) = left.checked_sub(1) {
                *left = fewer;
                Plan::default()
            } else {
                *mode = cut_everything(shared);
                Fault::CutBefore.into()
            }
        }
        FaultMode::None
        | FaultMode::Broken(..)
        | FaultMode::Cut(_)
        | FaultMode::CutAfter(_)
        | FaultMode::Raced(_)
        | FaultMode::Writes(_) => Plan::default(),
    };
    if let Some(fault) = plan.fault {
        *lock(&shared.tally).entry(fault.name()).or_default() += 1;
    }
    plan
}

fn broken(shared: &Shared, nature: Nature, path: &str) -> Option<Response> {
    match *lock(&shared.mode) {
        FaultMode::Broken(part, words) if nature.is_write() && path.contains(part) => {
            Some(status(500, "InternalError", words))
        }
        _ => None,
    }
}

fn is_raced(shared: &Shared, nature: Nature, path: &str) -> bool {
    matches!(*lock(&shared.mode), FaultMode::Raced(part) if nature == Nature::Update && path.contains(part))
}

/// Makes the object that a request is about to apply, as one of somebody else: without owner, and
/// labelled [`FOREIGN`].
async fn race(shared: &Shared, path: &str, headers: &HeaderMap, body: &Bytes) {
    let Ok(mut object) = serde_json::from_slice::<serde_json::Value>(body) else {
        return;
    };
    let Some((collection, name)) = path.rsplit_once('/') else {
        return;
    };
    object["metadata"] = json!({"name": name, "labels": {FOREIGN: "true"}});
    let mut headers = end_to_end(headers);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let request = shared
        .upstream
        .post(format!("{}{collection}", shared.server));
    let answer = request
        .headers(headers)
        .body(object.to_string())
        .send()
        .await;
    if answer.is_ok_and(|answer| answer.status().is_success()) {
        *lock(&shared.tally).entry("raced").or_default() += 1;
    }
}

/// Ends all watches; the mode that lets nothing through.
fn cut_everything(shared: &Shared) -> FaultMode {
    // An error says that no watch is under way.
    let _ = shared.orders.send(Order {
        end: End::Cut,
        paths_with: "",
    });
    FaultMode::Cut("")
}

/// The answer to a request that does not reach the server.
fn before(fault: Fault) -> Option<Response> {
    Some(match fault {
        Fault::TooMany => {
            let mut refusal = status(
                429,
                "TooManyRequests",
                "too many requests, please try again",
            );
            refusal
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            refusal
        }
        Fault::Internal => status(500, "InternalError", "an error on the server"),
        Fault::Unavailable => status(503, "ServiceUnavailable", "the server is unavailable"),
        Fault::Conflict => status(
            409,
            "Conflict",
            "the object has been modified; please apply your changes to the latest version and try again",
        ),
        Fault::CutBefore => cut(),
        Fault::ExpiredAtOnce => watch::expired_at_once(),
        Fault::AnswerLost | Fault::CutAfter | Fault::Dropped(_) | Fault::Expired(_) => return None,
    })
}

async fn forward(
    shared: &Shared,
    method: Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> reqwest::Result<reqwest::Response> {
    let mut headers = end_to_end(headers);
    let agent = headers.get(header::USER_AGENT);
    let agent = [
        agent.map_or(&b"-"[..], HeaderValue::as_bytes),
        b" ",
        shared.via.as_bytes(),
    ]
    .concat();
    if let Ok(agent) = HeaderValue::from_bytes(&agent) {
        headers.insert(header::USER_AGENT, agent);
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = shared
        .upstream
        .request(method, format!("{}{path}", shared.server));
    request.headers(headers).body(body).send().await
}

async fn whole(answer: reqwest::Response, path: &str) -> Response {
    let (code, headers) = (answer.status(), end_to_end(answer.headers()));
    match answer.bytes().await {
        Ok(body) => (code, headers, seen(body, path)).into_response(),
        Err(_) => cut(),
    }
}

/// An error as the API server words it.
fn status(code: u16, reason: &str, message: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": format!("{message} (made by the fault proxy)"),
    });
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, axum::Json(body)).into_response()
}

/// A body that fails before its first byte: the server behind this function then closes the
/// connection without an answer.
fn cut() -> Response {
    let broken = futures::stream::once(async { Err::<Infallible, _>(std::io::Error::other(CUT)) });
    Body::from_stream(futures::TryStreamExt::map_ok(broken, |never| -> Bytes {
        match never {}
    }))
    .into_response()
}
