//! Days that no cron expression says: `only: 'last day of month'`. Pure arithmetic on dates of the
//! calendar; knows no time of day, no zone and no clock.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};

use super::error::{ScheduleError, ScheduleErrorKind, quoted};

/// Most weeks between two that are due.
const MAX_WEEKS: u32 = 52;

const ADVICE: &str = "write `last day of month`, `first MON` (or second, third, fourth, last and \
                      another day), or `every 2 weeks from 2026-01-06`";

const DAYS: [&str; 7] = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
const LONG_DAYS: [&str; 7] = [
    "MONDAY",
    "TUESDAY",
    "WEDNESDAY",
    "THURSDAY",
    "FRIDAY",
    "SATURDAY",
    "SUNDAY",
];

/// The days on which an agent that a cron expression starts has something to do.
///
/// JSON is the text, as [`fmt::Display`] writes and [`FromStr`] reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Calendar {
    /// `last day of month`.
    LastDayOfMonth,
    /// `first MON`: one of the weekdays of that name in each month.
    WeekdayOfMonth {
        /// Which one.
        which: Which,
        /// Of which weekday.
        day: Weekday,
    },
    /// `every 2 weeks from 2026-01-06`: all seven days from that date on, then again after so many
    /// weeks. No day before it.
    EveryWeeks {
        /// From one such week to the next, 2 to 52.
        weeks: u32,
        /// The first day of the first one.
        from: Date,
    },
}

/// Which of the weekdays of one name in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// On the days 1 to 7.
    First,
    /// On the days 8 to 14.
    Second,
    /// On the days 15 to 21.
    Third,
    /// On the days 22 to 28.
    Fourth,
    /// In the last seven days of the month: the fourth or the fifth.
    Last,
}

impl Which {
    const ALL: [(Self, &'static str); 5] = [
        (Self::First, "first"),
        (Self::Second, "second"),
        (Self::Third, "third"),
        (Self::Fourth, "fourth"),
        (Self::Last, "last"),
    ];

    fn as_str(self) -> &'static str {
        let named = Self::ALL.into_iter().find(|(which, _)| *which == self);
        named.map_or("last", |(_, name)| name)
    }

    fn holds(self, date: Date) -> bool {
        let nth = (date.day() - 1) / 7;
        match self {
            Self::First => nth == 0,
            Self::Second => nth == 1,
            Self::Third => nth == 2,
            Self::Fourth => nth == 3,
            Self::Last => date.day() + 7 > date.days_in_month(),
        }
    }
}

impl Calendar {
    /// Whether the agent has something to do on `date`.
    pub fn is_due_on(&self, date: Date) -> bool {
        match self {
            Self::LastDayOfMonth => date.day() == date.days_in_month(),
            Self::WeekdayOfMonth { which, day } => date.weekday() == *day && which.holds(date),
            Self::EveryWeeks { weeks, from } => {
                let days = days_between(*from, date);
                days >= 0 && (days / 7) % i64::from(*weeks) == 0
            }
        }
    }

    /// The first day from `date` on that is due; none if there is none that can be represented.
    pub(super) fn next_due_from(&self, date: Date) -> Option<Date> {
        let start = match self {
            Self::EveryWeeks { from, .. } => date.max(*from),
            _ => date,
        };
        // The longest wait is that of weeks; a month of each kind has its day.
        let most = i64::from(MAX_WEEKS + 1) * 7;
        (0..=most)
            .map_while(|days| start.checked_add(days.days()).ok())
            .find(|date| self.is_due_on(*date))
    }
}

fn days_between(from: Date, to: Date) -> i64 {
    from.duration_until(to).as_hours() / 24
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LastDayOfMonth => f.write_str("last day of month"),
            Self::WeekdayOfMonth { which, day } => {
                let day = usize::try_from(day.to_monday_zero_offset()).unwrap_or_default();
                write!(f, "{} {}", which.as_str(), DAYS[day])
            }
            Self::EveryWeeks { weeks, from } => write!(f, "every {weeks} weeks from {from}"),
        }
    }
}

impl From<Calendar> for String {
    fn from(calendar: Calendar) -> Self {
        calendar.to_string()
    }
}

impl TryFrom<String> for Calendar {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Calendar {
    type Err = ScheduleError;

    /// Case does not matter, and a weekday may be written out.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_ascii_whitespace().collect();
        match words[..] {
            ["last", "day", "of", "month"] => Ok(Self::LastDayOfMonth),
            ["every", weeks, "weeks", "from", date] => every_weeks(text, weeks, date),
            [which, day] => weekday_of_month(which, day).ok_or_else(|| unknown(text)),
            _ => Err(unknown(text)),
        }
    }
}

