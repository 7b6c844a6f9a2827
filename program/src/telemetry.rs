//! Traces over OTLP where the standard `OTEL_*` variables name a receiver: gRPC or HTTP, in the
//! clear or by TLS with the authorities of the system or of a file. Whatever is wrong with them is
//! a warning: no program of ours stops for want of traces.
//!
//! The HTTP client is hyper and not reqwest, because the operator's closure must hold nothing that
//! could reach an LLM.

use std::{env, fmt, fs, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
    WithTonicConfig as _,
};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
};
use tokio::{runtime::Handle, time::timeout};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Longest time to send one batch over HTTP; over gRPC the library has its own.
const SENDING: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const ANSWER: usize = 64 * 1024;

/// Traces that are sent, or not. Sends the last spans when dropped.
#[must_use = "dropping it ends the traces"]
#[derive(Debug)]
pub struct Traces {
    provider: Option<SdkTracerProvider>,
    problem: Option<Problem>,
}

/// Why there are no traces although a receiver is named.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("the protocol '{0}' is not spoken; write grpc or http/protobuf")]
    Protocol(String),
    #[error("cannot read {file}, which {variable} names: {source}")]
    File {
        variable: String,
        file: String,
        source: io::Error,
    },
    #[error("{0} names no PEM file of that kind: {1}")]
    Pem(String, pem::Error),
    #[error("{CERTIFICATE} and the system hold no authority that can be used")]
    NoAuthority,
    #[error("{CLIENT_CERTIFICATE} and {CLIENT_KEY} go together; set both or none")]
    Half,
    #[error("the certificates cannot be used: {0}")]
    Tls(rustls::Error),
    #[error("{0}")]
    Exporter(#[from] ExporterBuildError),
}

const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const CLIENT_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
const CLIENT_KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";

impl Traces {
    /// Traces of `service` by the variables of the environment; off where they name no receiver or
    /// say so. Must be called within the runtime, in which the exporter sends.
    pub fn from_environment(service: &'static str) -> Self {
        let made = is_wanted().then(|| provider(service));
        let (provider, problem) = match made {
            None => (None, None),
            Some(Ok(provider)) => (Some(provider), None),
            Some(Err(problem)) => (None, Some(problem)),
        };
        Self { provider, problem }
    }

    /// Where spans go, if they go anywhere.
    pub fn provider(&self) -> Option<&SdkTracerProvider> {
        self.provider.as_ref()
    }

    /// Logs what keeps traces from being sent. Apart, because logs are set up after the traces that
    /// are a part of them.
    pub fn warn(&self) {
        if let Some(problem) = &self.problem {
            tracing::warn!(
                "no traces are sent; check the OTEL_EXPORTER_OTLP_* variables: {problem}"
            );
        }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.provider.take().map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last spans may be lost");
        }
    }
}

/// A variable that is set to something, the one of traces before the one of all signals; and its
/// name.
fn variable(general: &str) -> Option<(String, String)> {
    let traces = general.replace("_OTLP_", "_OTLP_TRACES_");
    [traces, general.to_owned()].into_iter().find_map(|name| {
        let value = env::var(&name).ok()?.trim().to_owned();
        (!value.is_empty()).then_some((name, value))
    })
}

/// Without a receiver the exporter would only log that there is none.
fn is_wanted() -> bool {
    let is = |name: &str, value: &str| {
        env::var(name).is_ok_and(|found| found.trim().eq_ignore_ascii_case(value))
    };
    variable("OTEL_EXPORTER_OTLP_ENDPOINT").is_some()
        && !is("OTEL_SDK_DISABLED", "true")
        && !is("OTEL_TRACES_EXPORTER", "none")
}

fn provider(service: &'static str) -> Result<SdkTracerProvider, Problem> {
    let protocol = variable("OTEL_EXPORTER_OTLP_PROTOCOL").map(|(_, value)| value);
    let exporter = match protocol.as_deref() {
        // What these programs spoke before they looked at the variable.
        None | Some("grpc") => grpc()?,
        Some("http/protobuf") => over_http()?,
        Some(other) => return Err(Problem::Protocol(other.to_owned())),
    };
    let mut resource = Resource::builder();
    if env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(service);
    }
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}

fn grpc() -> Result<SpanExporter, Problem> {
    let exporter = SpanExporter::builder().with_tonic();
    if !is_secure() {
        return Ok(exporter.build()?);
    }
    let files = Files::read()?;
    let tls = match files.authority {
        Some((_, pem)) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    let tls = match files.identity {
        Some([(_, certificate), (_, key)]) => tls.identity(Identity::from_pem(certificate, key)),
        None => tls,
    };
    Ok(exporter.with_tls_config(tls).build()?)
}

fn over_http() -> Result<SpanExporter, Problem> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(Files::read()?.config()?)
        .https_or_http()
        .enable_http1()
        .build();
    let client = Sender {
        client: Client::builder(TokioExecutor::new()).build(connector),
        runtime: Handle::current(),
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(client);
    Ok(exporter.build()?)
}

/// A file, and the variable that names it.
type File = (String, Vec<u8>);

/// The files of TLS that are named.
struct Files {
    authority: Option<File>,
    /// Certificate and key.
    identity: Option<[File; 2]>,
}

impl Files {
    fn read() -> Result<Self, Problem> {
        let read = |name| match variable(name) {
            None => Ok(None),
            Some((variable, file)) => match fs::read(&file) {
                Ok(bytes) => Ok(Some((variable, bytes))),
                Err(source) => Err(Problem::File {
                    variable,
                    file,
                    source,
                }),
            },
        };
        let identity = match (read(CLIENT_CERTIFICATE)?, read(CLIENT_KEY)?) {
            (Some(certificate), Some(key)) => Some([certificate, key]),
            (None, None) => None,
            _ => return Err(Problem::Half),
        };
        Ok(Self {
            authority: read(CERTIFICATE)?,
            identity,
        })
    }

    fn config(&self) -> Result<ClientConfig, Problem> {
        let provider = CryptoProvider::get_default()
            .cloned()
            .unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Problem::Tls)?
            .with_root_certificates(self.roots()?);
        let Some([certificate, (variable, key)]) = &self.identity else {
            return Ok(config.with_no_client_auth());
        };
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| Problem::Pem(variable.clone(), error))?;
        config
            .with_client_auth_cert(certificates(certificate)?, key)
            .map_err(Problem::Tls)
    }

    fn roots(&self) -> Result<RootCertStore, Problem> {
        let found = match &self.authority {
            Some(file) => certificates(file)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        // A system may hold some that are of no use; one file should hold none.
        roots.add_parsable_certificates(found);
        if roots.is_empty() && is_secure() {
            return Err(Problem::NoAuthority);
        }
        Ok(roots)
    }
}

fn is_secure() -> bool {
    variable("OTEL_EXPORTER_OTLP_ENDPOINT")
        .is_some_and(|(_, endpoint)| endpoint.to_ascii_lowercase().starts_with("https://"))
}

fn certificates((variable, pem): &File) -> Result<Vec<CertificateDer<'static>>, Problem> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Problem::Pem(variable.clone(), error))
}

/// Sends over HTTP/1.1, on the program's runtime: the exporter has a thread of its own, without
/// one. Follows no redirect.
struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = async move {
            let response = client.request(request.map(Full::new)).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
            Ok(Response::from_parts(parts, body))
        };
        // Within the runtime, whose clock it needs.
        let in_time = async { timeout(SENDING, sent).await };
        self.runtime.spawn(in_time).await??
    }
}
