//! What came of the checks, for people.

use std::fmt::Write as _;

use langop_dsl::clean;

use super::judge::{Check, Judged, State};
use crate::ui::tone::Tone;

/// Whether it is verified, each check, and what the statement says where it holds.
pub(crate) fn render(judged: &Judged) -> String {
    let number = judged.revision.map_or_else(
        || "code that the operator did not store".to_owned(),
        |number| format!("revision {number}"),
    );
    let failed = judged.checks.iter().any(|one| one.state == State::Failed);
    let (verdict, tone) = match (judged.is_verified, failed) {
        (true, _) => ("it comes from the synthesizer", Tone::Good),
        (false, true) => (
            "it is not shown that it comes from the synthesizer",
            Tone::Bad,
        ),
        (false, false) => ("it is not known where it comes from", Tone::Waiting),
    };
    let mut text = format!(
        "{} of '{}' ({}): {}\n\n",
        number,
        judged.agent,
        clean(&judged.config_map),
        tone.paint(verdict)
    );
    for check in &judged.checks {
        text.push_str(&line(check));
    }
    if judged.is_verified {
        text.push_str(&made(judged));
    }
    text
}

fn line(check: &Check) -> String {
    let (word, tone) = match check.state {
        State::Passed => ("ok   ", Tone::Good),
        State::Failed => ("FAILS", Tone::Bad),
        State::Unknown => ("?    ", Tone::Waiting),
    };
    format!(
        "  {:<13} {}  {}\n",
        check.subject,
        tone.paint(word),
        check.says
    )
}

fn made(judged: &Judged) -> String {
    let Some(statement) = &judged.statement else {
        return String::new();
    };
    let predicate = &statement.predicate;
    let mut text = format!(
        "\nmade at {} by {} ({}), {} after {} {}\n",
        predicate.synthesized_at,
        clean(&predicate.model),
        clean(&predicate.provider),
        predicate.outcome.as_str(),
        predicate.attempts,
        if predicate.attempts == 1 {
            "answer"
        } else {
            "answers"
        },
    );
    let _ = writeln!(
        text,
        "prompt {}, checked by version {}, request {}",
        clean(&predicate.prompt_version),
        clean(&predicate.validator_version),
        clean(&predicate.request_hash),
    );
    text
}
