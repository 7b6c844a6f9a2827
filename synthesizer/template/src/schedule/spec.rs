//! What a text says about time, and the one schedule that says exactly this, if there is one.
//!
//! Defaults, all documented here: no time means midnight, no day means Sunday (week), the first
//! (month) or 1 January (year), as cron's own nicknames `@daily`, `@weekly`, `@monthly` and
//! `@yearly` have it; morning is 09:00, afternoon 14:00, evening 18:00, night 22:00; "n times a
//! day" is spread evenly from midnight; `A to B` includes both hours for an interval of whole hours
//! and ends before B for a shorter one.

use std::collections::{BTreeMap, BTreeSet};

use langop_dsl::{Calendar, MAX_CRONS, MAX_DURATION_SECONDS, Schedule, cron_for_every};

use super::values::{Period, Set, dates, months, only, period, seconds, times, weekdays, window};
use super::{
    grammar::Says,
    timing::{
        BARE_HOUR, CONFLICT, EXCEPTION, INEXPRESSIBLE, LAST_DAYS, Unclear, VAGUE, WHICH_DAY,
        WHICH_DAYS, WHICH_WEEKDAYS, agreed,
    },
};

const MINUTES_OF_DAY: u32 = 24 * 60;
const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// What was said. Every field absent: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Spec {
    /// Seconds from one run to the next.
    every: Option<u64>,
    period: Option<Period>,
    /// Runs in a period.
    count: Option<u32>,
    /// 0 is Sunday.
    weekdays: Option<Set>,
    month_days: Option<Set>,
    months: Option<Set>,
    /// Days of a month that no cron says.
    only: Option<Calendar>,
    /// Minutes of the day.
    times: Option<Set>,
    /// The minute of the hour, for intervals of hours.
    minute: Option<u32>,
    /// Between which minutes of the day.
    window: Option<(u32, u32)>,
    /// Weekdays on which not.
    except: Set,
}

impl Spec {
    /// What the values mean together.
    pub(super) fn read(says: &Says) -> Result<Self, Unclear> {
        if let Some(why) = says.all("why").next() {
            return Err(named(why));
        }
        Ok(Self {
            every: one(says, "every", seconds, VAGUE)?,
            period: one(says, "per", period, INEXPRESSIBLE)?,
            count: one(says, "count", |count| count.parse().ok(), VAGUE)?.filter(|runs| *runs != 1),
            weekdays: one(says, "days", weekdays, VAGUE)?,
            month_days: one(says, "dates", dates, VAGUE)?,
            months: one(says, "months", months, VAGUE)?,
            only: one(says, "only", only, WHICH_WEEKDAYS)?,
            times: one(says, "at", times, BARE_HOUR)?,
            minute: one(says, "minute", |minute| minute.parse().ok(), BARE_HOUR)?,
            window: one(says, "hours", window, BARE_HOUR)?,
            except: says.all("not").filter_map(weekdays).flatten().collect(),
        })
    }

    /// Whether a time of day would change it.
    pub(super) fn lacks_a_time(&self) -> bool {
        self.every.is_none() && self.times.is_none() && self.count.is_none()
    }

    /// The one schedule that says this, without its time zone.
    pub(super) fn schedule(mut self) -> Result<Schedule, Unclear> {
        self.count_runs()?;
        self.fill_in_days();
        if !self.except.is_empty() {
            let days = self.weekdays.unwrap_or_else(|| stepped(7, 1));
            let days = Some(&days - &self.except);
            self.weekdays = Some(days.filter(|days| !days.is_empty()).ok_or(EXCEPTION)?);
        }
        if let Some(seconds) = self.every.take() {
            if !(1..=MAX_DURATION_SECONDS).contains(&seconds) {
                return Err(VAGUE);
            }
            if self == Self::default() {
                return Ok(Schedule::Every { seconds });
            }
            return self.interval(seconds);
        }
        if self.window.is_some() || self.minute.is_some() {
            return Err(VAGUE);
        }
        let times = self.times.clone().unwrap_or(Set::from([0]));
        self.crons(&times, false)
    }

    /// Turns "n times a day" into times or an interval; other counts must be those of what is said.
    fn count_runs(&mut self) -> Result<(), Unclear> {
        let Some(count) = self.count.take() else {
            return Ok(());
        };
        let said = match self.period {
            None => &None,
            Some(Period::Day) => &self.times,
            Some(Period::Week) => &self.weekdays,
            Some(Period::Months(1)) => &self.month_days,
            Some(Period::Months(_)) => &self.months,
        };
        match (self.period, said.as_ref().map(BTreeSet::len)) {
            _ if count == 0 => return Err(VAGUE),
            (_, Some(said)) if said == count as usize => {}
            (Some(Period::Day), Some(_)) => return Err(CONFLICT),
            (Some(Period::Day), None) if 24 % count == 0 => {
                self.times = Some(stepped(MINUTES_OF_DAY, MINUTES_OF_DAY / count));
            }
            (None | Some(Period::Day), None) => {
                let whole = self.every.unwrap_or(DAY);
                let every = whole / u64::from(count);
                let is_even = whole.is_multiple_of(u64::from(count));
                self.every = Some(is_even.then_some(every).ok_or(INEXPRESSIBLE)?);
                self.period = None;
            }
            (Some(Period::Months(12)), None) if 12 % count == 0 => {
                self.period = Some(Period::Months(12 / count));
            }
            _ => return Err(WHICH_DAYS),
        }
        Ok(())
    }

