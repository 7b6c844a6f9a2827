//! Our own tools as processes: files and mail.

use std::{fs, net::Ipv4Addr, process::Stdio, time::Duration};

use langop_integration_tests::{control_plane::ports, peers, programs, wait};
use tempfile::TempDir;
use tokio::{net::TcpStream, process::Child};

const START: Duration = Duration::from_secs(30);

/// The filesystem tool on a folder of its own.
pub(crate) struct Files {
    pub(crate) url: String,
    folder: TempDir,
    _process: Child,
}

impl Files {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let variables = [("WORKSPACE_PATH", &*path)];
        let (url, process) = start("langop-tool-filesystem", &variables).await;
        Self {
            url,
            folder,
            _process: process,
        }
    }

    /// Puts a file there.
    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    /// What was written.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

/// Starts a tool of ours; it ends when the process is dropped.
pub(crate) async fn start(program: &str, variables: &[(&str, &str)]) -> (String, Child) {
    let [port] = ports::free().unwrap();
    let process = peers::guarded(&programs::locate(program).unwrap())
        .unwrap()
        .env("PORT", port.to_string())
        .env("LANGOP_TOOL_HOST", "127.0.0.1")
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait::until(program, START, async || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
    })
    .await
    .unwrap();
    (format!("http://127.0.0.1:{port}"), process)
}
