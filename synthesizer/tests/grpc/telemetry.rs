//! What the program tells of itself: spans, links, errors and metrics by their names, and nothing
//! of what it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use langop_proto::v1::{
    DistillPersonaRequest, Model, Persona, PreviousCode, SynthesisOutcome, SynthesizeOptions,
    SynthesizeRequest, SynthesizeStreamRequest, Tool, ToolOperation, ValidateCodeRequest,
    synthesize_stream_response::Event,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    trace::v1::Span,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tonic::{Code, Request};

use crate::{
    fake_llm::{Act, FakeLlm},
    harness::{Client, KEY, request},
    otlp::{Collector, attribute, tree},
    pki::{Authority, Files},
    program::Program,
};

/// Is in everything that is content, and so must be in no span, log or metric.
const CONTENT: &str = "zq9x";
const ANSWER: &str =
    "```ruby\nrequire 'language_operator'\n\nagent 'agent' do\n  objectives [\"zq9x\"]\nend\n```\n";
const REFUSED: &str =
    "```ruby\nrequire 'language_operator'\n\nagent 'agent' do\n  zq9x 'zq9x'\nend\n```\n";

/// The caller's span in every trace.
const PARENT: u64 = 0xb7ad_6b71_6920_3331;

/// The traces, each of one call.
#[derive(Clone, Copy)]
enum Trace {
    Repaired = 1,
    Hit,
    Started,
    Joined,
    KeyRefused,
    Unavailable,
    Distilled,
    DistilledHit,
    Streamed,
    Validated,
}

const TRACES: [Trace; 10] = [
    Trace::Repaired,
    Trace::Hit,
    Trace::Started,
    Trace::Joined,
    Trace::KeyRefused,
    Trace::Unavailable,
    Trace::Distilled,
    Trace::DistilledHit,
    Trace::Streamed,
    Trace::Validated,
];

impl Trace {
    fn id(self) -> u128 {
        0x0af7_6519_16cd_43dd_8448_eb21_1c80_3100 + self as u128
    }

    fn name(self) -> &'static str {
        match self {
            Self::Repaired => "repaired",
            Self::Hit => "hit",
            Self::Started => "started",
            Self::Joined => "joined",
            Self::KeyRefused => "key_refused",
            Self::Unavailable => "unavailable",
            Self::Distilled => "distilled",
            Self::DistilledHit => "distilled_hit",
            Self::Streamed => "streamed",
            Self::Validated => "validated",
        }
    }

    /// A call that is part of this trace.
    fn call<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let header = format!("00-{:032x}-{PARENT:016x}-01", self.id());
        let metadata = request.metadata_mut();
        metadata.insert("traceparent", header.parse().unwrap());
        request
    }
}

fn persona() -> Persona {
    Persona {
        name: CONTENT.to_owned(),
        system_prompt: CONTENT.to_owned(),
        ..Persona::default()
    }
}

