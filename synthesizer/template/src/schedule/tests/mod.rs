//! What people write about time, sentence by sentence: the right schedule, or none.

use std::fmt::Write as _;

use jiff::Timestamp;
use langop_dsl::{Offer, Schedule, format_duration, parse};

use super::{grammar::atoms, read};
use crate::{answer, text::sentences};

const SENTENCES: &str = include_str!("sentences.txt");

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// The schedule as `sentences.txt` writes it.
fn said(text: &str) -> String {
    let sentences = sentences(text);
    let atoms: Vec<_> = sentences.iter().map(|s| atoms(&s.text)).collect();
    match read(&sentences, &atoms, now()) {
        Ok(Some(schedule)) => in_short(schedule),
        Ok(None) => "-".to_owned(),
        Err(why) => format!("? {why}"),
    }
}

fn in_short(schedule: Schedule) -> String {
    match schedule {
        Schedule::Every { seconds } => format!("every {}", format_duration(seconds)),
        Schedule::Cron {
            expression,
            also,
            time_zone,
            only,
        } => {
            let crons: Vec<String> = std::iter::once(expression).chain(also).collect();
            let zone = time_zone.map_or_else(String::new, |zone| format!(" {zone}"));
            let only = only.map_or_else(String::new, |only| format!(" only {only}"));
            format!("{}{zone}{only}", crons.join(" + "))
        }
    }
}

/// The schedule of the agent that is written from the text, as who runs it reads it; `-` for none.
fn arrives(text: &str) -> String {
    let code = answer(text, &Offer::default(), now());
    let parsed = parse(&code, &Offer::default(), now());
    match parsed.definition {
        Some(definition) => definition.schedule.map_or_else(|| "-".to_owned(), in_short),
        None => format!("{:?} of\n{code}", parsed.diagnostics),
    }
}

#[test]
fn every_sentence_is_read_as_written() {
    let mut wrong = String::new();
    let mut read = 0;
    for line in SENTENCES.lines().filter(|line| !line.starts_with('#')) {
        let Some((expected, text)) = line.split_once(" | ") else {
            continue;
        };
        let text = text.replace("\\n", "\n");
        let (said, arrives) = (said(&text), arrives(&text));
        let scheduled = if said.starts_with('?') {
            "-"
        } else {
            said.as_str()
        };
        if said != expected || arrives != scheduled {
            let _ = writeln!(
                wrong,
                "{text:?}\n  is {expected}\n  said {said}\n  ran {arrives}"
            );
        }
        read += 1;
    }
    assert!(read > 200, "{read} sentences");
    assert!(wrong.is_empty(), "{wrong}");
}
