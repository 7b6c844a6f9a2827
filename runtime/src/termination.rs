//! The termination message: line 1 in words for people, line 2 JSON for the operator. Built by pure
//! code, and written once, at the end: a message written half-way would hide `OOMKilled`, because
//! the kubelet shows a message before a reason.

use std::{io, path::Path};

use langop_dsl::{clean, secrets};
use serde::Serialize;

use crate::{
    outcome::{Failure, Outcome, Reason},
    tokens::Tokens,
};

/// Most bytes of the whole message; the kubelet keeps 4,096.
pub const MAX_BYTES: usize = 4_000;
/// Most bytes of line 1; the operator shows 256.
pub const MAX_LINE_BYTES: usize = 200;
/// Most bytes of a text of a tool or model within it.
pub const MAX_QUOTE_BYTES: usize = 120;
/// Most names of skipped steps.
const MAX_SKIPPED: usize = 20;

/// What is told of a run that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// What happened, in words: a summary, or what is wrong.
    pub message: String,
    /// The step that failed.
    pub step: Option<String>,
    /// The run's identity.
    pub run: String,
    /// SHA-256 of the code in hex; empty without code.
    pub code_hash: String,
    /// Answers of models.
    pub iterations: u32,
    /// Calls of tools.
    pub tool_calls: u32,
    /// What models used.
    pub tokens: Tokens,
    /// How long it took.
    pub duration_ms: u64,
    /// Names of the steps that were skipped.
    pub skipped: Vec<String>,
    /// Whether it went on from a checkpoint.
    pub resumed: bool,
    /// W3C traceparent of the run; empty without tracing.
    pub traceparent: String,
}

impl Report {
    /// Of a process that a signal ended while nothing ran.
    pub fn stopped_between_runs() -> Self {
        Self {
            outcome: Outcome::Succeeded,
            message: "a signal ended it between runs".to_owned(),
            ..Self::without_run()
        }
    }

    /// Of a process in which no run began.
    pub fn of_failure(failure: &Failure) -> Self {
        Self {
            outcome: failure.reason.outcome(),
            reason: Some(failure.reason),
            message: failure.message.clone(),
            ..Self::without_run()
        }
    }

    /// Of a process that had nothing to do on this day.
    pub fn not_due(why: String) -> Self {
        Self {
            outcome: Outcome::Skipped,
            message: why,
            ..Self::without_run()
        }
    }

    fn without_run() -> Self {
        Self {
            outcome: Outcome::Failed,
            reason: None,
            message: String::new(),
            step: None,
            run: String::new(),
            code_hash: String::new(),
            iterations: 0,
            tool_calls: 0,
            tokens: Tokens::default(),
            duration_ms: 0,
            skipped: Vec::new(),
            resumed: false,
            traceparent: String::new(),
        }
    }

    /// With which the process exits.
    pub fn exit_code(&self) -> u8 {
        self.reason.map_or(0, Reason::exit_code)
    }

    /// Line 1: words for people, at most [`MAX_LINE_BYTES`], without a line break.
    pub fn line(&self) -> String {
        let message = quote(&self.message, MAX_QUOTE_BYTES);
        let line = match (self.outcome, self.reason, &self.step) {
            (Outcome::Succeeded, _, _) if message.is_empty() => "done".to_owned(),
            (Outcome::Succeeded | Outcome::Skipped, _, _) => message,
            (_, Some(reason), Some(step)) => {
                format!("{reason} in step '{}': {message}", quote(step, 40))
            }
            (_, Some(reason), None) => format!("{reason}: {message}"),
            (outcome, None, _) => format!("{}: {message}", outcome.as_str()),
        };
        quote(&line, MAX_LINE_BYTES)
    }

    /// The whole message, at most [`MAX_BYTES`].
    pub fn message(&self) -> String {
        let line = self.line();
        let mut skipped = self
            .skipped
            .iter()
            .take(MAX_SKIPPED)
            .map(|name| quote(name, 60))
            .collect::<Vec<_>>();
        loop {
            let message = format!("{line}\n{}\n", self.json(&skipped));
            if message.len() <= MAX_BYTES || skipped.pop().is_none() {
                return message;
            }
        }
    }

