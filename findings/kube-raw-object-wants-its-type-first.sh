#!/usr/bin/env bash
# Guess: the object of a watch event can be kept as its text (serde_json's RawValue), to be read later, whatever the order of
#        the event's two fields: JSON has none.
# So:    it can where "type" comes first, as API servers write it. Where "object" does, as in what serde_json, jq -S or a
#        recording with sorted keys writes, the same event is an error, and the typed object is read from both.
# Seen:  crates kube-core 5.0.0 and serde_json 1.0.154, with serde 1.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
k8s-openapi = { version = "=0.29.0", features = ["v1_36"] }
kube-core = "=5.0.0"
serde_json = { version = "=1.0.154", features = ["raw_value"] }
TOML
cat > src/main.rs <<'RUST'
use std::process::ExitCode;

use k8s_openapi::api::core::v1::ConfigMap;
use kube_core::WatchEvent;
use serde_json::value::RawValue;

const OBJECT: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#;

fn main() -> ExitCode {
    let sent = format!(r#"{{"type":"ADDED","object":{OBJECT}}}"#);
    let sorted = format!(r#"{{"object":{OBJECT},"type":"ADDED"}}"#);
    let raw = |text: &str| match serde_json::from_str::<WatchEvent<Box<RawValue>>>(text) {
        Ok(WatchEvent::Added(object)) => object.get().to_owned(),
        Ok(_) => "another event".to_owned(),
        Err(error) => format!("error: {error}"),
    };
    let typed = |text: &str| serde_json::from_str::<WatchEvent<ConfigMap>>(text).is_ok();
    println!("type first:   {}", raw(&sent));
    println!("object first: {}", raw(&sorted));
    let is_so = raw(&sent) == OBJECT && raw(&sorted).starts_with("error: ");
    if is_so && typed(&sent) && typed(&sorted) {
        ExitCode::SUCCESS
    } else {
        println!("the behaviour has changed");
        ExitCode::FAILURE
    }
}
RUST
cargo run --quiet
