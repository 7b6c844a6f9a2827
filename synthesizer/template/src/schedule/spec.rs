//! What a text says about time, and the one schedule that says exactly this, if there is one.
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

/// Why a text that speaks of times gives no schedule: what is missing and what to write. Never
/// text of the user's.
pub(super) type Unclear = &'static str;

pub(super) const BAD_CRON: Unclear = "the cron expression in the text is not valid";
pub(super) const BARE_HOUR: Unclear = "an hour is not clear; write it with am or pm, or as 17:00";
pub(super) const CONFLICT: Unclear = "the text names more than one schedule";
pub(super) const EXCEPTION: Unclear = "the exception cannot be said by a schedule";
pub(super) const INEXPRESSIBLE: Unclear = "one schedule cannot say all of it";
pub(super) const LAST_DAYS: Unclear = "it is not clear which last day of a month or week is meant";
pub(super) const NEVER_FIRES: Unclear = "its days do not exist";
pub(super) const TIME_ZONE: Unclear =
    "the time zone is not clear; write a name such as Europe/Berlin";
pub(super) const VAGUE: Unclear = "the text does not say exactly how often or when";
pub(super) const WHICH_DAYS: Unclear = "the text does not say on which days";
pub(super) const WHICH_TIME: Unclear = "it is not clear whether a time in the text is when to run";
pub(super) const WHICH_WEEKDAYS: Unclear = "it is not clear which weekdays of a month are meant";

/// How often, without saying when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Day,
    Week,
    /// The number of months; divides twelve.
    Months(u32),
}

pub(super) const YEAR: Period = Period::Months(12);

/// Days, months, hours or minutes.
pub(super) type Set = BTreeSet<u32>;

/// What was said. Every field absent: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Spec {
    /// Seconds from one run to the next.
    pub(super) every: Option<u64>,
    pub(super) period: Option<Period>,
    /// Runs in a period.
    pub(super) count: Option<u32>,
    /// 0 is Sunday.
    pub(super) weekdays: Option<Set>,
    pub(super) month_days: Option<Set>,
    pub(super) months: Option<Set>,
    /// Days of a month that no cron says.
    pub(super) only: Option<Calendar>,
    /// Minutes of the day.
    pub(super) times: Option<Set>,
    /// Whether the times are only usual ones: "every morning".
    pub(super) usual_times: bool,
    /// The minute of the hour, for intervals of hours.
    pub(super) minute: Option<u32>,
    /// First and last hour.
    pub(super) window: Option<(u32, u32)>,
    /// Weekdays on which not.
    pub(super) except: Set,
}

impl Spec {
    /// The same without times and exceptions: on which days it runs, or how often.
    pub(super) fn core(&self) -> Self {
        Self {
            times: None,
            usual_times: false,
            except: Set::new(),
            ..self.clone()
        }
    }

    /// Both together, where one refines the other.
    pub(super) fn and(self, other: Self) -> Result<Self, Unclear> {
        Ok(Self {
            every: either(self.every, other.every)?,
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
            except: &self.except | &other.except,
        })
    }

    /// Both together, said in different sentences: then neither may change the other's days.
    pub(super) fn beside(self, other: Self) -> Result<Self, Unclear> {
        let (mine, its) = (self.core(), other.core());
        if mine == its || mine == Self::default() || its == Self::default() {
            self.and(other)
        } else {
            Err(CONFLICT)
        }
    }

    /// Whether it says anything about when to run, and not only when not.
    pub(super) fn says_when(&self) -> bool {
        self.times.is_some() || self.core() != Self::default()
    }

    /// Whether a time of day would change it.
    pub(super) fn lacks_a_time(&self) -> bool {
        self.every.is_none() && self.times.is_none() && self.count.is_none()
    }

    /// Whether what stands elsewhere in its sentence can only mean this.
    pub(super) fn is_refined_by(&self, other: &Self) -> bool {
        other.times.is_some()
            || (other.window.is_some() && self.every.is_some())
            || (other.weekdays.is_some() && self.period == Some(Period::Week))
            || (other.month_days.is_some() && self.period == Some(YEAR))
    }

