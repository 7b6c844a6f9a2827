//! Starts an agent with nothing but the environment of a test, and reads what it leaves.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::{
    net::TcpSocket,
    process::{Child, Command},
    time::timeout,
};

use super::implementation::Implementation;

/// Longest time that a run of a test takes.
const LONGEST: Duration = Duration::from_mins(1);

/// An agent that can be started.
pub(crate) struct Agent {
    implementation: Implementation,
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// What an agent left.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) code: Option<i32>,
    /// Line 1 of the termination message.
    pub(crate) line: String,
    /// Line 2.
    pub(crate) json: Json,
    pub(crate) log: String,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// An address where nobody listens for as long as the socket is held: it has the port, and does not
/// listen. A port that was free a moment ago may be another test's by now.
pub(crate) fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

impl Agent {
    /// With a workflow or objectives, as the body of the agent.
    pub(crate) fn new(body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let code = format!(
            "require 'language_operator'\n\nagent 'test-agent' do\n  description 'A test'\n{body}\nend\n"
        );
        fs::write(folder.path().join("agent.rb"), code).unwrap();
        fs::write(folder.path().join("termination-log"), "").unwrap();
        fs::create_dir(folder.path().join("workspace")).unwrap();
        let mut agent = Self {
            implementation: Implementation::current(),
            folder,
            variables: Vec::new(),
        };
        let path = |name| agent.path(name).display().to_string();
        for (name, value) in [
            ("AGENT_NAME", "test-agent".to_owned()),
            ("AGENT_NAMESPACE", "demo".to_owned()),
            ("AGENT_CODE_PATH", path("agent.rb")),
            ("LANGOP_TERMINATION_LOG", path("termination-log")),
            ("PORT", free_port().to_string()),
        ] {
            agent = agent.with(name, value);
        }
        agent
    }

    /// By this implementation, whichever is tested.
    pub(crate) fn by(self, implementation: Implementation) -> Self {
        Self {
            implementation,
            ..self
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn tools(self, tools: &[(&str, SocketAddr)]) -> Self {
        let tools = tools.iter().map(
            |(name, address)| serde_json::json!({"name": name, "url": format!("http://{address}")}),
        );
        self.with("MCP_SERVERS", tools.collect::<Json>())
    }

    pub(crate) fn model(self, address: SocketAddr) -> Self {
        let url = format!("http://{address}");
        let models = serde_json::json!([{"name": "claude", "url": url, "model": "claude-x"}]);
        self.with("MODEL_ENDPOINTS", models)
    }

    pub(crate) fn with_workspace(self) -> Self {
        let workspace = self.workspace().display().to_string();
        self.with("WORKSPACE_PATH", workspace)
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.path("log")
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.path("workspace")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn port(&self) -> u16 {
        let port = self.variables.iter().find(|(name, _)| name == "PORT");
        port.unwrap().1.parse().unwrap()
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn start(&self) -> Running<'_> {
        let log = fs::File::create(self.path("log")).unwrap();
        let child = self
            .command(&[])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Running { agent: self, child }
    }

    /// Starts it, and waits until its own first run is over.
    pub(crate) async fn start_serving(&self) -> Running<'_> {
        let running = self.start();
        until("the first run has ended", || {
            running.log().contains("waiting for the next run")
        })
        .await;
        running
    }

    /// The program with its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.implementation
            .mount(self.folder.path(), &self.variables);
        let mut command = self.implementation.command();
        command.args(arguments).envs(self.variables.iter().cloned());
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self) -> Left {
        self.start().end().await
    }
}

/// An agent that was started.
pub(crate) struct Running<'a> {
    agent: &'a Agent,
    child: Child,
}

impl Running<'_> {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().unwrap().try_into().unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = std::process::Command::new("kill")
            .args([signal, &self.pid().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn log(&self) -> String {
        text(&self.agent.log_path())
    }

    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) async fn end(mut self) -> Left {
        let status = timeout(LONGEST, self.child.wait()).await;
        let log = fs::read_to_string(self.agent.path("log")).unwrap();
        let status = status
            .unwrap_or_else(|_| panic!("it does not end:\n{log}"))
            .unwrap();
        let message = fs::read_to_string(self.agent.path("termination-log")).unwrap();
        let mut lines = message.lines();
        Left {
            code: status.code(),
            line: lines.next().unwrap_or_default().to_owned(),
            json: serde_json::from_str(lines.next().unwrap_or("null")).unwrap(),
            log,
        }
    }
}

/// Waits until `is` is true.
pub(crate) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let waited = timeout(LONGEST, async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain until {what}");
}

/// The text of a file; empty if it is not there.
pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
