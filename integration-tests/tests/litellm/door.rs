//! The door alone, under the system's Python, before something that says what came through.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    built::{Built, built, specs},
    probes::{self, Probe, asks_the_model, chat_with},
};

/// Runs requests through the door of this proxy; `None` where there is no Python.
fn through(proxy: &Built, requests: &[Value]) -> Option<Value> {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in &proxy.files {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/litellm/door.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg(folder.path());
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut python) = spawned else {
        eprintln!("LEFT OUT: the door of the model proxy was not tried, as there is no python3");
        return None;
    };
    let mut stdin = python.stdin.take().unwrap();
    stdin
        .write_all(json!(requests).to_string().as_bytes())
        .unwrap();
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the door failed");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn request(probe: &Probe) -> Value {
    let (path, query) = probe.path.split_once('?').unwrap_or((&probe.path, ""));
    json!({"method": probe.method, "path": path, "query": query, "headers": probe.headers, "body": probe.body})
}

fn proxy(configuration: &Value) -> Built {
    let mut spec = specs("http://upstream")["openai-compatible"].clone();
    spec["configuration"] = configuration.clone();
    built(&spec)
}

#[test]
fn nothing_but_what_the_model_says_comes_through() {
    let refused = probes::refused();
    assert!(refused.len() > 136);
    let requests: Vec<_> = refused.iter().map(request).collect();
    let Some(said) = through(&proxy(&json!({"maxTokens": 64})), &requests) else {
        return;
    };
    for (probe, answer) in refused.iter().zip(said["answers"].as_array().unwrap()) {
        let name = probe.name();
        let status = answer["status"].as_u64().unwrap();
        assert!((400..500).contains(&status), "{name}: {answer}");
        assert_eq!(answer["seen"], Value::Null, "{name}");
        let error: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert!(
            error["error"]["message"].is_string() && error["error"]["code"].is_string(),
            "{name}: {error}"
        );
    }
    assert_eq!(said["unmarked"]["status"], 403, "a request beside the door");
}

#[test]
fn what_comes_through_is_written_by_the_door() {
    let served = probes::served();
    let requests: Vec<_> = served.iter().map(request).collect();
    let Some(said) = through(&proxy(&json!({"maxTokens": 64})), &requests) else {
        return;
    };
    for (probe, answer) in served.iter().zip(said["answers"].as_array().unwrap()) {
        let (name, seen) = (probe.name(), &answer["seen"]);
        assert_eq!(answer["status"], 200, "{name}: {answer}");
        assert_eq!(seen["query"], "", "{name}");
        assert_eq!(
            seen["headers"],
            json!(["content-length", "content-type"]),
            "{name}"
        );
        if asks_the_model(probe) {
            let body: Value = serde_json::from_str(seen["body"].as_str().unwrap()).unwrap();
            assert_eq!(
                (&seen["path"], &body["model"]),
                (&json!("/v1/chat/completions"), &json!("brain")),
                "{name}"
            );
            assert!(
                (1..=64).contains(&body["max_tokens"].as_u64().unwrap()),
                "{name}: {body}"
            );
            let gone = ["n", "max_completion_tokens", "metadata", "tools"]
                .map(|field| body.get(field).is_none());
            assert_eq!(gone, [true; 4], "{name}: {body}");
        }
    }
}

#[test]
fn a_limit_is_the_smallest_that_is_said() {
    let limit = |configuration: Value, fields: Value| {
        let said = through(&proxy(&configuration), &[request(&chat_with(fields))])?;
        let body = said["answers"][0]["seen"]["body"]
            .as_str()
            .unwrap()
            .to_owned();
        Some(serde_json::from_str::<Value>(&body).unwrap()["max_tokens"].clone())
    };
    for (configuration, fields, said) in [
        (json!({"maxTokens": 64}), json!({}), json!(64)),
        (
            json!({"maxTokens": 64}),
            json!({"max_tokens": 65}),
            json!(64),
        ),
        (json!({"maxTokens": 64}), json!({"max_tokens": 5}), json!(5)),
        (
            json!({"maxTokens": 64}),
            json!({"max_tokens": 9, "max_completion_tokens": 8}),
            json!(8),
        ),
        (
            json!({}),
            json!({"max_completion_tokens": 100_000}),
            json!(100_000),
        ),
        (json!({}), json!({}), Value::Null),
    ] {
        if let Some(found) = limit(configuration, fields.clone()) {
            assert_eq!(found, said, "{fields}");
        }
    }
}

#[test]
fn a_minute_is_counted_over_both_names_and_refusals_are_free() {
    let ask = |model: &str| request(&chat_with(json!({"model": model})));
    let order = ["brain", "other", "org/model:7b", "brain", "org/model:7b"];
    let configuration = json!({"requestsPerMinute": 2});
    let Some(said) = through(&proxy(&configuration), &order.map(ask)) else {
        return;
    };
    let statuses: Vec<_> = said["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| answer["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [200, 404, 200, 429, 429]);
    let wait: u64 = said["answers"][3]["headers"]["retry-after"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
}

#[test]
fn a_request_ends_with_its_time() {
    let mut slow = request(&chat_with(json!({})));
    slow["hang"] = json!(true);
    let Some(said) = through(&proxy(&json!({"timeoutSeconds": 1})), &[slow]) else {
        return;
    };
    let answer = &said["answers"][0];
    assert_eq!(answer["status"], 504, "{answer}");
    assert!(answer["seen"].is_object(), "it came through");
}
