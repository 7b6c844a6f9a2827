//! The other ways to an agent: as a tool of others, on a terminal, and as a check.

use std::process::Stdio;

use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt as _;

use super::{
    agent::Agent,
    model::{Model, says},
    peer::{Habits, Peer},
};

const BODY: &str = "  objectives ['Be of help']";

async fn ask(agent: &Agent, path: Json, origin: Option<&str>) -> (u16, Json) {
    let mut request = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{}/mcp", agent.port()))
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "ask");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "ask", "arguments": {"message": "What is new?"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.langop/path": path,
        },
    }});
    let answer = request.json(&body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Json::Null))
}

#[tokio::test]
async fn an_agent_is_a_tool_of_others_and_never_of_itself() {
    let model = Model::start(vec![says("Nothing is new."); 9]).await;
    let agent = Agent::new(BODY)
        .model(model.address)
        .with("AGENT_MODE", "autonomous")
        .with("LANGOP_AGENT_SERVE", "mcp");
    let running = agent.start_serving().await;
    let (status, answer) = ask(&agent, json!(["demo/other"]), None).await;
    assert_eq!(status, 200, "{answer}");
    let result = &answer["result"];
    assert_eq!(result["content"][0]["text"], "Nothing is new.");
    assert_eq!(result["structuredContent"]["outcome"], "succeeded");
    assert_eq!(result["structuredContent"]["tokens"]["input"], 10);
    let asked = model.requests().last().unwrap()["messages"][1]["content"].clone();
    assert_eq!(asked, "What is new?");
    for path in [json!(["demo/test-agent"]), json!(["a", "b", "c", "d", "e"])] {
        let (_, answer) = ask(&agent, path, None).await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        let words = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(words.starts_with("refused"), "{words}");
    }
    let (status, _) = ask(&agent, json!([]), Some("https://evil.example")).await;
    assert_eq!(status, 403);
    running.signal("-TERM");
    assert_eq!(running.end().await.code, Some(0));
}

#[tokio::test]
async fn a_person_talks_to_the_loop() {
    let peer = Peer::start(Habits::default()).await;
    let model = Model::start([says("Hello!"), says("")]).await;
    let agent = Agent::new(BODY)
        .tools(&[("peer", peer.address)])
        .model(model.address);
    let mut child = agent
        .command(&["chat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"Hi\nAnd now?\n\n").await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("> Hello!\n"), "{text}");
    assert!(
        text.contains("[model-refused: the model answered nothing]"),
        "{text}"
    );
    let requests = model.requests();
    let roles: Vec<_> = requests[1]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].clone())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert!(requests[0]["tools"].to_string().contains("peer__record"));
}

#[tokio::test]
async fn a_check_needs_no_network() {
    let model = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    for (agent, code, said) in [
        (Agent::new(BODY).model(model), 0, "is good"),
        (Agent::new(BODY), 3, "not-offered"),
        (Agent::new("  objectives []"), 3, "invalid-code"),
        (
            Agent::new(BODY).with("AGENT_TIMEOUT", "soon"),
            3,
            "AGENT_TIMEOUT",
        ),
    ] {
        let output = agent.command(&["check"]).output().await.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(said), "{said}: {text}");
    }
    let output = Agent::new(BODY)
        .command(&["--version"])
        .output()
        .await
        .unwrap();
    assert!(output.stdout.starts_with(b"langop-agent "));
    let output = Agent::new(BODY)
        .command(&["--nonsense"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
