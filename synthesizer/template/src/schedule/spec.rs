//! What a text says about time, piece by piece, and the one schedule that says exactly this, if
//! there is one.
//!
//! Defaults, all documented here: no time means midnight, no day means Sunday (week), the first
//! (month) or 1 January (year), as cron's own nicknames `@daily`, `@weekly`, `@monthly` and
//! `@yearly` have it; morning is 09:00, afternoon 14:00, evening 18:00, night 22:00; "n times a
//! day" is spread evenly from midnight; `A to B` includes both hours for an interval of whole hours
//! and ends before B for a shorter one.

use std::collections::{BTreeMap, BTreeSet};

use langop_dsl::{Calendar, MAX_CRONS, MAX_DURATION_SECONDS, Schedule, cron_for_every};

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// Why a text that speaks of times gives no schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Conflict,
    LastDays,
    NthWeekday,
    Alternating,
    Vague,
    BareHour,
    WhichTime,
    WhichDays,
    Exception,
    TimeZone,
    Inexpressible,
    NeverFires,
    BadCron,
}

impl Reason {
    /// Those that the grammar names.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "last-days" => Self::LastDays,
            "nth-weekday" => Self::NthWeekday,
            "alternating" => Self::Alternating,
            "vague" => Self::Vague,
            "bare-hour" => Self::BareHour,
            "inexpressible" => Self::Inexpressible,
            _ => return None,
        })
    }

    /// For the comment in the code: what is missing and what to write. Never text of the user's.
    pub(super) fn explanation(self) -> &'static str {
        match self {
            Self::Conflict => "the text names more than one schedule",
            Self::LastDays => "it is not clear which last day of a month or week is meant",
            Self::NthWeekday => "it is not clear which weekdays of a month are meant",
            Self::Alternating => "the text does not say from which day on every other one counts",
            Self::Vague => "the text does not say exactly how often or when",
            Self::BareHour => "an hour is not clear; write it with am or pm, or as 17:00",
            Self::WhichTime => "it is not clear whether a time in the text is when to run",
            Self::WhichDays => "the text does not say on which days",
            Self::Exception => "the exception cannot be said by a schedule",
            Self::TimeZone => "the time zone is not clear; write a name such as Europe/Berlin",
            Self::Inexpressible => "one schedule cannot say all of it",
            Self::NeverFires => "its days do not exist",
            Self::BadCron => "the cron expression in the text is not valid",
        }
    }
}

/// How often, without saying when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Day,
    Week,
    /// The number of months; divides twelve.
    Months(u32),
}

pub(super) const YEAR: Period = Period::Months(12);

/// Days or months.
pub(super) type Set = BTreeSet<u32>;

/// What was said. Every field absent: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Spec {
    /// Seconds from one run to the next.
    pub(super) interval: Option<u64>,
    pub(super) period: Option<Period>,
    /// Runs in a period of at least a day.
    pub(super) count: Option<u32>,
    /// 0 is Sunday.
    pub(super) weekdays: Option<Set>,
    pub(super) month_days: Option<Set>,
    pub(super) months: Option<Set>,
    /// Days of a month that no cron says.
    pub(super) only: Option<Calendar>,
    /// Hours and minutes.
    pub(super) times: Option<BTreeSet<(u32, u32)>>,
    /// Whether the times are only usual ones: "every morning".
    pub(super) usual_times: bool,
    /// The minute of the hour, for intervals of hours.
    pub(super) minute: Option<u32>,
    /// First and last hour.
    pub(super) window: Option<(u32, u32)>,
    /// Weekdays on which not.
    pub(super) except: Option<Set>,
    pub(super) zone: Option<String>,
}

impl Spec {
    /// The same without times, zone and exceptions: on which days it runs, or how often.
    fn core(&self) -> Self {
        Self {
            interval: self.interval,
            period: self.period,
            count: self.count,
            weekdays: self.weekdays.clone(),
            month_days: self.month_days.clone(),
            months: self.months.clone(),
            only: self.only,
            ..Self::default()
        }
    }

    /// Both together, where one refines the other.
    pub(super) fn and(self, other: Self) -> Result<Self, Reason> {
        Ok(Self {
            interval: either(self.interval, other.interval)?,
            period: either(self.period, other.period)?,
            count: either(self.count, other.count)?,
            weekdays: either(self.weekdays, other.weekdays)?,
            month_days: either(self.month_days, other.month_days)?,
            months: either(self.months, other.months)?,
            only: either(self.only, other.only)?,
            times: either(self.times, other.times)?,
            usual_times: self.usual_times || other.usual_times,
            minute: either(self.minute, other.minute)?,
            window: either(self.window, other.window)?,
            except: either(self.except, other.except)?,
            zone: either(self.zone, other.zone).map_err(|_| Reason::TimeZone)?,
        })
    }