    /// The days and months that a period means where nothing else is said.
    fn fill_in_days(&mut self) {
        let first = Some(Set::from([1]));
        match self.period.take() {
            Some(Period::Day) => self.weekdays = self.weekdays.take().or(Some(stepped(7, 1))),
            Some(Period::Week) => self.weekdays = self.weekdays.take().or(Some(Set::from([0]))),
            Some(Period::Months(1)) if self.only.is_some() => {}
            Some(Period::Months(step)) => {
                let months = stepped(12, step).into_iter().map(|month| month + 1);
                self.months = self.months.take().or((step > 1).then(|| months.collect()));
                self.month_days = self.month_days.take().or(first);
            }
            None if self.months.is_some() && self.weekdays.is_none() && self.every.is_none() => {
                self.month_days = self.month_days.take().or(first);
            }
            None => {}
        }
    }

    /// The cron expressions of an interval on some days, between hours or at a minute.
    fn interval(self, seconds: u64) -> Result<Schedule, Unclear> {
        let (first, last) = self.window.unwrap_or((0, MINUTES_OF_DAY));
        let is_even = cron_for_every(seconds).is_some() && seconds < DAY;
        let is_whole = seconds >= HOUR;
        let has_dates = self.month_days.is_some() || self.months.is_some() || self.only.is_some();
        let is_odd = first == last || self.minute.is_some_and(|minute| !is_whole || minute > 59);
        let splits_days = last < first && self.weekdays.is_some();
        if has_dates || self.times.is_some() || splits_days || is_odd || !is_even {
            return Err(INEXPRESSIBLE);
        }
        let step = u32::try_from(seconds / 60).unwrap_or(1);
        let length = (last + MINUTES_OF_DAY - first - 1) % MINUTES_OF_DAY + 1;
        let end = length + u32::from(is_whole && self.window.is_some());
        let start = first + self.minute.unwrap_or(0);
        let times = stepped(end, step)
            .into_iter()
            .map(|time| (start + time) % MINUTES_OF_DAY);
        self.crons(&times.collect(), true)
    }

    /// The cron expressions of days and times; times that have the same minutes share one.
    fn crons(&self, times: &Set, has_steps: bool) -> Result<Schedule, Unclear> {
        let mut hours_of: BTreeMap<Set, Set> = BTreeMap::new();
        for hour in 0..24 {
            let minutes = times
                .range(hour * 60..(hour + 1) * 60)
                .map(|time| time % 60);
            hours_of.entry(minutes.collect()).or_default().insert(hour);
        }
        hours_of.remove(&Set::new());
        // cron runs on either day where both are given
        let has_both = self.weekdays.is_some() && self.month_days.is_some();
        let is_odd = has_both || (self.only.is_some() && self.months.is_some());
        if is_odd || hours_of.len() > MAX_CRONS {
            return Err(INEXPRESSIBLE);
        }
        let field =
            |set: &Option<Set>, all| set.as_ref().map_or("*".to_owned(), |set| list(set, all));
        let (dates, months) = (field(&self.month_days, 31), field(&self.months, 12));
        let days = field(&self.weekdays, 7);
        let mut crons = hours_of.iter().map(|(minutes, hours)| {
            let [minutes, hours] = [(minutes, 60), (hours, 24)].map(|(values, all)| {
                let step = (2..all).find(|step| has_steps && *values == stepped(all, *step));
                step.map_or_else(|| list(values, all), |step| format!("*/{step}"))
            });
            format!("{minutes} {hours} {dates} {months} {days}")
        });
        Ok(Schedule::Cron {
            expression: crons.next().ok_or(INEXPRESSIBLE)?,
            also: crons.collect(),
            time_zone: None,
            only: self.only,
        })
    }
}

/// The reasons that the grammar names.
fn named(why: &str) -> Unclear {
    match why {
        "all" => INEXPRESSIBLE,
        "alternating" => WHICH_DAY,
        "except" => EXCEPTION,
        "hour" => BARE_HOUR,
        "last" => LAST_DAYS,
        "weekdays" => WHICH_WEEKDAYS,
        _ => VAGUE,
    }
}

/// What all values of a key mean; `why` if one means nothing.
fn one<T: PartialEq>(
    says: &Says,
    key: &str,
    meaning: impl Fn(&str) -> Option<T>,
    why: Unclear,
) -> Result<Option<T>, Unclear> {
    agreed(says.all(key).map(|value| meaning(value).ok_or(why)))
}

fn stepped(end: u32, step: u32) -> Set {
    (0..end).filter(|value| value % step == 0).collect()
}

/// A cron field of so many values: three or more in a row as a range.
fn list(values: &Set, all: u32) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for value in values {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *value => *last = *value,
            _ => ranges.push((*value, *value)),
        }
    }
    let items = ranges.into_iter().map(|(first, last)| match last - first {
        span if span + 1 == all => "*".to_owned(),
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    items.collect::<Vec<_>>().join(",")
}
