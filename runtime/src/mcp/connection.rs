//! Negotiates with a server: 2026-07-28 first, then the handshake of 2025-11-25. No capability is
//! declared, so that no conforming server can ask this client for anything.

use std::{sync::Arc, time::Duration};

use reqwest::Url;
use rmcp::{
    ClientHandler, RoleClient,
    model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion},
    service::{
        ClientInitializeError, ClientLifecycleMode, Peer, RunningService,
        serve_client_with_lifecycle,
    },
    transport::{
        StreamableHttpClientTransport, common::client_side_sse::ExponentialBackoff,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};

use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{failure::Trouble, session::SessionClient};

/// A server that we can call.
#[derive(Debug)]
pub struct Connection {
    service: RunningService<RoleClient, Caller>,
    /// What servers are told in passing, and must be told before the process ends.
    notices: TaskTracker,
}

impl Connection {
    /// By which requests are sent.
    pub fn peer(&self) -> &Peer<RoleClient> {
        self.service.peer()
    }

    /// Where a notice to the server is sent.
    pub(super) fn notices(&self) -> &TaskTracker {
        &self.notices
    }

    /// The version that both speak.
    pub fn version(&self) -> ProtocolVersion {
        self.service
            .peer_info()
            .map_or(ProtocolVersion::LATEST_WITH_INITIALIZE, |info| {
                info.protocol_version.clone()
            })
    }

    /// Whether nothing can be sent over it any more.
    pub fn is_closed(&self) -> bool {
        self.service.is_closed() || self.service.is_transport_closed()
    }
}

/// What servers learn of us.
#[derive(Debug, Clone)]
pub(super) struct Caller;

impl ClientHandler for Caller {
    fn get_info(&self) -> ClientConfig {
        let implementation = Implementation::new("langop-agent", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), implementation)
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }
}

/// Connects to the server at `url`, in whichever era it speaks. In a task of its own: the tasks of
/// a connection belong to the span in which they begin, and it would be open as long as the
/// connection.
pub(super) async fn connect(
    http: &SessionClient,
    url: &Url,
    notices: &TaskTracker,
) -> Result<Connection, Trouble> {
    let (http, url) = (http.clone(), url.clone());
    let task = tokio::spawn(async move { negotiate(&http, &url).await });
    let negotiated = AbortOnDropHandle::new(task).await;
    let service =
        negotiated.unwrap_or_else(|_| Err(Trouble::NotSent("negotiating broke off".to_owned())))?;
    Ok(Connection {
        service,
        notices: notices.clone(),
    })
}

async fn negotiate(
    http: &SessionClient,
    url: &Url,
) -> Result<RunningService<RoleClient, Caller>, Trouble> {
    let auto = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
    };
    let service = match serve(http, url, auto).await {
        Err(error) if names_the_legacy_era(&error) => {
            serve(http, url, ClientLifecycleMode::Initialize).await
        }
        other => other,
    };
    service.map_err(|error| {
        tracing::debug!(%error, "negotiating failed");
        Trouble::of_start(&error)
    })
}

/// Whether discovery was answered, and yet by a server that wants a handshake: it names no version
/// without one, or answers a method that it does not know with a result all the same.
fn names_the_legacy_era(error: &ClientInitializeError) -> bool {
    match error {
        ClientInitializeError::NoCompatibleProtocolVersion {
            server_supported, ..
        } => server_supported.iter().any(ProtocolVersion::has_initialize),
        ClientInitializeError::ExpectedInitResult(result) => result.is_some(),
        _ => false,
    }
}

async fn serve(
    http: &SessionClient,
    url: &Url,
    lifecycle: ClientLifecycleMode,
) -> Result<RunningService<RoleClient, Caller>, ClientInitializeError> {
    let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
    let mut backoff = ExponentialBackoff::default();
    backoff.max_times = Some(3);
    backoff.base_duration = Duration::from_millis(500);
    backoff.max_delay = Some(Duration::from_secs(5));
    config.retry_config = Arc::new(backoff);
    let transport = StreamableHttpClientTransport::with_client(http.clone(), config);
    serve_client_with_lifecycle(Caller, transport, lifecycle).await
}
