//! One workflow on servers of all eras: each is spoken to in its own, and the text that it answers
//! reaches the next step as it is.

use std::{net::Ipv4Addr, time::Duration};

use axum::{Router, routing::get};
use langop_integration_tests::{
    Agent, OtlpReceiver,
    otlp::Span,
    peers::servers::{Kind, McpServer, TEXT},
    telemetry_page::TelemetryPage,
};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::tools::Files;

const SOON: Duration = Duration::from_secs(10);
const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// What a step took from an answer, and the span of the call.
struct Answer {
    text: String,
    span: Span,
}

/// Calls the operation, and writes what it answers into a file.
async fn answer_of(server: &McpServer, operation: &str, params: &str, version: &str) -> Answer {
    let files = Files::start().await;
    let traces = OtlpReceiver::start().await.unwrap();
    let body = format!(
        r#"
  workflow do
    step "Ask" do
      use_tool "peer", action: "{operation}", params: {params}
    end
    step "Keep", depends_on: "Ask" do
      use_tool "files", action: "write_file", params: {{ path: "answer", content: result("Ask") }}
    end
  end"#
    );
    let agent = Agent::new("asker", &body)
        .unwrap()
        .tools(&[("peer", server.url()), ("files", files.url.clone())])
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", traces.endpoint())
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let ended = agent.run().await.unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(ended.line, "2 steps done");
    let misfit = "as the tool's output schema says";
    assert!(!ended.log.contains(misfit), "{}", ended.log);

    let name = format!("tools/call {operation}");
    let find = |spans: &[Span]| spans.iter().find(|span| span.name == name).cloned();
    let span = traces.wait_for(&name, SOON, find).await.unwrap();
    assert_eq!(span.attribute("mcp.protocol.version"), version);
    let page = TelemetryPage::of("langop-agent").unwrap();
    let untold = page.untold_spans(&traces.spans());
    assert!(untold.is_empty(), "not in docs/metrics.md: {untold:?}");
    let lines = ended.log.lines();
    let lines: Vec<Value> = lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let connected = lines
        .iter()
        .find(|line| line["tool"] == "peer" && line["message"] == "connected");
    assert_eq!(connected.unwrap()["version"], version, "{}", ended.log);
    Answer {
        text: files.read("answer"),
        span,
    }
}

async fn echoes(kind: Kind, version: &str) {
    let server = McpServer::start(kind).await.unwrap();
    let params = "{ message: 'three words' }";
    let answer = answer_of(&server, "echo", params, version).await;
    assert_eq!(answer.text, TEXT);
}

async fn reads(kind: Kind) {
    let server = McpServer::start(kind).await.unwrap();
    let params = format!("{{ path: '{}' }}", server.note().display());
    let answer = answer_of(&server, "read_text_file", &params, LEGACY).await;
    assert_eq!(answer.text, TEXT, "the text, not its structure");
}

#[tokio::test]
async fn the_reference_server_of_everything() {
    echoes(Kind::Everything, LEGACY).await;
}

#[tokio::test]
async fn the_reference_server_of_files_behind_a_gateway_from_npm() {
    reads(Kind::Gateway).await;
}

#[tokio::test]
async fn the_reference_server_of_files_behind_a_gateway_in_python() {
    reads(Kind::Proxy).await;
}

#[tokio::test]
async fn the_reference_server_of_time_behind_a_gateway() {
    let server = McpServer::start(Kind::Time).await.unwrap();
    let params = "{ source_timezone: 'Etc/UTC', time: '16:30', target_timezone: 'Asia/Tokyo' }";
    let answer = answer_of(&server, "convert_time", params, MODERN).await;
    let answer: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(answer["time_difference"], "+9.0h");
    assert_eq!(answer["source"]["timezone"], "Etc/UTC");
}

#[tokio::test]
async fn the_reference_server_of_pages_behind_a_gateway() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let page = format!("http://{}/page", listener.local_addr().unwrap());
    let router = Router::new().route("/page", get(async || TEXT));
    let _pages = AbortOnDropHandle::new(tokio::spawn(async {
        let _ = axum::serve(listener, router).await;
    }));
    let server = McpServer::start(Kind::Fetch).await.unwrap();
    let params = format!("{{ url: '{page}' }}");
    let answer = answer_of(&server, "fetch", &params, MODERN).await;
    assert!(answer.text.ends_with(TEXT), "{}", answer.text);
}

#[tokio::test]
async fn a_server_on_the_python_sdk() {
    echoes(Kind::Python, MODERN).await;
}

#[tokio::test]
async fn a_server_on_the_npm_sdk() {
    echoes(Kind::Npm, MODERN).await;
}

/// The SDK's own tracing takes its parent from what the call says of itself.
#[tokio::test]
async fn a_server_in_python_works_in_the_trace_of_its_caller() {
    let server = McpServer::start(Kind::Python).await.unwrap();
    let answer = answer_of(&server, "trace", "{}", MODERN).await;
    assert_eq!(answer.text, answer.span.trace_id);
}