    /// The one schedule that says this, without its time zone.
    pub(super) fn schedule(mut self) -> Result<Schedule, Unclear> {
        self.spread()?;
        self.exclude()?;
        let crons = match self.every {
            Some(seconds) => match self.fixed(seconds)? {
                Some(cron) => vec![cron],
                None => return Ok(Schedule::Every { seconds }),
            },
            None => self.calendar()?,
        };
        let mut crons = crons.into_iter();
        Ok(Schedule::Cron {
            expression: crons.next().ok_or(INEXPRESSIBLE)?,
            also: crons.collect(),
            time_zone: None,
            only: self.only,
        })
    }

    /// Turns "n times a day" into times or an interval, and checks other counts.
    fn spread(&mut self) -> Result<(), Unclear> {
        let Some(count) = self.count.take() else {
            return Ok(());
        };
        let runs = u64::from(count);
        let has = |set: &Option<Set>| set.as_ref().is_some_and(|set| set.len() as u64 == runs);
        match self.period {
            _ if count == 0 => return Err(VAGUE),
            None => {
                let seconds = self.every.filter(|seconds| seconds.is_multiple_of(runs));
                self.every = Some(seconds.ok_or(INEXPRESSIBLE)? / runs);
            }
            Some(Period::Day) if has(&self.times) => {}
            Some(Period::Day) if self.times.is_some() => return Err(CONFLICT),
            Some(Period::Day) if 24 % count == 0 => {
                let hours = (0..24).step_by((24 / count) as usize);
                self.times = Some(hours.map(|hour| hour * 60).collect());
            }
            Some(Period::Day) if DAY.is_multiple_of(runs * MINUTE) => {
                self.period = None;
                self.every = Some(DAY / runs);
            }
            Some(Period::Day) => return Err(INEXPRESSIBLE),
            Some(Period::Week) if has(&self.weekdays) => {}
            Some(Period::Months(1)) if has(&self.month_days) => {}
            Some(YEAR) if has(&self.months) => {}
            Some(YEAR) if 12 % count == 0 && self.months.is_none() => {
                self.period = Some(Period::Months(12 / count));
            }
            _ => return Err(WHICH_DAYS),
        }
        Ok(())
    }

    fn exclude(&mut self) -> Result<(), Unclear> {
        if self.except.is_empty() {
            return Ok(());
        }
        let is_by_month = self.month_days.is_some()
            || self.only.is_some()
            || !matches!(self.period, None | Some(Period::Day));
        let days = self.weekdays.take().unwrap_or_else(|| (0..7).collect());
        let days = &days - &self.except;
        if is_by_month || days.is_empty() {
            return Err(EXCEPTION);
        }
        self.weekdays = Some(days);
        Ok(())
    }

    /// The cron expression of an interval; none where it runs at all times.
    fn fixed(&self, seconds: u64) -> Result<Option<String>, Unclear> {
        if !(1..=MAX_DURATION_SECONDS).contains(&seconds) {
            return Err(VAGUE);
        }
        let is_by_day = self.month_days.is_some() || self.months.is_some() || self.only.is_some();
        if is_by_day || self.times.is_some() || !matches!(self.period, None | Some(Period::Day)) {
            return Err(INEXPRESSIBLE);
        }
        if self.weekdays.is_none() && self.window.is_none() && self.minute.is_none() {
            return Ok(None);
        }
        let passes_midnight = self.window.is_some_and(|(first, last)| last <= first);
        let is_sayable = seconds < DAY && !(passes_midnight && self.weekdays.is_some());
        let cron = cron_for_every(seconds).filter(|_| is_sayable);
        let cron = cron.ok_or(INEXPRESSIBLE)?;
        let mut fields = cron.split(' ');
        let minute = fields.next().unwrap_or_default();
        let minute = match self.minute {
            Some(_) if seconds < HOUR => return Err(INEXPRESSIBLE),
            Some(minute) => minute.to_string(),
            None => minute.to_owned(),
        };
        let hour = fields.next().unwrap_or_default();
        let window = self.window.map(|window| list(&hours_of(window, seconds)));
        let hour = window.unwrap_or_else(|| hour.to_owned());
        Ok(Some(self.cron(&minute, &hour)))
    }

