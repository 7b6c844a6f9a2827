//! What people see while they wait: on a terminal one line that changes, elsewhere a line for each
//! step. Pure.

use std::time::Duration;

use langop_proto::v1::synthesize_stream_response::Event;

use langop_dsl::clean;

use crate::report;

/// Where progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    /// A line can be written over.
    Terminal,
    /// What is written stays.
    Log,
}

/// Clears the line the cursor is on.
pub(crate) const CLEAR: &str = "\r\x1b[K";
/// Longest name of a model in the line, in characters: a line that wraps cannot be written over.
const NAME: usize = 30;

/// How far an answer is.
pub(crate) struct Progress {
    screen: Screen,
    model: String,
    attempt: u32,
    bytes: u64,
    step: &'static str,
}

/// What is to be written, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Update {
    /// Lines that stay.
    pub(crate) lines: Option<String>,
    /// The line that changes.
    pub(crate) line: Option<String>,
}

impl Progress {
    pub(crate) fn new(screen: Screen) -> Self {
        Self {
            screen,
            model: String::new(),
            attempt: 1,
            bytes: 0,
            step: "waiting",
        }
    }

    /// What an event changes, `elapsed` after the beginning.
    pub(crate) fn event(&mut self, event: &Event, elapsed: Duration) -> Update {
        match event {
            Event::PromptReady(ready) => {
                self.model = clean(&ready.model).chars().take(NAME).collect();
                self.step = "asking";
            }
            Event::TokensReceived(tokens) => {
                self.bytes = tokens.bytes;
                self.step = "receiving";
            }
            Event::Validating(_) => self.step = "checking",
            Event::Repairing(repairing) => {
                self.attempt = repairing.attempt.saturating_add(1);
                self.bytes = 0;
                self.step = "repairing";
            }
            Event::Result(_) => {}
        }
        let is_kept = self.screen == Screen::Log || matches!(event, Event::Repairing(_));
        Update {
            lines: is_kept.then(|| report::progress(event)).flatten(),
            line: self.line(elapsed),
        }
    }

    /// What the passing of time changes.
    pub(crate) fn line(&self, elapsed: Duration) -> Option<String> {
        if self.screen == Screen::Log {
            return None;
        }
        let mut line = self.step.to_owned();
        if !self.model.is_empty() {
            line = format!("{line} {}", self.model);
        }
        if self.attempt > 1 {
            line = format!("{line}, answer {}", self.attempt);
        }
        if self.bytes > 0 {
            line = format!("{line}, {} received", size(self.bytes));
        }
        Some(format!("{line}, {} s", elapsed.as_secs()))
    }
}

fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // One decimal, cut off.
    format!("{}.{} KiB", bytes / 1024, bytes % 1024 * 10 / 1024)
}

#[cfg(test)]
mod tests {
    use langop_proto::v1::{PromptReady, Repairing, TokensReceived, Validating};

    use super::*;

    fn events() -> [Event; 5] {
        [
            Event::PromptReady(PromptReady {
                request_hash: "abcdef0123456789".into(),
                model: "claude\u{1b}[2J".into(),
            }),
            Event::TokensReceived(TokensReceived { bytes: 700 }),
            Event::TokensReceived(TokensReceived { bytes: 2100 }),
            Event::Validating(Validating { attempt: 1 }),
            Event::Repairing(Repairing {
                attempt: 1,
                diagnostics: vec![],
                refused_code: String::new(),
            }),
        ]
    }

    #[test]
    fn a_terminal_has_one_line() {
        let mut progress = Progress::new(Screen::Terminal);
        let second = Duration::from_secs(1);
        let mut lines = vec![progress.line(Duration::ZERO).unwrap()];
        let mut kept = String::new();
        for (event, count) in events().iter().zip(1..) {
            let update = progress.event(event, second * count);
            lines.extend(update.line);
            kept.extend(update.lines);
        }
        assert_eq!(
            lines,
            [
                "waiting, 0 s",
                "asking claude [2J, 1 s",
                "receiving claude [2J, 700 B received, 2 s",
                "receiving claude [2J, 2.0 KiB received, 3 s",
                "checking claude [2J, 2.0 KiB received, 4 s",
                "repairing claude [2J, answer 2, 5 s",
            ]
        );
        assert!(kept.starts_with("answer 1 is invalid"), "{kept}");
    }

    #[test]
    fn a_log_has_a_line_for_each_step() {
        let mut progress = Progress::new(Screen::Log);
        let mut kept = String::new();
        for event in &events() {
            let update = progress.event(event, Duration::ZERO);
            assert_eq!(update.line, None);
            kept.extend(update.lines);
        }
        let steps: Vec<&str> = kept.lines().collect();
        assert_eq!(
            steps,
            [
                "asking claude [2J (request abcdef012345)",
                "checking answer 1",
                "answer 1 is invalid and goes back:",
            ]
        );
    }
}
