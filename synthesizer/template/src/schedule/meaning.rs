//! What an atom of the grammar means, as a `Spec`. When it counts is decided elsewhere.

use jiff::{Span, SpanRelativeTo};
use langop_dsl::Calendar;

use super::grammar::Atom;
use super::spec::{
    BARE_HOUR, DAY, HOUR, INEXPRESSIBLE, LAST_DAYS, MINUTE, Period, Set, Spec, Unclear, VAGUE,
    WHICH_WEEKDAYS, YEAR,
};

const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// All that an atom says together.
pub(super) fn meaning(atom: &Atom) -> Result<Spec, Unclear> {
    let mut said = atom.says.iter();
    said.try_fold(Spec::default(), |spec, (key, value)| {
        spec.and(field(key, value)?)
    })
}

fn field(key: &str, value: &str) -> Result<Spec, Unclear> {
    let mut spec = Spec::default();
    match key {
        "why" => return Err(named(value)),
        "every" => return every(value),
        "per" => (spec.every, spec.period) = period(value),
        "count" => spec.count = count(value),
        "days" => spec.weekdays = Some(weekdays(value)),
        "not" => spec.except = weekdays(value),
        "dates" => spec.month_days = Some(dates(value)?),
        "months" => spec.months = Some(places(value, &MONTHS).map(|at| at + 1).collect()),
        "only" => spec.only = Some(only(value)?),
        "at" => {
            spec.times = Some(times(value)?);
            spec.usual_times = value.contains("@u");
        }
        "minute" => spec.minute = Some(minute(value)?),
        "hours" => spec.window = Some(window(value)?),
        _ => {}
    }
    Ok(spec)
}

/// The reasons that the grammar names.
fn named(name: &str) -> Unclear {
    match name {
        "all" => INEXPRESSIBLE,
        "alternating" => "the text does not say from which day on every other one counts",
        "except" => super::spec::EXCEPTION,
        "hour" => BARE_HOUR,
        "last" => LAST_DAYS,
        "weekdays" => WHICH_WEEKDAYS,
        _ => VAGUE,
    }
}

/// A length of time: "90 minutes", "2 hours and 15 minutes", "2 month".
fn every(length: &str) -> Result<Spec, Unclear> {
    let mut spec = Spec::default();
    let span = span(length).ok_or(VAGUE)?;
    let months = i64::from(span.get_years()) * 12 + i64::from(span.get_months());
    if months == 0 {
        spec.every = Some(seconds_of(length).ok_or(VAGUE)?);
    } else {
        let months = u32::try_from(months).ok().filter(|months| 12 % months == 0);
        spec.period = Some(Period::Months(months.ok_or(INEXPRESSIBLE)?));
    }
    Ok(spec)
}

/// The seconds of a length of time in words, up to weeks.
pub(crate) fn seconds_of(length: &str) -> Option<u64> {
    let duration = span(length)?.to_duration(SpanRelativeTo::days_are_24_hours());
    u64::try_from(duration.ok()?.as_secs()).ok()
}

fn span(length: &str) -> Option<Span> {
    length.replace(" and", "").parse().ok()
}

/// The seconds or the period of a unit of time or its adverb, of which the first letters tell.
fn period(unit: &str) -> (Option<u64>, Option<Period>) {
    match unit.get(..2).unwrap_or_default() {
        "se" => (Some(1), None),
        "mi" => (Some(MINUTE), None),
        "ho" => (Some(HOUR), None),
        "fo" => (Some(14 * DAY), None),
        "da" | "ev" => (None, Some(Period::Day)),
        "we" => (None, Some(Period::Week)),
        "mo" => (None, Some(Period::Months(1))),
        "qu" => (None, Some(Period::Months(3))),
        _ => (None, Some(YEAR)),
    }
}

/// How many times; none for once, which is what all say that say nothing.
fn count(text: &str) -> Option<u32> {
    match text {
        "once" => None,
        "twice" => Some(2),
        "thrice" => Some(3),
        _ => text
            .split(' ')
            .next()?
            .parse()
            .ok()
            .filter(|count| *count != 1),
    }
}

/// "monday, wednesday and friday", "mon - fri", "weekends".
fn weekdays(text: &str) -> Set {
    let mut days = Set::new();
    let mut previous = None;
    let mut is_range = false;
    for word in text.split(' ') {
        if word.starts_with("weekend") {
            days.extend([0, 6]);
        } else if let Some(day) = places(word, &DAYS).next() {
            let first = previous.filter(|_| is_range).unwrap_or(day);
            days.extend((0..=(day + 7 - first) % 7).map(|offset| (first + offset) % 7));
            previous = Some(day);
        } else if ["weekday", "workday", "day"]
            .iter()
            .any(|all| word.starts_with(all))
        {
            days.extend(1..=5);
        }
        is_range = ["-", "through", "thru", "till", "to", "until"].contains(&word);
    }
    days
}

/// Which of the names the words begin with.
fn places(text: &str, names: &[&str]) -> impl Iterator<Item = u32> {
    let at = |word: &str| names.iter().position(|name| word.starts_with(name));
    let places: Vec<_> = text.split(' ').filter_map(at).collect();
    places.into_iter().filter_map(|at| u32::try_from(at).ok())
}

