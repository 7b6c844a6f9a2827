//! What a text says about time, piece by piece, and the one schedule that says exactly this, if there is one.
//!
//! Defaults, all documented here: no time means midnight, no day means Sunday (week), the first (month) or 1 January (year),
//! as cron's own nicknames `@daily`, `@weekly`, `@monthly` and `@yearly` have it; morning is 09:00, afternoon 14:00,
//! evening 18:00, night 22:00; "n times a day" is spread evenly from midnight; `A to B` includes both hours for an
//! interval of whole hours and ends before B for a shorter one.

use std::collections::BTreeSet;
use std::fmt::Display;

use langop_dsl::{MAX_DURATION_SECONDS, Schedule, cron_for_every};

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// Why a text that speaks of times gives no schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// For the comment in the code: what is missing and what to write. Never text of the user's.
    pub(super) fn explanation(self) -> &'static str {
        match self {
            Self::Conflict => "the text names more than one schedule",
            Self::LastDays => "the end of a month or week cannot be said by a schedule",
            Self::NthWeekday => "the n-th weekday of a month cannot be said by a schedule",
            Self::Alternating => "every other weekday cannot be said by a schedule",
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
    /// Every so many months; divides twelve.
    Months(u8),
    Year,
}

/// A set of small numbers: days, months.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Set(u32);

impl Set {
    pub(super) const WEEKDAYS: Self = Self(0b011_1110);
    pub(super) const WEEKEND: Self = Self(0b100_0001);
    const WEEK: Self = Self(0b111_1111);

    pub(super) fn of(value: u8) -> Self {
        Self(1_u32.checked_shl(u32::from(value)).unwrap_or(0))
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn values(self) -> Vec<u8> {
        (0..32).filter(|value| self.0 & (1 << value) != 0).collect()
    }

    pub(super) fn len(self) -> u32 {
        self.0.count_ones()
    }
}

/// What was said. Every field absent: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Spec {
    /// Seconds from one run to the next.
    pub(super) interval: Option<u64>,
    pub(super) period: Option<Period>,
    /// How often in a period of at least a day.
    pub(super) count: Option<u32>,
    /// 0 is Sunday.
    pub(super) weekdays: Option<Set>,
    pub(super) month_days: Option<Set>,
    pub(super) months: Option<Set>,
    /// Hours and minutes.
    pub(super) times: Option<BTreeSet<(u8, u8)>>,
    /// Whether the times are only usual ones: "every morning".
    pub(super) usual_times: bool,
    /// The minute of the hour, for intervals of hours.
    pub(super) minute: Option<u8>,
    /// First and last hour.
    pub(super) window: Option<(u8, u8)>,
    /// Weekdays on which not.
    pub(super) except: Option<Set>,
    pub(super) zone: Option<String>,
}