/// A request of which every part is content.
fn full(task: &str) -> SynthesizeRequest {
    let operation = ToolOperation {
        name: CONTENT.to_owned(),
        description: CONTENT.to_owned(),
        input_schema: format!(r#"{{"description":"{CONTENT}"}}"#),
    };
    let previous =
        format!("require 'language_operator'\nagent 'a' do\n  objectives ['{CONTENT}']\nend\n");
    SynthesizeRequest {
        tools: vec![Tool {
            name: CONTENT.to_owned(),
            description: CONTENT.to_owned(),
            operations: vec![operation],
        }],
        models: vec![Model {
            name: CONTENT.to_owned(),
            model: CONTENT.to_owned(),
        }],
        persona: Some(persona()),
        previous: Some(PreviousCode {
            code: previous,
            instructions: CONTENT.to_owned(),
        }),
        options: Some(SynthesizeOptions {
            variant: CONTENT.to_owned(),
            max_repairs: None,
            max_tokens: None,
        }),
        ..request("mailer", &format!("{CONTENT} {task}"))
    }
}

fn acts(gate: &Arc<Semaphore>) -> Vec<Act> {
    let mut acts = vec![
        Act::Fail(503, None),
        Act::Say(REFUSED),
        Act::Say(ANSWER),
        Act::SayAfter(Arc::clone(gate), ANSWER),
        Act::Fail(401, None),
    ];
    acts.extend((0..4).map(|_| Act::Fail(500, None)));
    acts.extend([Act::Say("You are zq9x."), Act::Say(ANSWER)]);
    acts
}

async fn until_metric(program: &Program, line: &str) {
    for _ in 0..1000 {
        if program.metrics().await.lines().any(|found| found == line) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{line} is not in\n{}", program.metrics().await);
}

/// Two equal requests at one time: the second joins the work of the first.
async fn join(program: &Program, client: &Client, gate: &Semaphore) {
    let ask = |trace: Trace| {
        let mut client = client.clone();
        tokio::spawn(async move { client.synthesize(trace.call(full("twice"))).await })
    };
    let first = ask(Trace::Started);
    until_metric(program, "langop_synthesis_in_flight 1").await;
    let second = ask(Trace::Joined);
    let coalesced = r#"langop_synthesis_cache_requests_total{result="coalesced"} 1"#;
    until_metric(program, coalesced).await;
    gate.add_permits(1);
    let outcomes =
        [first, second].map(async |call| call.await.unwrap().unwrap().into_inner().outcome());
    let [first, second] = outcomes;
    assert_eq!(first.await, SynthesisOutcome::Generated);
    assert_eq!(second.await, SynthesisOutcome::Coalesced);
}

/// A method that it does not serve.
async fn call_unknown_method(program: &Program) {
    let mut client = TraceServiceClient::new(program.channel().await);
    let status = client.export(ExportTraceServiceRequest::default()).await;
    assert_eq!(status.unwrap_err().code(), Code::Unimplemented);
}

/// Calls for each trace, in order.
async fn calls(program: &Program, gate: &Semaphore) {
    let mut client = program.client().await;
    let made = client.synthesize(Trace::Repaired.call(full("once"))).await;
    let made = made.unwrap().into_inner();
    assert_eq!(made.outcome(), SynthesisOutcome::Repaired);
    let trace = format!("{:032x}", Trace::Repaired.id());
    assert!(made.traceparent.contains(&trace), "{}", made.traceparent);
    let usage = made.usage.unwrap();
    assert_eq!(
        (
            usage.cache_read_input_tokens,
            usage.cache_creation_input_tokens
        ),
        (80, 20)
    );
    let hit = client.synthesize(Trace::Hit.call(full("once"))).await;
    let hit = hit.unwrap().into_inner();
    assert_eq!(
        (hit.outcome(), hit.traceparent),
        (SynthesisOutcome::Cached, made.traceparent)
    );
    join(program, &client, gate).await;
    for (trace, code) in [
        (Trace::KeyRefused, Code::FailedPrecondition),
        (Trace::Unavailable, Code::Unavailable),
    ] {
        let status = client.synthesize(trace.call(full("in vain"))).await;
        assert_eq!(status.unwrap_err().code(), code);
    }
    for trace in [Trace::Distilled, Trace::DistilledHit] {
        let persona = Some(persona());
        let distilled = client
            .distill_persona(trace.call(DistillPersonaRequest {
                persona,
                max_tokens: None,
            }))
            .await;
        distilled.unwrap();
    }
    let request = Some(full("in pieces"));
    let asked = Trace::Streamed.call(SynthesizeStreamRequest { request });
    let mut stream = client.synthesize_stream(asked).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    let code = ValidateCodeRequest {
        code: REFUSED.as_bytes().to_vec(),
        ..ValidateCodeRequest::default()
    };
    client
        .validate_code(Trace::Validated.call(code))
        .await
        .unwrap();
    call_unknown_method(program).await;
}

#[tokio::test]
async fn spans_and_metrics_have_the_names_of_the_design_and_no_content() {
    let gate = Arc::new(Semaphore::new(0));
    let llm = FakeLlm::start(acts(&gate)).await;
    let (collector, url) = Collector::start().await;
    let mut program = Program::start("anthropic", &llm, &url, "trace").await;
    calls(&program, &gate).await;
    let page = program.metrics().await;
    assert!(program.stop().await.success(), "{}", program.log());
    let (spans, log) = (collector.spans(), program.log());

    assert!(log.contains("trying again"), "the log was captured");
    for (what, told) in [
        ("spans", format!("{spans:?}")),
        ("log", log),
        ("metrics", page.clone()),
    ] {
        assert!(!told.contains(CONTENT), "content is in the {what}");
        assert!(!told.contains(KEY), "the key is in the {what}");
    }
    assert!(collector.has_resource("service.name", "langop-synthesizer"));
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for trace in TRACES {
            let name = format!("trace_{}", trace.name());
            insta::assert_snapshot!(name, tree(&spans, trace.id(), PARENT));
        }
    });
    required(&spans);
    design_names(&page);
    bounded_labels(&page);
    exemplars(&page);
}

