//! Calls tools: connects when first needed, lists, calls, and repeats what may be repeated. What
//! may not is told as it is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, InputRequiredResult, ListToolsRequest,
    PaginatedRequestParams, RequestMetaObject, ServerResult,
};
use serde_json::{Map, Value as Json};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::{
    connection::{Connection, connect},
    failure::{Repeat, Trouble},
    operation::{Operation, resolve, unknown},
    output::{self, ToolOutput},
    request::{CallIdentity, meta, send},
    session::SessionClient,
};
use crate::{
    deadline::Deadline,
    env::Endpoint,
    metrics::Metrics,
    outcome::{Failure, Reason},
    random,
};

/// How long a list is fresh where the server does not say.
const LIST: Duration = Duration::from_mins(1);
/// How long a server is waited for.
const WAIT: Duration = Duration::from_mins(1);
/// How long servers are given to take what they are told at the end.
const NOTICE: Duration = Duration::from_secs(1);
/// Most rounds of a call whose server only wants its own state back.
const MAX_ROUNDS: u32 = 10;
/// Most pages of a list.
const MAX_PAGES: usize = 64;

/// All tools of the environment.
#[derive(Debug)]
pub struct Tools {
    http: SessionClient,
    servers: BTreeMap<String, Server>,
    notices: TaskTracker,
}

#[derive(Debug)]
struct Server {
    endpoint: Endpoint,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Arc<Connection>>,
    list: Option<Listed>,
}

#[derive(Debug, Clone)]
struct Listed {
    operations: Operations,
    until: Instant,
}

/// What a server offers.
pub type Operations = Arc<[Arc<Operation>]>;

impl Server {
    /// Lets the next request connect anew, unless another one has done so already.
    async fn forget(&self, connection: &Arc<Connection>) {
        let mut state = self.state.lock().await;
        let is_current = |current: &mut Arc<Connection>| Arc::ptr_eq(current, connection);
        state.connection.take_if(is_current);
    }
}

impl Tools {
    /// Over `http`, which brings the connect timeout.
    pub fn new(http: reqwest::Client, endpoints: Vec<Endpoint>) -> Self {
        let server = |endpoint: Endpoint| {
            let server = Server {
                endpoint: endpoint.clone(),
                state: Mutex::default(),
            };
            (endpoint.name, server)
        };
        Self {
            http: SessionClient(http),
            servers: endpoints.into_iter().map(server).collect(),
            notices: TaskTracker::new(),
        }
    }

    /// Waits until all servers know which calls are given up: before the process ends, which would
    /// tell those of the handshake's era nothing.
    pub async fn give_notice(&self) {
        self.notices.close();
        if timeout(NOTICE, self.notices.wait()).await.is_err() {
            tracing::info!("a tool was not told in time that a call of it is given up");
        }
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.servers.keys().map(String::as_str)
    }

    /// What a tool can do, from a list that is fresh by the server's word.
    pub async fn list(&self, tool: &str, deadline: Deadline) -> Result<Operations, Failure> {
        let server = self.server(tool)?;
        self.listed(server, false, deadline)
            .await
            .map_err(|trouble| trouble.into_failure(tool, "tools/list"))
    }

    /// The operation that `action` means: of that name, else the only one of that name but for case
    /// and separators; without a name the only one there is. Where the list cannot be had, the name
    /// is taken as it is.
    pub async fn operation(
        &self,
        tool: &str,
        action: Option<&str>,
        deadline: Deadline,
    ) -> Result<Arc<Operation>, Failure> {
        let server = self.server(tool)?;
        let as_named = |name: &str| {
            Arc::new(Operation {
                name: name.to_owned(),
                ..Operation::default()
            })
        };
        // A list may be older than the operation, so that a second look is worth its while.
        for is_renewed in [false, true] {
            match (self.listed(server, is_renewed, deadline).await, action) {
                (Ok(list), _) => {
                    if let Some(found) = resolve(&list, action) {
                        return Ok(Arc::clone(found));
                    }
                    if is_renewed {
                        return Err(unknown(tool, action, &list));
                    }
                }
                (Err(Trouble::Protocol(_)), Some(action)) => return Ok(as_named(action)),
                (Err(trouble), action) => {
                    return Err(trouble.into_failure(tool, action.unwrap_or("tools/list")));
                }
            }
        }
        Ok(as_named(action.unwrap_or_default()))
    }

