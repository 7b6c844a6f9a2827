use k8s_openapi::api::core::v1::ConfigMap;
use langop_api::approval::{ApprovalStatus, PowersInForce, PowersRequested};
use langop_desired::powers::Powers;
use serde_json::{Value, json};

use super::{text, waiting::waiting};

fn powers(to: &Value, models: &Value) -> Powers {
    let list = json!({
        "calls": {"mail": {"send": {"/to": {"addresses": to}}}},
        "models": models,
        "pace": {"every": {"seconds": 86400}},
        "limits": {}, "network": {"addresses": {}, "pods": {}}, "env": [], "secrets": [],
    });
    serde_json::from_value(list).unwrap()
}

fn asked(hash: &str) -> (ApprovalStatus, PowersRequested, ConfigMap) {
    let before = powers(&json!(["ann@example.com"]), &json!(["claude"]));
    let now = powers(&json!(["ann@example.com", "bob@example.com"]), &json!([]));
    let requested = PowersRequested {
        config_map: "clerk-code-1".into(),
        powers_hash: now.hash(),
        rejected_by: None,
    };
    let approval = ApprovalStatus {
        in_force: Some(PowersInForce {
            config_map: Some("clerk-code-0".into()),
            powers: before.canonical_json(),
            egress: "[]".into(),
        }),
        requested: Some(requested.clone()),
        halted: false,
    };
    let hash = if hash.is_empty() {
        now.hash()
    } else {
        hash.into()
    };
    let map = json!({"metadata": {"name": "clerk-code-1", "annotations": {
        "langop.io/revision": "4", "langop.io/powers": now.canonical_json(), "langop.io/powers-hash": hash,
    }}});
    (approval, requested, serde_json::from_value(map).unwrap())
}

#[test]
fn what_would_change_is_told_both_ways() {
    let (approval, requested, map) = asked("");
    let waiting = waiting(&approval, &requested, &map).unwrap();
    let text = text::preview("clerk", &waiting);
    insta::assert_snapshot!("preview", anstream::adapter::strip_str(&text).to_string());
}

#[test]
fn what_has_moved_on_is_not_decided_on() {
    let (approval, requested, map) = asked("0000");
    let why = waiting(&approval, &requested, &map).unwrap_err();
    assert!(why.contains("has just changed"), "{why}");
}
