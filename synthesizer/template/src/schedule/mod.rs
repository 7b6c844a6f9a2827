//! Reads the schedule out of instructions by rule: the right one or none, never a wrong one.
//!
//! `grammar` rewrites a sentence into atoms, `meaning` says what each means, `sentence` puts those
//! together that belong together, `spec` turns it into the one schedule that says it. Here
//! sentences meet.

pub(crate) mod grammar;
mod meaning;
mod sentence;
mod spec;

#[cfg(test)]
mod tests;

use jiff::{Timestamp, tz::TimeZone};
use langop_dsl::{CronSchedule, Schedule, ScheduleErrorKind};

use crate::text::Sentence;
use grammar::Atom;
pub(crate) use meaning::seconds_of;
use spec::{BAD_CRON, CONFLICT, NEVER_FIRES, Spec, TIME_ZONE, Unclear, WHICH_TIME};

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

/// Reads the schedule of sentences and their atoms; `now` decides whether one still fires.
pub(crate) fn read(sentences: &[Sentence], atoms: &[Vec<Atom>], now: Timestamp) -> Timing {
    match said(sentences, atoms, now) {
        Ok(Some(schedule)) => Timing::At(schedule),
        Ok(None) => Timing::Unsaid,
        Err(why) => Timing::Unclear(why),
    }
}

fn said(
    sentences: &[Sentence],
    atoms: &[Vec<Atom>],
    now: Timestamp,
) -> Result<Option<Schedule>, Unclear> {
    let literals = sentences
        .iter()
        .filter_map(|sentence| literal(&sentence.text, now));
    if let Some(literal) = agreed(literals)? {
        return Ok(Some(literal));
    }
    let Some(spec) = in_words(atoms)? else {
        return Ok(None);
    };
    let mut schedule = spec.schedule()?;
    if let Schedule::Cron { time_zone, .. } = &mut schedule {
        let zones = atoms.iter().flatten().filter_map(zone);
        *time_zone = agreed(zones).map_err(|_| TIME_ZONE)?;
    }
    checked(schedule, now).map(Some)
}

fn in_words(atoms: &[Vec<Atom>]) -> Result<Option<Spec>, Unclear> {
    let mut recurring: Option<Spec> = None;
    let mut hints = Vec::new();
    let mut has_stray_time = false;
    for reading in atoms.iter().map(|atoms| sentence::read(atoms)) {
        let reading = reading?;
        if let Some(says) = reading.recurring {
            recurring = Some(recurring.unwrap_or_default().beside(says)?);
        }
        hints.extend(reading.hint.map(Ok));
        has_stray_time |= reading.has_stray_time;
    }
    let spec = match recurring.filter(Spec::says_when) {
        Some(spec) => Some(spec),
        None => agreed(hints.into_iter())?,
    };
    match spec {
        Some(spec) if spec.lacks_a_time() && has_stray_time => Err(WHICH_TIME),
        spec => Ok(spec),
    }
}

/// The time zone that an atom names; one that is none counts only where it is that of a time.
fn zone(atom: &Atom) -> Option<Result<String, Unclear>> {
    let written = |name: &str| match name {
        "utc" | "gmt" => name.to_uppercase(),
        _ => name.to_owned(),
    };
    let named = atom.get("zone").filter(|name| TimeZone::get(name).is_ok());
    match atom.kind {
        'Z' if atom.get("why").is_some() => Some(Err(TIME_ZONE)),
        'Z' => named.or(atom.get("its")).map(|name| Ok(written(name))),
        _ => None,
    }
}

/// The one thing that all say; different things conflict.
fn agreed<T: PartialEq>(
    said: impl Iterator<Item = Result<T, Unclear>>,
) -> Result<Option<T>, Unclear> {
    let mut agreed = None;
    for next in said {
        let next = next?;
        if agreed.as_ref().is_some_and(|agreed| *agreed != next) {
            return Err(CONFLICT);
        }
        agreed = Some(next);
    }
    Ok(agreed)
}

/// Lets nothing through that the language would refuse.
fn checked(schedule: Schedule, now: Timestamp) -> Result<Schedule, Unclear> {
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
                ScheduleErrorKind::NeverFires => NEVER_FIRES,
                ScheduleErrorKind::TimeZone => TIME_ZONE,
                _ => BAD_CRON,
            })?;
        }
    }
    Ok(schedule)
}

/// A cron expression written out: "run on `0 9 * * 1-5`".
fn literal(sentence: &str, now: Timestamp) -> Option<Result<Schedule, Unclear>> {
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
