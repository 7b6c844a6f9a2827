//! The protocol's conformance suite in both roles: its servers against a client of ours, its client
//! against a server of ours. What is known to fail is in `peers/conformance`, with its reason, and is
//! the same for every implementation.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{folder, node, npm};
use crate::fake_llm::{FakeLlm, Reply};

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// A scenario, and the version of the protocol that it is run in.
pub type Scenario = (&'static str, &'static str);

/// What a client must pass.
pub const CLIENT: [Scenario; 10] = [
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
];

/// What a server must pass, whatever its tools are.
pub const SERVER: [Scenario; 9] = [
    ("tools-list", MODERN),
    ("http-header-validation", MODERN),
    ("dns-rebinding-protection", MODERN),
    ("caching", MODERN),
    ("server-stateless", MODERN),
    ("server-initialize", LEGACY),
    ("ping", LEGACY),
    ("tools-list", LEGACY),
    ("dns-rebinding-protection", LEGACY),
];

/// What a server must pass that has the tools which the suite calls by name.
pub const FIXTURE: [Scenario; 7] = [
    ("tools-call-simple-text", MODERN),
    ("tools-call-error", MODERN),
    ("json-schema-2020-12", MODERN),
    ("http-custom-header-server-validation", MODERN),
    ("tools-call-simple-text", LEGACY),
    ("tools-call-error", LEGACY),
    ("json-schema-2020-12", LEGACY),
];

/// The suite.
pub struct Suite {
    node: PathBuf,
    main: PathBuf,
    /// Node.js runs this first, since the suite's servers would listen on every interface.
    loopback: PathBuf,
    failures: PathBuf,
    client: PathBuf,
}

impl Suite {
    /// Installs it.
    ///
    /// # Errors
    /// If the package index cannot be reached the first time.
    pub async fn install() -> Result<Self> {
        let packages = npm("conformance").await?;
        Ok(Self {
            node: node(22).await?,
            main: packages.join("node_modules/@modelcontextprotocol/conformance/dist/index.js"),
            loopback: folder("npm-mcp")?.join("loopback.cjs"),
            failures: folder("conformance")?.join("expected-failures.yaml"),
            client: folder("conformance")?.join("client.sh"),
        })
    }

    /// Runs an agent against the suite's server. `LANGOP_AGENT` of the variables is its program, and
    /// its one model is added.
    ///
    /// # Errors
    /// What the suite says, if the agent does not pass.
    pub async fn judge_client(
        &self,
        scenario: Scenario,
        variables: &[(&str, String)],
    ) -> Result<()> {
        let model = model(calls(scenario.0)).await?;
        let endpoint = json!([{"name": "m", "url": model.endpoint(), "model": "m"}]);
        let command = format!("sh {}", self.client.display());
        let mut variables = variables.to_vec();
        variables.push(("MODEL_ENDPOINTS", endpoint.to_string()));
        self.run("client", scenario, &["--command", &command], &variables)
            .await
    }

    /// Runs the suite's client against a server.
    ///
    /// # Errors
    /// What the suite says, if the server does not pass.
    pub async fn judge_server(&self, scenario: Scenario, url: &str) -> Result<()> {
        self.run("server", scenario, &["--url", url], &[]).await
    }

    async fn run(
        &self,
        role: &str,
        (scenario, version): Scenario,
        arguments: &[&str],
        variables: &[(&str, String)],
    ) -> Result<()> {
        let output = Command::new(&self.node)
            .arg("--require")
            .arg(&self.loopback)
            .arg(&self.main)
            .args([role, "--scenario", scenario, "--spec-version", version])
            .arg("--expected-failures")
            .arg(&self.failures)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // A scenario that is left out, or to which nothing came, passes too.
        let is_empty = said.contains("SKIPPED: scenario") || said.contains("Passed: 0/0");
        if output.status.success() && !is_empty {
            return Ok(());
        }
        bail!("== {role} {scenario} {version}\n{said}")
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
async fn model(calls: Vec<(&'static str, Value)>) -> Result<FakeLlm> {
    let model = FakeLlm::start().await?;
    let done = || Reply::Text("done".to_owned());
    if calls.is_empty() {
        model.reply(done());
        return Ok(model);
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
    Ok(model)
}
