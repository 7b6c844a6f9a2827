//! Puts the service, health and reflection on listeners, and takes them down in order.

use std::{io, sync::Arc, time::Duration};

use langop_client::watched::LoadError;
use langop_proto::{FILE_DESCRIPTOR_SET, SERVICE_NAME};
use langop_provenance::KeyError;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use crate::{
    access::{Access, FilesError, Incoming},
    admin,
    drain::Drain,
    grpc::SynthesisServer,
    identity::Identity,
    metrics::Metrics,
    origin::Signer,
    pipeline::Synthesizer,
    providers::BuildError,
    rpc::RpcLayer,
    service::Service,
    settings::{Settings, SettingsError},
};

/// Most calls of one connection at a time; more wait.
const CALLS_PER_CONNECTION: u32 = 1024;
/// Longest metadata of a call, in bytes.
const HEADERS: u32 = 16 * 1024;
/// How often a silent client is asked whether it is still there, and how long it may take to say
/// so.
const KEEPALIVE: (Duration, Duration) = (Duration::from_mins(1), Duration::from_secs(20));
/// Added to the time of the work when waiting for it: its own error says more than "too late".
const ANSWER_GRACE: Duration = Duration::from_millis(500);
/// What has a health of its own: the server and its service.
const SERVICES: [&str; 2] = ["", SERVICE_NAME];
/// Added to the longest request when waiting for the last ones at the end.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// Where to serve.
pub struct Listeners {
    /// gRPC.
    pub grpc: TcpListener,
    /// Health and metrics over HTTP.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds what the settings name.
    pub async fn bind(settings: &Settings) -> Result<Self, ServeError> {
        let bind = async |address| {
            TcpListener::bind(address)
                .await
                .map_err(|source| ServeError::Bind { address, source })
        };
        Ok(Self {
            grpc: bind(settings.listen).await?,
            admin: bind(settings.admin_listen).await?,
        })
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The files of TLS or tokens cannot be used.
    #[error(transparent)]
    Access(#[from] FilesError),
    /// The file of the signing key cannot be used.
    #[error("LANGOP_SIGNING_KEY_FILE cannot be used")]
    SigningKey(#[from] LoadError<KeyError>),
    /// The provider cannot be made.
    #[error(transparent)]
    Provider(#[from] BuildError),
    /// An address is taken or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A listener has no address.
    #[error("a listener cannot be used")]
    Listener(#[source] io::Error),
    /// The descriptors are broken, a fault of the build.
    #[error("the reflection service cannot be made")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// gRPC failed.
    #[error("the gRPC server failed")]
    Grpc(#[source] tonic::transport::Error),
    /// HTTP failed.
    #[error("the admin server failed")]
    Admin(#[source] io::Error),
}

/// Serves until `shutdown` is cancelled, then finishes what is under way.
///
/// Health turns to `NOT_SERVING` first, new calls are refused with UNAVAILABLE, and the calls under
/// way get their time.
pub async fn serve(
    settings: Settings,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let address = listeners.grpc.local_addr().map_err(ServeError::Listener)?;
    settings.access.check(address)?;
    let metrics = Arc::new(Metrics::default());
    let access = Arc::new(Access::new(&settings.access).await?);
    // A connection's age asks its client to leave; this ends it when the client does not.
    let longest = settings.max_connection_age + settings.request_timeout + DRAIN_GRACE;
    let incoming = access
        .listen(
            listeners.grpc,
            &settings.access,
            longest,
            Arc::clone(&metrics),
        )
        .await?;
    let signer = Signer::watch(&settings).await?;
    let synthesizer = Synthesizer::new(&settings, signer, Arc::clone(&metrics))?;
    let synthesizer = Arc::new(synthesizer);
    announce(&synthesizer, &listeners.admin, address);
    settings.access.announce(address);
    if settings.exposes_key() {
        tracing::warn!(
            "SYNTHESIS_ALLOW_PLAINTEXT: anyone on the network path to SYNTHESIS_ENDPOINT can read the API key"
        );
    }
    let drained = CancellationToken::new();
    let admin = admin::serve(
        listeners.admin,
        Arc::clone(&metrics),
        shutdown.clone(),
        drained.clone(),
    );
    // Health and metrics stay until the last call is over.
    let grpc = async {
        let rpc = RpcLayer::new(metrics, access);
        let result = serve_grpc(&settings, incoming, synthesizer, rpc, shutdown).await;
        drained.cancel();
        result
    };
    let (grpc, admin) = tokio::join!(grpc, admin);
    grpc?;
    admin.map_err(ServeError::Admin)
}

fn announce(synthesizer: &Synthesizer, admin: &TcpListener, grpc: std::net::SocketAddr) {
    let admin = admin
        .local_addr()
        .map(|address| address.to_string())
        .unwrap_or_default();
    if let Some(Identity { provider, model }) = synthesizer.identity() {
        tracing::info!(%grpc, admin, %provider, model, "serving");
    } else {
        tracing::warn!(%grpc, admin, "serving, but synthesis is disabled: set SYNTHESIS_PROVIDER and SYNTHESIS_MODEL");
    }
}

async fn serve_grpc(
    settings: &Settings,
    incoming: Incoming,
    synthesizer: Arc<Synthesizer>,
    rpc: RpcLayer,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let drain = Drain::default();
    let service = Service::new(
        synthesizer,
        settings.request_timeout + ANSWER_GRACE,
        drain.clone(),
    );
    let health = HealthReporter::new();
    health
        .set_service_status(SERVICE_NAME, ServingStatus::Serving)
        .await;
    let newest = reflection().build_v1().map_err(ServeError::Reflection)?;
    // Tools in wide use ask for this one only.
    let older = reflection()
        .build_v1alpha()
        .map_err(ServeError::Reflection)?;
    let router = server(settings)
        .layer(rpc)
        .add_service(SynthesisServer::new(service))
        .add_service(HealthServer::new(HealthService::from_health_reporter(
            health.clone(),
        )))
        .add_service(newest)
        .add_service(older);
    let stopping = shutdown.clone();
    let server = router.serve_with_incoming_shutdown(incoming, async move {
        stopping.cancelled().await;
        finish(&drain, health).await;
    });
    let longest = settings.request_timeout + DRAIN_GRACE;
    tokio::select! {
        result = server => result.map_err(ServeError::Grpc),
        () = async { shutdown.cancelled().await; tokio::time::sleep(longest).await } => {
            tracing::warn!("calls were still under way at the end");
            Ok(())
        }
    }
}

/// The server, and what a connection may do.
fn server(settings: &Settings) -> Server {
    let (interval, timeout) = KEEPALIVE;
    Server::builder()
        .max_concurrent_streams(CALLS_PER_CONNECTION)
        .http2_max_header_list_size(HEADERS)
        .http2_keepalive_interval(Some(interval))
        .http2_keepalive_timeout(Some(timeout))
        // No max_connection_age_grace: in tonic 0.14 it replaces the graceful end by a later, hard
        // one.
        .max_connection_age(settings.max_connection_age)
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// The end, in order: says `NOT_SERVING`, then refuses new calls, waits for those under way, and
/// ends the watches of health, which would otherwise keep their connections open. Connections are
/// closed after it: until then new calls get an answer.
async fn finish(drain: &Drain, mut health: HealthReporter) {
    for service in SERVICES {
        health
            .set_service_status(service, ServingStatus::NotServing)
            .await;
    }
    drain.begin();
    tracing::info!("stopping: no new calls, waiting for those under way");
    drain.finished().await;
    for service in SERVICES {
        health.clear_service_status(service).await;
    }
}