fn weekday_of_month(which: &str, day: &str) -> Option<Calendar> {
    let named = |names: [&str; 7]| {
        let position = names.iter().position(|name| name.eq_ignore_ascii_case(day));
        i8::try_from(position?).ok()
    };
    let day = named(DAYS).or_else(|| named(LONG_DAYS))?;
    let (which, _) = Which::ALL.into_iter().find(|(_, name)| *name == which)?;
    Some(Calendar::WeekdayOfMonth {
        which,
        day: Weekday::from_monday_zero_offset(day).ok()?,
    })
}

fn every_weeks(text: &str, weeks: &str, date: &str) -> Result<Calendar, ScheduleError> {
    let is_number = !weeks.is_empty() && weeks.bytes().all(|byte| byte.is_ascii_digit());
    let weeks = weeks.parse::<u32>().ok().filter(|_| is_number);
    let Some(weeks) = weeks.filter(|weeks| (2..=MAX_WEEKS).contains(weeks)) else {
        let problem = format!(
            "{} has no number of weeks from 2 to {MAX_WEEKS}",
            quoted(text)
        );
        return Err(error(
            problem,
            "write for example `every 2 weeks from 2026-01-06`; each week needs no `only:`",
        ));
    };
    // The whole text, so that no other of the notations that a date may have is read.
    let from = date
        .parse::<Date>()
        .ok()
        .filter(|from| from.to_string() == date && (1970..=9000).contains(&from.year()));
    let Some(from) = from else {
        return Err(error(
            format!("{} has no date of the calendar", quoted(text)),
            "write the date as year, month and day, such as `2026-01-06`",
        ));
    };
    Ok(Calendar::EveryWeeks { weeks, from })
}

fn unknown(text: &str) -> ScheduleError {
    let problem = if text.trim().is_empty() {
        "`only` is empty".to_owned()
    } else {
        format!("unknown days {}", quoted(text))
    };
    error(problem, ADVICE)
}

