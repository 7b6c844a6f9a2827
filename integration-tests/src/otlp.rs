//! An OTLP trace receiver (gRPC, mostly on loopback) that keeps what it gets, for assertions and
//! for the demo.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, codec::CompressionEncoding};

use crate::wait;

/// Attributes by name; values as text, arrays and maps in Rust's debug form.
pub type Attributes = BTreeMap<String, String>;

/// A finished span. Ids are lower-case hex, empty for none.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// `service.name` of the program that made it.
    pub service: String,
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits.
    pub span_id: String,
    /// Of the same trace; empty for a root.
    pub parent_id: String,
    /// Its name.
    pub name: String,
    /// `Internal`, `Server`, `Client`, …
    pub kind: String,
    /// Start in nanoseconds since 1970.
    pub start: u64,
    /// How long it took.
    pub duration: Duration,
    /// Its attributes.
    pub attributes: Attributes,
    /// Links to other spans, as (trace id, span id).
    pub links: Vec<(String, String)>,
    /// Names and attributes of its events.
    pub events: Vec<(String, Attributes)>,
    /// `Unset`, `Ok` or `Error`.
    pub status: String,
}

impl Span {
    /// An attribute's value, or the empty string.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// A span and what it caused.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The span.
    pub span: Span,
    /// By start.
    pub children: Vec<Self>,
}

impl Tree {
    /// The span of that name in this tree that comes first, depth first.
    pub fn find(&self, name: &str) -> Option<&Self> {
        if self.span.name == name {
            return Some(self);
        }
        self.children.iter().find_map(|child| child.find(name))
    }

    fn write_into(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let Span {
            name,
            service,
            duration,
            status,
            ..
        } = &self.span;
        let mark = if status == "Error" { " (error)" } else { "" };
        writeln!(
            f,
            "{:indent$}{name}  [{service}] {duration:.1?}{mark}",
            "",
            indent = depth * 2
        )?;
        self.children
            .iter()
            .try_for_each(|child| child.write_into(f, depth + 1))
    }
}

/// One line a span, indented by depth: name, service, duration.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_into(f, 0)
    }
}

/// The spans of one trace as trees; more than one if a parent did not arrive.
pub fn trees(spans: &[Span], trace_id: &str) -> Vec<Tree> {
    let of_trace: Vec<&Span> = spans
        .iter()
        .filter(|span| span.trace_id == trace_id)
        .collect();
    let known = |id: &str| of_trace.iter().any(|span| span.span_id == id);
    let mut roots: Vec<_> = of_trace
        .iter()
        .filter(|span| !known(&span.parent_id))
        .map(|span| grow(span, &of_trace))
        .collect();
    roots.sort_by_key(|tree| tree.span.start);
    roots
}

fn grow(span: &Span, all: &[&Span]) -> Tree {
    let own = all
        .iter()
        .filter(|child| child.parent_id == span.span_id && child.span_id != span.span_id);
    let mut children: Vec<_> = own.map(|child| grow(child, all)).collect();
    children.sort_by_key(|tree| tree.span.start);
    Tree {
        span: span.clone(),
        children,
    }
}

type Received = Arc<Mutex<Vec<Span>>>;

/// The receiver. It ends when this value is dropped.
pub struct OtlpReceiver {
    received: Received,
    endpoint: String,
    server: JoinHandle<()>,
}

impl OtlpReceiver {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start() -> Result<Self> {
        Self::start_at("127.0.0.1").await
    }

