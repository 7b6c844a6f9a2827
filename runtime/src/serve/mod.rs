//! What an agent answers on its port where a setting says so: [`mcp`] makes it a tool of other
//! agents, [`chat`] a model that one talks to. Both are runs that somebody asks for: bounded in
//! number, and cancelled when whoever asked has gone. [`completion`] reads and writes what clients
//! of chat completions say (pure).

pub mod chat;
pub mod completion;
pub mod mcp;

use std::sync::Arc;

use reqwest::Url;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{resident::Resident, run::Agent};

/// Most runs that were asked for, at once.
pub const MAX_RUNS: usize = 4;
/// Largest request.
const MAX_BODY: usize = 1024 * 1024;

/// What callers of an agent share, whichever way they come.
#[derive(Debug, Clone)]
pub struct Callers {
    /// The agent.
    pub agent: Arc<Agent>,
    /// A place for each run at a time.
    pub places: Arc<Semaphore>,
    /// Cancelled when nothing new may start.
    pub stopping: CancellationToken,
}

impl Callers {
    /// Of an agent that also runs by itself.
    pub fn of(resident: &Resident, stopping: CancellationToken) -> Self {
        Self {
            agent: Arc::clone(&resident.agent),
            places: Arc::new(Semaphore::new(MAX_RUNS)),
            stopping,
        }
    }
}

/// Whether an `Origin` is a page of this machine.
fn is_loopback(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else {
        return false;
    };
    let is_web = matches!(url.scheme(), "http" | "https");
    is_web && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_machine_are_loopback() {
        for origin in [
            "http://localhost:3000",
            "https://127.0.0.1",
            "http://[::1]:8080",
        ] {
            assert!(is_loopback(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "file://localhost",
            "http://127.0.0.1@evil.example",
        ] {
            assert!(!is_loopback(origin), "{origin}");
        }
    }
}
