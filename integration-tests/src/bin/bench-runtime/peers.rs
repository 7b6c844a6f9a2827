//! The peers as processes: the runtime, the bare client, the agent in Python and the Ruby SDK's, each with the
//! same calls to make; and the tool that they call.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use langop_integration_tests::{control_plane::ports, peers, programs, wait, workspace_root};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The tool's name in the agents' environment.
const TOOL: &str = "files";
const OPERATION: &str = "list_files";
/// A process that starts, on a machine that does other things.
const START: Duration = Duration::from_mins(1);

/// Who makes the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Runtime,
    Bare,
    Python,
    Ruby,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Runtime, Self::Bare, Self::Python, Self::Ruby];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Runtime => "the runtime",
            Self::Bare => "the bare client",
            Self::Python => "Python",
            Self::Ruby => "Ruby",
        }
    }
}

/// What all of them need.
pub(crate) struct Peers {
    runtime: PathBuf,
    python: PathBuf,
    folder: TempDir,
}

/// A process of one.
pub(crate) struct Run(Child);

impl Run {
    pub(crate) fn pid(&self) -> Result<u32> {
        self.0.id().context("it has ended already")
    }

    /// Waits until it has ended well.
    pub(crate) async fn end(mut self) -> Result<()> {
        let status = self.0.wait().await?;
        ensure!(status.success(), "a peer ended with {status}");
        Ok(())
    }
}

impl Peers {
    /// With code for one call and for so many, and this program of the runtime.
    pub(crate) async fn prepare(calls: u32, runtime: PathBuf) -> Result<Self> {
        let python = peers::python("mcp").await?.join("bin/python");
        let this = Self {
            runtime,
            python,
            folder: tempfile::tempdir()?,
        };
        // As a kubelet does: the runtime writes into the file, and makes none.
        fs::write(this.termination_log(), "")?;
        for count in [1, calls] {
            fs::create_dir_all(this.code(count))?;
            let code = workflow(count);
            let definition = definition(&code)?;
            fs::write(this.code(count).join("agent.rb"), &code)?;
            fs::write(this.code(count).join("plain.json"), &definition)?;
            // The runtime would compare the two.
            let mounted = this.mounted(count);
            fs::create_dir_all(&mounted)?;
            fs::write(mounted.join("agent.rb"), code)?;
            fs::write(mounted.join("definition.json"), definition)?;
        }
        Ok(this)
    }

    fn code(&self, count: u32) -> PathBuf {
        self.folder.path().join(count.to_string())
    }

    /// Code and what lies beside it, as the operator mounts them.
    fn mounted(&self, count: u32) -> PathBuf {
        self.folder.path().join(format!("mounted-{count}"))
    }

    /// Starts one that makes so many calls, one after the other, and ends.
    pub(crate) fn start(&self, kind: Kind, count: u32, url: &str) -> Result<Run> {
        let code = match kind {
            Kind::Ruby => self.mounted(count),
            _ => self.code(count),
        };
        let mut command = match kind {
            Kind::Runtime => Command::new(&self.runtime),
            Kind::Bare => {
                let mut bare = Command::new(programs::locate("bare-mcp-client")?);
                let arguments = json!({"path": "."}).to_string();
                bare.args([url, OPERATION, &arguments, &count.to_string()]);
                bare
            }
            Kind::Python => {
                let mut python = Command::new(&self.python);
                python.arg(workspace_root()?.join("integration-tests/peers/mcp/agent.py"));
                python
            }
            Kind::Ruby => {
                let sdk = workspace_root()?.join("sdk/ruby");
                let mut ruby = Command::new("ruby");
                ruby.arg("-I").arg(sdk.join("lib"));
                ruby.arg(sdk.join("exe/langop-agent-ruby"));
                ruby
            }
        };
        command
            .env_clear()
            .env(
                "MCP_SERVERS",
                json!([{"name": TOOL, "url": url}]).to_string(),
            )
            .env("AGENT_CODE_PATH", code.join("agent.rb"))
            .env("AGENT_DEFINITION_PATH", code.join("plain.json"))
            .env("LANGOP_TERMINATION_LOG", self.termination_log())
            .env("PORT", free_port()?.to_string());
        spawn(command)
    }

    /// Starts the runtime with other code and a model.
    pub(crate) fn start_with_model(&self, code: &Path, url: &str, model: &str) -> Result<Run> {
        let mut command = Command::new(&self.runtime);
        command
            .env_clear()
            .env(
                "MCP_SERVERS",
                json!([{"name": TOOL, "url": url}]).to_string(),
            )
            .env(
                "MODEL_ENDPOINTS",
                json!([{"name": "brain", "url": model, "model": "scripted"}]).to_string(),
            )
            .env("AGENT_CODE_PATH", code)
            .env("LANGOP_TERMINATION_LOG", self.termination_log())
            .env("PORT", free_port()?.to_string());
        spawn(command)
    }

    fn termination_log(&self) -> PathBuf {
        self.folder.path().join("termination-log")
    }

    /// What the runtime left of its last run.
    pub(crate) fn account(&self) -> Result<Value> {
        let text = fs::read_to_string(self.termination_log())?;
        let line = text.lines().nth(1).context("no account of the run")?;
        Ok(serde_json::from_str(line)?)
    }

    /// A file of code.
    pub(crate) fn write(&self, name: &str, code: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, code)?;
        Ok(path)
    }
}

fn spawn(mut command: Command) -> Result<Run> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("a peer cannot be started")?;
    Ok(Run(child))
}

/// So many steps, each a call.
fn workflow(count: u32) -> String {
    let steps: Vec<String> = (1..=count)
        .map(|nth| {
            format!(
                "    step 'S{nth}' do\n      use_tool '{TOOL}', action: '{OPERATION}', params: {{ path: '.' }}\n    end\n"
            )
        })
        .collect();
    let steps = steps.concat();
    format!("require 'language_operator'\n\nagent 'agent' do\n  workflow do\n{steps}  end\nend\n")
}

/// What the code says, as JSON.
fn definition(code: &str) -> Result<String> {
    let offer = langop_dsl::Offer {
        tools: vec![langop_dsl::OfferedTool::from(TOOL)],
        models: vec![],
    };
    let parsed = langop_dsl::parse(code, &offer, k8s_openapi::jiff::Timestamp::now());
    let definition = parsed
        .definition
        .context("the benchmark's code is invalid")?;
    Ok(serde_json::to_string(&definition)?)
}

fn free_port() -> Result<u16> {
    let [port] = ports::free()?;
    Ok(port)
}

/// The reference filesystem tool on an empty folder.
pub(crate) struct Files {
    pub(crate) url: String,
    _folder: TempDir,
    _process: Child,
}

pub(crate) async fn files() -> Result<Files> {
    let folder = tempfile::tempdir()?;
    let port = free_port()?;
    let process = peers::guarded(&programs::locate("langop-tool-filesystem")?)?
        .env("WORKSPACE_PATH", folder.path())
        .env("LANGOP_TOOL_HOST", "127.0.0.1")
        .env("PORT", port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    wait::until("the tool", START, async || {
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
    })
    .await?;
    Ok(Files {
        url: format!("http://127.0.0.1:{port}/mcp"),
        _folder: folder,
        _process: process,
    })
}
