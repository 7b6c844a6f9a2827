//! What is known of traces, and what backends add.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use langop_api::LanguageAgent;
use serde_json::{Value, json};

use super::{
    known::{Known, known},
    spans,
    text::{notes, render},
};

const SYNTHESIS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const RUN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn agent(status: &Value) -> LanguageAgent {
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
        "metadata": {"name": "daily-report", "namespace": "demo"},
        "spec": {"instructions": "x"}, "status": status,
    }))
    .unwrap()
}

fn synthesized(traceparent: Option<&str>) -> Value {
    json!({"synthesisInfo": {
        "revision": 2, "codeHash": "44b1c47aaca3", "synthesisModel": "claude-sonnet-4-5",
        "lastSynthesisTime": "2026-11-27T12:00:00Z", "synthesisDuration": "2.4s",
        "traceparent": traceparent,
    }})
}

fn pod(name: &str, ended: &str, message: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"containers": [{"name": "agent"}, {"name": "sidecar"}]},
        "status": {"containerStatuses": [
            {"name": "sidecar", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-29T11:59:00Z", "message": "of another"}}},
            {"name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": {"exitCode": 7, "finishedAt": ended, "message": message}}},
        ]},
    }))
    .unwrap()
}

fn failed() -> Pod {
    let account = json!({
        "v": 1, "outcome": "failed", "reason": "tool-unavailable", "step": "Alert", "iterations": 7,
        "toolCalls": 4, "durationMs": 5312, "traceparent": RUN,
    });
    let line = "tool-unavailable in step 'Alert': email-tool does not answer";
    pod(
        "daily-report-2-x",
        "2026-11-29T09:00:06Z",
        &format!("{line}\n{account}\n"),
    )
}

fn both() -> Known {
    let older = pod(
        "daily-report-1-x",
        "2026-11-28T09:00:06Z",
        "done\n{\"v\":1}",
    );
    known(&agent(&synthesized(Some(SYNTHESIS))), &[failed(), older])
}

fn plain(known: &Known) -> String {
    anstream::adapter::strip_str(&render(known, now())).to_string()
}

/// Of a synthesis, in the shape of OTLP's JSON with the ids of Tempo's.
fn otlp() -> Value {
    let span = |id: &str, parent: &str, name: &str, from: u64, to: u64, code: &str| {
        json!({
            "traceId": "CvdlGRbNQ92ESOshHIAxnA==", "spanId": id, "parentSpanId": parent, "name": name,
            "startTimeUnixNano": (1_764_244_800_000_000_000 + from * 1000).to_string(),
            "endTimeUnixNano": (1_764_244_800_000_000_000 + to * 1000).to_string(),
            "status": {"code": code},
        })
    };
    let service = |name: &str, spans: Value| {
        json!({
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]},
            "scopeSpans": [{"spans": spans}],
        })
    };
    let rpc = "langop.synthesis.v1.SynthesisService/Synthesize";
    let unset = "STATUS_CODE_UNSET";
    json!({"batches": [
        service("langop-synthesizer", json!([
            span("c3Vi", "c2Vy", "chat claude-sonnet-4-5", 9_200, 2_390_000, "STATUS_CODE_ERROR"),
            span("c2Vy", "Y2xp", rpc, 3_100, 2_400_000, unset),
            span("cHJv", "c2Vy", "langop.synthesis.prompt", 4_000, 4_350, unset),
        ])),
        service("langop-operator", json!([
            span("Y3Jl", "cmVj", "create_agent daily-report", 1_000, 2_410_000, unset),
            span("Y2xp", "Y3Jl", rpc, 2_000, 2_405_000, unset),
            span("cmVj", "", "reconcile", 0, 12_000, unset),
            // Once more, as a collector that tries again may send it.
            span("cmVj", "", "reconcile", 0, 12_000, unset),
        ])),
    ]})
}

#[test]
fn what_the_objects_hold_is_shown_and_where_the_rest_is() {
    let mut known = both();
    insta::assert_snapshot!("known", plain(&known));
    insta::assert_snapshot!(notes(&known, "daily-report", false, now()), @"note: all spans are where the collector sends them: name that Tempo or Jaeger by --backend to see them here");
    assert_eq!(notes(&known, "daily-report", true, now()), "");

    let synthesis = known.synthesis.as_mut().unwrap();
    synthesis.trace.link = Some(format!(
        "https://jaeger.example/trace/{}",
        synthesis.trace.id.as_ref().unwrap()
    ));
    synthesis.trace.spans = spans::read(&otlp()).unwrap();
    insta::assert_snapshot!("tree", plain(&known));
}

#[test]
fn programs_get_what_is_known_and_nothing_else() {
    insta::assert_yaml_snapshot!("json", both());
}

