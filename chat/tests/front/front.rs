//! Starts `langop-chat` with nothing but the environment of a test.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use axum::{Json, Router, routing::post};
use langop_tools::filesystem::Filesystem;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::model::{Model, Reply};

/// Longest time to wait for anything.
pub(crate) const LONGEST: Duration = Duration::from_mins(1);

/// A front end that runs.
pub(crate) struct Front {
    pub(crate) port: u16,
    folder: TempDir,
    child: Child,
}

impl Front {
    /// Over `model`, with a tool `files` that holds a note.
    pub(crate) async fn over(model: &Model) -> Self {
        Self::start(&[("MODEL_ENDPOINTS", models(&[("claude", model.address)]))]).await
    }

    /// With these variables besides.
    pub(crate) async fn start(variables: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("files");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("notes.txt"), "Buy milk and bread.").unwrap();
        let files = filesystem(&root).await;
        let tools = json!([{"name": "files", "url": format!("http://{files}")}]);
        let port = free_port();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_langop-chat"));
        command
            .env_clear()
            .env("AGENT_NAME", "helpdesk")
            .env("AGENT_NAMESPACE", "demo")
            .env("PORT", port.to_string())
            .env("MCP_SERVERS", tools.to_string())
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true);
        let child = command.spawn().unwrap();
        let front = Self {
            port,
            folder,
            child,
        };
        front
            .until("it serves", |log| log.contains("serving"))
            .await;
        front
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits until the log is as it should be.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&str) -> bool) {
        let waited = timeout(LONGEST, async {
            while !is(&self.log()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "waited in vain until {what}:\n{}",
            self.log()
        );
    }

    /// Tells it to end, as the kubelet does.
    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    }

    /// With which code it ended.
    pub(crate) async fn end(mut self) -> Option<i32> {
        let ended = timeout(LONGEST, self.child.wait()).await;
        ended.unwrap().unwrap().code()
    }
}

/// As in `MODEL_ENDPOINTS`.
pub(crate) fn models(models: &[(&str, SocketAddr)]) -> String {
    let model = |(name, address): &(&str, SocketAddr)| json!({"name": name, "url": format!("http://{address}"), "model": "claude-x"});
    models.iter().map(model).collect::<Value>().to_string()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

async fn filesystem(root: &Path) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let files = Filesystem::open(root).unwrap();
    let router = langop_tools::server::router(files, "/mcp", CancellationToken::new());
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

/// The model calls `files`.
pub(crate) fn calls(operation: &str, arguments: &Value) -> Reply {
    let function =
        json!({"name": format!("files__{operation}"), "arguments": arguments.to_string()});
    let call = json!({"id": "call_a", "type": "function", "function": function});
    Reply::Message(json!({"role": "assistant", "content": null, "tool_calls": [call]}))
}

/// A model that answers what it is asked once `gate` is closed.
pub(crate) async fn slow_model(gate: Arc<Semaphore>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = post(async move || {
        // Nobody gets a place: it opens by being closed.
        let _ = gate.acquire().await;
        Json(json!({"choices": [{"message": {"content": "At last."}}]}))
    });
    let router = Router::new().route("/v1/chat/completions", answer);
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}
