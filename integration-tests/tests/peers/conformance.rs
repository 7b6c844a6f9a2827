//! The protocol's conformance suite in both roles: its servers against the runtime, its client
//! against a tool server of ours. What is known to fail is in `peers/conformance`, with its reason.

use std::{path::PathBuf, process::Stdio};

use langop_integration_tests::{
    FakeLlm, Reply, control_plane::ports, peers, programs, workspace_root,
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::tools;

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// The suite.
struct Suite {
    node: PathBuf,
    main: PathBuf,
    folder: PathBuf,
}

impl Suite {
    async fn install() -> Self {
        let packages = peers::npm("conformance").await.unwrap();
        Self {
            node: peers::node(22).await.unwrap(),
            main: packages.join("node_modules/@modelcontextprotocol/conformance/dist/index.js"),
            folder: workspace_root().unwrap().join("integration-tests/peers"),
        }
    }

    /// Runs a scenario of a role, and gives what it says if it does not pass.
    async fn run(
        &self,
        role: &str,
        (scenario, version): (&str, &str),
        arguments: &[&str],
        variables: &[(&str, String)],
    ) -> Result<(), String> {
        let output = Command::new(&self.node)
            // Its servers would listen on every interface.
            .arg("--require")
            .arg(self.folder.join("npm-mcp/loopback.cjs"))
            .arg(&self.main)
            .args([role, "--scenario", scenario, "--spec-version", version])
            .arg("--expected-failures")
            .arg(self.folder.join("conformance/expected-failures.yaml"))
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // A scenario that is left out, or to which nothing came, passes too.
        let is_empty = said.contains("SKIPPED: scenario") || said.contains("Passed: 0/0");
        if output.status.success() && !is_empty {
            return Ok(());
        }
        Err(format!("== {role} {scenario} {version}\n{said}"))
    }
}

/// The calls that a scenario wants, all in one turn.
fn calls(scenario: &str) -> Vec<(&'static str, Value)> {
    match scenario {
        "tools_call" => vec![("add_numbers", json!({"a": 5, "b": 3}))],
        "sse-retry" => vec![("test_reconnection", json!({}))],
        "http-standard-headers" => vec![("test_headers", json!({}))],
        "http-custom-headers" => custom_headers(),
        "http-invalid-tool-headers" => vec![("valid_tool", json!({"region": "eu"}))],
        "sep-2322-client-request-state" => vec![
            ("test_mrtr_echo_state", json!({})),
            ("test_mrtr_no_state", json!({})),
            ("test_mrtr_unrelated", json!({})),
            ("test_mrtr_no_result_type", json!({})),
        ],
        _ => Vec::new(),
    }
}

/// As the scenario's context says.
fn custom_headers() -> Vec<(&'static str, Value)> {
    let all = json!({
        "region": "us-west1", "priority": 42, "verbose": false, "debug": true, "empty_val": "",
        "method_val": "test-method", "float_val": 3.5, "non_ascii_val": "Hello, 世界",
        "whitespace_val": " padded ", "leading_space_val": " us-west1",
        "trailing_space_val": "us-west1 ", "internal_space_val": "us west 1",
        "control_char_val": "line1\nline2", "crlf_val": "line1\r\nline2", "tab_val": "\tindented",
        "query": "SELECT * FROM users",
    });
    let null = json!({"region": "us-east1", "priority": 1, "verbose": null, "query": "SELECT 1"});
    vec![
        ("test_custom_headers", all),
        ("test_custom_headers_null", null),
    ]
}

/// A model that makes these calls, and is content with whatever comes of them.
async fn model(calls: Vec<(&'static str, Value)>) -> FakeLlm {
    let model = FakeLlm::start().await.unwrap();
    let done = || Reply::Text("done".to_owned());
    if calls.is_empty() {
        model.reply(done());
        return model;
    }
    let calls: Vec<Value> = calls
        .into_iter()
        .map(|(name, arguments)| {
            json!({"id": name, "type": "function", "function": {
                "name": format!("suite__{name}"), "arguments": arguments.to_string()}})
        })
        .collect();
    let message = json!({"role": "assistant", "content": null, "tool_calls": calls});
    let body = json!({"choices": [{"message": message, "finish_reason": "tool_calls"}]});
    model
        .reply(Reply::Json {
            code: 200,
            retry_after: None,
            body,
        })
        .reply(done());
    model
}

#[tokio::test]
async fn the_runtime_is_a_client_that_conforms() {
    let suite = Suite::install().await;
    let folder = tempfile::tempdir().unwrap();
    let code = folder.path().join("agent.rb");
    let body = "require 'language_operator'\n\nagent 'client' do\n  objectives ['Call what the suite wants']\nend\n";
    std::fs::write(&code, body).unwrap();
    let program = programs::locate("langop-agent").unwrap();
    let script = suite.folder.join("conformance/client.sh");
    let command = format!("sh {}", script.display());
    let mut failed = Vec::new();
    for (scenario, version) in [
        ("tools_call", MODERN),
        ("request-metadata", MODERN),
        ("http-standard-headers", MODERN),
        ("http-custom-headers", MODERN),
        ("http-invalid-tool-headers", MODERN),
        ("json-schema-ref-no-deref", MODERN),
        ("sep-2322-client-request-state", MODERN),
        ("initialize", LEGACY),
        ("tools_call", LEGACY),
        ("sse-retry", LEGACY),
    ] {
        let model = model(calls(scenario)).await;
        let endpoint = json!([{"name": "m", "url": model.endpoint(), "model": "m"}]);
        let [port] = ports::free().unwrap();
        let variables = [
            ("LANGOP_AGENT", program.display().to_string()),
            ("AGENT_NAME", "client".to_owned()),
            ("AGENT_CODE_PATH", code.display().to_string()),
            ("MODEL_ENDPOINTS", endpoint.to_string()),
            ("PORT", port.to_string()),
        ];
        let arguments = ["--command", &*command];
        let scenario = (scenario, version);
        let ended = suite.run("client", scenario, &arguments, &variables).await;
        failed.extend(ended.err());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What all tools have in common, with the tools that the suite calls by name.
#[tokio::test]
async fn the_server_of_our_tools_conforms() {
    let suite = Suite::install().await;
    let (url, _process) = tools::start("examples/conformance", &[]).await;
    let url = format!("{url}/mcp");
    let mut failed = Vec::new();
    for scenario in [
        ("tools-call-simple-text", MODERN),
        ("tools-call-error", MODERN),
        ("json-schema-2020-12", MODERN),
        ("http-custom-header-server-validation", MODERN),
        ("tools-call-simple-text", LEGACY),
        ("tools-call-error", LEGACY),
        ("json-schema-2020-12", LEGACY),
    ] {
        let ended = suite.run("server", scenario, &["--url", &url], &[]).await;
        failed.extend(ended.err());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn a_tool_of_ours_is_a_server_that_conforms() {
    let suite = Suite::install().await;
    let files = tools::Files::start().await;
    let url = format!("{}/mcp", files.url);
    let mut failed = Vec::new();
    for scenario in [
        ("tools-list", MODERN),
        ("http-header-validation", MODERN),
        ("dns-rebinding-protection", MODERN),
        ("caching", MODERN),
        ("server-stateless", MODERN),
        ("server-initialize", LEGACY),
        ("ping", LEGACY),
        ("tools-list", LEGACY),
        ("dns-rebinding-protection", LEGACY),
    ] {
        let ended = suite.run("server", scenario, &["--url", &url], &[]).await;
        failed.extend(ended.err());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
