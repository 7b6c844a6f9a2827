//! What a match of the grammar means: the named groups of its pattern as a `Spec`. No rule of when
//! a match counts lives here.

use jiff::Timestamp;
use langop_dsl::{Calendar, CronSchedule};
use regex::Captures;

use super::grammar::{Strength, Worth, matching};
use super::spec::{DAY, HOUR, MINUTE, Period, Reason, Set, Spec, YEAR};
use super::tokens::is_one_of;

/// What may follow "at 9" so that the nine is an hour and not a count.
const AFTER_AN_HOUR: &str = "and daily each every except gmt hourly in monday mondays monthly on \
    or then to utc weekdays weekends weekly";
const UNITS: &str = "am minute minutes hour hours percent degrees";
/// What may follow "daily" where it is an adverb.
const AFTER_AN_ADVERB: &str = "after and around as at before between but by during each every \
    except for from if in into monday on or starting then to until using via when whether with \
    without";
/// What an agent makes or does: "send weekly summaries" says how often.
const OUTPUTS: &str = "backup backups briefing briefings check checks cleanup digest digests \
    email emails newsletter overview recap reminder reminders report reports review roundup run \
    runs scan scans status summaries summary sync update updates";
/// Before "daily report": one that exists already.
const OWNERS: &str = "each every her his its last my next our previous that the their these this \
    today's your";
/// Zones that several countries write alike, or that change twice a year.
const UNCLEAR_ZONES: &str = "aedt aest akst bst cdt cest cet cst ct edt eest eet est et hst ist \
    jst mdt msk mst mt pdt pst pt z";
/// What does not name a place before "time".
const NO_PLACE: &str = "a and any at each every first in last next of on same some that the this \
    to";
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: &str = "jan feb mar apr may jun jul aug sep oct nov dec";

/// Something in a sentence that speaks of time.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// What it says, or why that cannot be a schedule.
    pub(super) says: Result<Spec, Reason>,
    pub(super) strength: Strength,
    /// Where it stands, in bytes of the sentence.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A place in a sentence.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    /// Whether something that recurs by day ends here, so that a number may be an hour.
    pub(super) is_beside_recurring: bool,
    pub(super) now: Timestamp,
}

/// The piece that starts at `place`.
pub(super) fn piece(place: Place<'_>) -> Option<Piece> {
    let rest = &place.text[place.at..];
    matching(rest).find_map(|rule| {
        if matches!(rule.worth, Worth::Beside(_)) && !place.is_beside_recurring {
            return None;
        }
        let found = rule.pattern.captures(rest)?;
        let mut reading = Reading {
            place,
            end: place.at + found.name("it")?.end(),
        };
        let says = match rule.reason {
            Some(reason) => Err(reason),
            None => reading.spec(&found)?,
        };
        let strength = reading.strength(rule.worth, &found)?;
        Some(Piece {
            says,
            strength,
            start: place.at,
            end: reading.end,
        })
    })
}

/// The last word of `text`.
pub(super) fn last_word(text: &str) -> &str {
    first_word(text.trim_end().rsplit(' ').next().unwrap_or_default())
}

/// The word at the start of `text`; empty if something else is there.
pub(super) fn first_word(text: &str) -> &str {
    let token = text.split(' ').next().unwrap_or_default();
    let is_clock = token.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if token.starts_with(char::is_alphabetic) && !is_clock {
        token
    } else {
        ""
    }
}

/// Whether a clause starts after `before`.
pub(super) fn starts_clause(before: &str) -> bool {
    before.is_empty()
        || before.ends_with(", ")
        || before.ends_with("- ")
        || matches!(last_word(before), "please" | "then")
}

fn ends_clause(after: &str) -> bool {
    after.is_empty() || after.starts_with([',', '-'])
}

/// One reading of a place.
struct Reading<'a> {
    place: Place<'a>,
    /// Where it ends; a zone after a time belongs to it.
    end: usize,
}

