//! Reads the schedule out of instructions by rule: the right one or none, never a wrong one.
//!
//! `token` cuts a sentence, the grammar (`recur`, `calendar`, `clock`) finds what speaks of time, `relevance` leaves out what speaks
//! of something else, `sentence` puts the rest together, `spec` turns it into the one schedule that says it. Here sentences meet.

pub(super) mod bounds;
mod calendar;
mod clock;
mod cursor;
mod piece;
mod recur;
mod relevance;
mod sentence;
mod spec;
mod token;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use langop_dsl::{Constraints, CronSchedule, Schedule, ScheduleErrorKind};

use super::text::Sentence;
use spec::{Reason, Set, Spec};

/// What the instructions say about when to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Timing {
    /// This schedule.
    At(Schedule),
    /// Nothing: the agent runs continuously.
    Unsaid,
    /// Something that gives no schedule, and why.
    Unclear(&'static str),
}

/// Reads the schedule; `now` decides whether one still fires.
pub(super) fn read(sentences: &[Sentence], now: Timestamp) -> Timing {
    match said(sentences, now) {
        Ok(Some(schedule)) => Timing::At(schedule),
        Ok(None) => Timing::Unsaid,
        Err(reason) => Timing::Unclear(reason.explanation()),
    }
}

/// `sentence` without the clauses before it that only say when: "every Monday, read the mail" is "read the mail".
pub(super) fn without_timing(sentence: &str, now: Timestamp) -> &str {
    let mut rest = sentence;
    while let Some((_, more)) = rest
        .split_once(", ")
        .filter(|(first, _)| sentence::is_all_timing(first, now))
    {
        rest = more;
    }
    rest
}

/// Whether a sentence only says when or how long to run: "run every hour", "do not run on Sundays", "stop after 10 minutes".
pub(super) fn is_about_running(sentence: &str, now: Timestamp) -> bool {
    const VERBS: &[&str] = &[
        "all", "do", "don't", "execute", "never", "run", "runs", "schedule", "start", "time",
        "timezone",
    ];
    let first = sentence
        .split([' ', ':'])
        .next()
        .unwrap_or_default()
        .to_lowercase();
    let reading = sentence::read(sentence, now);
    let speaks_of_time =
        reading.recurring.is_some() || reading.except.is_some() || reading.zone.is_some();
    sentence::is_all_timing(sentence, now)
        || (speaks_of_time && VERBS.contains(&first.as_str()))
        || bounds::of(sentence) != Constraints::default()
}

fn said(sentences: &[Sentence], now: Timestamp) -> Result<Option<Schedule>, Reason> {
    let literals = sentences
        .iter()
        .filter_map(|sentence| literal(&sentence.text, now));
    let schedule = match agreed(literals)? {
        Some(literal) => Some(literal),
        None => in_words(sentences, now)?,
    };
    schedule.map(|schedule| checked(schedule, now)).transpose()
}

fn in_words(sentences: &[Sentence], now: Timestamp) -> Result<Option<Schedule>, Reason> {
    let readings: Vec<_> = sentences
        .iter()
        .map(|sentence| sentence::read(&sentence.text, now))
        .collect();
    let mut recurring: Option<Spec> = None;
    for says in readings
        .iter()
        .filter_map(|reading| reading.recurring.clone())
    {
        recurring = Some(recurring.unwrap_or_default().beside(says?)?);
    }
    let Some(mut spec) = recurring.map_or_else(
        || agreed(readings.iter().filter_map(|reading| reading.hint.clone())),
        |spec| Ok(Some(spec)),
    )?
    else {
        return Ok(None);
    };
    if spec.lacks_a_time() && readings.iter().any(|reading| reading.has_stray_time) {
        return Err(Reason::WhichTime);
    }
    let zone = agreed(readings.iter().filter_map(|reading| reading.zone.clone()))
        .map_err(|_| Reason::TimeZone)?;
    let except = readings
        .iter()
        .filter_map(|reading| reading.except)
        .reduce(Set::with);
    spec = spec.and(Spec {
        except,
        zone,
        ..Spec::default()
    })?;
    spec.schedule().map(Some)
}

/// The one thing that all say; different things conflict.
fn agreed<T: PartialEq>(
    said: impl Iterator<Item = Result<T, Reason>>,
) -> Result<Option<T>, Reason> {
    let mut agreed = None;
    for next in said {
        let next = next?;
        if agreed.as_ref().is_some_and(|agreed| *agreed != next) {
            return Err(Reason::Conflict);
        }
        agreed = Some(next);
    }
    Ok(agreed)
}

/// Lets nothing through that the language would refuse.
fn checked(schedule: Schedule, now: Timestamp) -> Result<Schedule, Reason> {
    if let Schedule::Cron {
        expression,
        time_zone,
    } = &schedule
    {
        CronSchedule::parse(expression, time_zone.as_deref(), now).map_err(|error| match error
            .kind()
        {
            ScheduleErrorKind::NeverFires => Reason::NeverFires,
            ScheduleErrorKind::TimeZone => Reason::TimeZone,
            _ => Reason::BadCron,
        })?;
    }
    Ok(schedule)
}

/// A cron expression written out: "run on `0 9 * * 1-5`".
fn literal(sentence: &str, now: Timestamp) -> Option<Result<Schedule, Reason>> {
    let words: Vec<&str> = sentence
        .split(' ')
        .map(|word| word.trim_matches(['`', '"', '\'', '“', '”', '(', ')', ',', '.', ';', ':']))
        .collect();
    let window = words.windows(5).find(|fields| looks_like_cron(fields))?;
    let expression = window.join(" ");
    let zone = words.iter().find(|word| {
        word.contains('/') && CronSchedule::parse("0 0 * * *", Some(word), now).is_ok()
    });
    let schedule = Schedule::Cron {
        expression,
        time_zone: zone.map(|zone| (*zone).to_owned()),
    };
    Some(checked(schedule, now).map_err(|reason| {
        if reason == Reason::NeverFires {
            reason
        } else {
            Reason::BadCron
        }
    }))
}

/// Five fields of digits and cron's signs, at least one of them a star: not a list of numbers.
fn looks_like_cron(fields: &[&str]) -> bool {
    let is_field = |(at, field): (usize, &&str)| {
        // months and weekdays may be names
        let is_sign = |byte: u8| {
            b"*/,-".contains(&byte)
                || byte.is_ascii_digit()
                || (at >= 3 && byte.is_ascii_uppercase())
        };
        !field.is_empty() && field.bytes().all(is_sign)
    };
    fields.iter().enumerate().all(is_field) && fields.iter().any(|field| field.starts_with('*'))
}