fn dates(text: &str) -> Result<Set, Unclear> {
    let numbers = text
        .split(' ')
        .filter_map(|word| word.trim_start_matches('°').parse().ok());
    let days: Set = numbers.collect();
    let are_days = !days.is_empty() && days.iter().all(|day| (1..=31).contains(day));
    are_days.then_some(days).ok_or(VAGUE)
}

/// `°1 monday`, `final friday`, `last day`.
fn only(text: &str) -> Result<Calendar, Unclear> {
    let (which, day) = text.split_once(' ').ok_or(WHICH_WEEKDAYS)?;
    if day == "day" {
        return Ok(Calendar::LastDayOfMonth);
    }
    let which = match which {
        "final" | "last" => "last",
        "°1" => "first",
        "second" | "°2" => "second",
        "°3" => "third",
        "°4" => "fourth",
        _ => return Err(WHICH_WEEKDAYS),
    };
    let day = day.get(..3).unwrap_or_default();
    format!("{which} {day}").parse().map_err(|_| WHICH_WEEKDAYS)
}

fn minute(text: &str) -> Result<u32, Unclear> {
    let minute = match text {
        "half" => Some(30),
        "quarter" => Some(15),
        _ => text.parse().ok().filter(|minute| *minute < 60),
    };
    minute.ok_or(BARE_HOUR)
}

/// A time of day, said as `@t9:30p`, `@c17:00`, `@h8e` or `@u9`.
struct Time {
    /// Of the day.
    minutes: u32,
    /// Without am, pm, a colon or a part of the day: one to seven o'clock is one of two.
    is_bare: bool,
    /// Said with a part of the day.
    has_part: bool,
    /// Surely on the 24-hour clock.
    is_late: bool,
}

impl Time {
    fn of(token: &str) -> Result<Self, Unclear> {
        Self::read(token.trim_start_matches('@')).ok_or(BARE_HOUR)
    }

    fn read(token: &str) -> Option<Self> {
        let (kind, rest) = token.split_at_checked(1)?;
        let digits = rest.trim_end_matches(char::is_alphabetic);
        let half = &rest[digits.len()..];
        let (hour, minute) = digits.split_once(':').unwrap_or((digits, ""));
        let minute: i64 = if minute.is_empty() {
            0
        } else {
            minute.parse().ok()?
        };
        let minutes = on_24_hours(hour.parse().ok()?, kind, half)? * 60 + minute;
        let minutes = u32::try_from(minutes).ok().filter(|_| minute < 60)?;
        Some(Self {
            minutes,
            is_bare: kind == "h" && half.is_empty(),
            has_part: kind != "t" && !half.is_empty(),
            is_late: kind != "t" && half.is_empty() && minutes >= 13 * 60,
        })
    }
}

/// The hour from 0 to 23 that is meant with `a`m or `p`m, or with a part of the day.
fn on_24_hours(hour: i64, kind: &str, half: &str) -> Option<i64> {
    let known = if kind == "t" { 1..=12 } else { 0..=23 };
    let first_later = match half {
        "f" | "p" => 1,
        "e" => 4,
        "n" => 7,
        _ => 12,
    };
    match hour {
        _ if !known.contains(&hour) => None,
        12 if matches!(half, "a" | "n") => Some(0),
        _ if (first_later..12).contains(&hour) => Some(hour + 12),
        _ => Some(hour),
    }
}

/// A list of times, if each is clear.
fn times(text: &str) -> Result<Set, Unclear> {
    let tokens = text.split(' ').filter(|word| word.starts_with('@'));
    let times: Vec<Time> = tokens.map(Time::of).collect::<Result<_, _>>()?;
    let is_24_hour = times.iter().any(|time| time.is_late);
    let has_part = times.iter().any(|time| time.has_part);
    let is_unclear = |time: &Time| {
        time.is_bare && (has_part || (!is_24_hour && (60..7 * 60).contains(&time.minutes)))
    };
    if times.iter().any(is_unclear) {
        return Err(BARE_HOUR);
    }
    Ok(times.iter().map(|time| time.minutes).collect())
}

/// "between 9am and 5pm": whole hours that are clear.
fn window(text: &str) -> Result<(u32, u32), Unclear> {
    let (from, to) = text.split_once(" to ").ok_or(VAGUE)?;
    let time = |text: &str| {
        let is_bare = !text.starts_with('@');
        Time::of(&if is_bare {
            format!("@h{text}")
        } else {
            text.to_owned()
        })
    };
    let (from, to) = (time(from)?, time(to)?);
    let is_backward = to.minutes <= from.minutes && from.minutes <= 12 * 60;
    let may_be_pm = from.is_bare && !to.is_late && from.minutes + 12 * 60 < to.minutes;
    if (from.is_bare || to.is_bare) && (is_backward || may_be_pm) {
        return Err(BARE_HOUR);
    }
    let are_whole = from.minutes % 60 == 0 && to.minutes % 60 == 0;
    (are_whole && from.minutes != to.minutes)
        .then_some((from.minutes / 60, to.minutes / 60))
        .ok_or(INEXPRESSIBLE)
}