impl<'a> Reading<'a> {
    fn before(&self) -> &'a str {
        &self.place.text[..self.place.at]
    }

    fn after(&self) -> &'a str {
        &self.place.text[self.end..]
    }

    fn strength(&self, worth: Worth, found: &Captures<'_>) -> Option<Strength> {
        let next = first_word(self.after());
        let is_adverb = ends_clause(self.after()) || is_one_of(next, AFTER_AN_ADVERB);
        match worth {
            Worth::Is(strength) | Worth::Beside(strength) => Some(strength),
            Worth::Second => is_adverb.then_some(Strength::Recurring),
            Worth::Days => self.strength_of_days(found),
            Worth::Adverb if is_one_of(last_word(self.before()), OWNERS) => None,
            Worth::Adverb
                if is_adverb || self.after().starts_with(['t', 'c', '/']) && next.is_empty() =>
            {
                Some(Strength::Recurring)
            }
            Worth::Adverb => {
                let is_hint = matches!(last_word(self.before()), "a" | "an")
                    || is_one_of(next, OUTPUTS)
                    || starts_clause(self.before());
                is_hint.then_some(Strength::Hint)
            }
        }
    }

    fn strength_of_days(&self, found: &Captures<'_>) -> Option<Strength> {
        let group = |name| found.name(name).map_or("", |group| group.as_str());
        let (lead, days) = (group("lead"), group("days"));
        let is_plural = days.contains(' ')
            || days.ends_with("days")
            || days.starts_with("week")
            || days.starts_with("workday");
        let is_short = !is_plural && !days.contains("day");
        let is_beside_time = next_is_time(self.after());
        match lead {
            _ if group("parts").split(' ').any(|word| word.ends_with('s')) => {
                Some(Strength::Recurring)
            }
            "on " if is_plural => Some(Strength::Recurring),
            "on " => Some(Strength::Loose),
            "" if !group("article").is_empty() || (is_short && !is_beside_time) => None,
            "" if is_plural && (starts_clause(self.before()) || is_beside_time) => {
                Some(Strength::Recurring)
            }
            "" => Some(Strength::Bare),
            _ => is_plural.then_some(Strength::Recurring),
        }
    }

    /// `None` if the match is none after all.
    fn spec(&mut self, found: &Captures<'_>) -> Option<Result<Spec, Reason>> {
        let group = |name| found.name(name).map(|group| group.as_str());
        let mut spec = match how_often(found) {
            Ok(spec) => spec,
            Err(reason) => return Some(Err(reason)),
        };
        if let Some((which, day)) = group("which").zip(group("weekday")) {
            match weekday_of_month(which, day) {
                Ok(only) => spec.only = Some(only),
                Err(reason) => return Some(Err(reason)),
            }
        }
        if group("last").is_some() {
            spec.only = Some(Calendar::LastDayOfMonth);
        }
        if let Some(days) = group("days") {
            spec.weekdays = Some(weekdays(days));
        }
        if let Some(dates) = group("dates") {
            spec.month_days = Some(
                numbers(dates)
                    .filter(|day| (1..=31).contains(day))
                    .collect(),
            );
            if let Some(period) = group("of") {
                return Some(dates_of(spec, period));
            }
        }
        if let Some(date) = group("date") {
            if is_year(self.after()) {
                return None;
            }
            let day = numbers(date).next().unwrap_or(1);
            spec.month_days = Some((1..=31).contains(&day).then(|| Set::from([day]))?);
            spec.months = Some(months(date));
        }
        if let Some(names) = group("months") {
            spec.months = Some(months(names));
        }
        self.times(spec, found)
    }

    fn times(&mut self, mut spec: Spec, found: &Captures<'_>) -> Option<Result<Spec, Reason>> {
        let group = |name| found.name(name).map(|group| group.as_str());
        let window = group("from")
            .zip(group("to"))
            .or_else(|| group("from2").zip(group("to2")));
        if let Some(parts) = group("parts") {
            if group("daily").is_some() {
                spec.period = Some(Period::Day);
            }
            if !self.is_hour(parts, true) {
                return None;
            }
            spec.times = match in_parts(parts, &mut spec.usual_times) {
                Ok(times) => Some(times),
                Err(reason) => return Some(Err(reason)),
            };
        } else if let Some(times) = group("times") {
            if !self.is_hour(times, self.place.is_beside_recurring) {
                // "at 6, 12 and 18 people": some are hours
                return times.contains(' ').then_some(Err(Reason::BareHour));
            }
            match clear(&at_times(times, "")) {
                Ok(times) => spec.times = Some(times),
                Err(reason) => return Some(Err(reason)),
            }
        } else if let Some((from, to)) = window {
            match hours(Time::of(from)?, Time::of(to)?) {
                Ok(window) => spec.window = Some(window),
                Err(reason) => return Some(Err(reason)),
            }
        } else if group("all").is_none() && group("zone").is_none() {
            return Some(Ok(spec));
        }
        if let Some(zone) = group("zone") {
            let name = zone.strip_prefix('/').filter(|name| self.is_zone(name))?;
            spec.zone = Some(name.to_owned());
            return Some(Ok(spec));
        }
        match self.zone() {
            Ok(None) if group("all").is_some() => None,
            Ok(zone) => Some(Ok(Spec { zone, ..spec })),
            Err(reason) => Some(Err(reason)),
        }
    }

    /// Whether what follows allows that `times` end with an hour without am or pm.
    fn is_hour(&self, times: &str, is_recurring: bool) -> bool {
        let is_bare = times
            .rsplit(' ')
            .next()
            .is_some_and(|last| last.starts_with('#'));
        let next = first_word(self.after());
        !is_bare
            || ends_clause(self.after())
            || self.after().starts_with('/')
            || is_one_of(next, AFTER_AN_HOUR)
            || (is_recurring && !next.is_empty() && !is_one_of(next, UNITS) && !next.ends_with('s'))
    }

    /// The zone right after a time: some, an unclear one, or none.
    fn zone(&mut self) -> Result<Option<String>, Reason> {
        let after = self.after();
        let rest = after.strip_prefix("in ").unwrap_or(after);
        let rest = rest.strip_prefix(", ").unwrap_or(rest);
        let token = rest.split(' ').next().unwrap_or_default();
        let end = self.place.text.len() - rest.len() + token.len() + 1;
        if let Some(name) = token.strip_prefix('/') {
            self.end = end;
            let zone = self.is_zone(name).then(|| Some(name.to_owned()));
            return zone.ok_or(Reason::TimeZone);
        }
        if matches!(token, "utc" | "gmt") {
            let offset = rest[token.len()..].trim_start();
            self.end = end;
            let has_offset = offset.starts_with("- #") || offset.starts_with("~ #");
            return if has_offset {
                Err(Reason::TimeZone)
            } else {
                Ok(Some(token.to_uppercase()))
            };
        }
        // "Berlin time", "Central European Time": named, but not so that one zone is meant
        let words = rest
            .split(' ')
            .take(4)
            .take_while(|word| !is_one_of(word, NO_PLACE));
        let words: Vec<&str> = words
            .take_while(|word| !first_word(word).is_empty())
            .collect();
        let time = words.iter().skip(1).position(|word| *word == "time");
        if is_one_of(token, UNCLEAR_ZONES) || time.is_some() {
            self.end = end;
            return Err(Reason::TimeZone);
        }
        Ok(None)
    }

    /// Whether `name` is the exact IANA name of a time zone.
    fn is_zone(&self, name: &str) -> bool {
        CronSchedule::parse("0 0 * * *", Some(name), self.place.now).is_ok()
    }
}

