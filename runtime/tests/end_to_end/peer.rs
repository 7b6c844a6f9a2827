//! MCP servers with the habits that real ones have. Written by hand, so that they can be as rude as
//! those.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use langop_tools::filesystem::Filesystem;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How a server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Habits {
    pub(crate) era: Era,
    pub(crate) lost_session: Lost,
    pub(crate) unknown_tool: Unknown,
    /// How many calls are answered before the session is lost.
    pub(crate) calls_per_session: usize,
    /// The operation that takes effect and is never answered.
    pub(crate) hangs_on: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// Knows no discovery, says so by 400 and -32000 without id (TypeScript SDK 1).
    LegacyTypeScript,
    /// Knows no discovery, says so by 400 and -32600 with a strange id (Python SDK 1).
    LegacyPython,
    /// Knows no discovery, says so by 404 and -32601.
    LegacyGateway,
    /// Knows discovery, and names only a legacy version (go-sdk, stateful).
    DiscoversLegacy,
    /// Knows no discovery, and answers whatever it does not know with an empty result.
    AnswersAnything,
    /// 2026-07-28.
    Modern,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// 404, as the specification says.
    NotFound,
    /// 400 and -32000.
    BadRequest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// A result with isError.
    IsError,
    /// -32602.
    InvalidParams,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            era: Era::Modern,
            lost_session: Lost::NotFound,
            unknown_tool: Unknown::InvalidParams,
            calls_per_session: usize::MAX,
            hangs_on: None,
        }
    }
}

#[derive(Default)]
struct Memory {
    session: usize,
    calls_in_session: usize,
    seen: Vec<Json>,
    effects: Vec<Json>,
    left: usize,
}

/// Counts a caller that went before it was answered.
struct Left(Arc<Mutex<Memory>>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.lock().unwrap().left += 1;
    }
}

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
}

impl Peer {
    pub(crate) async fn start(habits: Habits) -> Self {
        Self::start_at(0, habits).await
    }

    /// At a port that is known before.
    pub(crate) async fn start_at(port: u16, habits: Habits) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let memory = Arc::new(Mutex::new(Memory::default()));
        let router = Router::new()
            .route("/mcp", post(answer))
            .with_state((habits, Arc::clone(&memory)));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { address, memory }
    }

    /// The methods that were asked for, in order.
    pub(crate) fn methods(&self) -> Vec<String> {
        let memory = self.memory.lock().unwrap();
        let method = |seen: &Json| seen["method"].as_str().unwrap_or("").to_owned();
        memory.seen.iter().map(method).collect()
    }

    /// The messages that were received.
    pub(crate) fn seen(&self) -> Vec<Json> {
        self.memory.lock().unwrap().seen.clone()
    }

    /// The arguments of the calls that were carried out.
    pub(crate) fn effects(&self) -> Vec<Json> {
        self.memory.lock().unwrap().effects.clone()
    }
}

impl Peer {
    /// How many callers went before they were answered.
    pub(crate) fn left(&self) -> usize {
        self.memory.lock().unwrap().left
    }
}

type Shared = (Habits, Arc<Mutex<Memory>>);

