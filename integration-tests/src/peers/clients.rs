//! Clients of others' SDKs, each call a process.

use std::process::Stdio;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::process::Command;

use super::servers::with_packages;
use super::{folder, python, run};

/// Whose client it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// npm's.
    Npm,
    /// The Python index's.
    Python,
}

/// Calls a tool at the URL, and returns which `version` was spoken, how many `tools` there are and
/// which `text` it answered. The mode is `legacy` or `auto`.
///
/// # Errors
/// If the SDK cannot be installed, or the call fails.
pub async fn call(sdk: Sdk, mode: &str, url: &str, tool: &str, arguments: &Value) -> Result<Value> {
    let mut command = match sdk {
        Sdk::Npm => {
            let mut command = with_packages(Command::new("node")).await?;
            command.arg(folder("npm-mcp")?.join("client.cjs"));
            command
        }
        Sdk::Python => {
            let mut command = Command::new(python("mcp").await?.join("bin/python"));
            command.arg(folder("mcp")?.join("client.py"));
            command
        }
    };
    command
        .args([mode, url, tool])
        .arg(arguments.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    said(command).await
}

/// Asks `model` by OpenAI's library, `how` being `whole` or `stream`: the ids of all `models`, and the
/// `text` and `tokens` of the answer, or the `error` and its `code`.
///
/// # Errors
/// If the library cannot be installed, or ends otherwise than by an answer.
pub async fn ask(how: &str, url: &str, model: &str, message: &str) -> Result<Value> {
    let mut command = Command::new(python("openai").await?.join("bin/python"));
    command
        .arg(folder("openai")?.join("client.py"))
        .args([how, &format!("{url}/v1"), model, message])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    said(command).await
}

/// Gives the agent at the URL a task by the Python SDK of A2A, `how` being `whole`, `stream`, `polled`,
/// `cancelled` or, without a version, `unversioned`: the `name` of its card and whether that says
/// `streaming`, which states and texts were `told`, and how it `ended` where that was asked, or the
/// `error` and its `message`.
///
/// # Errors
/// If the SDK cannot be installed, or ends otherwise than by an answer.
pub async fn give_task(how: &str, url: &str, message: &str) -> Result<Value> {
    let mut command = Command::new(python("a2a").await?.join("bin/python"));
    command
        .arg(folder("a2a")?.join("client.py"))
        .args([how, url, message])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    said(command).await
}

/// The JSON that a client prints.
async fn said(mut command: Command) -> Result<Value> {
    let said = run(&mut command).await?;
    let answer = said.lines().find(|line| line.starts_with('{'));
    Ok(serde_json::from_str(answer.context(said.clone())?)?)
}
