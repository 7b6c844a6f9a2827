//! The protocol's conformance suite: the same required list as for the reference runtime and tools, with
//! the same known failures.

use langop_integration_tests::{
    control_plane::ports,
    peers::conformance::{CLIENT, FIXTURE, SERVER, Suite},
    workspace_root,
};
use serde_json::json;

use super::{
    ruby::{Gem, mount},
    server::Server,
};

#[tokio::test]
async fn the_agent_is_a_client_that_conforms() {
    let (suite, gem) = (Suite::install().await.unwrap(), Gem::installed().await);
    let folder = tempfile::tempdir().unwrap();
    let definition =
        json!({"name": "client", "objectives": ["Call what the suite wants"], "constraints": {}});
    let code = mount(folder.path(), "# never evaluated\n", &definition);
    let mut failed = Vec::new();
    for scenario in CLIENT {
        let [port] = ports::free().unwrap();
        let mut variables = vec![
            (
                "LANGOP_AGENT",
                gem.program("langop-agent-ruby").display().to_string(),
            ),
            ("AGENT_NAME", "client".to_owned()),
            ("AGENT_CODE_PATH", code.display().to_string()),
            ("PORT", port.to_string()),
        ];
        variables.extend(gem.variables());
        let judged = suite.judge_client(scenario, &variables).await;
        failed.extend(judged.err().map(|error| error.to_string()));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn a_declared_tool_is_a_server_that_conforms() {
    let (suite, gem) = (Suite::install().await.unwrap(), Gem::installed().await);
    let file = workspace_root()
        .unwrap()
        .join("integration-tests/peers/ruby/conformance.rb");
    let server = Server::start(gem.command("langop-tool-server").arg(file)).await;
    let url = format!("{}/mcp", server.url());
    let mut failed = Vec::new();
    for scenario in SERVER.into_iter().chain(FIXTURE) {
        let judged = suite.judge_server(scenario, &url).await;
        failed.extend(judged.err().map(|error| error.to_string()));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