    /// Both together, said in different sentences: then neither may change the other's days.
    pub(super) fn beside(self, other: Self) -> Result<Self, Reason> {
        let (mine, its) = (self.core(), other.core());
        if mine == its || mine == Self::default() || its == Self::default() {
            self.and(other)
        } else {
            Err(Reason::Conflict)
        }
    }

    /// Whether a time of day would change it.
    pub(super) fn lacks_a_time(&self) -> bool {
        self.interval.is_none() && self.times.is_none() && self.count.is_none()
    }

    /// The one schedule that says this.
    pub(super) fn schedule(mut self) -> Result<Schedule, Reason> {
        self.spread()?;
        self.exclude()?;
        match self.interval {
            Some(seconds) => self.fixed(seconds),
            None => self.calendar(),
        }
    }

    /// Turns "n times a day" into times or an interval, and checks other counts.
    fn spread(&mut self) -> Result<(), Reason> {
        let Some(count) = self.count.take() else {
            return Ok(());
        };
        let is_all = |days: &Option<Set>| {
            days.as_ref()
                .is_some_and(|days| days.len() as u64 == u64::from(count))
        };
        match (self.period, &self.times) {
            _ if count == 0 => return Err(Reason::Vague),
            (Some(Period::Day), Some(times)) if times.len() as u64 == u64::from(count) => {}
            (Some(Period::Day), Some(_)) => return Err(Reason::Conflict),
            (Some(Period::Day), None) if 24 % count == 0 => {
                let hours = (0..24).step_by((24 / count) as usize);
                self.times = Some(hours.map(|hour| (hour, 0)).collect());
            }
            (Some(Period::Day), None) if DAY.is_multiple_of(u64::from(count) * MINUTE) => {
                self.period = None;
                self.interval = Some(DAY / u64::from(count));
            }
            (Some(Period::Day), None) => return Err(Reason::Inexpressible),
            (Some(Period::Week), _) if is_all(&self.weekdays) => {}
            (Some(Period::Months(1)), _) if is_all(&self.month_days) => {}
            (Some(YEAR), _) if is_all(&self.months) => {}
            (Some(YEAR), _) if 12 % count == 0 && self.months.is_none() => {
                self.period = Some(Period::Months(12 / count));
            }
            _ => return Err(Reason::WhichDays),
        }
        Ok(())
    }

    fn exclude(&mut self) -> Result<(), Reason> {
        let Some(except) = self.except.take() else {
            return Ok(());
        };
        let is_by_month = self.month_days.is_some()
            || self.only.is_some()
            || !matches!(self.period, None | Some(Period::Day));
        let days = self.weekdays.take().unwrap_or_else(|| (0..7).collect());
        let days: Set = days.difference(&except).copied().collect();
        if is_by_month || days.is_empty() {
            return Err(Reason::Exception);
        }
        self.weekdays = Some(days);
        Ok(())
    }

    fn fixed(self, seconds: u64) -> Result<Schedule, Reason> {
        if !(1..=MAX_DURATION_SECONDS).contains(&seconds) {
            return Err(Reason::Vague);
        }
        let is_by_day = self.month_days.is_some() || self.months.is_some() || self.only.is_some();
        if is_by_day || self.times.is_some() || !matches!(self.period, None | Some(Period::Day)) {
            return Err(Reason::Inexpressible);
        }
        if self.weekdays.is_none() && self.window.is_none() && self.minute.is_none() {
            return Ok(Schedule::Every { seconds });
        }
        let passes_midnight = self.window.is_some_and(|(first, last)| last <= first);
        let cron = cron_for_every(seconds).filter(|_| seconds < DAY);
        let cron = cron.filter(|_| !passes_midnight || self.weekdays.is_none());
        let cron = cron.ok_or(Reason::Inexpressible)?;
        let mut fields = cron.split(' ').map(str::to_owned);
        let step = fields.next().unwrap_or_default();
        let minute = match self.minute {
            Some(_) if seconds < HOUR => return Err(Reason::Inexpressible),
            Some(minute) => minute.to_string(),
            None => step,
        };
        let hour = match self.window {
            Some(window) => list(&hours_of_window(window, seconds)),
            None => fields.next().unwrap_or_default(),
        };
        Ok(self.cron([&minute, &hour, "*", "*"]))
    }

    fn calendar(mut self) -> Result<Schedule, Reason> {
        if self.window.is_some() || self.minute.is_some() {
            return Err(Reason::Vague);
        }
        let is_by_month =
            self.month_days.is_some() || matches!(self.period, Some(Period::Months(_)));
        if self.weekdays.is_some() && is_by_month {
            // cron runs on either day where both are given
            return Err(Reason::Inexpressible);
        }
        let times = self.times.take().unwrap_or_else(|| [(0, 0)].into());
        match self.only {
            Some(only) => self.near(only)?,
            None => self.dates()?,
        }
        self.crons(&times)
    }

