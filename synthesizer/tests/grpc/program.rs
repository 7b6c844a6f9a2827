//! The program itself: environment, OTLP export, SIGTERM. Reads the spans of one synthesis and one cache hit.

use std::{
    process::{Child, Command},
    sync::{Arc, Mutex},
    time::Duration,
};

use langop_proto::v1::SynthesisOutcome;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value,
    trace::v1::{Span, span::SpanKind},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Server},
};

use crate::{
    fake_llm::{Act, FakeLlm, GOOD},
    harness::{Client, KEY, request},
};

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const PARENT: u64 = 0xb7ad_6b71_6920_3331;

#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request
            .into_inner()
            .resource_spans
            .into_iter()
            .flat_map(|resource| resource.scope_spans);
        self.0
            .lock()
            .unwrap()
            .extend(spans.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn receiver() -> (Receiver, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let receiver = Receiver::default();
    let server = Server::builder().add_service(TraceServiceServer::new(receiver.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (receiver, url)
}

fn attribute(span: &Span, name: &str) -> String {
    let value = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == name)
        .and_then(|attribute| attribute.value.clone());
    match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

/// Leaves no process behind when the test fails.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
    }
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

async fn connect(port: u16) -> Client {
    let endpoint = Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    for _ in 0..500 {
        if let Ok(channel) = endpoint.connect().await {
            return Client::new(channel);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the program does not listen")
}

#[tokio::test]
async fn one_trace_from_the_caller_to_the_llm_and_nothing_secret_in_it() {
    let llm = FakeLlm::start([Act::Fail(503, None), Act::Say(GOOD)]).await;
    let (receiver, collector) = receiver().await;
    let port = free_port().await;
    // A file, because a pipe that nobody reads fills up and stops the program.
    let log = tempfile::NamedTempFile::new().unwrap();
    let program = Command::new(env!("CARGO_BIN_EXE_langop-synthesizer"))
        .args([
            format!("--listen=127.0.0.1:{port}"),
            "--admin-listen=127.0.0.1:0".to_owned(),
        ])
        .envs([
            ("SYNTHESIS_PROVIDER", "openai"),
            ("SYNTHESIS_MODEL", "fake"),
            ("SYNTHESIS_ENDPOINT", &format!("{}/v1", llm.url)),
            ("SYNTHESIS_API_KEY", KEY),
            ("SYNTHESIS_API_KEY_FILE", ""),
            ("LANGOP_LLM_RETRY_DELAY", "1ms"),
            ("LANGOP_LOG", "trace"),
            ("LANGOP_LOG_FORMAT", "json"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector),
        ])
        .stderr(log.reopen().unwrap())
        .spawn()
        .unwrap();
    let mut program = Guarded(program);
    let mut client = connect(port).await;
    let mut first = Request::new(request("mailer", "watch the door"));
    first.metadata_mut().insert(
        "traceparent",
        format!("00-{TRACE:032x}-{PARENT:016x}-01").parse().unwrap(),
    );
    let made = client.synthesize(first).await.unwrap().into_inner();
    assert!(
        made.traceparent.contains(&format!("{TRACE:032x}")),
        "{}",
        made.traceparent
    );
    let hit = client
        .synthesize(request("other", "watch the door"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (hit.outcome(), &hit.traceparent),
        (SynthesisOutcome::Cached, &made.traceparent)
    );
    // Before the end, so that the drain does not wait for this connection.
    drop(client);
    assert!(
        Command::new("kill")
            .arg(program.0.id().to_string())
            .status()
            .unwrap()
            .success()
    );
    let status = tokio::task::spawn_blocking(move || program.0.wait().unwrap())
        .await
        .unwrap();
    let log = std::fs::read_to_string(log.path()).unwrap();
    assert!(status.success(), "{log}");
    assert!(
        log.contains("trying again") && !log.contains(KEY) && !log.contains("watch the door"),
        "{log}"
    );
    judge(&receiver.0.lock().unwrap(), &made.request_hash);
}

fn judge(spans: &[Span], request_hash: &str) {
    let all = format!("{spans:?}");
    assert!(
        !all.contains(KEY) && !all.contains("watch the door") && !all.contains("Watch the door"),
        "content is recorded"
    );
    let trace: Vec<&Span> = spans
        .iter()
        .filter(|span| span.trace_id == TRACE.to_be_bytes())
        .collect();
    let named = |name: &str| {
        trace
            .iter()
            .filter(|span| span.name == name)
            .copied()
            .collect::<Vec<_>>()
    };
    let server = named("langop.synthesis.v1.SynthesisService/Synthesize")[0];
    assert_eq!(
        (server.kind(), server.parent_span_id.as_slice()),
        (SpanKind::Server, PARENT.to_be_bytes().as_slice())
    );
    assert_eq!(attribute(server, "rpc.system.name"), "grpc");
    assert_eq!(attribute(server, "rpc.response.status_code"), "OK");
    for name in [
        "langop.synthesis.cache",
        "langop.synthesis.prompt",
        "langop.synthesis.extract",
        "langop.synthesis.validate",
    ] {
        assert_eq!(named(name)[0].parent_span_id, server.span_id, "{name}");
    }
    let cache = named("langop.synthesis.cache")[0];
    assert_eq!(
        attribute(cache, "langop.synthesis.request_hash"),
        request_hash
    );
    assert_eq!(attribute(cache, "langop.synthesis.cache.result"), "miss");
    let chats = named("chat fake");
    assert_eq!(chats.len(), 2, "one span for each request");
    assert_eq!(attribute(chats[0], "error.type"), "server_error");
    let chat = chats[1];
    assert_eq!(
        (chat.kind(), &chat.parent_span_id),
        (SpanKind::Client, &server.span_id)
    );
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "fake"),
        ("gen_ai.response.model", "fake-1"),
        ("gen_ai.usage.input_tokens", "100"),
        ("gen_ai.usage.output_tokens", "20"),
        ("langop.synthesis.attempt", "1"),
    ] {
        assert_eq!(attribute(chat, name), value, "{name}");
    }
    let hit = spans
        .iter()
        .find(|span| attribute(span, "langop.synthesis.cache.result") == "hit")
        .unwrap();
    assert_eq!(
        (hit.links.len(), hit.links[0].trace_id.as_slice()),
        (1, TRACE.to_be_bytes().as_slice())
    );
}
