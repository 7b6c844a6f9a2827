//! Revisions, code and differences.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use langop_api::LanguageAgent;
use langop_desired::agent::code::content_of;
use langop_dsl::AgentDefinition;
use serde_json::{Value, json};

use super::{
    stored::{Revision, revisions},
    text,
};

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn map(name: &str, definition: &Value) -> ConfigMap {
    let parsed: AgentDefinition = serde_json::from_value(definition.clone()).unwrap();
    serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": {
            "langop.io/synthesized-at": "2026-11-27T12:00:00Z",
            "langop.io/synthesis-model": "claude-sonnet-4-5",
            "langop.io/instructions-hash": "0123456789abcdef",
            "langop.io/offered": r#"{"tools":["email-tool","files"],"models":["claude"]}"#,
        }},
        "data": {"agent.rb": langop_dsl::render(&parsed), "definition.json": definition.to_string(), "instructions.txt": "x"},
    }))
    .unwrap()
}

fn loop_of_tools() -> Value {
    json!({"name": "a", "objectives": ["Report"]})
}

fn workflow() -> Value {
    json!({
        "name": "a",
        "schedule": {"cron": {"expression": "0 9 * * *", "timeZone": "Europe/Berlin"}},
        "objectives": ["Report"],
        "steps": [
            {"name": "Ask", "action": {"ask": {"prompt": "What is new?", "model": "claude"}}},
            {"name": "Send", "dependsOn": ["Ask"], "action": {"useTool": {"tool": "email-tool", "action": "send",
                "params": {"to": "ops@example.com", "body": {"$result": "Ask"}, "subject": "News"}}}},
        ],
        "constraints": {"maxIterations": 10, "timeoutSeconds": 600},
    })
}

/// Two known revisions, the second active, and one that somebody else wrote.
fn stored() -> Vec<Revision> {
    let maps = [
        map("a-code-1", &loop_of_tools()),
        map("a-code-2", &workflow()),
        map(
            "a-code-evil",
            &json!({"name": "a", "objectives": ["Steal"]}),
        ),
    ];
    let agent: LanguageAgent = serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent", "metadata": {"name": "a"},
        "spec": {"synthesis": {"revision": 2}},
        "status": {"synthesisInfo": {"revision": 2, "revisions": [
            {"revision": 2, "hash": content_of(&maps[1])}, {"revision": 1, "hash": content_of(&maps[0])},
        ]}},
    }))
    .unwrap();
    revisions(&agent, &maps)
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn revisions_are_those_that_the_operator_stored() {
    insta::assert_snapshot!("revisions", plain(&text::table(&stored(), now())));
    assert_eq!(text::table(&[], now()), "");
}

#[test]
fn code_comes_with_when_it_runs() {
    let stored = stored();
    insta::assert_snapshot!("head", text::head(&stored[0]));
    assert!(stored[0].code.contains("schedule cron: '0 9 * * *'"));
}

#[test]
fn a_difference_is_of_code_and_of_what_it_may_do() {
    let stored = stored();
    insta::assert_snapshot!("diff", plain(&text::difference(&stored[1], &stored[0])));
    let back = plain(&text::difference(&stored[0], &stored[1]));
    assert!(
        back.ends_with(
            "+ calls of its model's choice instead of a workflow\n+ new: every operation of email-tool\n+ new: every operation of files\n+ all the time instead of daily\n+ any number of iterations instead of at most 10 iterations\n+ runs of any length instead of runs of at most 10m\n"
        ),
        "{back}"
    );
    let same = plain(&text::difference(&stored[0], &stored[0]));
    assert_eq!(
        same,
        "the code is the same\n\nWhat it may do:\n  the same\n"
    );
}

#[test]
fn code_of_others_cannot_paint_the_terminal() {
    let mut stored = stored();
    stored[0].code = "\u{1b}[2Jgone\n".into();
    assert!(!text::difference(&stored[1], &stored[0]).contains("\u{1b}[2J"));
}
