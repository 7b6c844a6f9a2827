//! Revisions, code and differences for people.

use jiff::Timestamp;
use langop_dsl::clean;
use similar::TextDiff;

use super::{powers, stored::Revision};
use crate::ui::{
    table::{Cell, Table},
    time,
    tone::Tone,
};

/// Characters of a hash that are enough to tell hashes apart.
const SHORT: usize = 12;

/// A row for each revision.
pub(crate) fn table(revisions: &[Revision], now: Timestamp) -> String {
    let mut table = Table::new(&[
        "REVISION",
        "ACTIVE",
        "AGE",
        "MODEL",
        "INSTRUCTIONS",
        "RUNS",
        "CONFIGMAP",
    ]);
    for revision in revisions {
        let active = match (revision.is_active, revision.is_pinned) {
            (true, true) => Some("pinned"),
            (true, false) => Some("active"),
            (false, true) => Some("to be pinned"),
            (false, false) => None,
        };
        let hash = revision.instructions_hash.as_deref();
        let age = revision
            .synthesized_at
            .map(|time| time::distance(now.as_second() - time.as_second()));
        table.push(vec![
            Cell::number(revision.number),
            Cell::known(active).toned(Tone::Good),
            Cell::known(age),
            Cell::known(revision.model.as_deref()),
            Cell::known(hash.map(|hash| hash.chars().take(SHORT).collect::<String>())),
            Cell::known(revision.runs.as_deref()),
            Cell::new(&revision.config_map),
        ]);
    }
    table.render()
}

/// What is told beside the code of a revision.
pub(crate) fn head(revision: &Revision) -> String {
    let number = revision.number.map_or_else(
        || "not stored by the operator".to_owned(),
        |number| format!("revision {number}"),
    );
    let state = if revision.is_active { ", active" } else { "" };
    let model = revision
        .model
        .as_deref()
        .map_or_else(String::new, |model| format!(", by {}", clean(model)));
    let at = revision
        .synthesized_at
        .map_or_else(String::new, |time| format!(" at {time}"));
    let runs = revision
        .runs
        .as_deref()
        .unwrap_or("at times that cannot be read");
    let powers = powers::told(revision).into_iter();
    let powers: String = powers.map(|line| line + "\n").collect();
    format!("{number}{state}{model}{at}\nruns {}\n{powers}", clean(runs))
}

/// The difference of the code, and that of what it may do.
pub(crate) fn difference(old: &Revision, new: &Revision) -> String {
    let code = unified(old, new);
    let code = if code.is_empty() {
        "the code is the same\n".to_owned()
    } else {
        code
    };
    format!(
        "{code}\n{}\n{}",
        Tone::Strong.paint("What it may do:"),
        of_powers(old, new)
    )
}

fn unified(old: &Revision, new: &Revision) -> String {
    let name = |revision: &Revision| match revision.number {
        Some(number) => format!("revision {number}"),
        None => revision.config_map.clone(),
    };
    let diff = TextDiff::from_lines(&old.code, &new.code);
    let text = diff
        .unified_diff()
        .context_radius(3)
        .header(&name(old), &name(new))
        .to_string();
    let lines: Vec<String> = text.lines().map(line).collect();
    lines.concat()
}

fn line(line: &str) -> String {
    let tone = match line.chars().next() {
        Some('+') => Tone::Good,
        Some('-') => Tone::Bad,
        Some('@') => Tone::Faint,
        _ => Tone::Plain,
    };
    format!("{}\n", tone.paint(&clean(line)))
}

fn of_powers(old: &Revision, new: &Revision) -> String {
    let Some((less, more)) = powers::changes(old, new) else {
        return "-  (a definition cannot be read)\n".to_owned();
    };
    let less = less.iter().map(|words| line(&format!("- {words}")));
    let more = more.iter().map(|words| line(&format!("+ {words}")));
    let mut lines: Vec<String> = less.chain(more).collect();
    if lines.is_empty() {
        lines.push("  the same\n".to_owned());
    }
    lines.concat()
}