async fn answer(
    State((habits, memory)): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let message: Json = serde_json::from_slice(&body).unwrap();
    if message["method"] == "tools/call" && message["params"]["name"].as_str() == habits.hangs_on {
        memory
            .lock()
            .unwrap()
            .effects
            .push(message["params"]["arguments"].clone());
        let _left = Left(Arc::clone(&memory));
        return std::future::pending().await;
    }
    let mut memory = memory.lock().unwrap();
    memory.seen.push(message.clone());
    let id = message["id"].clone();
    let is_modern =
        message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string();
    let method = message["method"].as_str().unwrap_or_default();
    if is_modern && habits.era != Era::Modern {
        return refuse_modern(habits.era, &id);
    }
    if habits.era == Era::Modern && !is_modern {
        return error(400, &id, -32602, "_meta is missing");
    }
    if habits.era != Era::Modern
        && method != "initialize"
        && let Some(lost) = check_session(habits, &memory, &headers, &id)
    {
        return lost;
    }
    let result = match method {
        "server/discover" => json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "public",
        }),
        "initialize" => {
            memory.session += 1;
            memory.calls_in_session = 0;
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "peer", "version": "1"},
            });
            let session = format!("session-{}", memory.session);
            return (
                [("mcp-session-id", session)],
                axum::Json(done(&id, &result)),
            )
                .into_response();
        }
        "tools/list" => json!({"tools": [
            {"name": "record", "description": "Records", "inputSchema": {"type": "object",
                "properties": {"text": {"type": "string"}, "any": {}}}},
            // Its results are of another type.
            {"name": "read", "inputSchema": {"type": "object"},
                "outputSchema": {"type": "object", "properties": {"content": {"type": "integer"}}},
                "annotations": {"readOnlyHint": true}},
            {"name": "fail", "inputSchema": {"type": "object"}},
            {"name": "vanished", "inputSchema": {"type": "object"}},
        ]}),
        "tools/call" => match call(habits, &mut memory, &message, &id) {
            Ok(result) => result,
            Err(response) => return response,
        },
        "ping" => json!({}),
        _ if id.is_null() => return StatusCode::ACCEPTED.into_response(),
        _ => return error(404, &id, -32601, "Method not found"),
    };
    axum::Json(done(&id, &result)).into_response()
}

fn refuse_modern(era: Era, id: &Json) -> Response {
    match era {
        Era::LegacyTypeScript => error(
            400,
            &Json::Null,
            -32000,
            "Bad Request: Server not initialized",
        ),
        Era::LegacyPython => error(
            400,
            &json!("server-error"),
            -32600,
            "Bad Request: Missing session ID",
        ),
        Era::LegacyGateway | Era::Modern => error(404, id, -32601, "Method not found"),
        Era::AnswersAnything => axum::Json(done(id, &json!({}))).into_response(),
        Era::DiscoversLegacy => axum::Json(done(
            id,
            &json!({"supportedVersions": ["2025-11-25"], "capabilities": {}, "ttlMs": 0,
                "cacheScope": "public", "resultType": "complete"}),
        ))
        .into_response(),
    }
}

fn check_session(
    habits: Habits,
    memory: &Memory,
    headers: &HeaderMap,
    id: &Json,
) -> Option<Response> {
    let sent = headers
        .get("mcp-session-id")
        .and_then(|id| id.to_str().ok());
    let is_good = sent == Some(&format!("session-{}", memory.session))
        && memory.calls_in_session < habits.calls_per_session;
    if is_good {
        return None;
    }
    Some(match habits.lost_session {
        Lost::NotFound => error(404, id, -32600, "Session not found"),
        Lost::BadRequest => error(
            400,
            &Json::Null,
            -32000,
            "Bad Request: No valid session ID provided",
        ),
    })
}

#[expect(clippy::result_large_err, reason = "an answer is an answer")]
fn call(habits: Habits, memory: &mut Memory, message: &Json, id: &Json) -> Result<Json, Response> {
    memory.calls_in_session += 1;
    let arguments = message["params"]["arguments"].clone();
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    Ok(match message["params"]["name"].as_str().unwrap() {
        "record" => {
            memory.effects.push(arguments);
            json!({"content": text("recorded"), "structuredContent": {"content": "recorded"}})
        }
        "read" => json!({"content": text("plain"), "structuredContent": {"content": "plain"}}),
        "fail" => json!({"content": text("it failed\u{1b}[31m"), "isError": true}),
        name if habits.unknown_tool == Unknown::IsError => {
            json!({"content": text(&format!("Unknown tool: {name}")), "isError": true})
        }
        name => return Err(error(200, id, -32602, &format!("Unknown tool: {name}"))),
    })
}

fn done(id: &Json, result: &Json) -> Json {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

fn error(status: u16, id: &Json, code: i32, message: &str) -> Response {
    let body = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}});
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

/// Our own filesystem tool over `root`.
pub(crate) async fn filesystem(root: &std::path::Path) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let files = Filesystem::open(root).unwrap();
    let router = langop_tools::server::router(files, "/mcp", CancellationToken::new());
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}