    /// Starts it on a free port of an address of this machine.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start_at(address: &str) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind((address, 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let received = Received::default();
        // OTLP asks every server to take gzip, which a collector sends unless it is told not to.
        let service = TraceServiceServer::new(Collector(Arc::clone(&received)))
            .accept_compressed(CompressionEncoding::Gzip);
        let server = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move {
            // It ends by being aborted only.
            let _ = server.await;
        });
        Ok(Self {
            received,
            endpoint,
            server,
        })
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// All spans so far, in order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// All traces so far, oldest first; see [`trees`].
    pub fn trees(&self) -> Vec<Tree> {
        let spans = self.spans();
        let ids: BTreeSet<&str> = spans.iter().map(|span| span.trace_id.as_str()).collect();
        let mut all: Vec<_> = ids.into_iter().flat_map(|id| trees(&spans, id)).collect();
        all.sort_by_key(|tree| tree.span.start);
        all
    }

    /// Waits until `find` finds what it looks for among all spans so far.
    ///
    /// # Errors
    /// After `within`, with the names of the spans that did arrive.
    pub async fn wait_for<T>(
        &self,
        what: &str,
        within: Duration,
        find: impl Fn(&[Span]) -> Option<T>,
    ) -> Result<T> {
        wait::until(what, within, async || {
            let spans = self.spans();
            find(&spans).ok_or_else(|| {
                spans
                    .iter()
                    .map(|span| span.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            })
        })
        .await
    }
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Collector(Received);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for group in request.into_inner().resource_spans {
            let service = service_name(group.resource);
            let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
            received.extend(spans.map(|span| convert(span, &service)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn service_name(resource: Option<Resource>) -> String {
    attributes(resource.unwrap_or_default().attributes)
        .remove("service.name")
        .unwrap_or_default()
}

fn convert(span: v1::Span, service: &str) -> Span {
    Span {
        service: service.to_owned(),
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: hex(&span.parent_span_id),
        kind: format!("{:?}", span.kind()),
        status: format!(
            "{:?}",
            span.status
                .as_ref()
                .map(v1::Status::code)
                .unwrap_or_default()
        ),
        name: span.name,
        start: span.start_time_unix_nano,
        duration: Duration::from_nanos(
            span.end_time_unix_nano
                .saturating_sub(span.start_time_unix_nano),
        ),
        attributes: attributes(span.attributes),
        links: span
            .links
            .iter()
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
        events: span
            .events
            .into_iter()
            .map(|event| (event.name, attributes(event.attributes)))
            .collect(),
    }
}

fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    pairs
        .into_iter()
        .map(|pair| (pair.key, text(pair.value)))
        .collect()
}

fn text(value: Option<AnyValue>) -> String {
    use any_value::Value;
    match value.and_then(|value| value.value) {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(other) => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
    use tonic::transport::Channel;

    use super::*;

    fn span(id: u8, parent: u8, name: &str) -> v1::Span {
        let id_of = |id: u8| if id == 0 { Vec::new() } else { vec![id; 8] };
        v1::Span {
            trace_id: vec![0xab; 16],
            span_id: id_of(id),
            parent_span_id: id_of(parent),
            name: name.to_owned(),
            start_time_unix_nano: u64::from(id),
            kind: v1::span::SpanKind::Client.into(),
            attributes: vec![KeyValue {
                key: "n".to_owned(),
                value: Some(AnyValue {
                    value: Some(any_value::Value::IntValue(id.into())),
                }),
                ..KeyValue::default()
            }],
            ..v1::Span::default()
        }
    }

    fn request(spans: Vec<v1::Span>) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans,
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        }
    }

    async fn client(receiver: &OtlpReceiver) -> TraceServiceClient<Channel> {
        let endpoint = receiver.endpoint().to_owned();
        TraceServiceClient::connect(endpoint).await.unwrap()
    }

    #[tokio::test]
    async fn a_compressed_trace_is_received_too() {
        let receiver = OtlpReceiver::start().await.unwrap();
        let client = client(&receiver).await;
        let mut client = client.send_compressed(CompressionEncoding::Gzip);
        client
            .export(request(vec![span(1, 0, "root")]))
            .await
            .unwrap();
        assert_eq!(receiver.spans()[0].name, "root");
    }

    #[tokio::test]
    async fn a_trace_is_received_and_becomes_a_tree() {
        let receiver = OtlpReceiver::start().await.unwrap();
        let spans = vec![
            span(3, 1, "second"),
            span(2, 1, "first"),
            span(1, 0, "root"),
            span(4, 9, "orphan"),
        ];
        let mut client = client(&receiver).await;
        client.export(request(spans)).await.unwrap();

        let all = receiver.wait_for("four spans", Duration::from_secs(5), |spans| {
            (spans.len() == 4).then(|| spans.to_vec())
        });
        let trees = trees(&all.await.unwrap(), &"ab".repeat(16));
        let names: Vec<_> = trees.iter().map(|tree| tree.span.name.as_str()).collect();
        assert_eq!(names, ["root", "orphan"]);
        let children: Vec<_> = trees[0]
            .children
            .iter()
            .map(|tree| tree.span.name.as_str())
            .collect();
        assert_eq!(children, ["first", "second"]);
        let first = &trees[0].find("first").unwrap().span;
        assert_eq!((first.kind.as_str(), first.attribute("n")), ("Client", "2"));
        assert!(trees[0].to_string().contains("\n  second"));
    }
}
