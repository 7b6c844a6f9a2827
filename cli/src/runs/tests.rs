//! Past runs and lines of logs.

use jiff::Timestamp;
use langop_api::LanguageAgentStatus;
use langop_desired::{
    digest,
    observed::{ChildKind, Observed},
};
use serde_json::{Value, json};

use super::{
    lines::Line,
    past::{runs, table, totals},
};

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn job(name: &str, began: &str, status: &Value) -> Observed {
    let job = json!({
        "metadata": {"name": name, "namespace": "demo", "uid": name, "creationTimestamp": began},
        "status": status,
    });
    digest::reduce(ChildKind::Job, job).unwrap()
}

fn pod(of: &str, code: i32, message: &str) -> Observed {
    let pod = json!({
        "metadata": {
            "name": format!("{of}-x"), "namespace": "demo", "uid": format!("{of}-x"),
            "ownerReferences": [{"kind": "Job", "name": of, "uid": of, "controller": true}],
        },
        "spec": {"containers": [{"name": "agent"}]},
        "status": {"phase": "Succeeded", "containerStatuses": [
            {"name": "agent", "state": {"terminated": {"exitCode": code, "message": message}}},
        ]},
    });
    digest::reduce(ChildKind::Pod, pod).unwrap()
}

#[test]
fn runs_have_result_time_and_tokens_and_dashes_where_nothing_is_known() {
    let complete = json!({"completionTime": "2026-11-29T09:00:42Z", "conditions": [{"type": "Complete", "status": "True"}]});
    let failed = json!({"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2026-11-29T10:30:00Z", "message": "Job was active longer than specified deadline"}]});
    let jobs = [
        job("a-1", "2026-11-29T09:00:00Z", &complete),
        job("a-2", "2026-11-29T10:00:00Z", &failed),
        job("a-3", "2026-11-29T11:58:00Z", &json!({"active": 1})),
    ];
    let pods = [pod(
        "a-1",
        0,
        "sent 3 mails\n{\"v\":1,\"outcome\":\"succeeded\",\"tokens\":{\"input\":1200,\"output\":34}}",
    )];
    let text = table(&runs(&jobs, &pods), now());
    insta::assert_snapshot!("history", anstream::adapter::strip_str(&text).to_string());
}

#[test]
fn totals_are_the_operator_s() {
    let status = |status: Value| serde_json::from_value::<LanguageAgentStatus>(status).unwrap();
    assert_eq!(totals(&status(json!({}))), "", "none counted is no zero");
    assert_eq!(
        totals(&status(json!({"executionCount": 3, "failedExecutions": 1}))),
        "3 runs in all: - succeeded, 1 failed\n"
    );
}

#[test]
fn lines_of_the_runtime_name_their_step_and_others_stay() {
    let raw = r#"{"timestamp":"2026-11-29T09:00:01Z","level":"INFO","message":"step: done","run":"r","step":"Send","bytes":7}"#;
    let line = Line::of(raw);
    assert!(line.is_of("Send") && !line.is_of("Ask"));
    let plain = |line: &Line, pod| anstream::adapter::strip_str(&line.render(pod)).to_string();
    assert_eq!(
        plain(&line, Some("a-x")),
        "a-x 2026-11-29T09:00:01Z INFO [Send] step: done\n"
    );
    let other = Line::of("hello\u{1b}[2J");
    assert_eq!(plain(&other, None), "hello [2J\n");
    assert!(!other.is_of("Send"));
}
