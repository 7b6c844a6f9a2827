//! The SDK's client and servers that others wrote, as they are published: each is spoken to in its own era,
//! and its answer reaches the caller as text.

use langop_integration_tests::peers::servers::{Kind, McpServer, TEXT};
use serde_json::{Value, json};

use super::ruby::{on_sources, run_well};

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// Calls an operation, and gives the answer's text.
async fn call(server: &McpServer, operation: &str, arguments: &Value, version: &str) -> String {
    let code = "require 'langop'; \
        client = Langop::Client::Base.new(log: Langop::Log.new('info', output: $stderr)); \
        $stderr.puts JSON.generate(text: client.call_tool('peer', ARGV[0], JSON.parse(ARGV[1])).text)";
    let servers = json!([{"name": "peer", "url": server.url()}]);
    let mut command = on_sources();
    command
        .args(["-e", code, operation, &arguments.to_string()])
        .env("MCP_SERVERS", servers.to_string());
    let said = run_well(&mut command).await;
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let connected = lines.iter().find(|line| line["message"] == "connected");
    assert_eq!(connected.unwrap()["version"], version, "{said}");
    let last = lines.last().unwrap();
    last["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn servers_that_echo_are_understood() {
    for (kind, version) in [
        (Kind::Everything, LEGACY),
        (Kind::Python, MODERN),
        (Kind::Npm, MODERN),
    ] {
        let server = McpServer::start(kind).await.unwrap();
        let arguments = json!({"message": "three words"});
        let text = call(&server, "echo", &arguments, version).await;
        assert_eq!(text, TEXT, "{kind:?}");
    }
}

/// This one asks although nobody said that there is a person, and would wait for ever.
#[tokio::test]
async fn a_server_that_asks_a_person_is_told_no_at_once() {
    let server = McpServer::start(Kind::OldPython).await.unwrap();
    let text = call(&server, "asks", &json!({}), LEGACY).await;
    assert_eq!(text, "decline");
}

#[tokio::test]
async fn servers_behind_gateways_are_understood() {
    for kind in [Kind::Gateway, Kind::Proxy] {
        let server = McpServer::start(kind).await.unwrap();
        let arguments = json!({"path": server.note()});
        let text = call(&server, "read_text_file", &arguments, LEGACY).await;
        assert_eq!(text, TEXT, "{kind:?}");
    }
    let server = McpServer::start(Kind::Time).await.unwrap();
    let arguments = json!({
        "source_timezone": "Etc/UTC", "time": "16:30", "target_timezone": "Asia/Tokyo",
    });
    let text = call(&server, "convert_time", &arguments, MODERN).await;
    assert!(text.contains("+9.0h"), "{text}");
}
