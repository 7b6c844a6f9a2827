//! Serves a stdio MCP server over HTTP: it is the one client of that server, and any number of
//! clients are its. Whatever era the two sides speak, rmcp translates. [`child`] keeps the server
//! alive; here its operations are passed on.

pub mod child;

use std::{borrow::Cow, sync::Arc, time::Duration};

use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceError,
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResponse, CallToolResult,
        CancelledNotificationParam, ClientRequest, ErrorCode, Implementation, ListToolsRequest,
        ListToolsResult, PaginatedRequestParams, ResultType, ServerCapabilities, ServerConfig,
        ServerResult,
    },
    service::{PeerRequestOptions, RequestContext, RoleClient},
};

use child::Child;

/// Longest time of a request without progress. Callers have bounds of their own.
const IDLE: Duration = Duration::from_mins(10);

/// The stdio server, as a server of HTTP.
#[derive(Clone)]
pub struct Adapter {
    child: Arc<Child>,
}

impl Adapter {
    /// In front of `child`.
    pub fn new(child: Arc<Child>) -> Self {
        Self { child }
    }

    /// Sends a request to the server, and tells it when the caller has gone.
    async fn pass(
        &self,
        request: ClientRequest,
        context: &RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        let peer = self
            .child
            .peer()
            .await
            .map_err(|problem| unavailable(&problem))?;
        let options = PeerRequestOptions::with_timeout(IDLE).reset_timeout_on_progress();
        let handle = peer
            .send_request_with_option(request, options)
            .await
            .map_err(translate)?;
        let (id, token) = (handle.id.clone(), handle.progress_token.clone());
        if let Some(asked) = context.meta.get_progress_token() {
            self.child.relay(token.clone(), asked, context.peer.clone());
        }
        let answered = tokio::select! {
            answered = handle.await_response() => answered.map_err(translate),
            () = context.ct.cancelled() => {
                cancel(&peer, id).await;
                Err(ErrorData::new(ErrorCode::INTERNAL_ERROR, "cancelled", None))
            }
        };
        self.child.end_relay(&token);
        answered
    }
}

async fn cancel(peer: &rmcp::Peer<RoleClient>, id: rmcp::model::RequestId) {
    let reason = Some("the caller has gone".to_owned());
    // A server that cannot be told has gone too.
    let _ = peer
        .notify_cancelled(CancelledNotificationParam::new(Some(id), reason))
        .await;
}

fn unavailable(problem: &child::ChildError) -> ErrorData {
    ErrorData::new(ErrorCode::INTERNAL_ERROR, problem.to_string(), None)
}

/// An error of the server is passed on as it is.
fn translate(error: ServiceError) -> ErrorData {
    match error {
        ServiceError::McpError(error) => error,
        ServiceError::Timeout { .. } => internal("the server does not answer"),
        _ => internal("the server ended while it was being asked"),
    }
}

fn internal(message: &'static str) -> ErrorData {
    ErrorData::new(ErrorCode::INTERNAL_ERROR, Cow::Borrowed(message), None)
}

impl ServerHandler for Adapter {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new(
            "langop-tool",
            env!("CARGO_PKG_VERSION"),
        ))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let list = ListToolsRequest::with_param(request.unwrap_or_default());
        let request = ClientRequest::ListToolsRequest(list);
        match self.pass(request, &context).await? {
            ServerResult::ListToolsResult(mut list) => {
                list.result_type = Some(ResultType::COMPLETE);
                Ok(list)
            }
            _ => Err(internal("the server's answer is no list of tools")),
        }
    }

    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let mut meta = rmcp::model::RequestMetaObject::new();
        for (key, value) in context.meta.iter() {
            // The protocol's own keys are of the other connection.
            if !key.starts_with("io.modelcontextprotocol/") && key != "progressToken" {
                meta.insert(key.clone(), value.clone());
            }
        }
        request.meta = Some(meta);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(request));
        match self.pass(request, &context).await? {
            ServerResult::CallToolResult(mut result) => {
                result.result_type = Some(ResultType::COMPLETE);
                Ok(CallToolResponse::Complete(result))
            }
            ServerResult::EmptyResult(_) => {
                Ok(CallToolResponse::Complete(CallToolResult::success(vec![])))
            }
            ServerResult::InputRequiredResult(wanted) => {
                Ok(CallToolResponse::InputRequired(wanted))
            }
            ServerResult::CreateTaskResult(task) => Ok(CallToolResponse::Task(task)),
            _ => Err(internal("the server's answer is no result of a tool")),
        }
    }
}