    /// The cron expressions of days and times; times that have the same hours share one.
    fn calendar(&mut self) -> Result<Vec<String>, Unclear> {
        if self.window.is_some() || self.minute.is_some() {
            return Err(VAGUE);
        }
        let is_by_month =
            self.month_days.is_some() || matches!(self.period, Some(Period::Months(_)));
        if self.weekdays.is_some() && is_by_month {
            // cron runs on either day where both are given
            return Err(INEXPRESSIBLE);
        }
        match self.only {
            Some(only) => self.near(only)?,
            None => self.dates()?,
        }
        let midnight = Set::from([0]);
        let mut by_minute: BTreeMap<u32, Set> = BTreeMap::new();
        for time in self.times.as_ref().unwrap_or(&midnight) {
            by_minute.entry(time % 60).or_default().insert(time / 60);
        }
        let mut by_hours: BTreeMap<Set, Set> = BTreeMap::new();
        for (minute, hours) in by_minute {
            by_hours.entry(hours).or_default().insert(minute);
        }
        if by_hours.len() > MAX_CRONS {
            return Err(INEXPRESSIBLE);
        }
        let crons = by_hours.iter().map(|(hours, minutes)| {
            let every_hour = (hours.len() == 24).then(|| "*".to_owned());
            self.cron(&list(minutes), &every_hour.unwrap_or_else(|| list(hours)))
        });
        Ok(crons.collect())
    }

    /// Turns days that no cron says into the fewest that a cron does and that hold them.
    fn near(&mut self, only: Calendar) -> Result<(), Unclear> {
        let has_dates = self.month_days.is_some() || self.months.is_some();
        let is_monthly = matches!(self.period, None | Some(Period::Months(1)));
        if has_dates || self.weekdays.is_some() || !is_monthly {
            return Err(INEXPRESSIBLE);
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

    /// Turns the period into days and months.
    fn dates(&mut self) -> Result<(), Unclear> {
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
                self.month_days = self.month_days.take().or(first.clone());
                if step != 1 {
                    let is_plain = self.month_days == first;
                    let months = (1..=12).step_by(step.max(1) as usize).collect();
                    self.months = Some(Some(months).filter(|_| is_plain).ok_or(INEXPRESSIBLE)?);
                }
            }
            Some(_) => return Err(INEXPRESSIBLE),
        }
        Ok(())
    }

    fn cron(&self, minute: &str, hour: &str) -> String {
        let field = |set: &Option<Set>| set.as_ref().map_or_else(|| "*".to_owned(), list);
        let weekdays = self.weekdays.clone().filter(|days| days.len() < 7);
        let (days, months) = (field(&self.month_days), field(&self.months));
        format!("{minute} {hour} {days} {months} {}", field(&weekdays))
    }
}

fn either<T: PartialEq>(mine: Option<T>, its: Option<T>) -> Result<Option<T>, Unclear> {
    match (mine, its) {
        (Some(mine), Some(its)) if mine != its => Err(CONFLICT),
        (mine, its) => Ok(mine.or(its)),
    }
}

fn hours_of((first, last): (u32, u32), seconds: u64) -> Set {
    let span = (last + 24 - first) % 24;
    let end = if seconds < HOUR {
        span.saturating_sub(1)
    } else {
        span
    };
    let step = usize::try_from(seconds / HOUR).unwrap_or(24).max(1);
    let hours = (0..=end).step_by(step);
    hours.map(|hour| (first + hour) % 24).collect()
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
