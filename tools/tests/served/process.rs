//! Starts a program of this package on a port of its own, and calls it.

use std::{process::Stdio, time::Duration};

use rmcp::{
    ClientHandler, RoleClient,
    model::{
        CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation,
        ProtocolVersion,
    },
    service::{ClientLifecycleMode, RunningService, serve_client_with_lifecycle},
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::Value as Json;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// Longest time that a test waits for anything.
pub(crate) const LONGEST: Duration = Duration::from_mins(1);

pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) url: String,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Program {
    /// Starts it and waits until it answers.
    pub(crate) async fn start(
        program: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let port = free_port();
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("LANGOP_TOOL_HOST", "127.0.0.1")
            .env("PORT", port.to_string())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let base = format!("http://127.0.0.1:{port}");
        let ready = format!("{base}/readyz");
        let answers = timeout(LONGEST, async {
            while reqwest::get(&ready).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(answers.await.is_ok(), "{program} does not answer");
        Self {
            child,
            url: format!("{base}/mcp"),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        kill(signal, self.pid());
    }

    /// A client of one era.
    pub(crate) async fn client(&self, lifecycle: ClientLifecycleMode) -> Client {
        let config = StreamableHttpClientTransportConfig::with_uri(self.url.as_str());
        let transport = StreamableHttpClientTransport::with_client(reqwest::Client::new(), config);
        let service = serve_client_with_lifecycle(Caller, transport, lifecycle).await;
        Client(service.unwrap())
    }
}

pub(crate) fn kill(signal: &str, pid: u32) {
    let status = std::process::Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

pub(crate) struct Caller;

impl ClientHandler for Caller {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("test", "1"),
        )
        .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }
}

pub(crate) struct Client(pub(crate) RunningService<RoleClient, Caller>);

impl Client {
    pub(crate) async fn call(
        &self,
        name: &'static str,
        arguments: Json,
    ) -> Result<CallToolResult, rmcp::ServiceError> {
        let params =
            CallToolRequestParams::new(name).with_arguments(arguments.as_object().unwrap().clone());
        self.0.call_tool(params).await
    }
}

/// Both eras.
pub(crate) fn eras() -> [ClientLifecycleMode; 2] {
    [
        ClientLifecycleMode::Initialize,
        ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        },
    ]
}