    /// Turns days that no cron says into the fewest that a cron does and that hold them.
    fn near(&mut self, only: Calendar) -> Result<(), Reason> {
        let has_dates = self.month_days.is_some() || self.months.is_some();
        let is_monthly = matches!(self.period, None | Some(Period::Months(1)));
        if has_dates || self.weekdays.is_some() || !is_monthly {
            return Err(Reason::Inexpressible);
        }
        match only {
            Calendar::LastDayOfMonth => self.month_days = Some((28..=31).collect()),
            Calendar::WeekdayOfMonth { day, .. } => {
                let day = u32::try_from(day.to_sunday_zero_offset()).unwrap_or_default();
                self.weekdays = Some(Set::from([day]));
            }
            Calendar::EveryWeeks { .. } => {}
        }
        Ok(())
    }

    /// Times that have the same hours share a cron expression.
    fn crons(&self, times: &BTreeSet<(u32, u32)>) -> Result<Schedule, Reason> {
        let mut by_minute: BTreeMap<u32, Set> = BTreeMap::new();
        for (hour, minute) in times {
            by_minute.entry(*minute).or_default().insert(*hour);
        }
        let mut by_hours: BTreeMap<Set, Set> = BTreeMap::new();
        for (minute, hours) in by_minute {
            by_hours.entry(hours).or_default().insert(minute);
        }
        if by_hours.len() > MAX_CRONS {
            return Err(Reason::Inexpressible);
        }
        let field = |set: &Option<Set>| set.as_ref().map_or_else(|| "*".to_owned(), list);
        let (month_days, months) = (field(&self.month_days), field(&self.months));
        let mut expressions = by_hours.iter().map(|(hours, minutes)| {
            let hour = if hours.len() == 24 {
                "*".to_owned()
            } else {
                list(hours)
            };
            self.expression([&list(minutes), &hour, &month_days, &months])
        });
        Ok(Schedule::Cron {
            expression: expressions.next().ok_or(Reason::Inexpressible)?,
            also: expressions.collect(),
            time_zone: self.zone.clone(),
            only: self.only,
        })
    }

    /// Turns the period into days and months.
    fn dates(&mut self) -> Result<(), Reason> {
        let first = Some(Set::from([1]));
        let has_dates = self.month_days.is_some() || self.months.is_some();
        match self.period {
            None if self.months.is_some() && self.weekdays.is_none() => {
                self.month_days = self.month_days.take().or(first);
            }
            None => {}
            Some(Period::Day) if self.month_days.is_none() => {}
            Some(Period::Week) if !has_dates => {
                self.weekdays = self.weekdays.take().or(Some(Set::from([0])));
            }
            Some(YEAR) => {
                self.month_days = self.month_days.take().or(first.clone());
                self.months = self.months.take().or(first);
            }
            Some(Period::Months(step)) if self.months.is_none() => {
                self.month_days = self.month_days.take().or(first);
                self.months = (step != 1).then(|| (1..=12).step_by(step.max(1) as usize).collect());
            }
            Some(_) => return Err(Reason::Inexpressible),
        }
        Ok(())
    }

    fn cron(&self, fields: [&str; 4]) -> Schedule {
        Schedule::Cron {
            expression: self.expression(fields),
            also: Vec::new(),
            time_zone: self.zone.clone(),
            only: None,
        }
    }

    fn expression(&self, fields: [&str; 4]) -> String {
        let weekdays = self.weekdays.as_ref().filter(|days| days.len() < 7);
        let weekdays = weekdays.map_or_else(|| "*".to_owned(), list);
        format!("{} {weekdays}", fields.join(" "))
    }
}

fn either<T: PartialEq>(mine: Option<T>, its: Option<T>) -> Result<Option<T>, Reason> {
    match (mine, its) {
        (Some(mine), Some(its)) if mine != its => Err(Reason::Conflict),
        (mine, its) => Ok(mine.or(its)),
    }
}

fn hours_of_window((first, last): (u32, u32), seconds: u64) -> Set {
    let span = if last > first {
        last - first
    } else {
        last + 24 - first
    };
    let end = if seconds < HOUR {
        span.saturating_sub(1)
    } else {
        span
    };
    let step = usize::try_from(seconds / HOUR).unwrap_or(24).max(1);
    (0..=end)
        .step_by(step)
        .map(|hour| (first + hour) % 24)
        .collect()
}

/// A cron field: three or more in a row as a range.
fn list(values: &Set) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for value in values {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *value => *last = *value,
            _ => ranges.push((*value, *value)),
        }
    }
    let items = ranges.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    items.collect::<Vec<_>>().join(",")
}
