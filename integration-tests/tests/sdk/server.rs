//! A tool server of whatever language as a process: PORT in, MCP at /mcp out.

use std::{process::Stdio, time::Duration};

use langop_integration_tests::{control_plane::ports, wait};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

const START: Duration = Duration::from_secs(30);

/// The server; it ends when this is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    _process: Child,
}

impl Server {
    /// Starts it on a free port of loopback.
    pub(crate) async fn start(command: &mut Command) -> Self {
        let [port] = ports::free().unwrap();
        Self::start_at(command, port).await
    }

    pub(crate) async fn start_at(command: &mut Command, port: u16) -> Self {
        let process = command
            .env("PORT", port.to_string())
            .env("LANGOP_TOOL_HOST", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let connect = async || TcpStream::connect(("127.0.0.1", port)).await;
        wait::until("the server", START, connect).await.unwrap();
        Self {
            port,
            _process: process,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