    fn json(&self, skipped: &[String]) -> String {
        let json = Json {
            v: 1,
            outcome: self.outcome,
            reason: self.reason.map(Reason::as_str),
            step: self.step.as_ref().map(|step| quote(step, MAX_QUOTE_BYTES)),
            run: &self.run,
            code_hash: self.code_hash.get(..12).unwrap_or(&self.code_hash),
            iterations: self.iterations,
            tool_calls: self.tool_calls,
            tokens: self.tokens,
            duration_ms: self.duration_ms,
            skipped,
            resumed: self.resumed,
            traceparent: Some(self.traceparent.as_str()).filter(|text| !text.is_empty()),
        };
        // Only a map with keys that are no text could fail.
        serde_json::to_string(&json).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    v: u8,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    run: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    code_hash: &'a str,
    iterations: u32,
    tool_calls: u32,
    tokens: Tokens,
    duration_ms: u64,
    skipped: &'a [String],
    resumed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

/// `text` on one line, without characters that are not seen, in at most `limit` bytes, three of
/// which may be an ellipsis.
pub fn quote(text: &str, limit: usize) -> String {
    // A tool that fails may quote the key that it failed with.
    let text = clean(&secrets::mask(text));
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.len() <= limit {
        return text;
    }
    let ellipsis = '…';
    let end = text.floor_char_boundary(limit.saturating_sub(ellipsis.len_utf8()));
    format!("{}{ellipsis}", &text[..end])
}

/// Writes `message` over what is in `path`. A file that is not there is no error: then nobody asks
/// for the message.
pub fn write(path: &Path, message: &str) -> io::Result<()> {
    use std::io::Write as _;
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path);
    match opened {
        Ok(mut file) => file.write_all(message.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report() -> Report {
        Report {
            outcome: Outcome::Failed,
            reason: Some(Reason::ToolUnavailable),
            message: "email-tool does not answer".to_owned(),
            step: Some("Alert".to_owned()),
            run: "0123456789abcdef0123456789abcdef".to_owned(),
            code_hash: "44b1c47aaca3ffff".to_owned(),
            iterations: 7,
            tool_calls: 4,
            tokens: Tokens {
                input: 1234,
                output: 88,
                ..Tokens::default()
            },
            duration_ms: 5312,
            skipped: vec!["Log".to_owned()],
            resumed: false,
            traceparent: String::new(),
        }
    }

    #[test]
    fn line_one_is_for_people_and_line_two_is_json() {
        let message = report().message();
        let (line, json) = message.split_once('\n').unwrap();
        assert_eq!(
            line,
            "tool-unavailable in step 'Alert': email-tool does not answer"
        );
        assert_eq!(
            json.trim_end(),
            r#"{"v":1,"outcome":"failed","reason":"tool-unavailable","step":"Alert","run":"0123456789abcdef0123456789abcdef","codeHash":"44b1c47aaca3","iterations":7,"toolCalls":4,"tokens":{"input":1234,"output":88,"cachedInput":0,"missing":0},"durationMs":5312,"skipped":["Log"],"resumed":false}"#
        );
        assert_eq!(report().exit_code(), 7);
    }

    #[test]
    fn a_key_that_a_tool_quotes_is_not_told() {
        let key = ["xo", "xb-", "12345678901-Frhl3ZJHTtXPqW8vB2nM5kD7"].concat();
        let report = Report {
            message: format!("refused: {key}"),
            ..report()
        };
        assert!(!report.message().contains(&key));
        assert!(report.line().ends_with("refused: [secret removed]"));
    }

    #[test]
    fn a_file_that_is_not_there_is_no_error_and_one_that_is_gets_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("termination-log");
        write(&path, "x").unwrap();
        assert!(!path.exists());
        std::fs::write(&path, "something longer than the message").unwrap();
        write(&path, "short").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "short");
    }

    proptest! {
        #[test]
        fn messages_are_bounded_and_two_lines(
            text in ".{0,600}", step in ".{0,600}", skipped in prop::collection::vec(".{0,300}", 0..60),
        ) {
            let report = Report { message: text, step: Some(step), skipped, ..report() };
            let message = report.message();
            prop_assert!(message.len() <= MAX_BYTES);
            let lines: Vec<_> = message.lines().collect();
            prop_assert_eq!(lines.len(), 2);
            prop_assert!(lines[0].len() <= MAX_LINE_BYTES);
            prop_assert!(lines[0].chars().all(|c| !c.is_control()));
            prop_assert!(serde_json::from_str::<serde_json::Value>(lines[1]).is_ok());
        }
    }
}