    /// Calls an operation.
    pub async fn call(
        &self,
        tool: &str,
        operation: &Operation,
        arguments: Map<String, Json>,
        identity: &CallIdentity<'_>,
        deadline: Deadline,
        metrics: &Metrics,
    ) -> Result<ToolOutput, Failure> {
        let server = self.server(tool)?;
        let url = &server.endpoint.url;
        let span = tracing::info_span!(
            "tools/call",
            otel.name = format!("tools/call {}", operation.name),
            otel.kind = "client",
            otel.status_code = tracing::field::Empty,
            gen_ai.operation.name = "execute_tool",
            gen_ai.tool.name = %operation.name,
            mcp.method.name = "tools/call",
            mcp.protocol.version = tracing::field::Empty,
            jsonrpc.request.id = tracing::field::Empty,
            rpc.response.status_code = tracing::field::Empty,
            server.address = url.host_str(),
            server.port = url.port_or_known_default(),
            network.transport = "tcp",
            error.r#type = tracing::field::Empty,
        );
        let called = self
            .call_in_span(server, operation, arguments, identity, deadline)
            .instrument(span.clone())
            .await;
        let outcome = match &called {
            Ok(output) if output.is_error => "tool-error",
            Ok(_) => "ok",
            Err(trouble) => trouble.reason().as_str(),
        };
        if outcome != "ok" {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", outcome.replace("tool-error", "tool_error"));
        }
        metrics.tool_call(tool, outcome);
        if let Ok(output) = &called
            && let Some(misfit) = operation.misfit(output)
        {
            metrics.output_mismatch(tool);
            tracing::warn!(
                tool, operation = %operation.name,
                "the result is not as the tool's output schema says, and is taken as it is: {misfit}"
            );
        }
        called.map_err(|trouble| trouble.into_failure(tool, &operation.name))
    }

