//! Reads the schedule out of instructions by rule: the right one or none, never a wrong one.
//!
//! `grammar` rewrites a sentence into atoms, `sentences` puts those together that belong together,
//! `values` says what their words mean, `spec` turns it into the one schedule that says it; `timing`
//! is what comes of it. Here words meet cron expressions and time zones.

pub(crate) mod grammar;
mod sentences;
mod spec;
mod timing;
mod values;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use jiff::{Timestamp, tz::TimeZone};
use langop_dsl::{CronSchedule, Schedule, ScheduleErrorKind};
use regex::{Captures, Regex};

use crate::text::{Sentence, pattern};
use grammar::Atom;
use timing::{BAD_CRON, NEVER_FIRES, TIME_ZONE, Unclear};
pub(crate) use timing::{Timing, agreed};
pub(crate) use values::seconds;

/// A cron expression written out, and its time zone: "run on `0 9 * * 1-5`". Months and weekdays
/// may be names.
static CRON: LazyLock<Regex> = pattern!(
    r#"(?x)(?:^|[\s`"'“(:])
    (?<cron>(?:[\d*/,-]+\ ){3}[\dA-Z*/,-]+\ [\dA-Z*/,-]*[\dA-Z*])
    (?:\ \(?(?<zone>[A-Z]\w*/[\w/+-]+)|$|[\s`"'”),.;:])"#
);

/// Reads the schedule of sentences and their atoms; `now` decides whether one still fires.
pub(crate) fn read(sentences: &[Sentence], atoms: &[Vec<Atom>], now: Timestamp) -> Timing {
    let texts = sentences.iter().map(|sentence| &sentence.text);
    let literals = texts.flat_map(|text| CRON.captures_iter(text));
    let literals = literals.filter_map(|found| literal(&found));
    let said = match agreed(literals.map(Ok))? {
        None => sentences::read(atoms)?,
        literal => literal,
    };
    let Some(mut schedule) = said else {
        return Ok(None);
    };
    if let Schedule::Cron { time_zone, .. } = &mut schedule {
        let zones = time_zone.take().into_iter();
        let zones = zones.chain(atoms.iter().flatten().filter_map(zone));
        *time_zone = agreed(zones.map(Ok)).map_err(|_| TIME_ZONE)?;
    }
    checked(schedule, now).map(Some)
}

/// The schedule of five cron fields; numbers without a star are none.
fn literal(found: &Captures<'_>) -> Option<Schedule> {
    found["cron"].contains('*').then(|| Schedule::Cron {
        expression: found["cron"].to_owned(),
        also: Vec::new(),
        time_zone: found.name("zone").map(|zone| zone.as_str().to_owned()),
        only: None,
    })
}

/// The time zone that an atom names; one that is none counts only where it is that of a time.
fn zone(atom: &Atom) -> Option<String> {
    let mut named = atom.says.all("zone");
    let known = named.find(|name| TimeZone::get(name).is_ok());
    let zone = known.or(atom.says.all("its").next())?;
    let is_short = ["utc", "gmt"].contains(&zone);
    Some(if is_short {
        zone.to_uppercase()
    } else {
        zone.to_owned()
    })
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
