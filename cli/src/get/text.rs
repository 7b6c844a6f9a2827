//! The screen of `get`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use langop_api::agent::RunTokens;

use super::rows::Row;
use crate::ui::{
    table::{Cell, Table, cut},
    time,
    tone::Tone,
};

/// Widest text of a cell of the narrow table, in characters.
const WIDEST: usize = 48;

/// Said once of times with that sign.
pub(crate) const ASSUMED_ZONE: &str = "~ in the cluster's zone, taken to be UTC";

/// How the screen is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Whether the rows are of several namespaces.
    pub(crate) is_everywhere: bool,
    /// Whether there are more columns and nothing is cut.
    pub(crate) is_wide: bool,
}

/// Table, and how many there are of each phase.
pub(crate) fn screen(rows: &[Row], look: Look, now: Timestamp) -> String {
    let table = table(rows, look, now);
    let mut text = table.render();
    if !rows.is_empty() {
        text += &summary(rows);
    }
    if rows.iter().any(|row| row.is_in_assumed_zone) {
        text += &Tone::Faint.paint(ASSUMED_ZONE);
        text.push('\n');
    }
    text
}

/// Lines of the same table for rows that came later; see [`Table::render_below`].
pub(crate) fn more(rows: &[Row], look: Look, now: Timestamp, widths: &mut Vec<usize>) -> String {
    table(rows, look, now).render_below(widths)
}

fn table(rows: &[Row], look: Look, now: Timestamp) -> Table {
    let mut head = Vec::new();
    if look.is_everywhere {
        head.push("NAMESPACE");
    }
    head.extend(["NAME", "PHASE", "NEXT RUN", "LAST RUN", "TOKENS"]);
    if look.is_wide {
        head.extend(["REVISION", "MODE", "SCHEDULE", "AGE"]);
    }
    head.push("WAITS FOR");
    let mut table = Table::new(&head);
    for row in rows {
        table.push(cells(row, look, now));
    }
    table
}

fn cells(row: &Row, look: Look, now: Timestamp) -> Vec<Cell> {
    let fit = |text: &str| {
        if look.is_wide {
            text.to_owned()
        } else {
            cut(text, WIDEST)
        }
    };
    let phase = if row.is_deleted {
        Some("Deleted")
    } else {
        row.phase.as_deref()
    };
    let mut cells = Vec::new();
    if look.is_everywhere {
        cells.push(Cell::new(&row.namespace));
    }
    cells.extend([
        Cell::new(&row.name),
        Cell::known(phase).toned(phase_tone(phase)),
        Cell::known(next(row, now)),
        Cell::known(last(row, now)).toned(last_tone(row)),
        Cell::number(row.tokens.map(sum)),
    ]);
    if look.is_wide {
        cells.extend([
            Cell::number(row.revision),
            Cell::known(row.mode.as_deref()),
            Cell::known(row.schedule.as_deref()),
            Cell::known(
                row.created
                    .map(|created| time::distance(now.as_second() - created.as_second())),
            ),
        ]);
    }
    cells.push(Cell::known(row.waits_for.as_deref().map(fit)));
    cells
}

fn sum(tokens: RunTokens) -> i64 {
    tokens.input.saturating_add(tokens.output)
}

fn next(row: &Row, now: Timestamp) -> Option<String> {
    let sign = if row.is_in_assumed_zone { "~" } else { "" };
    row.next_run
        .map(|next| format!("{sign}{}", time::until(next, now)))
}

/// `Failed 3m ago`: the word before the first colon says how it ended.
fn last(row: &Row, now: Timestamp) -> Option<String> {
    let result = row.last_result.as_deref()?;
    let word = result.split(':').next().unwrap_or(result);
    Some(match row.last_run {
        Some(time) => format!("{word} {}", time::ago(time, now)),
        None => word.to_owned(),
    })
}

fn last_tone(row: &Row) -> Tone {
    match row.last_result.as_deref() {
        None => Tone::Faint,
        Some(result) if result.starts_with("Failed") => Tone::Bad,
        Some(_) => Tone::Plain,
    }
}

/// By the phase's name in the API.
pub(crate) fn phase_tone(phase: Option<&str>) -> Tone {
    match phase {
        Some("Running" | "Succeeded" | "Ready") => Tone::Good,
        Some("Pending") => Tone::Waiting,
        Some("Failed") => Tone::Bad,
        _ => Tone::Faint,
    }
}

/// `3 agents: 1 Failed, 2 Running`.
fn summary(rows: &[Row]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *counts
            .entry(row.phase.as_deref().unwrap_or("unknown"))
            .or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(phase, count)| format!("{count} {phase}"))
        .collect();
    let plural = if rows.len() == 1 { "" } else { "s" };
    format!("\n{} agent{plural}: {}\n", rows.len(), counts.join(", "))
}