/// How a program reaches its collector.
struct Way<'a> {
    collector: Collector,
    url: String,
    environment: &'a [(&'a str, &'a str)],
}

impl Way<'_> {
    /// The spans of one call of a program, and its log.
    async fn spans_of_a_call(&self) -> (usize, String) {
        let llm = FakeLlm::start([Act::Say(ANSWER)]).await;
        let mut environment = vec![
            ("LANGOP_LOG", "warn,langop_synthesizer=info"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=one"),
        ];
        environment.extend(self.environment);
        let mut program = Program::start_with("openai", &llm, &environment).await;
        let mut client = program.client().await;
        let question = ValidateCodeRequest::default();
        client.validate_code(question).await.expect("it serves");
        drop(client);
        assert!(program.stop().await.success(), "{}", program.log());
        (self.collector.spans().len(), program.log())
    }
}

const HTTP: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
const SYSTEM: &str = "SSL_CERT_FILE";
const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";

#[tokio::test]
async fn traces_are_sent_by_tls_and_over_both_protocols() {
    let (files, authority) = (Files::new(), Authority::new());
    let ca = files.write("ca.pem", &authority.pem());
    let ca = ca.to_str().unwrap();
    let grpc = Collector::start_grpc_tls(&authority);
    let http = Collector::start_http(Some(&authority));
    let plain = Collector::start_http(None);
    let (grpc, http, plain) = tokio::join!(grpc, http, plain);
    for ((collector, url), environment) in [
        (&grpc, &[(CERTIFICATE, ca)][..]),
        (
            &grpc,
            &[(SYSTEM, ca), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")][..],
        ),
        (&http, &[(CERTIFICATE, ca), HTTP][..]),
        (&http, &[(SYSTEM, ca), HTTP][..]),
        (&plain, &[HTTP][..]),
    ] {
        let (collector, url) = (collector.clone(), url.clone());
        let way = Way {
            collector,
            url,
            environment,
        };
        let (before, teams) = (way.collector.spans().len(), way.collector.teams().len());
        let (after, log) = way.spans_of_a_call().await;
        assert!(after > before, "{environment:?}: {log}");
        assert!(way.collector.teams().len() > teams, "{environment:?}");
        assert!(
            way.collector
                .has_resource("service.name", "langop-synthesizer")
        );
    }
}

#[tokio::test]
async fn telemetry_that_cannot_be_set_up_is_a_warning() {
    let (files, authority) = (Files::new(), Authority::new());
    let ca = files.write("ca.pem", &authority.pem());
    let ca = ca.to_str().unwrap();
    let nothing = files.write("nothing.pem", "");
    let nothing = nothing.to_str().unwrap();
    let (collector, url) = Collector::start_grpc_tls(&authority).await;
    for (environment, warning) in [
        (
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")][..],
            "write grpc or http/protobuf",
        ),
        (&[(CERTIFICATE, "no-such-file")][..], "no-such-file"),
        (&[(CERTIFICATE, nothing), HTTP][..], "no authority"),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://[nowhere")][..],
            "no traces are sent",
        ),
        (&[("OTEL_SDK_DISABLED", "true"), (CERTIFICATE, ca)][..], ""),
    ] {
        let (collector, url) = (collector.clone(), url.clone());
        let way = Way {
            collector,
            url,
            environment,
        };
        let (spans, log) = way.spans_of_a_call().await;
        assert_eq!(spans, 0, "{environment:?}");
        let is_warned = log.contains("no traces are sent");
        assert_eq!(is_warned, !warning.is_empty(), "{environment:?}: {log}");
        assert!(log.contains(warning), "{environment:?}: {log}");
    }
}