/// How often: an interval, a period with a count, the minute of an hour.
fn how_often(found: &Captures<'_>) -> Result<Spec, Reason> {
    let group = |name| found.name(name).map(|group| group.as_str());
    let mut spec = match group("unit") {
        Some(unit) => {
            let nth = group("nth").map_or(1, |nth| number(nth).unwrap_or(2));
            every(unit, nth, group("count").map(times))?
        }
        None => Spec::default(),
    };
    if let Some(seconds) = group("seconds") {
        spec.interval = seconds.parse().ok();
    }
    if let Some(hours) = group("hours") {
        spec.interval = Some(number(hours).map_or(HOUR / 2, |hours| u64::from(hours) * HOUR));
    }
    if let Some(minute) = group("minute") {
        spec.minute = Some(minute_of_hour(minute).ok_or(Reason::BareHour)?);
    }
    Ok(spec)
}

/// Whether a time stands here.
fn next_is_time(text: &str) -> bool {
    let is_clock = first_word(text).is_empty() && text.starts_with(['t', 'c']);
    is_clock || first_word(text) == "at"
}

fn is_year(after: &str) -> bool {
    let year = after
        .strip_prefix(", ")
        .unwrap_or(after)
        .split(' ')
        .next()
        .and_then(number);
    year.is_some_and(|year| year >= 1900)
}

/// The number of a token such as `#5`, `°1` or `=300`.
fn number(token: &str) -> Option<u32> {
    token
        .trim_start_matches(['#', '°', '='])
        .split(' ')
        .next()?
        .parse()
        .ok()
}

fn numbers(tokens: &str) -> impl Iterator<Item = u32> {
    tokens.split(' ').filter_map(number)
}

fn times(count: &str) -> u32 {
    match count {
        "once" => 1,
        "twice" => 2,
        "thrice" => 3,
        _ => number(count).unwrap_or(0),
    }
}

