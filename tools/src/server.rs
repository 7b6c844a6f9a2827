//! Serves a toolbox over Streamable HTTP in both eras of the protocol, without sessions: any
//! replica answers any request.

use std::{
    borrow::Cow,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
    sync::Arc,
};

use axum::{Router, routing::get};
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt as _,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ErrorCode,
        Implementation, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
        Tool,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    settings::Listen,
    toolbox::{Call, Toolbox},
};

/// How long a list of operations is fresh, in milliseconds: it never changes while the process
/// lives.
const LIST_TTL_MS: u64 = 300_000;
/// Callers on this machine; those within a cluster send no Origin.
const ORIGINS: [&str; 6] = [
    "http://localhost:*",
    "http://127.0.0.1:*",
    "http://[::1]:*",
    "https://localhost:*",
    "https://127.0.0.1:*",
    "https://[::1]:*",
];

/// A toolbox as an MCP server.
struct Handler<T> {
    toolbox: Arc<T>,
    operations: Arc<Vec<Tool>>,
}

impl<T: Toolbox> Handler<T> {
    fn new(toolbox: T) -> Self {
        Self {
            operations: Arc::new(toolbox.operations()),
            toolbox: Arc::new(toolbox),
        }
    }
}

impl<T> Clone for Handler<T> {
    fn clone(&self) -> Self {
        Self {
            toolbox: Arc::clone(&self.toolbox),
            operations: Arc::clone(&self.operations),
        }
    }
}

impl<T: Toolbox> ServerHandler for Handler<T> {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new(
            self.toolbox.name(),
            env!("CARGO_PKG_VERSION"),
        ))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut list = ListToolsResult::with_all_items(self.operations.to_vec());
        list.ttl_ms = Some(LIST_TTL_MS);
        list.cache_scope = Some(CacheScope::Public);
        Ok(list)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.operations
            .iter()
            .find(|tool| tool.name == name)
            .cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let key = context.meta.get("io.langop/idempotency-key");
        let call = Call {
            arguments: request.arguments,
            idempotency_key: key.and_then(|key| key.as_str()).map(str::to_owned),
        };
        let called = self.toolbox.call(&request.name, call);
        let result = tokio::select! {
            result = called => result,
            () = context.ct.cancelled() => {
                return Err(ErrorData::new(ErrorCode::INTERNAL_ERROR, "cancelled", None));
            }
        };
        let operation = request.name.as_ref();
        let result: CallToolResult = match result {
            None => {
                let message = Cow::Owned(format!("Unknown tool: {operation}"));
                return Err(ErrorData::new(ErrorCode::INVALID_PARAMS, message, None));
            }
            Some(Ok(output)) => {
                tracing::info!(operation, bytes = output.text.len(), "called");
                output.into()
            }
            Some(Err(error)) => {
                tracing::info!(operation, "called and refused: {error}");
                error.into()
            }
        };
        Ok(CallToolResponse::Complete(result))
    }
}

/// The routes: MCP at `path`, `/livez` and `/readyz`.
pub fn router<T: Toolbox>(toolbox: T, path: &str, end: CancellationToken) -> Router {
    serve_handler(Handler::new(toolbox), path, end)
}

/// As [`router`], for any MCP handler.
pub fn serve_handler<H: ServerHandler + Clone>(
    handler: H,
    path: &str,
    end: CancellationToken,
) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // In a cluster the Host is the Service's name; who may connect is the network policy's
        // business.
        .disable_allowed_hosts()
        .with_allowed_origins(ORIGINS)
        .with_cancellation_token(end);
    let service = StreamableHttpService::new(
        move || Ok(handler.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(async || "ok\n"))
        .route_service(path, service)
}

/// What a tool's program does with its toolbox: serves it over HTTP, or over its standard streams
/// if its one argument is `--stdio`.
///
/// # Errors
/// If an argument or a setting is wrong, or the port cannot be used.
pub async fn run<T: Toolbox>(toolbox: T) -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => {
            let listen = Listen::from_environment()?;
            let end = CancellationToken::new();
            let router = router(toolbox, &listen.path, end.clone());
            Ok(serve_router(router, &listen, end).await?)
        }
        [one] if one == "--stdio" => serve_stdio(toolbox).await,
        _ => Err("the only argument is --stdio; settings are environment variables".into()),
    }
}

/// Serves over the standard streams until the input ends.
async fn serve_stdio<T: Toolbox>(toolbox: T) -> Result<(), Box<dyn std::error::Error>> {
    let input = tokio::fs::File::from_std(io::stdin().as_fd().try_clone_to_owned()?.into());
    let output = tokio::fs::File::from_std(io::stdout().as_fd().try_clone_to_owned()?.into());
    let running = Handler::new(toolbox).serve((input, output)).await?;
    running.waiting().await?;
    Ok(())
}

async fn bind(listen: &Listen) -> io::Result<TcpListener> {
    let host = listen.host.unwrap_or(Ipv6Addr::UNSPECIFIED.into());
    match TcpListener::bind((host, listen.port)).await {
        // The machine may have no addresses of the newer family.
        Err(error) if listen.host.is_none() && error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, listen.port)).await
        }
        bound => bound,
    }
}

/// Serves `router` until a signal, which cancels `end` once no call is in flight any more.
pub async fn serve_router(
    router: Router,
    listen: &Listen,
    end: CancellationToken,
) -> io::Result<()> {
    let listener = bind(listen).await?;
    tracing::info!(address = %listener.local_addr()?, path = listen.path, "serving");
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await?;
    end.cancel();
    Ok(())
}

/// Logs as JSON lines on standard error, by `LANGOP_LOG`: standard output may be the protocol's.
pub fn log() {
    let directives = crate::settings::text("LANGOP_LOG").unwrap_or_else(|| "info".to_owned());
    let filter = tracing_subscriber::EnvFilter::new(directives);
    // A second time is no harm.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(io::stderr)
        .with_env_filter(filter)
        .try_init();
}
