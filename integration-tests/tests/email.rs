//! The email tool between a caller of MCP and real mail servers: what is sent arrives, what is there is
//! found and read, and nothing in a mailbox changes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

use std::{
    net::{IpAddr, Ipv4Addr},
    process::Stdio,
    time::Duration,
};

use langop_integration_tests::{
    ImapServer, SmtpServer, control_plane::ports, peers, programs, wait,
};
use serde_json::{Value, json};
use tokio::process::Child;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const START: Duration = Duration::from_secs(30);

/// The tool as a process, and a way to call it.
struct Tool {
    url: String,
    client: reqwest::Client,
    _process: Child,
}

impl Tool {
    async fn start(smtp: Option<u16>, imap: Option<u16>) -> Self {
        Self::start_with(smtp, imap, ImapServer::PASSWORD).await
    }

    async fn start_with(smtp: Option<u16>, imap: Option<u16>, password: &str) -> Self {
        let [port] = ports::free().unwrap();
        let mut command = peers::guarded(&programs::locate("langop-tool-email").unwrap()).unwrap();
        command
            .env("PORT", port.to_string())
            .env("LANGOP_TOOL_HOST", "127.0.0.1")
            .env("EMAIL_KEYS_PATH", "/nowhere");
        if let Some(smtp) = smtp {
            command
                .env("SMTP_HOST", "127.0.0.1")
                .env("SMTP_PORT", smtp.to_string())
                .env("SMTP_SECURITY", "none")
                .env("SMTP_FROM", "agents@example.com");
        }
        if let Some(imap) = imap {
            command
                .env("IMAP_HOST", "127.0.0.1")
                .env("IMAP_PORT", imap.to_string())
                .env("IMAP_SECURITY", "none")
                .env("IMAP_USERNAME", ImapServer::USER)
                .env("IMAP_PASSWORD", password);
        }
        let process = command.stdout(Stdio::null()).spawn().unwrap();
        let this = Self {
            url: format!("http://127.0.0.1:{port}/mcp"),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            _process: process,
        };
        wait::until("the tool", START, async || {
            this.ask("tools/list", None, json!({})).await
        })
        .await
        .unwrap();
        this
    }

    /// A request of MCP 2026-07-28.
    async fn ask(
        &self,
        method: &str,
        name: Option<&str>,
        mut params: Value,
    ) -> Result<Value, String> {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let mut request = self
            .client
            .post(&self.url)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = request.json(&body).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        answer.get("result").cloned().ok_or(answer.to_string())
    }

    async fn names(&self) -> Vec<String> {
        let list = self.ask("tools/list", None, json!({})).await.unwrap();
        let tools = list["tools"].as_array().unwrap().iter();
        tools
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn call(&self, name: &str, arguments: Value) -> Value {
        let params = json!({"name": name, "arguments": arguments});
        self.ask("tools/call", Some(name), params).await.unwrap()
    }
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn a_mailbox_is_searched_and_read_and_stays_as_it_is() {
    let imap = ImapServer::start(LOOPBACK).await.unwrap();
    let tool = Tool::start(None, Some(imap.port)).await;
    assert_eq!(tool.names().await, ["read", "search"]);

    let found = tool.call("search", json!({"query": "friend"})).await;
    let found = &found["structuredContent"];
    let subjects: Vec<_> = found["messages"].as_array().unwrap().iter().collect();
    let subjects: Vec<_> = subjects
        .iter()
        .map(|one| one["subject"].as_str().unwrap())
        .collect();
    let newest_first = [
        "Hello, World!",
        "Random question",
        "Re: Re: Random question",
    ];
    assert_eq!(subjects, newest_first, "{found}");
    let first = tool
        .call("search", json!({"query": "friend", "limit": 1}))
        .await;
    assert_eq!(
        first["structuredContent"]["messages"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(first["structuredContent"]["found"], 3);

    let id = &found["messages"][0]["id"];
    let message = tool.call("read", json!({"id": id})).await;
    assert!(
        text(&message).contains("Subject: Hello, World!"),
        "{message}"
    );
    assert_eq!(message["structuredContent"]["from"], "friend@example.com");
    assert!(
        !message["structuredContent"]["text"]
            .as_str()
            .unwrap()
            .is_empty()
    );

    // Another epoch, another message; a number that nothing has.
    for (id, says) in [
        ("1-101", "search again"),
        ("x", "'id' must be one"),
        ("1655956031-9", "search again"),
    ] {
        let refused = tool.call("read", json!({"id": id})).await;
        assert_eq!(refused["isError"], true, "{id}");
        assert!(text(&refused).contains(says), "{id}: {refused}");
    }
    // Two messages that nobody had seen are still unseen: the same search finds them again.
    let again = tool.call("search", json!({"query": "friend"})).await;
    assert_eq!(&again["structuredContent"], found);
}

#[tokio::test]
async fn what_is_sent_arrives_and_only_what_has_a_server_is_offered() {
    let smtp = SmtpServer::start(LOOPBACK).await.unwrap();
    let tool = Tool::start(Some(smtp.port), None).await;
    assert_eq!(tool.names().await, ["send"]);
    let message =
        json!({"to": "ops@example.com", "subject": "Grüße", "body": "line one\nline two"});
    let sent = tool.call("send", message).await;
    assert_eq!(text(&sent), "sent to 1 recipient");
    let messages = smtp.messages().unwrap();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0].contains("To: ops@example.com"),
        "{}",
        messages[0]
    );
    assert!(
        messages[0].contains("line one\nline two"),
        "{}",
        messages[0]
    );
}

#[tokio::test]
async fn a_mailbox_that_cannot_be_read_says_so_without_the_servers_address() {
    let [closed] = ports::free().unwrap();
    let tool = Tool::start(None, Some(closed)).await;
    let refused = tool.call("search", json!({"query": "x"})).await;
    assert_eq!(refused["isError"], true);
    assert_eq!(
        text(&refused),
        "the mail server cannot be reached or does not speak IMAP"
    );
}

#[tokio::test]
async fn a_password_that_is_refused_is_told_and_not_shown() {
    let imap = ImapServer::start(LOOPBACK).await.unwrap();
    let tool = Tool::start_with(None, Some(imap.port), "not-the-password").await;
    let refused = tool.call("search", json!({"query": "friend"})).await;
    assert_eq!(refused["isError"], true);
    assert_eq!(
        text(&refused),
        "the mail server refuses: check the account, the folder and the words of the query"
    );
}

/// Greets and hangs up, as servers do that have had enough.
#[tokio::test]
async fn a_mail_server_that_hangs_up_is_told() {
    let listener = tokio::net::TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let bye = b"* BYE too many connections\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, bye)
            .await
            .unwrap();
    });
    let tool = Tool::start(None, Some(port)).await;
    let refused = tool.call("search", json!({"query": "friend"})).await;
    assert_eq!(refused["isError"], true, "{refused}");
    assert_eq!(
        text(&refused),
        "the mail server cannot be reached or does not speak IMAP"
    );
    server.await.unwrap();
}
