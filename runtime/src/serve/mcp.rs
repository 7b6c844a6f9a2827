//! The agent as a tool of others, where a setting says so: one MCP operation, `ask`, which is a
//! run. Bounded in number, refused where it would come back to itself, and cancelled when its
//! caller goes.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request as HttpRequest,
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorCode,
        Implementation, JsonObject, ListToolsResult, PaginatedRequestParams,
        ProgressNotificationParam, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use serde_json::{Value as Json, json};
use tokio::{
    sync::Semaphore,
    time::{Instant, interval_at},
};

use super::{Callers, MAX_BODY, MAX_RUNS, read};
use crate::{
    deadline::Deadline,
    outcome::Outcome,
    run::{self, Request},
    termination::Report,
};

/// Most agents on the way to this one.
const MAX_PATH: usize = 5;
/// How a request becomes smaller.
const SHORTER: &str = "say less, or where it can be read";
/// How often a caller hears that work goes on.
const PROGRESS: Duration = Duration::from_secs(10);
/// Callers on this machine; others send no Origin.
const ORIGINS: [&str; 3] = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];

#[derive(Clone)]
struct Asked(Callers);

/// The route `/mcp`.
pub fn router(callers: Callers) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts()
        .with_allowed_origins(ORIGINS)
        .with_max_request_body_bytes(MAX_BODY)
        .with_cancellation_token(callers.stopping.clone());
    let places = Arc::clone(&callers.places);
    let service = StreamableHttpService::new(
        move || Ok(Asked(callers.clone())),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let refuse = move |request: HttpRequest, next: Next| {
        refuse_when_full(Arc::clone(&places), request, next)
    };
    Router::new()
        .route_service("/mcp", service)
        .layer(middleware::from_fn(refuse))
}

/// Modern callers name the method in a header, so that they can be told by status.
async fn refuse_when_full(places: Arc<Semaphore>, request: HttpRequest, next: Next) -> Response {
    let calls = request
        .headers()
        .get("mcp-method")
        .is_some_and(|method| method == "tools/call");
    if calls && places.available_permits() == 0 {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    // The library waits for a body for ever.
    let (head, body) = request.into_parts();
    match read(body, SHORTER).await {
        Ok(body) => {
            next.run(HttpRequest::from_parts(head, Body::from(body)))
                .await
        }
        Err(refusal) => refusal.into_response(),
    }
}

impl ServerHandler for Asked {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let name = self.0.agent.environment.name.clone();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(name, env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![self.ask_tool()]))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        (name == "ask").then(|| self.ask_tool())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if request.name != "ask" {
            let message = format!("Unknown tool: {}", request.name);
            return Err(ErrorData::new(ErrorCode::INVALID_PARAMS, message, None));
        }
        let result = match self.ask(request.arguments, &context).await {
            Ok(report) => of_report(&report),
            Err(words) => CallToolResult::error(vec![ContentBlock::text(words)]),
        };
        Ok(CallToolResponse::Complete(result))
    }
}

impl Asked {
    fn ask_tool(&self) -> Tool {
        let definition = &self.0.agent.code.definition;
        let description = definition
            .description
            .clone()
            .unwrap_or_else(|| format!("Asks the agent '{}'.", definition.name));
        let schema = json!({
            "type": "object", "required": ["message"], "additionalProperties": false,
            "properties": {
                "message": {"type": "string", "description": "What the agent should do or answer."},
                "context_id": {"type": "string"},
            },
        });
        let schema = match schema {
            Json::Object(schema) => schema,
            _ => JsonObject::default(),
        };
        Tool::new("ask", description, Arc::new(schema))
            .with_annotations(ToolAnnotations::new().read_only(false).idempotent(false))
    }

    async fn ask(
        &self,
        arguments: Option<JsonObject>,
        context: &RequestContext<RoleServer>,
    ) -> Result<Report, String> {
        let message = arguments
            .as_ref()
            .and_then(|arguments| arguments.get("message")?.as_str())
            .filter(|message| !message.trim().is_empty())
            .ok_or("'message' must be a text that is not empty")?;
        let agent = &self.0.agent;
        let path = path(context.meta.get("io.langop/path"));
        if path.contains(&agent.environment.path_name()) {
            return Err("refused: this agent is already on the way to itself".to_owned());
        }
        if path.len() >= MAX_PATH {
            return Err(format!(
                "refused: more than {MAX_PATH} agents call each other"
            ));
        }
        let Ok(_place) = self.0.places.try_acquire() else {
            return Err(format!(
                "busy: at most {MAX_RUNS} runs at once; ask again later"
            ));
        };
        let deadline = Deadline::of_run(Instant::now(), agent.environment.timeout);
        let traceparent = context.meta.get("traceparent");
        let request = Request {
            message: Some(message.to_owned()),
            path,
            traceparent: traceparent.and_then(Json::as_str).map(str::to_owned),
            is_remembered: false,
            ..Request::new(deadline, self.0.stopping.clone())
        };
        tokio::select! {
            finished = run::run(agent, &request) => Ok(finished.report),
            () = tell_progress(context) => Err("cancelled".to_owned()),
        }
    }
}

/// Tells the caller now and then that work goes on; ends when the caller has gone.
async fn tell_progress(context: &RequestContext<RoleServer>) {
    let token = context.meta.get_progress_token();
    let mut ticks = interval_at(Instant::now() + PROGRESS, PROGRESS);
    let mut count = 0.0;
    loop {
        tokio::select! {
            () = context.ct.cancelled() => return,
            _ = ticks.tick() => {
                count += 1.0;
                if let Some(token) = token.clone() {
                    let progress = ProgressNotificationParam::new(token, count);
                    // A caller that does not listen is found out by its going.
                    let _ = context.peer.notify_progress(progress).await;
                }
            }
        }
    }
}

fn path(said: Option<&Json>) -> Vec<String> {
    let names = said
        .and_then(Json::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    names
        .iter()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

fn of_report(report: &Report) -> CallToolResult {
    let summary = if report.outcome == Outcome::Succeeded {
        report.message.clone()
    } else {
        report.line()
    };
    let structured = json!({
        "outcome": report.outcome.as_str(), "summary": summary, "tokens": report.tokens,
    });
    let mut result = if report.outcome == Outcome::Succeeded {
        CallToolResult::success(vec![ContentBlock::text(summary)])
    } else {
        CallToolResult::error(vec![ContentBlock::text(summary)])
    };
    result.structured_content = Some(structured);
    result
}