/// Every `nth` of a unit, or `count` times in each.
fn every(unit: &str, nth: u32, count: Option<u32>) -> Result<Spec, Reason> {
    let interval = |seconds| {
        Ok(Spec {
            interval: Some(seconds),
            ..Spec::default()
        })
    };
    let period = |period| {
        Ok(Spec {
            period: Some(period),
            count: count.filter(|count| *count != 1),
            ..Spec::default()
        })
    };
    let seconds = match unit.get(..2).unwrap_or_default() {
        "se" => 1,
        "mi" => MINUTE,
        "ho" | "hr" => HOUR,
        "da" | "ev" => DAY,
        "we" | "wk" => 7 * DAY,
        "fo" => 14 * DAY,
        "mo" if nth > 0 && 12 % nth == 0 => return period(Period::Months(nth)),
        "qu" if matches!(nth, 1 | 2) => return period(Period::Months(3 * nth)),
        "ye" | "an" if nth == 1 => return period(YEAR),
        _ => {
            return Err(if nth == 0 {
                Reason::Vague
            } else {
                Reason::Inexpressible
            });
        }
    };
    match (seconds, count) {
        (DAY, _) if nth == 1 => period(Period::Day),
        (_, _) if nth == 1 && seconds == 7 * DAY => period(Period::Week),
        (1 | MINUTE | HOUR, Some(count)) => {
            let runs = u64::from(count);
            let is_even = runs > 0 && seconds.is_multiple_of(runs);
            if is_even {
                interval(seconds / runs)
            } else {
                Err(Reason::Inexpressible)
            }
        }
        _ => interval(u64::from(nth) * seconds),
    }
}

fn minute_of_hour(token: &str) -> Option<u32> {
    let minute = match token {
        "half" => 30,
        "quarter" => 15,
        _ if token.starts_with('=') => number(token)? / 60,
        _ => number(token)?,
    };
    (minute < 60).then_some(minute)
}

/// Days of a month, of a quarter, of a year.
fn dates_of(spec: Spec, period: &str) -> Result<Spec, Reason> {
    let period = match period {
        "month" => Period::Months(1),
        "quarter" => Period::Months(3),
        "year" => YEAR,
        _ => return Err(Reason::Vague),
    };
    let is_plain = period == Period::Months(1) || spec.month_days == Some(Set::from([1]));
    let spec = Spec {
        period: Some(period),
        ..spec
    };
    is_plain.then_some(spec).ok_or(Reason::Inexpressible)
}

/// One of the weekdays of a name in each month: `°1` and `monday`.
fn weekday_of_month(which: &str, day: &str) -> Result<Calendar, Reason> {
    let which = match which {
        "final" | "last" => "last",
        "°1" => "first",
        "second" | "°2" => "second",
        "°3" => "third",
        "°4" => "fourth",
        _ => return Err(Reason::NthWeekday),
    };
    let day = day.get(..3).unwrap_or_default();
    let only = format!("{which} {day}").parse();
    only.map_err(|_| Reason::NthWeekday)
}

fn weekday(word: &str) -> Option<u32> {
    let day = DAYS.iter().position(|day| word.starts_with(day))?;
    u32::try_from(day).ok()
}

fn weekdays(text: &str) -> Set {
    let mut days = Set::new();
    let mut previous = None;
    let mut is_range = false;
    for word in text.split(' ') {
        if word.starts_with("weekend") {
            days.extend([0, 6]);
        } else if word.starts_with("weekday")
            || word.starts_with("workday")
            || word.starts_with("day")
        {
            days.extend(1..=5);
        } else if let Some(day) = weekday(word) {
            let first = previous.filter(|_| is_range).unwrap_or(day);
            days.extend((0..=(day + 7 - first) % 7).map(|offset| (first + offset) % 7));
            previous = Some(day);
        }
        is_range = is_one_of(word, "- through thru till to until");
    }
    days
}

fn months(text: &str) -> Set {
    let named = text
        .split(' ')
        .filter_map(|word| MONTHS.split(' ').position(|month| word.starts_with(month)));
    named.filter_map(|at| u32::try_from(at + 1).ok()).collect()
}

/// A time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Time {
    hour: u32,
    minute: u32,
    /// With am or pm, or as noon or midnight.
    is_exact: bool,
    /// As a bare `9`.
    is_bare: bool,
}

impl Time {
    fn of(token: &str) -> Option<Self> {
        let digits = token.trim_start_matches(['t', 'c', '#']);
        let (hour, minute) = digits.split_once(':').unwrap_or((digits, "0"));
        Some(Self {
            hour: hour.parse().ok().filter(|hour| *hour < 24)?,
            minute: minute.parse().ok()?,
            is_exact: token.starts_with('t'),
            is_bare: token.starts_with('#'),
        })
    }

