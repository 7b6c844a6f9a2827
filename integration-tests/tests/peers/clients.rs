//! Clients of the official SDKs, in both eras, against a tool of ours and an agent as a tool.

use langop_integration_tests::{
    Agent, FakeLlm, Reply,
    peers::clients::{Sdk, call},
};
use serde_json::{Value, json};

use crate::tools::Files;

/// Each client gets this answer, in its era.
async fn all_get(url: &str, tool: &str, arguments: &Value, tools: usize, text: &str) {
    for sdk in [Sdk::Npm, Sdk::Python] {
        for (mode, version) in [("legacy", "2025-11-25"), ("auto", "2026-07-28")] {
            let answer = call(sdk, mode, url, tool, arguments).await.unwrap();
            let expected = json!({"version": version, "tools": tools, "text": text});
            assert_eq!(answer, expected, "{sdk:?} {mode}");
        }
    }
}

#[tokio::test]
async fn a_tool_of_ours_is_called_by_all() {
    let files = Files::start().await;
    files.write("note.txt", "three words");
    let url = format!("{}/mcp", files.url);
    let path = json!({"path": "note.txt"});
    all_get(&url, "read_file", &path, 5, "three words").await;
}

#[tokio::test]
async fn an_agent_is_asked_by_all() {
    let model = FakeLlm::start().await.unwrap();
    model.reply_with(|_| Reply::Text("Nothing is new.".to_owned()));
    let agent = Agent::new("asked", "  objectives ['Be of help']")
        .unwrap()
        .model(model.endpoint())
        .with("AGENT_MODE", "autonomous")
        .with("LANGOP_AGENT_SERVE", "mcp");
    let _running = agent.start().unwrap();
    agent.until_idle().await.unwrap();
    let url = format!("{}/mcp", agent.url());
    let message = json!({"message": "What is new?"});
    all_get(&url, "ask", &message, 1, "Nothing is new.").await;
}
