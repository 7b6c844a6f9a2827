//! Settings that all tools share, from the environment.

use std::{env, net::IpAddr, str::FromStr};

/// Where a tool listens and under which path it speaks MCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// All addresses without one, of both families where the machine has both.
    pub host: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// Where MCP is spoken.
    pub path: String,
}

/// What is wrong with a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct SettingError {
    variable: &'static str,
    problem: String,
}

impl SettingError {
    /// Of `variable`, in words that say what to write.
    pub fn new(variable: &'static str, problem: impl Into<String>) -> Self {
        Self {
            variable,
            problem: problem.into(),
        }
    }
}

/// A variable that is set to something.
pub fn text(variable: &str) -> Option<String> {
    env::var(variable)
        .ok()
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

/// A variable that is a number or a word of its type; `expected` says what to write.
pub fn parsed<T: FromStr>(
    variable: &'static str,
    expected: &str,
) -> Result<Option<T>, SettingError> {
    let parse = |value: String| {
        value
            .parse()
            .map_err(|_| SettingError::new(variable, format!("cannot be read: write {expected}")))
    };
    text(variable).map(parse).transpose()
}

/// The words of a comma-separated list.
pub fn list(variable: &str) -> Vec<String> {
    let text = text(variable).unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

impl Listen {
    /// `LANGOP_TOOL_HOST` (all addresses), `PORT` (8080) and `MCP_PATH` (`/mcp`).
    pub fn from_environment() -> Result<Self, SettingError> {
        let host = parsed("LANGOP_TOOL_HOST", "an address such as 127.0.0.1")?;
        let port = parsed("PORT", "a port such as 8080")?.unwrap_or(8080);
        let path = text("MCP_PATH").unwrap_or_else(|| "/mcp".to_owned());
        if !path.starts_with('/') || path.contains(['{', '}', '*', '?', '#']) {
            let problem = "is no path: write for example /mcp";
            return Err(SettingError::new("MCP_PATH", problem));
        }
        Ok(Self { host, port, path })
    }
}
