//! Reads the schedule out of instructions by rule: the right one or none, never a wrong one.
//!
//! `tokens` writes a sentence plainly, `grammar` finds what speaks of time, `meaning` says what
//! that means, `relevance` leaves out what speaks of something else, `sentence` puts the rest
//! together, `spec` turns it into the one schedule that says it. Here sentences meet.

mod grammar;
mod meaning;
mod relevance;
mod sentence;
mod spec;
pub(crate) mod tokens;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use langop_dsl::{CronSchedule, Schedule, ScheduleErrorKind};

use crate::text::Sentence;
use spec::{Reason, Set, Spec};

/// What the instructions say about when to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timing {
    /// This schedule.
    At(Schedule),
    /// Nothing: the agent runs continuously.
    Unsaid,
    /// Something that gives no schedule, and why.
    Unclear(&'static str),
}

/// Reads the schedule of sentences and their tokens; `now` decides whether one still fires.
pub(crate) fn read(sentences: &[Sentence], tokens: &[String], now: Timestamp) -> Timing {
    match said(sentences, tokens, now) {
        Ok(Some(schedule)) => Timing::At(schedule),
        Ok(None) => Timing::Unsaid,
        Err(reason) => Timing::Unclear(reason.explanation()),
    }
}

fn said(
    sentences: &[Sentence],
    tokens: &[String],
    now: Timestamp,
) -> Result<Option<Schedule>, Reason> {
    let literals = sentences
        .iter()
        .filter_map(|sentence| literal(&sentence.text, now));
    let schedule = match agreed(literals)? {
        Some(literal) => Some(literal),
        None => in_words(tokens, now)?,
    };
    schedule.map(|schedule| checked(schedule, now)).transpose()
}

fn in_words(tokens: &[String], now: Timestamp) -> Result<Option<Schedule>, Reason> {
    let readings: Vec<_> = tokens
        .iter()
        .map(|text| sentence::read(text, now))
        .collect();
    let mut recurring: Option<Spec> = None;
    for says in readings
        .iter()
        .filter_map(|reading| reading.recurring.clone())
    {
        recurring = Some(recurring.unwrap_or_default().beside(says?)?);
    }
    let hint = || agreed(readings.iter().filter_map(|reading| reading.hint.clone()));
    let Some(spec) = recurring.map_or_else(hint, |spec| Ok(Some(spec)))? else {
        return Ok(None);
    };
    if spec.lacks_a_time() && readings.iter().any(|reading| reading.has_stray_time) {
        return Err(Reason::WhichTime);
    }
    let zones = readings
        .iter()
        .filter_map(|reading| reading.zone.clone().map(Ok));
    let zone = agreed(zones).map_err(|_| Reason::TimeZone)?;
    let except: Set = readings
        .iter()
        .flat_map(|reading| reading.except.iter().copied())
        .collect();
    let except = Some(except).filter(|days| !days.is_empty());
    spec.and(Spec {
        except,
        zone,
        ..Spec::default()
    })?
    .schedule()
    .map(Some)
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
        also,
        time_zone,
        only,
    } = &schedule
    {
        for expression in std::iter::once(expression).chain(also) {
            let cron = CronSchedule::parse(expression, time_zone.as_deref(), now);
            let fires =
                cron.and_then(|cron| only.map_or(Ok(()), |only| cron.check_only(&only, now)));
            fires.map_err(|error| match error.kind() {
                ScheduleErrorKind::NeverFires => Reason::NeverFires,
                ScheduleErrorKind::TimeZone => Reason::TimeZone,
                _ => Reason::BadCron,
            })?;
        }
    }
    Ok(schedule)
}

/// A cron expression written out: "run on `0 9 * * 1-5`".
fn literal(sentence: &str, now: Timestamp) -> Option<Result<Schedule, Reason>> {
    let marks = ['`', '"', '\'', '“', '”', '(', ')', ',', '.', ';', ':'];
    let words: Vec<&str> = sentence
        .split(' ')
        .map(|word| word.trim_matches(marks))
        .collect();
    let expression = words
        .windows(5)
        .find(|fields| looks_like_cron(fields))?
        .join(" ");
    let is_zone = |word: &&&str| {
        word.contains('/') && CronSchedule::parse("0 0 * * *", Some(word), now).is_ok()
    };
    let time_zone = words.iter().find(is_zone).map(|zone| (*zone).to_owned());
    Some(checked(
        Schedule::Cron {
            expression,
            also: Vec::new(),
            time_zone,
            only: None,
        },
        now,
    ))
}

/// Five fields of digits and cron's signs, at least one of them a star: not a list of numbers.
fn looks_like_cron(fields: &[&str]) -> bool {
    // months and weekdays may be names
    let is_sign = |at: usize, byte: u8| {
        b"*/,-".contains(&byte) || byte.is_ascii_digit() || (at >= 3 && byte.is_ascii_uppercase())
    };
    let is_field = |(at, field): (usize, &&str)| {
        !field.is_empty() && field.bytes().all(|byte| is_sign(at, byte))
    };
    fields.iter().enumerate().all(is_field) && fields.iter().any(|field| field.starts_with('*'))
}