#[tokio::test]
async fn by_default_lines_name_their_request_without_spans_which_are_exported_all_the_same() {
    let llm = FakeLlm::start([Act::Fail(503, None), Act::Say(ANSWER)]).await;
    let (collector, url) = Collector::start().await;
    // Empty is unset.
    let mut program = Program::start("openai", &llm, &url, "").await;
    let trace = Trace::Streamed;
    let request = Some(request("mailer", "watch"));
    let asked = trace.call(SynthesizeStreamRequest { request });
    let mut client = program.client().await;
    let mut stream = client.synthesize_stream(asked).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.unwrap() {
        events.extend(event.event);
    }
    drop((stream, client));
    assert!(program.stop().await.success(), "{}", program.log());

    let Some(Event::Result(made)) = events.pop() else {
        panic!("no result")
    };
    let log = program.log();
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    let is_warning = |line: &&Value| line["fields"]["message"].to_string().contains("failed");
    let warning = lines.iter().find(is_warning).expect(&log);
    let fields = &warning["fields"];
    assert_eq!(
        (&fields["agent"], &fields["namespace"], &fields["request"]),
        (&json!("mailer"), &json!("demo"), &json!(made.request_hash))
    );
    let traceparent = fields["traceparent"].to_string();
    assert!(
        traceparent.contains(&format!("{:032x}", trace.id())),
        "{traceparent}"
    );
    assert!(
        lines
            .iter()
            .all(|line| line["span"].is_null() && line["spans"].is_null()),
        "{log}"
    );
    let chats = collector.spans();
    let chats = chats.iter().filter(|span| span.name == "chat fake");
    assert_eq!(chats.count(), 2, "spans are exported");
}

/// Beside the snapshots, because a snapshot is easily accepted: what the design demands by name.
fn required(spans: &[Span]) {
    let demands = [
        (
            "langop.synthesis.cache",
            &["request_hash", "cache.result", "prompt_version"][..],
        ),
        ("langop.synthesis.prompt", &["prompt_version"]),
        ("langop.synthesis.extract", &["attempt"]),
        ("chat fake", &["attempt"]),
    ];
    for (name, attributes) in demands {
        let mut found = spans.iter().filter(|span| span.name == name).peekable();
        assert!(found.peek().is_some(), "no span {name}");
        for (span, own) in found.flat_map(|span| attributes.iter().map(move |own| (span, own))) {
            let own = format!("langop.synthesis.{own}");
            assert_ne!(attribute(span, &own), "", "{name} has no {own}");
        }
    }
    let conventions = [
        "operation.name",
        "provider.name",
        "request.model",
        "response.model",
        "usage.input_tokens",
        "usage.output_tokens",
    ];
    for chat in spans.iter().filter(|span| span.name == "chat fake") {
        let has = |name: &&&str| !attribute(chat, &format!("gen_ai.{name}")).is_empty();
        let is_failed = !attribute(chat, "error.type").is_empty();
        let expected = if is_failed { 3 } else { conventions.len() };
        assert_eq!(conventions.iter().filter(has).count(), expected, "{chat:?}");
    }
    let hashed = |span: &&Span| {
        span.name == "langop.synthesis.validate"
            && attribute(span, "langop.synthesis.code_hash").len() == 64
    };
    assert_eq!(
        spans.iter().filter(hashed).count(),
        3,
        "one for each agent made"
    );
}

