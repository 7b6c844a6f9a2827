//! One trace from whoever starts the agent to its tools, as a collector gets it. Contents are never
//! in it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;
use tokio::net::TcpListener;

use super::{
    agent::Agent,
    model::{Model, says},
    peer::{Habits, Peer},
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one trace, looked at from all sides")]
async fn steps_questions_and_calls_are_one_trace_without_contents() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let shared = Arc::clone(&received);
    let router = Router::new().route(
        "/v1/traces",
        post(async move |body: Bytes| shared.lock().unwrap().push(body)),
    );
    tokio::spawn(async { axum::serve(listener, router).await });
    let peer = Peer::start(Habits::default()).await;
    let model = Model::start([says("s3cret answer")]).await;
    let agent = Agent::new(
        r#"
  workflow do
    step "Ask" do
      ask "s3cret question"
    end
    step "Record", depends_on: "Ask" do
      use_tool "peer", action: "record", params: { text: result("Ask") }
    end
  end"#,
    )
    .tools(&[("peer", peer.address)])
    .model(model.address)
    .with("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
    .with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    .with(
        "TRACEPARENT",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    .with(
        "LANGOP_SYNTHESIS_TRACEPARENT",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    );
    let left = agent.run().await;
    assert_eq!(left.code, Some(0), "{}", left.log);

    let bodies = received.lock().unwrap().clone();
    let spans: Vec<Span> = bodies
        .iter()
        .flat_map(|body| {
            ExportTraceServiceRequest::decode(&body[..])
                .unwrap()
                .resource_spans
        })
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect();
    let all = format!("{spans:?}");
    assert!(!all.contains("s3cret"), "{all}");
    let by_name: BTreeMap<_, _> = spans
        .iter()
        .map(|span| (span.name.as_str(), span))
        .collect();
    let names: Vec<_> = by_name.keys().copied().collect();
    let expected = [
        "chat claude-x",
        "invoke_agent test-agent",
        "langop.step Ask",
        "langop.step Record",
        "tools/call record",
    ];
    assert_eq!(names, expected);
    for span in &spans {
        assert_eq!(hex(&span.trace_id), "0af7651916cd43dd8448eb211c80319c");
    }
    let root = by_name["invoke_agent test-agent"];
    assert_eq!(hex(&root.parent_span_id), "b7ad6b7169203331");
    let links = root.links.iter().map(|link| hex(&link.trace_id));
    let links: Vec<_> = links.collect();
    assert_eq!(links, ["4bf92f3577b34da6a3ce929d0e0e4736"], "its synthesis");
    for (name, parent, kind) in [
        ("langop.step Ask", root, SpanKind::Internal),
        (
            "chat claude-x",
            by_name["langop.step Ask"],
            SpanKind::Client,
        ),
        (
            "tools/call record",
            by_name["langop.step Record"],
            SpanKind::Client,
        ),
    ] {
        assert_eq!(by_name[name].parent_span_id, parent.span_id, "{name}");
        assert_eq!(by_name[name].kind(), kind, "{name}");
    }
    let attributes = format!("{:?}", by_name["tools/call record"].attributes);
    for key in [
        "mcp.protocol.version",
        "gen_ai.tool.name",
        "jsonrpc.request.id",
        "server.port",
    ] {
        assert!(attributes.contains(key), "{key}: {attributes}");
    }
    let seen = peer.seen();
    let call = seen
        .iter()
        .find(|message| message["method"] == "tools/call")
        .unwrap();
    let traceparent = call["params"]["_meta"]["traceparent"].as_str().unwrap();
    let span = hex(&by_name["tools/call record"].span_id);
    assert!(
        traceparent.contains(&span),
        "the tool's parent is the call: {traceparent}"
    );
    assert!(
        left.json["traceparent"]
            .as_str()
            .unwrap()
            .contains("0af7651916cd43dd8448eb211c80319c")
    );
}