impl Spec {
    /// The same without times, zone and exceptions: on which days it runs, or how often.
    fn core(&self) -> Self {
        Self {
            times: None,
            usual_times: false,
            minute: None,
            zone: None,
            except: None,
            window: None,
            ..self.clone()
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
        let agree = mine == its || mine == Self::default() || its == Self::default();
        if agree {
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
        if count == 0 {
            return Err(Reason::Vague);
        }
        match (self.period, &self.times) {
            (Some(Period::Day), Some(times)) if times.len() as u64 == u64::from(count) => {}
            (Some(Period::Day), None) if 24 % count == 0 => {
                let hours = (0_u8..24).step_by((24 / count) as usize);
                self.times = Some(hours.map(|hour| (hour, 0)).collect());
            }
            (Some(Period::Day), None) if DAY.is_multiple_of(u64::from(count) * MINUTE) => {
                self.period = None;
                self.interval = Some(DAY / u64::from(count));
            }
            (Some(Period::Day), None) => return Err(Reason::Inexpressible),
            (Some(Period::Week), _) if self.weekdays.is_some_and(|days| days.len() == count) => {}
            (Some(Period::Months(1)), _)
                if self.month_days.is_some_and(|days| days.len() == count) => {}
            (Some(Period::Year), _) if self.months.is_some_and(|months| months.len() == count) => {}
            (Some(Period::Year), _) if count <= 12 && 12 % count == 0 && self.months.is_none() => {
                self.period = u8::try_from(12 / count).ok().map(Period::Months);
            }
            (Some(Period::Day), Some(_)) => return Err(Reason::Conflict),
            _ => return Err(Reason::WhichDays),
        }
        Ok(())
    }

    fn exclude(&mut self) -> Result<(), Reason> {
        let Some(except) = self.except.take() else {
            return Ok(());
        };
        let is_by_month =
            self.month_days.is_some() || !matches!(self.period, None | Some(Period::Day));
        let days = self.weekdays.unwrap_or(Set::WEEK).without(except);
        if is_by_month || days == Set::default() {
            return Err(Reason::Exception);
        }
        self.weekdays = Some(days);
        Ok(())
    }

    fn fixed(self, seconds: u64) -> Result<Schedule, Reason> {
        if !(1..=MAX_DURATION_SECONDS).contains(&seconds) {
            return Err(Reason::Vague);
        }
        let is_by_day = self.month_days.is_some() || self.months.is_some();
        if is_by_day || self.times.is_some() || !matches!(self.period, None | Some(Period::Day)) {
            return Err(Reason::Inexpressible);
        }
        if self.weekdays.is_none() && self.window.is_none() && self.minute.is_none() {
            return Ok(Schedule::Every { seconds });
        }
        let passes_midnight = self.window.is_some_and(|(first, last)| last <= first);
        let cron = cron_for_every(seconds)
            .filter(|_| seconds < DAY)
            .ok_or(Reason::Inexpressible)?;
        if passes_midnight && self.weekdays.is_some() {
            return Err(Reason::Inexpressible);
        }
        let mut fields = cron.split(' ');
        let step = fields.next().unwrap_or("0");
        let minute = match self.minute {
            Some(_) if seconds < HOUR => return Err(Reason::Inexpressible),
            Some(minute) => minute.to_string(),
            None => step.to_owned(),
        };
        let hour = match self.window {
            Some(window) => hours_of_window(window, seconds),
            None => fields.next().unwrap_or("*").to_owned(),
        };
        Ok(cron_of(
            &minute,
            &hour,
            "*",
            "*",
            &weekday_field(self.weekdays),
            self.zone,
        ))
    }

    fn calendar(self) -> Result<Schedule, Reason> {
        if self.window.is_some() || self.minute.is_some() {
            return Err(Reason::Vague);
        }
        if self.weekdays.is_some()
            && (self.month_days.is_some()
                || matches!(self.period, Some(Period::Months(_) | Period::Year)))
        {
            // cron runs on either day where both are given
            return Err(Reason::Inexpressible);
        }
        let (minute, hour) = clock_fields(&self.times.clone().unwrap_or_else(|| [(0, 0)].into()))?;
        let weekdays = self
            .weekdays
            .or((self.period == Some(Period::Week)).then(|| Set::of(0)));
        let (month_day, month) = self.date_fields()?;
        Ok(cron_of(
            &minute,
            &hour,
            &month_day,
            &month,
            &weekday_field(weekdays),
            self.zone,
        ))
    }

    fn date_fields(&self) -> Result<(String, String), Reason> {
        let first = Some(Set::of(1));
        let (month_days, months) = match self.period {
            None => (
                self.month_days
                    .or(self.months.filter(|_| self.weekdays.is_none()).and(first)),
                self.months,
            ),
            Some(Period::Day) if self.month_days.is_none() => (None, self.months),
            Some(Period::Months(step)) if self.months.is_none() => {
                let months = (1..=12)
                    .step_by(usize::from(step.max(1)))
                    .map(Set::of)
                    .fold(Set::default(), Set::with);
                (self.month_days.or(first), (step != 1).then_some(months))
            }
            Some(Period::Year) => (self.month_days.or(first), self.months.or(first)),
            Some(Period::Week) if self.month_days.is_none() && self.months.is_none() => {
                (None, None)
            }
            Some(_) => return Err(Reason::Inexpressible),
        };
        let field =
            |set: Option<Set>| set.map_or_else(|| "*".to_owned(), |set| list(&set.values()));
        Ok((field(month_days), field(months)))
    }
}

fn either<T: PartialEq>(mine: Option<T>, its: Option<T>) -> Result<Option<T>, Reason> {
    match (mine, its) {
        (Some(mine), Some(its)) if mine != its => Err(Reason::Conflict),
        (mine, its) => Ok(mine.or(its)),
    }
}

fn cron_of(
    minute: &str,
    hour: &str,
    month_day: &str,
    month: &str,
    weekday: &str,
    zone: Option<String>,
) -> Schedule {
    Schedule::Cron {
        expression: format!("{minute} {hour} {month_day} {month} {weekday}"),
        time_zone: zone,
    }
}

fn weekday_field(days: Option<Set>) -> String {
    match days {
        None | Some(Set::WEEK) => "*".to_owned(),
        Some(days) => list(&days.values()),
    }
}

/// Minute and hour field, where the times are all combinations of some minutes and some hours.
fn clock_fields(times: &BTreeSet<(u8, u8)>) -> Result<(String, String), Reason> {
    let hours: BTreeSet<u8> = times.iter().map(|(hour, _)| *hour).collect();
    let minutes: BTreeSet<u8> = times.iter().map(|(_, minute)| *minute).collect();
    if hours.len() * minutes.len() != times.len() {
        return Err(Reason::Inexpressible);
    }
    let is_every_hour = hours.len() == 24;
    let [minute, hour] =
        [minutes, hours].map(|values| list(&values.into_iter().collect::<Vec<_>>()));
    Ok((minute, if is_every_hour { "*".to_owned() } else { hour }))
}

fn hours_of_window((first, last): (u8, u8), seconds: u64) -> String {
    let span = if last > first {
        last - first
    } else {
        last + 24 - first
    };
    let step = u8::try_from(seconds / HOUR).unwrap_or(24).max(1);
    let end = if seconds < HOUR {
        span.saturating_sub(1)
    } else {
        span
    };
    let hours: BTreeSet<u8> = (0..=end)
        .step_by(usize::from(step))
        .map(|hour| (first + hour) % 24)
        .collect();
    list(&hours.into_iter().collect::<Vec<_>>())
}

/// Sorted values as a cron field: runs of three or more as a range.
fn list<T: Display + Copy + Into<u32>>(values: &[T]) -> String {
    let mut items = Vec::new();
    let mut rest = values;
    while let Some(first) = rest.first().copied() {
        let follows = |(offset, value): &(usize, &T)| {
            Into::<u32>::into(**value) as usize == Into::<u32>::into(first) as usize + offset
        };
        let run = rest.iter().enumerate().take_while(follows).count();
        let length = if run >= 3 { run } else { 1 };
        items.push(if length == 1 {
            first.to_string()
        } else {
            format!("{first}-{}", rest[length - 1])
        });
        rest = &rest[length..];
    }
    items.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_cron_fields() {
        for (values, field) in [
            (vec![1_u8, 2, 3, 4, 5], "1-5"),
            (vec![0, 6], "0,6"),
            (vec![1, 2, 4, 5, 6, 9], "1,2,4-6,9"),
            (vec![7], "7"),
        ] {
            assert_eq!(list(&values), field);
        }
        assert_eq!(hours_of_window((9, 17), HOUR), "9-17");
        assert_eq!(hours_of_window((9, 17), 15 * MINUTE), "9-16");
        assert_eq!(hours_of_window((22, 2), HOUR), "0-2,22,23");
        assert_eq!(hours_of_window((8, 18), 2 * HOUR), "8,10,12,14,16,18");
    }

    #[test]
    fn specs_refine_or_contradict() {
        let daily = Spec {
            period: Some(Period::Day),
            ..Spec::default()
        };
        let at_nine = Spec {
            times: Some([(9, 0)].into()),
            ..Spec::default()
        };
        let mondays = Spec {
            weekdays: Some(Set::of(1)),
            ..Spec::default()
        };
        assert!(daily.clone().beside(at_nine.clone()).is_ok());
        assert_eq!(daily.clone().beside(mondays.clone()), Err(Reason::Conflict));
        assert!(daily.and(mondays.clone()).is_ok());
        let at_ten = Spec {
            times: Some([(10, 0)].into()),
            ..Spec::default()
        };
        assert_eq!(at_nine.and(at_ten), Err(Reason::Conflict));
    }
}
