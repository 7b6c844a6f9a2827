//! The HTTP client under MCP, with one correction. A legacy server that lost our session should
//! answer 404, and then rmcp initialises anew; servers of the TypeScript SDK answer 400 and an
//! error of the code -32000 or -32600. Such an answer may also come from a tool, so the session is
//! tried by a ping: only if that is refused too is the session called expired, and nothing was done
//! twice.

use std::{collections::HashMap, sync::Arc};

use futures::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use rmcp::{
    model::{
        ClientJsonRpcMessage, ClientRequest, ErrorCode, JsonRpcMessage, PingRequest, RequestId,
        ServerJsonRpcMessage,
    },
    transport::streamable_http_client::{
        SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
        StreamableHttpResponseLimits,
    },
};

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct SessionClient(pub(super) reqwest::Client);

type Headers = HashMap<HeaderName, HeaderValue>;
type Posted = Result<StreamableHttpPostResponse, StreamableHttpError<reqwest::Error>>;
type Events = BoxStream<'static, Result<sse_stream::Sse, SseError>>;

impl SessionClient {
    /// Whether the server knows the session no more.
    async fn is_lost(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> bool {
        let ping = ClientRequest::PingRequest(PingRequest::default());
        let id = RequestId::String("langop-session-check".into());
        let message = ClientJsonRpcMessage::request(ping, id);
        let posted = self
            .0
            .post_message_with_response_limits(uri, message, Some(session), auth, headers, limits)
            .await;
        match posted {
            Ok(StreamableHttpPostResponse::Json(JsonRpcMessage::Error(error), _)) => {
                is_session_complaint(error.error.code)
            }
            Err(StreamableHttpError::SessionExpired) => true,
            _ => false,
        }
    }
}

fn is_session_complaint(code: ErrorCode) -> bool {
    matches!(code.0, -32000 | -32600)
}

/// The answer is to this message, whatever id it carries: there is one POST for each.
fn correlate(posted: StreamableHttpPostResponse, id: &RequestId) -> StreamableHttpPostResponse {
    match posted {
        StreamableHttpPostResponse::Json(JsonRpcMessage::Error(mut error), session) => {
            error.id = Some(id.clone());
            StreamableHttpPostResponse::Json(JsonRpcMessage::Error(error), session)
        }
        other => other,
    }
}

fn complaint(posted: &Posted) -> bool {
    matches!(
        posted,
        Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(error), _))
            if is_session_complaint(error.error.code)
    )
}

impl StreamableHttpClient for SessionClient {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
    ) -> Posted {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session, auth, headers, limits)
            .await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Posted {
        let id = match &message {
            ClientJsonRpcMessage::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        let posted = self
            .0
            .post_message_with_response_limits(
                Arc::clone(&uri),
                message,
                session.clone(),
                auth.clone(),
                headers.clone(),
                limits,
            )
            .await;
        let Some(id) = id else { return posted };
        if let Some(session) = session
            && complaint(&posted)
            && self.is_lost(uri, session, auth, headers, limits).await
        {
            return Err(StreamableHttpError::SessionExpired);
        }
        posted.map(|posted| correlate(posted, &id))
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<(), StreamableHttpError<Self::Error>> {
        self.0.delete_session(uri, session, auth, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<Events, StreamableHttpError<Self::Error>> {
        self.0
            .get_stream(uri, session, last_event_id, auth, headers)
            .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth: Option<String>,
        headers: Headers,
        size: usize,
    ) -> Result<Events, StreamableHttpError<Self::Error>> {
        self.0
            .get_stream_with_max_sse_event_size(uri, session, last_event_id, auth, headers, size)
            .await
    }
}