fn error(problem: String, advice: &str) -> ScheduleError {
    ScheduleError::new(ScheduleErrorKind::Calendar, problem, advice)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn calendar(text: &str) -> Calendar {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Every day of a whole cycle of the Gregorian calendar, leap years of every kind included.
    fn cycle() -> impl Iterator<Item = Date> {
        let end = date(2400, 1, 1);
        std::iter::successors(Some(date(2000, 1, 1)), |day| day.tomorrow().ok())
            .take_while(move |day| *day < end)
    }

    #[test]
    fn the_last_day_is_the_one_before_the_first() {
        let last = Calendar::LastDayOfMonth;
        for day in cycle() {
            let is_last = day.tomorrow().unwrap().day() == 1;
            assert_eq!(last.is_due_on(day), is_last, "{day}");
        }
        for (day, is_due) in [
            ("2024-02-28", false),
            ("2024-02-29", true),
            ("2026-02-28", true),
            ("2100-02-28", true),
            ("2000-02-28", false),
        ] {
            assert_eq!(last.is_due_on(day.parse().unwrap()), is_due, "{day}");
        }
    }

    #[test]
    fn weekdays_are_counted_within_their_month() {
        // By counting through each month, not by arithmetic.
        let mut months: BTreeMap<(i16, i8), Vec<Date>> = BTreeMap::new();
        for day in cycle() {
            months
                .entry((day.year(), day.month()))
                .or_default()
                .push(day);
        }
        for (offset, name) in (0_i8..).zip(DAYS) {
            let weekday = Weekday::from_monday_zero_offset(offset).unwrap();
            for days in months.values() {
                let own: Vec<Date> = days
                    .iter()
                    .copied()
                    .filter(|day| day.weekday() == weekday)
                    .collect();
                let expected = [Some(0), Some(1), Some(2), Some(3), own.len().checked_sub(1)];
                for ((_, which), expected) in Which::ALL.into_iter().zip(expected) {
                    let only = calendar(&format!("{which} {name}"));
                    let due: Vec<Date> = days
                        .iter()
                        .copied()
                        .filter(|day| only.is_due_on(*day))
                        .collect();
                    assert_eq!(due, [own[expected.unwrap()]], "{only}");
                }
            }
        }
    }

    #[test]
    fn weeks_are_counted_from_the_day_that_is_named() {
        let fortnight = calendar("every 2 weeks from 2026-01-06");
        for (day, is_due) in [
            ("2025-12-23", false),
            ("2026-01-05", false),
            ("2026-01-06", true),
            ("2026-01-12", true),
            ("2026-01-13", false),
            ("2026-01-19", false),
            ("2026-01-20", true),
            ("2027-01-05", true),
            ("2027-01-12", false),
        ] {
            assert_eq!(fortnight.is_due_on(day.parse().unwrap()), is_due, "{day}");
        }
    }

    #[test]
    fn texts_are_read_in_any_case_and_written_in_one() {
        for (text, written) in [
            ("last day of month", "last day of month"),
            (" Last  day of MONTH ", "last day of month"),
            ("first MON", "first MON"),
            ("FIRST monday", "first MON"),
            ("last sun", "last SUN"),
            (
                "every 2 weeks from 2026-01-06",
                "every 2 weeks from 2026-01-06",
            ),
            (
                "every 52 weeks from 2024-02-29",
                "every 52 weeks from 2024-02-29",
            ),
        ] {
            assert_eq!(calendar(text).to_string(), written);
            let json = serde_json::to_value(calendar(text)).unwrap();
            assert_eq!(json, written);
            assert_eq!(
                serde_json::from_value::<Calendar>(json).unwrap(),
                calendar(text)
            );
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (text, advice) in [
            ("", "last day of month"),
            ("last weekday", "first MON"),
            ("fifth MON", "first MON"),
            ("first MO", "first MON"),
            ("MON first", "first MON"),
            ("every 2 weeks", "from 2026-01-06"),
            (
                "every 1 weeks from 2026-01-06",
                "each week needs no `only:`",
            ),
            (
                "every 53 weeks from 2026-01-06",
                "each week needs no `only:`",
            ),
            (
                "every +2 weeks from 2026-01-06",
                "each week needs no `only:`",
            ),
            ("every 2 weeks from 2026-02-29", "year, month and day"),
            ("every 2 weeks from 06.01.2026", "year, month and day"),
            ("every 2 weeks from 20260106", "year, month and day"),
            ("every 2 weeks from 9999-12-31", "year, month and day"),
        ] {
            let error = text.parse::<Calendar>().unwrap_err();
            assert_eq!(error.kind(), ScheduleErrorKind::Calendar);
            assert!(error.advice().contains(advice), "{text}: {error}");
        }
    }

    fn any_calendar() -> impl Strategy<Value = Calendar> {
        let which = prop::sample::select(&Which::ALL[..]);
        let day = (0_i8..7).prop_map(|day| Weekday::from_monday_zero_offset(day).unwrap());
        let from = (0_i64..200_000).prop_map(|days| date(1970, 1, 1) + days.days());
        prop_oneof![
            Just(Calendar::LastDayOfMonth),
            (which, day).prop_map(|((which, _), day)| Calendar::WeekdayOfMonth { which, day }),
            (2..=MAX_WEEKS, from).prop_map(|(weeks, from)| Calendar::EveryWeeks { weeks, from }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(only in any_calendar()) {
            prop_assert_eq!(only.to_string().parse::<Calendar>().unwrap(), only);
        }

        #[test]
        fn the_next_day_is_due_and_none_before_it(only in any_calendar(), days in 0_i64..200_000) {
            let from = date(1970, 1, 1) + days.days();
            let next = only.next_due_from(from).unwrap();
            prop_assert!(next >= from && only.is_due_on(next));
            // Of weeks that begin in a far future, only the last days before are tried.
            let first = from.max(next - 400.days());
            let before = std::iter::successors(Some(first), |day| day.tomorrow().ok());
            prop_assert!(before.take_while(|day| *day < next).all(|day| !only.is_due_on(day)));
        }

        #[test]
        fn weeks_repeat_and_are_whole(weeks in 2..=MAX_WEEKS, start in 0_i64..20_000, day in 0_i64..20_000) {
            let from = date(1970, 1, 1) + start.days();
            let only = Calendar::EveryWeeks { weeks, from };
            let date = from + day.days();
            prop_assert_eq!(only.is_due_on(date), only.is_due_on(date + (i64::from(weeks) * 7).days()));
            let first = from + (day / 7 * 7).days();
            prop_assert_eq!(only.is_due_on(date), only.is_due_on(first));
        }

        #[test]
        fn any_text_is_a_calendar_or_is_told_what_to_write(text in "\\PC{0,60}") {
            if let Err(error) = text.parse::<Calendar>() {
                prop_assert!(!error.problem().is_empty() && !error.advice().is_empty());
                prop_assert!(error.problem().len() < 300);
            }
        }
    }
}
