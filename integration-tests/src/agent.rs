//! `langop-agent` as a process, with nothing but the environment that the operator would give it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::control_plane::ports;
use crate::programs::locate;
use crate::wait;

/// Longest time that a run takes.
const LONGEST: Duration = Duration::from_mins(3);

/// An agent that can be started.
pub struct Agent {
    folder: TempDir,
    port: u16,
    environment: BTreeMap<String, String>,
}

impl Agent {
    /// Of the name, in the namespace `demo`, with `body` between `agent` and `end`.
    ///
    /// # Errors
    /// If its files cannot be written.
    pub fn new(name: &str, body: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let code = format!("require 'language_operator'\n\nagent '{name}' do\n{body}\nend\n");
        fs::write(folder.path().join("agent.rb"), code)?;
        // As a kubelet does: the runtime writes into the file, and makes none.
        fs::write(folder.path().join("termination-log"), "")?;
        let [port] = ports::free()?;
        let path = |file| folder.path().join(file).display().to_string();
        let environment = [
            ("AGENT_NAME", name.to_owned()),
            ("AGENT_NAMESPACE", "demo".to_owned()),
            ("AGENT_CODE_PATH", path("agent.rb")),
            ("LANGOP_TERMINATION_LOG", path("termination-log")),
            ("PORT", port.to_string()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        Ok(Self {
            environment: environment.into(),
            folder,
            port,
        })
    }

    /// With a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// With tools, by name and URL.
    #[must_use]
    pub fn tools(self, tools: &[(&str, String)]) -> Self {
        let tools = tools.iter();
        let tools: Value = tools
            .map(|(name, url)| json!({"name": name, "url": url}))
            .collect();
        self.with("MCP_SERVERS", tools.to_string())
    }

    /// With a model at this URL.
    #[must_use]
    pub fn model(self, url: &str) -> Self {
        let models = json!([{"name": "brain", "url": url, "model": "scripted"}]);
        self.with("MODEL_ENDPOINTS", models.to_string())
    }

    /// Where it serves, if it does.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it.
    ///
    /// # Errors
    /// If it is not built.
    pub fn start(&self) -> Result<RunningAgent<'_>> {
        let log = File::create(self.file("log"))?;
        let process = Command::new(locate("langop-agent")?)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot run langop-agent")?;
        Ok(RunningAgent {
            agent: self,
            process,
        })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// If it is not built, or does not end.
    pub async fn run(&self) -> Result<Ended> {
        self.start()?.end().await
    }

    /// Waits until it has done what it does by itself, and stays for others.
    ///
    /// # Errors
    /// If it does not come to that; with its log.
    pub async fn until_idle(&self) -> Result<()> {
        wait::until("its own run", LONGEST, async || {
            let log = self.log();
            log.contains("waiting for the next run")
                .then_some(())
                .ok_or(log)
        })
        .await
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// An agent that was started. It ends when this is dropped.
pub struct RunningAgent<'a> {
    agent: &'a Agent,
    process: Child,
}

impl RunningAgent<'_> {
    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn end(mut self) -> Result<Ended> {
        let ended = timeout(LONGEST, self.process.wait()).await;
        let log = self.agent.log();
        let status: ExitStatus = ended.with_context(|| format!("it does not end:\n{log}"))??;
        let message = fs::read_to_string(self.agent.file("termination-log"))?;
        let (line, json) = message.split_once('\n').unwrap_or((&message, "null"));
        Ok(Ended {
            code: status.code(),
            line: line.to_owned(),
            account: serde_json::from_str(json)?,
            log,
        })
    }
}

/// What an agent left.
#[derive(Debug)]
pub struct Ended {
    /// None if a signal ended it.
    pub code: Option<i32>,
    /// Line 1 of the termination message.
    pub line: String,
    /// Line 2.
    pub account: Value,
    /// What it logged.
    pub log: String,
}
