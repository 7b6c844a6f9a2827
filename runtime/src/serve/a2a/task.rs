//! A task: a run that somebody asked for, as its callers see it. Keeps each of its states, so that
//! all who follow it see the same, in the same order.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use crate::{outcome::Outcome, termination::Report};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Submitted,
    Working,
    Completed,
    Failed,
    Canceled,
}

impl State {
    /// By its name in the specification.
    fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "TASK_STATE_SUBMITTED",
            Self::Working => "TASK_STATE_WORKING",
            Self::Completed => "TASK_STATE_COMPLETED",
            Self::Failed => "TASK_STATE_FAILED",
            Self::Canceled => "TASK_STATE_CANCELED",
        }
    }
}

#[derive(Debug, Clone)]
struct Status {
    state: State,
    at: Timestamp,
    words: Option<Arc<str>>,
}

#[derive(Debug, Clone)]
pub(super) struct Task {
    /// Also the run's, in the log.
    pub(super) id: Arc<str>,
    pub(super) context_id: Arc<str>,
    /// What came of it.
    summary: Option<Arc<str>>,
    /// When its state changed last.
    pub(super) changed: Instant,
    /// From the first to the present one.
    states: Vec<Status>,
}

impl Task {
    pub(super) fn new(id: &str, context_id: &str) -> Self {
        let mut task = Self {
            id: id.into(),
            context_id: context_id.into(),
            summary: None,
            changed: Instant::now(),
            states: Vec::new(),
        };
        task.change(State::Submitted, None);
        task
    }

    /// Whether nothing changes any more.
    pub(super) fn is_over(&self) -> bool {
        let last = self.states.last().map(|status| status.state);
        !matches!(last, None | Some(State::Submitted | State::Working))
    }

    /// Bytes of what came of it.
    pub(super) fn size(&self) -> usize {
        self.summary.as_ref().map_or(0, |summary| summary.len())
    }

    /// Changes its state, and says whether it did: one that is over stays as it is.
    pub(super) fn change(&mut self, state: State, words: Option<&str>) -> bool {
        let can_change = !self.is_over();
        if can_change {
            let (at, words) = (Timestamp::now(), words.map(Arc::from));
            self.changed = Instant::now();
            self.states.push(Status { state, at, words });
        }
        can_change
    }

    /// Ends as its run did.
    pub(super) fn end(&mut self, report: &Report) -> bool {
        if report.outcome != Outcome::Succeeded {
            return self.change(State::Failed, Some(&report.line()));
        }
        let is_changed = self.change(State::Completed, None);
        self.summary = is_changed.then(|| report.message.as_str().into());
        is_changed
    }

    pub(super) fn json(&self) -> Json {
        let status = self.states.last().map(|status| self.status(status));
        let artifacts: Vec<_> = self.artifact().into_iter().collect();
        json!({"id": self.id, "contextId": self.context_id, "status": status, "artifacts": artifacts})
    }

    /// What happened after the first `seen` states, and how many there are.
    pub(super) fn events(&self, seen: usize) -> (Vec<Json>, usize) {
        let mut events = Vec::new();
        for status in self.states.iter().skip(seen) {
            if status.state == State::Completed {
                events.push(json!({"artifactUpdate": {
                    "taskId": self.id, "contextId": self.context_id,
                    "artifact": self.artifact(), "lastChunk": true,
                }}));
            }
            events.push(json!({"statusUpdate": {
                "taskId": self.id, "contextId": self.context_id, "status": self.status(status),
            }}));
        }
        (events, self.states.len())
    }

    fn artifact(&self) -> Option<Json> {
        let summary = self.summary.as_ref()?;
        let parts = json!([{"text": summary, "mediaType": "text/plain"}]);
        Some(json!({"artifactId": "summary", "name": "summary", "parts": parts}))
    }

    fn status(&self, status: &Status) -> Json {
        let at = status.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let mut json = json!({"state": status.state.as_str(), "timestamp": at});
        if let Some(words) = &status.words {
            json["message"] = json!({
                "messageId": format!("{}-end", self.id), "role": "ROLE_AGENT",
                "taskId": self.id, "contextId": self.context_id, "parts": [{"text": words}],
            });
        }
        json
    }
}