    async fn call_in_span(
        &self,
        server: &Server,
        operation: &Operation,
        arguments: Map<String, Json>,
        identity: &CallIdentity<'_>,
        deadline: Deadline,
    ) -> Result<ToolOutput, Trouble> {
        let mut params =
            CallToolRequestParams::new(operation.name.clone()).with_arguments(arguments);
        let mut has_listed = false;
        let mut rounds = 0;
        loop {
            let request = ClientRequest::CallToolRequest(CallToolRequest::new(params.clone()));
            let sent = self
                .exchange(
                    server,
                    &request,
                    meta(identity),
                    operation.is_harmless,
                    deadline,
                )
                .await;
            match sent {
                Ok(ServerResult::CallToolResult(result)) => return Ok(output::read(result)),
                Ok(ServerResult::EmptyResult(_)) => {
                    return Ok(output::read(rmcp::model::CallToolResult::default()));
                }
                Ok(ServerResult::InputRequiredResult(wanted)) => {
                    rounds += 1;
                    params.request_state = Some(state_alone(wanted, rounds)?);
                }
                Ok(_) => {
                    return Err(Trouble::Protocol(
                        "the answer is no result of a tool".to_owned(),
                    ));
                }
                Err(trouble) if trouble.repeat(false) == Repeat::AfterList && !has_listed => {
                    has_listed = true;
                    let list = self.listed(server, true, deadline).await?;
                    if !list.iter().any(|known| known.name == operation.name) {
                        return Err(trouble);
                    }
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    fn server(&self, tool: &str) -> Result<&Server, Failure> {
        self.servers.get(tool).ok_or_else(|| {
            let message =
                format!("the tool '{tool}' is not offered: add it to MCP_SERVERS (toolRefs)");
            Failure::new(Reason::NotOffered, message)
        })
    }

    /// A list that is fresh, or made so.
    async fn listed(
        &self,
        server: &Server,
        is_renewed: bool,
        deadline: Deadline,
    ) -> Result<Operations, Trouble> {
        if !is_renewed
            && let Some(list) = &server.state.lock().await.list
            && list.until > Instant::now()
        {
            return Ok(Arc::clone(&list.operations));
        }
        let (mut operations, mut cursor, mut ttl) = (Vec::new(), None, None::<u64>);
        for _ in 0..MAX_PAGES {
            let params = PaginatedRequestParams::default().with_cursor(cursor.take());
            let request = ListToolsRequest::with_param(params);
            let request = ClientRequest::ListToolsRequest(request);
            let result = self
                .exchange(server, &request, RequestMetaObject::new(), true, deadline)
                .await?;
            let ServerResult::ListToolsResult(page) = result else {
                return Err(Trouble::Protocol(
                    "the answer is no list of tools".to_owned(),
                ));
            };
            let offered = page.tools.into_iter().map(Operation::of);
            operations.extend(offered.map(Arc::new));
            ttl = match (ttl, page.ttl_ms) {
                (Some(least), Some(new)) => Some(least.min(new)),
                (least, new) => least.or(new),
            };
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let fresh = ttl.map_or(LIST, |ttl| Duration::from_millis(ttl).min(24 * 60 * LIST));
        let operations: Operations = operations.into();
        server.state.lock().await.list = Some(Listed {
            operations: Arc::clone(&operations),
            until: Instant::now() + fresh,
        });
        Ok(operations)
    }

    /// Sends a request, and again where that is right.
    async fn exchange(
        &self,
        server: &Server,
        request: &ClientRequest,
        meta: RequestMetaObject,
        is_harmless: bool,
        deadline: Deadline,
    ) -> Result<ServerResult, Trouble> {
        let mut has_reconnected = false;
        let mut attempts = 0;
        loop {
            let connection = self.connection(server, deadline).await?;
            tracing::Span::current().record("mcp.protocol.version", connection.version().as_str());
            let trouble = match send(&connection, request.clone(), meta.clone(), deadline).await {
                Ok(result) => return Ok(result),
                Err(trouble) => trouble,
            };
            attempts += 1;
            match trouble.repeat(is_harmless) {
                Repeat::AfterConnecting if !has_reconnected => {
                    has_reconnected = true;
                    server.forget(&connection).await;
                }
                Repeat::Times(most) if attempts <= most => {
                    let pause = random::jittered(trouble.pause(attempts));
                    if deadline.left(pause) < pause {
                        return Err(trouble);
                    }
                    tracing::info!(tool = %server.endpoint.name, attempts, ?trouble, "calling again");
                    if matches!(trouble, Trouble::NotSent(_)) {
                        // Nobody is there: awaited as at the beginning, over a new connection.
                        server.forget(&connection).await;
                    }
                    sleep(pause).await;
                }
                _ => return Err(trouble),
            }
        }
    }

    /// The connection to a server, waiting for one that does not answer yet.
    async fn connection(
        &self,
        server: &Server,
        deadline: Deadline,
    ) -> Result<Arc<Connection>, Trouble> {
        let mut state = server.state.lock().await;
        if let Some(open) = state.connection.as_ref().filter(|open| !open.is_closed()) {
            return Ok(Arc::clone(open));
        }
        let patience = deadline.tenth_left(WAIT);
        let began = Instant::now();
        let mut pause = Duration::from_millis(250);
        loop {
            let tried = tokio::select! {
                tried = connect(&self.http, &server.endpoint.url, &self.notices) => tried,
                () = deadline.over() => Err(Trouble::NotSent("the time is over".to_owned())),
            };
            match tried {
                Ok(connection) => {
                    let version = connection.version();
                    tracing::info!(tool = %server.endpoint.name, %version, "connected");
                    let connection = Arc::new(connection);
                    state.connection = Some(Arc::clone(&connection));
                    return Ok(connection);
                }
                Err(trouble) if !is_worth_waiting(&trouble) => return Err(trouble),
                // Negotiating has no effects, so that nothing is unknown.
                Err(Trouble::Interrupted(said)) if began.elapsed() + pause > patience => {
                    return Err(Trouble::NotSent(said));
                }
                Err(trouble) if began.elapsed() + pause > patience => return Err(trouble),
                Err(_) => sleep(random::jittered(pause)).await,
            }
            pause = (2 * pause).min(Duration::from_secs(5));
        }
    }
}

fn is_worth_waiting(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::NotSent(_) | Trouble::Busy { .. } | Trouble::Interrupted(_)
    )
}

/// The state to send back, if that is all the server wants.
fn state_alone(wanted: InputRequiredResult, rounds: u32) -> Result<String, Trouble> {
    let asks = wanted
        .input_requests
        .as_ref()
        .is_some_and(|requests| !requests.is_empty());
    match wanted.request_state {
        _ if asks => Err(Trouble::NeedsPerson("it asks for input".to_owned())),
        Some(state) if rounds <= MAX_ROUNDS => Ok(state),
        Some(_) => Err(Trouble::Protocol(format!(
            "it wanted its state back more than {MAX_ROUNDS} times"
        ))),
        None => Err(Trouble::Protocol(
            "it wants input and does not say which".to_owned(),
        )),
    }
}
