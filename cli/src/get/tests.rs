//! Screens of `get`.

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::{
    rows::{Row, rows},
    text::{Look, screen},
};
use crate::facts::Read;

const NARROW: Look = Look {
    is_everywhere: false,
    is_wide: false,
};

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn agent(name: &str, status: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
        "metadata": {"name": name, "namespace": "demo", "creationTimestamp": "2026-11-20T12:00:00Z"},
        "spec": {"instructions": "x"}, "status": status,
    }))
    .unwrap()
}

fn cron_job(agent: &str, schedule: &str, zone: Option<&str>) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": agent, "namespace": "demo", "labels": {"langop.io/agent": agent}},
        "spec": {"schedule": schedule, "timeZone": zone, "jobTemplate": {}},
    }))
    .unwrap()
}

fn ready(status: &str, reason: &str, message: &str) -> Value {
    json!([{
        "type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-11-29T11:00:00Z",
    }])
}

fn of(agents: &[DynamicObject], cron_jobs: Vec<DynamicObject>) -> Vec<Row> {
    rows(agents, &Read::Got(cron_jobs), now())
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// One of each sort.
fn zoo() -> Vec<Row> {
    let tokens = json!({"input": 12_000, "output": 345, "cachedInput": 0});
    let agents = [
        agent(
            "runs",
            &json!({"phase": "Running", "mode": "autonomous", "conditions": ready("True", "AsDesired", "1 of 1 pods are ready")}),
        ),
        agent(
            "daily",
            &json!({
                "phase": "Succeeded", "mode": "scheduled", "schedule": "0 9 * * * (Europe/Berlin)",
                "lastExecutionTime": "2026-11-29T08:00:30Z", "lastExecutionResult": "Succeeded: sent 3 mails",
                "usage": {"total": tokens, "today": {"date": "2026-11-29", "input": 1, "output": 1, "cachedInput": 0}},
                "synthesisInfo": {"revision": 3}, "conditions": ready("True", "AsDesired", "the next run is planned"),
            }),
        ),
        agent(
            "fails",
            &json!({
                "phase": "Failed", "mode": "scheduled",
                "lastExecutionTime": "2026-11-29T11:55:00Z", "lastExecutionResult": "Failed: exit code 3: disk full",
                "conditions": ready("True", "AsDesired", "the next run is planned"),
            }),
        ),
        agent(
            "waits",
            &json!({"phase": "Pending", "conditions": ready("False", "WaitingForReferences", "tool 'email' does not exist; model 'claude' does not exist")}),
        ),
        agent(
            "rests",
            &json!({"phase": "Suspended", "conditions": ready("True", "Suspended", "suspended by spec.suspend")}),
        ),
        agent("unseen", &json!({"observedGeneration": -1})),
        agent(
            "broken",
            &json!({"phase": "Failed", "executionCount": "three"}),
        ),
    ];
    let cron_jobs = vec![
        cron_job("daily", "0 9 * * *", Some("Europe/Berlin")),
        cron_job("daily", "0 22 * * *", Some("Europe/Berlin")),
        cron_job("fails", "*/10 * * * *", None),
    ];
    of(&agents, cron_jobs)
}

#[test]
fn a_screen_says_who_runs_when_and_what_the_others_wait_for() {
    insta::assert_snapshot!("narrow", plain(&screen(&zoo(), NARROW, now())));
    let wide = Look {
        is_everywhere: true,
        is_wide: true,
    };
    insta::assert_snapshot!("wide", plain(&screen(&zoo(), wide, now())));
}

#[test]
fn programs_get_what_is_known_and_no_zeros() {
    let json = serde_json::to_value(zoo()).unwrap();
    let row = |name: &str| {
        let rows = json.as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap().clone()
    };
    insta::assert_yaml_snapshot!("json", [row("daily"), row("unseen")]);
}

#[test]
fn an_empty_namespace_has_no_table() {
    assert_eq!(screen(&[], NARROW, now()), "");
}

#[test]
fn without_rights_to_cron_jobs_next_runs_are_dashes() {
    let agents = [agent(
        "daily",
        &json!({"phase": "Running", "conditions": ready("True", "AsDesired", "")}),
    )];
    let rows = rows(&agents, &Read::Denied("no".into()), now());
    assert_eq!(rows[0].next_run, None);
    let text = plain(&screen(&rows, NARROW, now()));
    assert!(text.contains("daily   Running   -          -"), "{text}");
}

#[test]
fn a_thousand_agents_are_a_thousand_rows_and_one_summary() {
    let agents: Vec<_> = (0..1000)
        .map(|nth| {
            let phase = if nth % 10 == 0 { "Failed" } else { "Running" };
            let status = json!({"phase": phase, "conditions": ready("True", "AsDesired", "")});
            agent(&format!("agent-{nth:04}"), &status)
        })
        .collect();
    let cron_jobs =
        (0..1000).map(|nth| cron_job(&format!("agent-{nth:04}"), "0 9 * * *", Some("UTC")));
    let text = plain(&screen(&of(&agents, cron_jobs.collect()), NARROW, now()));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 1000 + 2);
    assert_eq!(
        lines[1],
        "agent-0000   Failed    in 21h     -               -   -"
    );
    assert_eq!(lines[1002], "1000 agents: 100 Failed, 900 Running");
}
