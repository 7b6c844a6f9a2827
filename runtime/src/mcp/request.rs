//! One request over a connection: what it says of itself, how long it may take, and that the server
//! is told when nobody waits any more.

use std::time::Duration;

use rmcp::{
    RoleClient,
    model::{
        CancelledNotificationParam, ClientRequest, RequestId, RequestMetaObject, ServerResult,
    },
    service::{Peer, PeerRequestOptions},
};
use tokio_util::task::TaskTracker;

use super::{connection::Connection, failure::Trouble};
use crate::{deadline::Deadline, trace};

/// Longest time without progress.
const CALL: Duration = Duration::from_mins(2);
/// Longest time in all.
const CALL_IN_ALL: Duration = Duration::from_mins(10);

/// What a call says of itself in `_meta`.
#[derive(Debug, Clone)]
pub struct CallIdentity<'a> {
    /// The run.
    pub run: &'a str,
    /// Equal on repeats.
    pub key: String,
    /// Agents through which this run was called, this one last.
    pub path: &'a [String],
    /// Where there is no span of our own.
    pub traceparent: Option<&'a str>,
}

pub(super) fn meta(identity: &CallIdentity<'_>) -> RequestMetaObject {
    let mut meta = RequestMetaObject::new();
    meta.insert("io.langop/run".to_owned(), identity.run.into());
    meta.insert(
        "io.langop/idempotency-key".to_owned(),
        identity.key.clone().into(),
    );
    if !identity.path.is_empty() {
        meta.insert("io.langop/path".to_owned(), identity.path.to_vec().into());
    }
    let traceparent = trace::current_traceparent();
    if let Some(traceparent) = traceparent.as_deref().or(identity.traceparent) {
        meta.insert("traceparent".to_owned(), traceparent.into());
    }
    meta
}

pub(super) async fn send(
    connection: &Connection,
    request: ClientRequest,
    meta: RequestMetaObject,
    deadline: Deadline,
) -> Result<ServerResult, Trouble> {
    let options = PeerRequestOptions::with_timeout(deadline.left(CALL))
        .with_meta(meta)
        .reset_timeout_on_progress()
        .with_max_total_timeout(deadline.left(CALL_IN_ALL));
    let handle = connection
        .peer()
        .send_request_with_option(request, options)
        .await
        .map_err(|error| Trouble::of_call(&error))?;
    tracing::Span::current().record("jsonrpc.request.id", handle.id.to_string());
    let guard = CancelOnDrop {
        peer: handle.peer.clone(),
        id: Some(handle.id.clone()),
        notices: connection.notices().clone(),
    };
    let answered = handle.await_response().await;
    guard.disarm();
    answered.map_err(|error| {
        if let rmcp::ServiceError::McpError(error) = &error {
            tracing::Span::current().record("rpc.response.status_code", error.code.0);
        }
        Trouble::of_call(&error)
    })
}

/// Tells the server when nobody waits for the answer any more. In the modern era this closes the
/// stream, which is the cancellation.
struct CancelOnDrop {
    peer: Peer<RoleClient>,
    id: Option<RequestId>,
    notices: TaskTracker,
}

impl CancelOnDrop {
    fn disarm(mut self) {
        self.id = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let peer = self.peer.clone();
        let notice = async move {
            let params = CancelledNotificationParam::new(
                Some(id),
                Some("the run no longer waits for it".to_owned()),
            );
            // Whoever cannot be told has gone.
            let _ = peer.notify_cancelled(params).await;
        };
        self.notices.spawn_on(notice, &runtime);
    }
}
