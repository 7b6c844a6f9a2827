//! An OTLP collector that keeps the spans it gets, and writes traces down for people to read.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, status::StatusCode},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// Spans so far, and the attributes of the resources they came from.
#[derive(Clone, Default)]
pub(crate) struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    resources: Arc<Mutex<Vec<KeyValue>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            self.resources.lock().unwrap().extend(attributes);
            let spans = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            self.spans.lock().unwrap().extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
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

/// The spans of `trace` as a tree in the order of their start: name, kind, status and links, and their attributes below them.
/// What differs from run to run is masked, what the library adds to each span is left out.
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
