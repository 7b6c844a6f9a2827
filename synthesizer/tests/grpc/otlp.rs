//! An OTLP collector over gRPC or HTTP, in the clear or by TLS, that keeps the spans it gets, and
//! writes traces down for people to read.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, http::HeaderMap, routing::post};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, status::StatusCode},
};
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
    server::TlsStream,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig},
};

use crate::pki::Authority;

/// Spans so far, and the attributes of the resources they came from.
#[derive(Clone, Default)]
pub(crate) struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    resources: Arc<Mutex<Vec<KeyValue>>>,
    /// What the header `x-team` said.
    teams: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let team = request.metadata().get("x-team");
        self.note(team.and_then(|team| team.to_str().ok()));
        self.keep(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// TLS as a server of HTTP does it.
fn acceptor(authority: &Authority) -> TlsAcceptor {
    let (certificate, key) = authority.pair("localhost");
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Connections of HTTP over TLS.
struct Secure(TcpListener, TlsAcceptor);

impl axum::serve::Listener for Secure {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.0.accept().await.unwrap();
            // Who trusts nobody breaks off.
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Collector {
    fn note(&self, team: Option<&str>) {
        self.teams.lock().unwrap().extend(team.map(str::to_owned));
    }

    fn keep(&self, request: ExportTraceServiceRequest) {
        for resource in request.resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            self.resources.lock().unwrap().extend(attributes);
            let spans = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            self.spans.lock().unwrap().extend(spans);
        }
    }

    /// A collector over gRPC with TLS, and its address.
    pub(crate) async fn start_grpc_tls(authority: &Authority) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let (certificate, key) = authority.pair("localhost");
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        let collector = Self::default();
        let server = Server::builder()
            .tls_config(tls)
            .unwrap()
            .add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, url)
    }

    /// A collector over HTTP, with TLS if there is an authority, and its address.
    pub(crate) async fn start_http(authority: Option<&Authority>) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let collector = Self::default();
        let own = collector.clone();
        let receive = async move |headers: HeaderMap, body: Bytes| {
            own.note(headers.get("x-team").and_then(|team| team.to_str().ok()));
            own.keep(ExportTraceServiceRequest::decode(body).unwrap());
            // An empty message says that all was kept.
            (
                [("content-type", "application/x-protobuf")],
                Vec::<u8>::new(),
            )
        };
        let router = Router::new().route("/v1/traces", post(receive));
        let scheme = match authority {
            None => {
                tokio::spawn(async { axum::serve(listener, router).await });
                "http"
            }
            Some(authority) => {
                let secure = Secure(listener, acceptor(authority));
                tokio::spawn(async { axum::serve(secure, router).await });
                "https"
            }
        };
        (collector, format!("{scheme}://localhost:{port}"))
    }

    /// What the header `x-team` said.
    pub(crate) fn teams(&self) -> Vec<String> {
        self.teams.lock().unwrap().clone()
    }

    /// A collector, and its address.
    pub(crate) async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self::default();
        let server = Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, url)
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// Whether any resource says `name` is `value`.
    pub(crate) fn has_resource(&self, name: &str, value: &str) -> bool {
        let resources = self.resources.lock().unwrap();
        resources
            .iter()
            .any(|attribute| attribute.key == name && show(attribute.value.as_ref()) == value)
    }
}

/// An attribute; empty if there is none.
pub(crate) fn attribute(span: &Span, name: &str) -> String {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == name);
    found
        .map(|found| show(found.value.as_ref()))
        .unwrap_or_default()
}

fn show(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::ArrayValue(array)) => {
            let items: Vec<String> = array.values.iter().map(|item| show(Some(item))).collect();
            format!("[{}]", items.join(", "))
        }
        other => format!("{other:?}"),
    }
}

/// The spans of `trace` as a tree in the order of their start: name, kind, status and links, and
/// their attributes below them. What differs from run to run is masked, what the library adds to
/// each span is left out.
pub(crate) fn tree(spans: &[Span], trace: u128, parent: u64) -> String {
    let spans: Vec<&Span> = spans
        .iter()
        .filter(|span| span.trace_id == trace.to_be_bytes())
        .collect();
    let (mut text, mut count) = (String::new(), 0);
    branch(&spans, &parent.to_be_bytes(), 0, &mut text, &mut count);
    assert_eq!(count, spans.len(), "each hangs on another: {spans:#?}");
    text
}

fn branch(spans: &[&Span], parent: &[u8], depth: usize, text: &mut String, count: &mut usize) {
    let children = spans.iter().filter(|span| span.parent_span_id == parent);
    let mut children: Vec<&Span> = children.copied().collect();
    children.sort_by_key(|span| span.start_time_unix_nano);
    for span in children {
        *count += 1;
        describe(span, depth, text);
        branch(spans, &span.span_id, depth + 1, text, count);
    }
}

fn describe(span: &Span, depth: usize, text: &mut String) {
    let indent = "    ".repeat(depth);
    let kind = span.kind().as_str_name().trim_start_matches("SPAN_KIND_");
    let _ = write!(text, "{indent}{} ({kind}", span.name);
    if span
        .status
        .as_ref()
        .is_some_and(|status| status.code() == StatusCode::Error)
    {
        text.push_str(", ERROR");
    }
    for link in &span.links {
        let trace: [u8; 16] = link.trace_id.as_slice().try_into().unwrap();
        let _ = write!(
            text,
            ", linked to trace {:x}",
            u128::from_be_bytes(trace) & 0xff
        );
    }
    text.push_str(")\n");
    let mut attributes: Vec<String> = span
        .attributes
        .iter()
        .filter(|attribute| !is_of_the_library(&attribute.key))
        .map(|attribute| format!("{} = {}", attribute.key, masked(attribute)))
        .collect();
    attributes.sort();
    for attribute in attributes {
        let _ = writeln!(text, "{indent}  - {attribute}");
    }
}

fn is_of_the_library(key: &str) -> bool {
    key.starts_with("code.")
        || key.starts_with("thread.")
        || matches!(key, "busy_ns" | "idle_ns" | "target")
}

fn masked(attribute: &KeyValue) -> String {
    let value = show(attribute.value.as_ref());
    let is_hex = value.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (attribute.key.as_str(), value.len()) {
        ("server.port", _) => "(port)".to_owned(),
        (_, 64 | 12) if is_hex => "(hash)".to_owned(),
        _ => value,
    }
}
