//! What the values of the grammar's keys mean: words as numbers, or nothing if they are not clear.

use std::collections::BTreeSet;

use jiff::{Span, SpanRelativeTo};
use langop_dsl::Calendar;

const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Days, months, hours or minutes.
pub(super) type Set = BTreeSet<u32>;

/// How often, without saying when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Day,
    Week,
    /// The number of months.
    Months(u32),
}

/// The seconds of a length of time up to weeks: "90 minutes", "2 hours and 15 minutes".
pub(crate) fn seconds(length: &str) -> Option<u64> {
    let span: Span = length.replace(" and", "").parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours());
    u64::try_from(duration.ok()?.as_secs()).ok()
}

/// "day", "2 months", "annually": the first letters tell. None that does not divide a year.
pub(super) fn period(text: &str) -> Option<Period> {
    let (count, unit) = text.split_once(' ').unwrap_or(("1", text));
    let months = |months: u32| {
        let months = months.checked_mul(count.parse().ok()?)?;
        (months > 0 && 12 % months == 0).then_some(Period::Months(months))
    };
    match unit.get(..2)? {
        "da" | "ev" => Some(Period::Day),
        "we" => Some(Period::Week),
        "mo" => months(1),
        "qu" => months(3),
        _ => months(12),
    }
}

/// "monday, wednesday and friday", "mon-fri".
pub(super) fn weekdays(text: &str) -> Option<Set> {
    let mut days = Set::new();
    for word in text.split(' ') {
        let mut ends = word.split('-').flat_map(|name| places(name, &DAYS));
        if let Some(first) = ends.next() {
            let last = ends.next().unwrap_or(first);
            days.extend((0..=(last + 7 - first) % 7).map(|offset| (first + offset) % 7));
        }
    }
    Some(days).filter(|days| !days.is_empty())
}

/// Which of the names the words begin with.
fn places(text: &str, names: &[&str]) -> impl Iterator<Item = u32> {
    let at = |word: &str| names.iter().position(|name| word.starts_with(name));
    let places: Vec<_> = text.split(' ').filter_map(at).collect();
    places.into_iter().filter_map(|at| u32::try_from(at).ok())
}

/// The months that are named, from 1.
pub(super) fn months(text: &str) -> Option<Set> {
    let months: Set = places(text, &MONTHS).map(|place| place + 1).collect();
    Some(months).filter(|months| !months.is_empty())
}

/// The days of a month that are named.
pub(super) fn dates(text: &str) -> Option<Set> {
    let numbers = text.split(' ').map(|word| word.trim_start_matches('°'));
    let days: Set = numbers.filter_map(|word| word.parse().ok()).collect();
    let are_days = !days.is_empty() && days.iter().all(|day| (1..=31).contains(day));
    are_days.then_some(days)
}

/// `°1 monday`, `last friday`, `last day of month`.
pub(super) fn only(text: &str) -> Option<Calendar> {
    let (which, day) = text.split_once(' ')?;
    let which = match which {
        "°1" => "first",
        "°2" => "second",
        "°3" => "third",
        "°4" => "fourth",
        which => which,
    };
    let day = if day.contains(' ') {
        day
    } else {
        day.get(..3)?
    };
    format!("{which} {day}").parse().ok()
}

/// A list of times of day, in minutes.
pub(super) fn times(text: &str) -> Option<Set> {
    Some(clear_times(text)?.iter().map(|time| time.minutes).collect())
}

/// "between 9am and 5pm", in minutes of the day.
pub(super) fn window(text: &str) -> Option<(u32, u32)> {
    let times = clear_times(text)?;
    let [from, to] = &times[..] else { return None };
    let are_said = [from, to]
        .into_iter()
        .all(|time| time.is_late || time.said.is_some());
    let half_a_day = from.minutes + 1..=from.minutes + 12 * 60;
    let is_clear = are_said || to.is_late || half_a_day.contains(&to.minutes);
    is_clear.then_some((from.minutes, to.minutes))
}

/// A time of day, said as `@9:30p`, `@17:00c`, `@8e`, `@9u` or `@8`.
struct Time {
    minutes: u32,
    /// The letter of the grammar; none: one to seven o'clock is one of two.
    said: Option<char>,
    /// Surely on the 24-hour clock.
    is_late: bool,
}

fn time(token: &str) -> Option<Time> {
    let digits = token.trim_end_matches(char::is_alphabetic);
    let said = token[digits.len()..].chars().next();
    let (hour, minute) = digits.split_once(':').unwrap_or((digits, ""));
    let minute: i64 = format!("{minute:0>1}").parse().ok()?;
    let hour = match (said, hour.parse().ok()?) {
        (Some('a'), 13..) | (Some('a' | 'p'), 0) => return None,
        (Some('a' | 'n'), 12) => 0,
        (Some('f' | 'p'), hour @ 1..12) | (Some('e'), hour @ 4..12) | (Some('n'), hour @ 7..12) => {
            hour + 12
        }
        (_, hour) => hour,
    };
    let is_time = hour < 24 && minute < 60;
    let minutes = u32::try_from(hour * 60 + minute).ok().filter(|_| is_time)?;
    let is_late = matches!(said, None | Some('c')) && hour > 12;
    Some(Time {
        minutes,
        said,
        is_late,
    })
}

/// The times of a list, if each is clear.
fn clear_times(text: &str) -> Option<Vec<Time>> {
    let tokens = text.split(' ').filter(|word| word.starts_with('@'));
    let times = tokens.map(|token| time(token.trim_start_matches('@')));
    let times = times.collect::<Option<Vec<_>>>()?;
    let is_24_hour = times.iter().any(|time| time.is_late);
    let has_part = times
        .iter()
        .any(|time| matches!(time.said, Some('e' | 'f' | 'm' | 'n')));
    let is_unclear = |time: &Time| {
        let is_early = (60..7 * 60).contains(&time.minutes);
        time.said.is_none() && (has_part || (is_early && !is_24_hour))
    };
    (!times.iter().any(is_unclear)).then_some(times)
}
