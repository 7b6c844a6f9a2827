//! What every tool server does, shown by the filesystem.

use rmcp::ServiceError;
use serde_json::{Value as Json, json};

use super::process::{Program, eras};

async fn filesystem(root: &tempfile::TempDir) -> Program {
    let root = root.path().display().to_string();
    let program = env!("CARGO_BIN_EXE_langop-tool-filesystem");
    Program::start(program, &[], &[("WORKSPACE_PATH", &root)]).await
}

#[tokio::test]
async fn clients_of_both_eras_get_the_same() {
    let root = tempfile::tempdir().unwrap();
    let program = filesystem(&root).await;
    for (number, era) in eras().into_iter().enumerate() {
        let client = program.client(era).await;
        let list = client.0.list_all_tools().await.unwrap();
        let names: Vec<_> = list.iter().map(|tool| tool.name.to_string()).collect();
        let expected = [
            "delete_file",
            "list_files",
            "read_file",
            "search_files",
            "write_file",
        ];
        assert_eq!(names, expected);
        let content = format!("by {number}");
        let written = json!({"path": "a.txt", "content": content});
        let written = client.call("write_file", written).await.unwrap();
        assert_eq!(written.is_error, Some(false));
        let read = client
            .call("read_file", json!({"path": "a.txt"}))
            .await
            .unwrap();
        assert_eq!(read.content[0].as_text().unwrap().text, content);
        let wrong = client.call("read_file", json!({"path": 3})).await.unwrap();
        assert_eq!(wrong.is_error, Some(true));
        assert_eq!(
            wrong.content[0].as_text().unwrap().text,
            "'path' must be a string"
        );
        let unknown = client.call("nothing", json!({})).await.unwrap_err();
        let ServiceError::McpError(error) = unknown else {
            panic!("{unknown:?}");
        };
        assert_eq!(
            (error.code.0, &*error.message),
            (-32602, "Unknown tool: nothing")
        );
    }
}

async fn discover(program: &Program, headers: &[(&str, &str)]) -> (u16, Json) {
    let mut request = reqwest::Client::new()
        .post(&program.url)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }}});
    let answer = request.json(&body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Json::Null))
}

#[tokio::test]
async fn callers_of_the_cluster_are_let_in_and_foreign_pages_are_not() {
    let root = tempfile::tempdir().unwrap();
    let program = filesystem(&root).await;
    let host = ("host", "email-tool.demo.svc.cluster.local:8080");
    let (status, list) = discover(&program, &[host]).await;
    assert_eq!(status, 200, "{list}");
    assert_eq!(list["result"]["ttlMs"], 300_000);
    assert_eq!(list["result"]["cacheScope"], "public");
    let (status, _) = discover(&program, &[("origin", "http://localhost:3000")]).await;
    assert_eq!(status, 200);
    let (status, _) = discover(&program, &[("origin", "https://evil.example")]).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn it_listens_to_both_families_unless_told_otherwise() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().to_str().unwrap();
    let program = env!("CARGO_BIN_EXE_langop-tool-filesystem");
    for (host, is_all) in [("", true), ("127.0.0.1", false)] {
        let variables = [("WORKSPACE_PATH", folder), ("LANGOP_TOOL_HOST", host)];
        let served = Program::start(program, &[], &variables).await;
        let newer = served.url.replace("127.0.0.1", "[::1]");
        let is_answered = reqwest::get(newer.replace("/mcp", "/readyz")).await.is_ok();
        let has_newer = std::net::TcpListener::bind("[::1]:0").is_ok();
        assert_eq!(is_answered, is_all && has_newer, "'{host}'");
    }
}

#[tokio::test]
async fn a_signal_ends_it_and_a_folder_that_is_not_there_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let mut program = filesystem(&root).await;
    program.signal("-TERM");
    assert!(program.child.wait().await.unwrap().success());
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_langop-tool-filesystem"))
        .env_clear()
        .env("WORKSPACE_PATH", "/nowhere")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("WORKSPACE_PATH cannot be opened"), "{log}");
}
