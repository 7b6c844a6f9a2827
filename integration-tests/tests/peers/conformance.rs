//! The protocol's conformance suite in both roles: its servers against the runtime, its client
//! against a tool server of ours.

use langop_integration_tests::{
    control_plane::ports,
    peers::conformance::{CLIENT, FIXTURE, SERVER, Scenario, Suite},
    programs,
};

use crate::tools;

#[tokio::test]
async fn the_runtime_is_a_client_that_conforms() {
    let suite = Suite::install().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let code = folder.path().join("agent.rb");
    let body = "require 'language_operator'\n\nagent 'client' do\n  objectives ['Call what the suite wants']\nend\n";
    std::fs::write(&code, body).unwrap();
    let program = programs::locate("langop-agent").unwrap();
    let mut failed = Vec::new();
    for scenario in CLIENT {
        let [port] = ports::free().unwrap();
        let variables = [
            ("LANGOP_AGENT", program.display().to_string()),
            ("AGENT_NAME", "client".to_owned()),
            ("AGENT_CODE_PATH", code.display().to_string()),
            ("PORT", port.to_string()),
        ];
        let judged = suite.judge_client(scenario, &variables).await;
        failed.extend(judged.err().map(|error| error.to_string()));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn judge(scenarios: &[Scenario], url: &str) {
    let suite = Suite::install().await.unwrap();
    let mut failed = Vec::new();
    for scenario in scenarios {
        let judged = suite.judge_server(*scenario, &format!("{url}/mcp")).await;
        failed.extend(judged.err().map(|error| error.to_string()));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What all tools have in common, with the tools that the protocol's conformance suite calls by name.
#[tokio::test]
async fn the_server_of_our_tools_conforms() {
    let (url, _process) = tools::start("examples/conformance", &[]).await;
    judge(&FIXTURE, &url).await;
}

#[tokio::test]
async fn a_tool_of_ours_is_a_server_that_conforms() {
    let files = tools::Files::start().await;
    judge(&SERVER, &files.url).await;
}
