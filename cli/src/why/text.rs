//! A diagnosis for people. The words of others in it are cleaned: only our colours reach a terminal.

use std::fmt::Write as _;

use langop_dsl::clean;

use super::finding::{Advice, Check, Diagnosis, Stage, State};
use crate::ui::{table::cut, tone::Tone};

/// Longest text of a check that fails, in characters.
const WIDEST: usize = 72;

/// The text.
pub(crate) fn render(diagnosis: &Diagnosis) -> String {
    let mut text = headline(diagnosis);
    text.push('\n');
    for check in &diagnosis.checks {
        text += &line(check, diagnosis);
    }
    if let Some(cause) = &diagnosis.cause {
        let title = Tone::Strong.paint("Cause:");
        let _ = writeln!(
            text,
            "\n{title} {}: {}",
            cause.object,
            clean(&cause.message)
        );
    }
    for also in &diagnosis.also {
        let _ = writeln!(text, "  also: {}", clean(also));
    }
    text += &todo(diagnosis);
    text
}

fn headline(diagnosis: &Diagnosis) -> String {
    let (word, tone) = match diagnosis.state {
        State::Fine => ("is as its spec says", Tone::Good),
        State::Suspended => ("is stopped", Tone::Faint),
        State::Waiting => ("is on its way", Tone::Waiting),
        State::Failing | State::Unknown | State::Skipped => ("is not well", Tone::Bad),
    };
    let phase = diagnosis
        .phase
        .as_deref()
        .map_or_else(String::new, |phase| format!(" ({phase})"));
    format!(
        "{} {}/{} {}{phase}\n",
        diagnosis.kind.name(),
        diagnosis.namespace,
        diagnosis.name,
        tone.paint(word)
    )
}

fn line(check: &Check, diagnosis: &Diagnosis) -> String {
    let (sign, tone) = match check.state {
        State::Fine => ("ok", Tone::Good),
        State::Suspended => ("stopped", Tone::Faint),
        State::Waiting => ("waits", Tone::Waiting),
        State::Failing => ("FAILS", Tone::Bad),
        State::Unknown => ("?", Tone::Waiting),
        State::Skipped => ("-", Tone::Faint),
    };
    let stage = Stage::as_str(check.stage, diagnosis.kind);
    let room = " ".repeat(8_usize.saturating_sub(sign.len()));
    // What fails is said in full below.
    let most = if check.state == State::Failing {
        WIDEST
    } else {
        usize::MAX
    };
    let says = cut(&clean(&check.says), most);
    let line = format!("  {stage:<11} {}{room}{says}", tone.paint(sign));
    format!("{}\n", line.trim_end())
}

fn todo(diagnosis: &Diagnosis) -> String {
    if diagnosis.advice.is_empty() {
        return match diagnosis.state {
            State::Waiting => "\nNothing is to be done: it goes on by itself.\n".to_owned(),
            _ => String::new(),
        };
    }
    let mut text = format!("\n{}\n", Tone::Strong.paint("What to do:"));
    for Advice {
        text: what,
        command,
    } in &diagnosis.advice
    {
        let _ = writeln!(text, "  - {what}");
        if let Some(command) = command {
            let _ = writeln!(text, "      {command}");
        }
    }
    text
}
