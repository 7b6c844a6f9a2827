//! `trace` with the spans of the real programs. There is no Tempo here: a server answers as one
//! does, with what a collector got.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use langop_integration_tests::{
    FakeLlm, OtlpReceiver, Synthesizer,
    env::{SOON, TestEnv},
    otlp::Span,
};
use serde_json::{Value, json};

use crate::plugin::langop;

const AGENT: &str = "traced";
/// A run's, by the word of its pod.
const RUN: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What a Tempo says of these spans.
fn as_tempo(spans: &[&Span]) -> Value {
    let mut services: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for span in spans {
        let end = u128::from(span.start) + span.duration.as_nanos();
        services.entry(&span.service).or_default().push(json!({
            "spanId": span.span_id, "parentSpanId": span.parent_id, "name": span.name,
            "startTimeUnixNano": span.start.to_string(), "endTimeUnixNano": end.to_string(),
        }));
    }
    let batches = services.into_iter().map(|(service, spans)| {
        json!({
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
            "scopeSpans": [{"spans": spans}],
        })
    });
    json!({"batches": batches.collect::<Vec<_>>()})
}

async fn answer(
    State(otlp): State<Arc<OtlpReceiver>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    if headers
        .get("x-scope-orgid")
        .is_none_or(|team| team != "team")
    {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let spans = otlp.spans();
    let spans: Vec<&Span> = spans.iter().filter(|span| span.trace_id == id).collect();
    if spans.is_empty() {
        return Err(StatusCode::NOT_FOUND);
    }
    Ok(Json(as_tempo(&spans)))
}

/// Where it listens.
async fn tempo(otlp: Arc<OtlpReceiver>) -> String {
    let router = Router::new().route("/tempo/api/traces/{id}", routing::get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/tempo", listener.local_addr().unwrap());
    // It ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, router.with_state(otlp)).await });
    url
}

async fn traced_world(otlp: &OtlpReceiver) -> TestEnv {
    let llm = FakeLlm::start().await.unwrap();
    let synthesizer = Synthesizer::asking(&llm).otlp(otlp.endpoint()).start();
    let synthesizer = synthesizer.await.unwrap();
    let (url, receiver) = (synthesizer.grpc_url().to_owned(), otlp.endpoint());
    TestEnv::with("cli-trace", llm, synthesizer, |operator| {
        operator.synthesizer(&url).otlp(receiver)
    })
    .await
}

/// Its pod says how its last run ended, as the reference runtime has it.
async fn has_run(env: &TestEnv) {
    let pods = env.pods(AGENT).await;
    let pod = pods[0].name_any();
    let account = json!({
        "v": 1, "outcome": "succeeded", "run": "r", "iterations": 2, "toolCalls": 1, "durationMs": 5312,
        "traceparent": format!("00-{RUN}-00f067aa0ba902b7-01"),
    });
    let container = &pods[0].spec.as_ref().unwrap().containers[0];
    let ended = json!({
        "exitCode": 0, "message": format!("sent 3 mails\n{account}\n"),
        "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:05Z",
    });
    let status = json!({"status": {"containerStatuses": [{
        "name": container.name, "image": container.image, "imageID": "", "ready": true, "restartCount": 1,
        "state": {"running": {"startedAt": "2026-01-01T00:00:06Z"}}, "lastState": {"terminated": ended},
    }]}});
    let changed = env.ns.api::<Pod>();
    let changed = changed
        .patch_status(&pod, &PatchParams::default(), &Patch::Merge(status))
        .await;
    changed.unwrap();
}

#[tokio::test]
async fn both_traces_are_found_linked_and_filled_by_whom_the_user_names() {
    let otlp = Arc::new(OtlpReceiver::start().await.unwrap());
    let env = traced_world(&otlp).await;
    env.with_agent(AGENT, "leave a trace").await;
    has_run(&env).await;
    let arrived = otlp.wait_for("the whole trace", SOON, |spans| {
        let chat = spans.iter().find(|span| span.name == "chat fake-model")?;
        let of_trace = |name: &str| {
            spans
                .iter()
                .any(|span| span.trace_id == chat.trace_id && span.name == name)
        };
        (of_trace("reconcile") && of_trace(&format!("create_agent {AGENT}")))
            .then(|| chat.trace_id.clone())
    });
    let id = arrived.await.unwrap();

    let link = "--link 'https://jaeger.example/trace/{traceId}'";
    let said = langop(&env, &format!("trace {AGENT} {link}")).await;
    assert!(
        said.err.contains("name that Tempo or Jaeger by --backend"),
        "{said:?}"
    );
    let said = said.fine();
    for part in [
        "Synthesis of revision 1 by fake-model, ",
        &format!("  link   https://jaeger.example/trace/{id}\n"),
        &format!("  trace  {RUN}\n"),
        "took 5.3s, 2 model answers, 1 tool call: sent 3 mails\n",
    ] {
        assert!(said.contains(part), "no {part:?}: {said}");
    }

    let backend = tempo(Arc::clone(&otlp)).await;
    let ask =
        format!("trace agent/{AGENT} --backend {backend} --header 'X-Scope-OrgID: team' -o json");
    let said = langop(&env, &ask).await;
    // It has no trace of the run, which none of our programs made.
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains(&format!("has no trace {RUN}\n")),
        "{said:?}"
    );
    let known: Value = serde_json::from_str(&said.out).unwrap();
    let spans = known["synthesis"]["spans"].as_array().unwrap();
    let depth = |name: &str| {
        let found = spans.iter().find(|span| span["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {spans:#?}"))["depth"]
            .as_u64()
            .unwrap()
    };
    let rpc = "langop.synthesis.v1.SynthesisService/Synthesize";
    let path = [
        "reconcile",
        &format!("create_agent {AGENT}"),
        rpc,
        "chat fake-model",
    ]
    .map(depth);
    assert!(
        path.is_sorted_by(|above, below| above < below),
        "{spans:#?}"
    );
    assert_eq!(
        known["run"]["spans"][0]["name"],
        format!("invoke_agent {AGENT}")
    );

    // Who may not ask, and nobody at all: what is known is shown all the same.
    for (backend, words) in [
        (backend.as_str(), "401"),
        ("http://127.0.0.1:1", "cannot ask"),
    ] {
        let said = langop(&env, &format!("trace {AGENT} --backend {backend}")).await;
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains(words), "{said:?}");
        assert!(said.out.contains(&format!("  trace  {id}\n")), "{said:?}");
    }
    let tool = langop(&env, "trace tool/mail").await;
    assert!(
        tool.err.contains("name an agent that uses this tool"),
        "{tool:?}"
    );
}
