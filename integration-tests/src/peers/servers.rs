//! MCP servers that others wrote, or that use others' SDKs: each a process on a port of loopback,
//! which can be stopped and started again there.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{folder, guarded, npm, python};
use crate::control_plane::ports;
use crate::{run_dir, wait};

/// An interpreter that starts, on a machine that does other things.
const START: Duration = Duration::from_mins(1);
/// The text of the file `note.txt` of servers of files, and what servers of words answer to
/// `three words`.
pub const TEXT: &str = "Echo: three words";

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The reference server with a bit of everything (npm): handshake, sessions, SSE.
    Everything,
    /// The reference server of files (npm) behind the gateway supergateway (npm).
    Gateway,
    /// The same behind the gateway mcp-proxy (Python).
    Proxy,
    /// The reference server of time (Python) behind supergateway: published, and of 2026-07-28.
    Time,
    /// The reference server of web pages (Python) behind supergateway, which may fetch from
    /// loopback: published, and of 2026-07-28.
    Fetch,
    /// A script on the Python SDK.
    Python,
    /// A script on the npm SDK.
    Npm,
    /// A script on the previous major version of the Python SDK: handshake only.
    OldPython,
}

/// The server. It ends when this is dropped, or this process ends in whatever way.
pub struct McpServer {
    kind: Kind,
    port: u16,
    files: TempDir,
    log: PathBuf,
    process: Option<Child>,
}

impl McpServer {
    /// Starts it at a free port.
    ///
    /// # Errors
    /// If it cannot be installed or started.
    pub async fn start(kind: Kind) -> Result<Self> {
        let [port] = ports::free()?;
        let files = tempfile::tempdir()?;
        fs::write(files.path().join("note.txt"), TEXT)?;
        let mut this = Self {
            kind,
            port,
            files,
            log: run_dir()?.join(format!("{kind:?}-{port}.log")),
            process: None,
        };
        // What an earlier process at this port said is of no interest.
        File::create(&this.log)?;
        this.start_again().await?;
        Ok(this)
    }

    /// Scheme, host and port; MCP is at `/mcp`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The path of the file `note.txt`.
    pub fn note(&self) -> PathBuf {
        self.files.path().join("note.txt")
    }

    /// What it said so far.
    ///
    /// # Errors
    /// If its log cannot be read.
    pub fn output(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// Ends it, by a signal.
    ///
    /// # Errors
    /// If it was not running.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it is not running")?;
        drop(process.stdin.take());
        process.wait().await?;
        Ok(())
    }

    /// Starts it at the port that it had.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn start_again(&mut self) -> Result<()> {
        let log = File::options().append(true).open(&self.log)?;
        let mut command = self.command().await?;
        command.stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn().context("cannot run control-plane")?);
        let what = format!("the MCP server (see {})", self.log.display());
        wait::until(&what, START, async || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await
        })
        .await?;
        Ok(())
    }

    async fn command(&self) -> Result<Command> {
        let port = self.port.to_string();
        let files = self.files.path();
        Ok(match self.kind {
            Kind::Everything => {
                let mut node = node().await?;
                node.arg(server(&npm("npm-mcp").await?, "everything"))
                    .arg("streamableHttp")
                    .env("PORT", port);
                node
            }
            Kind::Gateway => gateway(&port, &files_command(files).await?.join(" ")).await?,
            Kind::Proxy => {
                let mut proxy = guard(&python("mcp-proxy").await?.join("bin/mcp-proxy"))?;
                proxy
                    .args(["--host", "127.0.0.1", "--port", &port, "--"])
                    .args(files_command(files).await?);
                proxy
            }
            Kind::Time => {
                let time = python("mcp-reference").await?.join("bin/mcp-server-time");
                let time = format!("{} --local-timezone Etc/UTC", time.display());
                gateway(&port, &time).await?
            }
            Kind::Fetch => {
                let fetch = python("mcp-reference").await?.join("bin/mcp-server-fetch");
                let fetch = format!("{} --allow-private-ips", fetch.display());
                gateway(&port, &fetch).await?
            }
            Kind::Python => script(&python("mcp").await?, "mcp", &port)?,
            Kind::OldPython => script(&python("mcp-proxy").await?, "mcp-proxy", &port)?,
            Kind::Npm => {
                let mut node = node().await?;
                node.arg(folder("npm-mcp")?.join("server.cjs")).arg(port);
                node
            }
        })
    }
}

/// As [`guarded`], where interpreters lie on this machine.
fn guard(program: &Path) -> Result<Command> {
    let mut command = guarded(program)?;
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    Ok(command)
}

async fn node() -> Result<Command> {
    with_packages(guard(Path::new("node"))?).await
}

/// Gives Node.js the packages of `npm-mcp`, and lets it listen on loopback only, whatever its
/// program says.
pub(super) async fn with_packages(mut node: Command) -> Result<Command> {
    node.arg("--require")
        .arg(folder("npm-mcp")?.join("loopback.cjs"))
        .env("NODE_PATH", npm("npm-mcp").await?.join("node_modules"));
    Ok(node)
}

/// The main file of a reference server.
fn server(packages: &Path, name: &str) -> PathBuf {
    let package = format!("node_modules/@modelcontextprotocol/server-{name}/dist/index.js");
    packages.join(package)
}

/// The command of the reference server of files.
async fn files_command(files: &Path) -> Result<Vec<String>> {
    let server = server(&npm("npm-mcp").await?, "filesystem");
    let path = |path: &Path| path.display().to_string();
    Ok(vec!["node".to_owned(), path(&server), path(files)])
}

async fn gateway(port: &str, command: &str) -> Result<Command> {
    let mut node = node().await?;
    node.arg(
        npm("npm-mcp")
            .await?
            .join("node_modules/supergateway/dist/index.js"),
    )
    .args(["--stdio", command, "--outputTransport", "streamableHttp"])
    .args(["--port", port]);
    Ok(node)
}

/// `server.py` of these peers.
fn script(venv: &Path, name: &str, port: &str) -> Result<Command> {
    let mut python = guard(&venv.join("bin/python"))?;
    python.arg(folder(name)?.join("server.py")).arg(port);
    Ok(python)
}