#[test]
fn without_tracing_nothing_is_made_up() {
    let mut status = synthesized(None);
    status["synthesisInfo"]["lastFailureTime"] = json!("2026-11-29T11:00:00Z");
    status["lastExecutionResult"] = json!("Failed: exit code 3: disk full");
    status["lastExecutionTime"] = json!("2026-11-29T09:00:06Z");
    let known = known(&agent(&status), &[]);
    insta::assert_snapshot!(plain(&known), @"
    Synthesis of revision 2 by claude-sonnet-4-5, 2d ago, took 2.4s
      trace  -

    Run of a pod that is gone, failed 2h ago: exit code 3: disk full
      trace  -
    ");
    insta::assert_snapshot!(notes(&known, "daily-report", false, now()), @"
    note: an attempt that failed 60m ago left no trace id; its span is the last `create_agent daily-report`
    note: no trace id is known: programs send traces where `telemetry.endpoint` of the chart names a collector, agents where the operator's LANGOP_AGENT_OTLP_ENDPOINT does
    ");
    let nothing = super::known::known(&agent(&json!({})), &[]);
    assert_eq!(nothing, Known::default());
    assert_eq!(render(&nothing, now()), "");
    insta::assert_snapshot!(notes(&nothing, "daily-report", false, now()), @"
    note: no code was synthesized; `kubectl langop why daily-report` says how it stands
    note: no run has ended yet
    ");
}

#[test]
fn the_word_of_others_is_taken_for_no_more_than_it_is() {
    let of = |message: &str| {
        let pods = [pod("a", "2026-11-29T09:00:06Z", message)];
        known(&agent(&json!({})), &pods).run.unwrap()
    };
    let other = of("out of\u{1b}[2J memory");
    assert_eq!(other.says.as_deref(), Some("out of [2J memory"));
    assert_eq!(
        (other.outcome.as_deref(), other.trace.id),
        (Some("failed"), None)
    );
    for traceparent in [
        "",
        "0af7651916cd43dd8448eb211c80319c",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c8031\u{1b}[-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c/../x-b7ad6b7169203331-01",
    ] {
        let account = json!({"v": 1, "traceparent": traceparent});
        assert_eq!(
            of(&format!("done\n{account}")).trace.id,
            None,
            "{traceparent:?}"
        );
    }
}

#[test]
fn a_jaeger_s_answer_is_the_same_tree() {
    let jaeger = json!({"data": [{
        "traceID": "0af7651916cd43dd8448eb211c80319c",
        "processes": {"p1": {"serviceName": "langop-operator"}, "p2": {"serviceName": "langop-synthesizer"}},
        "spans": [
            {"spanID": "b", "operationName": "create_agent daily-report", "processID": "p1", "startTime": 1_764_244_800_001_000_u64, "duration": 2_409_000,
             "references": [{"refType": "FOLLOWS_FROM", "spanID": "z"}, {"refType": "CHILD_OF", "spanID": "a"}]},
            {"spanID": "a", "operationName": "reconcile", "processID": "p1", "startTime": 1_764_244_800_000_000_u64, "duration": 12_000, "references": []},
            {"spanID": "c", "operationName": "chat claude-sonnet-4-5", "processID": "p2", "startTime": 1_764_244_800_009_200_u64, "duration": 2_380_800,
             "references": [{"refType": "CHILD_OF", "spanID": "b"}], "tags": [{"key": "error", "type": "bool", "value": true}]},
        ],
    }]});
    let spans = spans::read(&jaeger).unwrap();
    let tree: Vec<_> = spans
        .iter()
        .map(|span| {
            (
                span.depth,
                span.name.as_str(),
                span.service.as_deref().unwrap(),
                span.is_error,
            )
        })
        .collect();
    assert_eq!(
        tree,
        [
            (0, "reconcile", "langop-operator", false),
            (1, "create_agent daily-report", "langop-operator", false),
            (2, "chat claude-sonnet-4-5", "langop-synthesizer", true),
        ]
    );
    assert_eq!(
        (spans[2].after_milliseconds, spans[2].milliseconds),
        (Some(9.2), Some(2380.8))
    );
}

#[test]
fn answers_of_others_are_no_answers_and_bad_spans_do_no_harm() {
    for other in [
        json!({"error": "x"}),
        json!([]),
        json!("x"),
        json!({"data": "x"}),
    ] {
        assert_eq!(spans::read(&other), None, "{other}");
    }
    for nothing in [
        json!({}),
        json!({"trace": {}}),
        json!({"batches": []}),
        json!({"data": []}),
    ] {
        assert_eq!(spans::read(&nothing), Some(Vec::new()), "{nothing}");
    }
    // In a circle, below itself, without an id, and below what is not there.
    let span = |id: &str, parent: &str| json!({"spanId": id, "parentSpanId": parent, "name": format!("{id}\u{1b}")});
    let all = json!([
        span("a", "b"),
        span("b", "a"),
        span("c", "c"),
        span("", ""),
        span("d", "x")
    ]);
    let spans = spans::read(&json!({"resourceSpans": [{"scopeSpans": [{"spans": all}]}]})).unwrap();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["c ", "d "]);
}