    /// The time meant by an hour of the twelve-hour clock said with this part of the day.
    fn in_part(self, part: &str) -> Self {
        let later_half = match part {
            "afternoon" => 1..=11,
            "evening" => 4..=11,
            "night" => 7..=11,
            _ => 0..=0,
        };
        let hour = match self.hour {
            _ if self.is_exact => self.hour,
            12 if part == "night" => 0,
            hour if hour > 0 && later_half.contains(&hour) => hour + 12,
            hour => hour,
        };
        Self {
            hour,
            is_exact: true,
            is_bare: false,
            ..self
        }
    }
}

/// The part of the day that a word names, in the singular.
fn part(word: &str) -> Option<&str> {
    let word = if word == "nightly" {
        "night"
    } else {
        word.trim_end_matches('s')
    };
    matches!(word, "morning" | "afternoon" | "evening" | "night").then_some(word)
}

/// A list of times; a part of the day is said of those before it, or for all of them by `all`.
fn at_times(text: &str, all: &str) -> Vec<Option<Time>> {
    let mut times: Vec<Option<Time>> = Vec::new();
    let mut without_part = 0;
    for word in text.split(' ') {
        if let Some(part) = part(word) {
            for time in times[without_part..].iter_mut().flatten() {
                *time = Time::in_part(*time, part);
            }
            without_part = times.len();
        } else if word.starts_with('#')
            || first_word(word).is_empty() && word.starts_with(['t', 'c'])
        {
            let time = Time::of(word);
            times.push(time.map(|time| {
                if all.is_empty() {
                    time
                } else {
                    time.in_part(all)
                }
            }));
        }
    }
    times
}

/// The times, if each hour is clear.
fn clear(times: &[Option<Time>]) -> Result<BTreeTimes, Reason> {
    let is_24_hour = times
        .iter()
        .flatten()
        .any(|time| !time.is_exact && time.hour > 12);
    times
        .iter()
        .map(|time| {
            let time = time.ok_or(Reason::BareHour)?;
            let is_clear = is_24_hour || !time.is_bare || !(1..=6).contains(&time.hour);
            is_clear
                .then_some((time.hour, time.minute))
                .ok_or(Reason::BareHour)
        })
        .collect()
}

type BTreeTimes = std::collections::BTreeSet<(u32, u32)>;

/// "morning at 7 and every evening at 8", "mornings and evenings".
fn in_parts(text: &str, usual: &mut bool) -> Result<BTreeTimes, Reason> {
    let mut all = BTreeTimes::new();
    let words: Vec<&str> = text.split(' ').collect();
    let starts: Vec<usize> = (0..words.len())
        .filter(|at| part(words[*at]).is_some() && !is_said_of_time(&words, *at))
        .collect();
    for (nth, start) in starts.iter().enumerate() {
        let end = starts.get(nth + 1).copied().unwrap_or(words.len());
        let part = part(words[*start]).unwrap_or_default();
        let rest = &words[start + 1..end];
        if rest.iter().any(|word| self::part(word).is_some()) {
            // "every morning at 8 in the evening"
            return Err(Reason::Conflict);
        }
        let times = clear(&at_times(&rest.join(" "), part))?;
        if times.is_empty() {
            *usual = true;
            all.insert(match part {
                "morning" => (9, 0),
                "afternoon" => (14, 0),
                "evening" => (18, 0),
                _ => (22, 0),
            });
        }
        all.extend(times);
    }
    Ok(all)
}

/// Whether the part of the day at `at` is said of the time before it: "at 7 in the morning".
fn is_said_of_time(words: &[&str], at: usize) -> bool {
    let before = words[..at]
        .iter()
        .rev()
        .find(|word| !is_one_of(word, "in the at"));
    before.is_some_and(|word| Time::of(word).is_some())
}

/// "between 9am and 5pm": whole hours that are clear.
fn hours(first: Time, last: Time) -> Result<(u32, u32), Reason> {
    let is_backward = last.hour <= first.hour && first.hour <= 12;
    let may_be_pm = first.is_bare && last.is_exact && first.hour + 12 < last.hour;
    if (first.is_bare || last.is_bare) && (is_backward || may_be_pm) {
        return Err(Reason::BareHour);
    }
    let are_whole = first.minute == 0 && last.minute == 0 && first.hour != last.hour;
    are_whole
        .then_some((first.hour, last.hour))
        .ok_or(Reason::Inexpressible)
}