fn design_names(page: &str) {
    for line in [
        r#"langop_synthesis_duration_seconds_count{outcome="generated"} 2"#,
        r#"langop_synthesis_duration_seconds_count{outcome="repaired"} 1"#,
        r#"langop_synthesis_duration_seconds_count{outcome="cached"} 1"#,
        r#"langop_synthesis_duration_seconds_count{outcome="coalesced"} 1"#,
        r#"langop_synthesis_duration_seconds_count{outcome="failed"} 2"#,
        r#"langop_synthesis_cache_requests_total{result="hit"} 2"#,
        r#"langop_synthesis_cache_requests_total{result="coalesced"} 1"#,
        r#"langop_synthesis_cache_requests_total{result="miss"} 6"#,
        "langop_synthesis_in_flight 0",
        r#"langop_synthesis_tokens_total{provider="anthropic",model="fake",type="input"} 500"#,
        r#"langop_synthesis_tokens_total{provider="anthropic",model="fake",type="output"} 100"#,
        "langop_synthesis_repairs_total 1",
        r#"langop_llm_request_duration_seconds_count{provider="anthropic",model="fake",outcome="success"} 5"#,
        r#"langop_llm_request_duration_seconds_count{provider="anthropic",model="fake",outcome="server_error"} 5"#,
        r#"langop_llm_request_duration_seconds_count{provider="anthropic",model="fake",outcome="refused"} 1"#,
        r#"langop_grpc_requests_total{method="other",code="UNIMPLEMENTED"} 1"#,
        "# TYPE langop_synthesis_duration_seconds histogram",
        "# EOF",
    ] {
        assert!(
            page.lines()
                .any(|found| found.split(" # ").next() == Some(line)),
            "{line} is not in\n{page}"
        );
    }
    let last = r#"langop_synthesis_duration_seconds_bucket{le="120.0",outcome="generated"} 2"#;
    assert!(
        page.lines().any(|found| found.starts_with(last)),
        "{last} is not in\n{page}"
    );
}

/// Every label's values are of a short list, whatever clients send.
fn bounded_labels(page: &str) {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        (
            "outcome",
            &[
                "generated",
                "repaired",
                "cached",
                "coalesced",
                "rejected",
                "failed",
                "success",
                "rate_limited",
                "refused",
                "server_error",
                "transport",
                "timeout",
                "unreadable",
            ][..],
        ),
        ("result", &["hit", "miss", "coalesced"]),
        ("stage", &["prompt", "llm", "check"]),
        ("provider", &["anthropic"]),
        ("model", &["fake"]),
        ("type", &["input", "output"]),
        (
            "method",
            &[
                "Synthesize",
                "SynthesizeStream",
                "DistillPersona",
                "ValidateCode",
                "Check",
                "Watch",
                "ServerReflectionInfo",
                "other",
            ],
        ),
    ]);
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let labelled = samples.filter_map(|line| {
        Some(
            line.split(" # ")
                .next()?
                .split_once('{')?
                .1
                .split_once('}')?
                .0,
        )
    });
    let mut seen = BTreeSet::new();
    for label in labelled.flat_map(|labels| labels.split(',')) {
        let (name, value) = label.split_once('=').unwrap();
        let value = value.trim_matches('"');
        match name {
            "le" => {}
            "code" => assert!(
                value.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'),
                "{value}"
            ),
            _ => assert!(
                allowed.get(name).is_some_and(|all| all.contains(&value)),
                "{label}"
            ),
        }
        seen.insert(name);
    }
    assert!(allowed.keys().all(|name| seen.contains(name)), "{seen:?}");
}

/// Both histograms lead to traces: `# {trace_id="…"} value` after a bucket.
fn exemplars(page: &str) {
    let traces: BTreeSet<String> = TRACES.map(|trace| format!("{:032x}", trace.id())).into();
    for (metric, expected) in [
        ("langop_synthesis_duration_seconds_bucket{", Trace::Repaired),
        (
            "langop_llm_request_duration_seconds_bucket{",
            Trace::KeyRefused,
        ),
    ] {
        let found: BTreeSet<&str> = page
            .lines()
            .filter(|line| line.starts_with(metric))
            .filter_map(|line| line.split_once(" # {trace_id=\"")?.1.split_once('"'))
            .map(|(trace, _)| trace)
            .collect();
        assert!(
            found.iter().all(|trace| traces.contains(*trace)),
            "{found:?}"
        );
        let expected = format!("{:032x}", expected.id());
        assert!(
            found.contains(expected.as_str()),
            "{metric} has no exemplar of {expected}\n{page}"
        );
    }
}
