//! A checked cron schedule in its zone, and when it fires next. The time is given, never read.
//!
//! croner searches the pattern on the wall clock; the zone is applied here, so that a clock change
//! does what it does in Kubernetes (robfig/cron): a time that the clock skips does not fire, one
//! that it repeats fires twice. Compared with robfig on random expressions and zones, the times
//! differ only around the half-hour change of `Australia/Lord_Howe`, where robfig, which steps by
//! whole hours, leaves out a day.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

use super::calendar::Calendar;
use super::cron::Fields;
use super::error::{ScheduleError, ScheduleErrorKind, quoted};
use super::zone::time_zone;

/// Most cron expressions of one agent: each is a CronJob of its own.
pub const MAX_CRONS: usize = 8;

/// A schedule must fire within this many years.
const HORIZON_YEARS: i32 = 5;

/// How long after its time a run may begin and still be of that time's day.
const LATEST_START_MINUTES: i64 = 60;

/// How far back on the wall clock a search starts: further than any clock is set back today.
const LONGEST_FOLD_HOURS: i32 = 3;

/// Bound on one search; the longest known (a day of minutes in a repeated or skipped range) needs
/// under 2,000.
const MAX_CANDIDATES: usize = 10_000;

/// A cron expression of the dialect, with its zone.
#[derive(Debug, Clone)]
pub struct CronSchedule {
    expression: String,
    time_zone_name: Option<String>,
    time_zone: TimeZone,
    fields: Fields,
    cron: Cron,
}

impl CronSchedule {
    /// Checks `expression` and `time_zone` (an IANA name; absent: UTC, as a cluster has it by
    /// default), and that the schedule fires within five years of `now`. Errors say what to write
    /// instead.
    pub fn parse(
        expression: &str,
        time_zone: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, ScheduleError> {
        let schedule = Self::new(expression, time_zone)?;
        match schedule.next_after(now) {
            Some(next) if next <= horizon(now) => Ok(schedule),
            _ => Err(never_fires(expression)),
        }
    }

    fn new(expression: &str, zone_name: Option<&str>) -> Result<Self, ScheduleError> {
        let fields = Fields::parse(expression)?;
        let zone = zone_name.map_or(Ok(TimeZone::UTC), time_zone)?;
        if !fields.has_a_day() {
            return Err(never_fires(expression));
        }
        Ok(Self {
            expression: expression
                .split_ascii_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
            time_zone_name: zone_name.map(str::to_owned),
            time_zone: zone,
            cron: compile(&fields)?,
            fields,
        })
    }

    /// The expression with single spaces, otherwise as written.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The IANA name given.
    pub fn time_zone(&self) -> Option<&str> {
        self.time_zone_name.as_deref()
    }

    /// Whether both fire at the same times of the wall clock, however they are spelled.
    pub fn fires_like(&self, other: &Self) -> bool {
        self.fields == other.fields
    }

    /// Checks that within five years of `now` it fires on a day of `only`. Errors say what to write
    /// instead.
    pub fn check_only(&self, only: &Calendar, now: Timestamp) -> Result<(), ScheduleError> {
        let end = horizon(now);
        let mut after = now;
        while let Some(time) = self.next_after(after).filter(|time| *time <= end) {
            let date = self.date_of(time);
            if only.is_due_on(date) {
                return Ok(());
            }
            // On to the next day that counts: expressions that fire often cost no more.
            let midnight = only
                .next_due_from(date)
                .and_then(|due| due.to_zoned(self.time_zone.clone()).ok());
            let Some(midnight) = midnight.map(|midnight| midnight.timestamp()) else {
                break;
            };
            let before = midnight.checked_sub(1.nanosecond()).unwrap_or(midnight);
            after = before.max(time);
        }
        Err(ScheduleError::new(
            ScheduleErrorKind::NeverFires,
            format!(
                "{} does not fire on a day of `{only}` within five years",
                quoted(&self.expression)
            ),
            "write the time of day alone, such as `0 9 * * *`: `only:` says the days",
        ))
    }

    /// The day, in the schedule's zone, that a run which begins at `now` is for: that of the last
    /// time at which it fired, at most an hour before, because a pod may start after midnight; else
    /// that of `now`, for a run that a person started.
    pub fn date_of_run(&self, now: Timestamp) -> Date {
        let earliest = now.checked_sub(LATEST_START_MINUTES.minutes());
        let fired = std::iter::successors(self.next_after(earliest.unwrap_or(now)), |time| {
            self.next_after(*time)
        });
        let last = fired.take_while(|time| *time <= now).last();
        self.date_of(last.unwrap_or(now))
    }

    fn date_of(&self, time: Timestamp) -> Date {
        self.time_zone.to_datetime(time).date()
    }

    /// The first time strictly after `after` at which it fires; none if there is none that can be
    /// represented.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let mut wall = self
            .time_zone
            .to_datetime(after)
            .checked_sub(LONGEST_FOLD_HOURS.hours())
            .unwrap_or(DateTime::MIN);
        let mut best: Option<Timestamp> = None;
        for _ in 0..MAX_CANDIDATES {
            let Ok(candidate) = self.cron.find_next_occurrence(&wall, false) else {
                return best;
            };
            wall = candidate;
            let instants = self.instants(candidate);
            if instants[0].is_some_and(|first| best.is_some_and(|best| best <= first)) {
                return best;
            }
            let later = instants
                .into_iter()
                .flatten()
                .filter(|instant| *instant > after)
                .min();
            best = best.into_iter().chain(later).min();
        }
        best
    }

    /// When the wall clock shows `wall`: never, once or twice, the first one first.
    fn instants(&self, wall: DateTime) -> [Option<Timestamp>; 2] {
        let ambiguous = self.time_zone.to_ambiguous_timestamp(wall);
        match ambiguous.offset() {
            AmbiguousOffset::Gap { .. } => [None, None],
            AmbiguousOffset::Unambiguous { .. } => [ambiguous.unambiguous().ok(), None],
            AmbiguousOffset::Fold { .. } => [ambiguous.earlier().ok(), ambiguous.later().ok()],
        }
    }
}

fn horizon(now: Timestamp) -> Timestamp {
    now.to_zoned(TimeZone::UTC)
        .checked_add(HORIZON_YEARS.years())
        .map_or(Timestamp::MAX, |end| end.timestamp())
}

/// Hands croner lists of numbers only, so that nothing of its wider dialect can apply; `*` is kept
/// because it decides whether day of month and day of week are alternatives.
fn compile(fields: &Fields) -> Result<Cron, ScheduleError> {
    let pattern = [
        &fields.minute,
        &fields.hour,
        &fields.day_of_month,
        &fields.month,
        &fields.day_of_week,
    ]
    .map(super::cron::Field::canonical)
    .join(" ");
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .dom_and_dow(false)
        .build()
        .parse(&pattern)
        .map_err(|error| {
            ScheduleError::new(
                ScheduleErrorKind::Cron,
                error.to_string(),
                "write five fields, such as `0 9 * * 1-5`",
            )
        })
}

fn never_fires(expression: &str) -> ScheduleError {
    ScheduleError::new(
        ScheduleErrorKind::NeverFires,
        format!("{} does not fire within five years", quoted(expression)),
        "write a day that its months have, such as `0 0 1 2 *`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn next_times(expression: &str, zone: Option<&str>, from: &str, count: usize) -> Vec<String> {
        let schedule = CronSchedule::parse(expression, zone, at(from)).unwrap();
        let times = std::iter::successors(schedule.next_after(at(from)), |time| {
            schedule.next_after(*time)
        });
        times.take(count).map(|time| time.to_string()).collect()
    }

    #[test]
    fn next_times_are_those_of_kubernetes() {
        let from = "2026-03-28T12:00:00Z"; // the Saturday before Europe's clocks go forward
        for (expression, zone, expected) in [
            (
                "*/30 * * * *",
                None,
                ["2026-03-28T12:30:00Z", "2026-03-28T13:00:00Z"],
            ),
            (
                "0 9 * * 1-5",
                Some("Europe/Berlin"),
                ["2026-03-30T07:00:00Z", "2026-03-31T07:00:00Z"],
            ),
            (
                "0 9 * * *",
                Some("Europe/Berlin"),
                ["2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"],
            ),
            // 02:30 does not exist on the 29th: skipped, not moved
            (
                "30 2 * * *",
                Some("Europe/Berlin"),
                ["2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"],
            ),
            // either day: the 13th, or any Friday
            (
                "0 0 13 * FRI",
                None,
                ["2026-04-03T00:00:00Z", "2026-04-10T00:00:00Z"],
            ),
            // a stepped star takes part in the either-day rule, a plain one does not
            (
                "0 0 */30 * MON",
                None,
                ["2026-03-30T00:00:00Z", "2026-03-31T00:00:00Z"],
            ),
            (
                "0 0 * * MON",
                None,
                ["2026-03-30T00:00:00Z", "2026-04-06T00:00:00Z"],
            ),
            (
                "0 0 31 * *",
                None,
                ["2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"],
            ),
            (
                "0 0 29 2 *",
                None,
                ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
            ),
        ] {
            assert_eq!(
                next_times(expression, zone, from, 2),
                expected,
                "{expression}"
            );
        }
    }

    #[test]
    fn a_repeated_hour_fires_twice() {
        // Berlin's clocks go back at 01:00 UTC on 2026-10-25: 02:00-03:00 happens twice
        let daily = next_times(
            "30 2 * * *",
            Some("Europe/Berlin"),
            "2026-10-24T12:00:00Z",
            3,
        );
        assert_eq!(
            daily,
            [
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-26T01:30:00Z"
            ]
        );
        let often = next_times(
            "*/30 * * * *",
            Some("Europe/Berlin"),
            "2026-10-25T00:00:00Z",
            4,
        );
        assert_eq!(
            often,
            [
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:00:00Z"
            ]
        );
    }

    #[test]
    fn must_fire_within_five_years() {
        let now = at("2026-01-01T00:00:00Z");
        for never in ["0 0 31 2 *", "0 0 30 FEB *", "0 0 31 4,6,9,11 *"] {
            let error = CronSchedule::parse(never, None, now)
                .map(|_| never)
                .unwrap_err();
            assert_eq!(error.kind(), ScheduleErrorKind::NeverFires, "{error}");
        }
        // with a day of week, the impossible day is only one of two alternatives
        assert!(CronSchedule::parse("0 0 31 2 MON", None, now).is_ok());
        // 2100 is no leap year: from 2097 the next 29 February is 2104
        assert!(CronSchedule::parse("0 0 29 2 *", None, at("2097-01-01T00:00:00Z")).is_err());
        assert!(
            CronSchedule::parse("* * * * *", None, Timestamp::MAX).is_err(),
            "no time is left"
        );
    }

    #[test]
    fn must_fire_on_a_day_of_only() {
        let now = at("2026-01-01T00:00:00Z");
        let check = |expression: &str, only: &str| {
            let schedule = CronSchedule::parse(expression, Some("Europe/Berlin"), now).unwrap();
            schedule.check_only(&only.parse().unwrap(), now)
        };
        for (expression, only) in [
            ("0 9 * * *", "last day of month"),
            ("* * * * *", "last SUN"),
            ("59 23 28 2 *", "last day of month"),
            ("0 9 * * 2", "every 2 weeks from 2026-01-06"),
            ("0 9 29 2 *", "last day of month"),
            ("0 0 * * *", "every 52 weeks from 2029-06-01"),
        ] {
            assert_eq!(check(expression, only), Ok(()), "{expression} {only}");
        }
        for (expression, only) in [
            ("0 9 1 * *", "last day of month"),
            ("* * 1-27 * *", "last day of month"),
            ("0 9 * * 1", "first TUE"),
            ("0 9 8-31 * *", "first MON"),
            ("0 9 * * *", "every 2 weeks from 2031-02-01"),
        ] {
            let error = check(expression, only).unwrap_err();
            assert_eq!(error.kind(), ScheduleErrorKind::NeverFires, "{error}");
            assert!(error.problem().contains(only), "{error}");
        }
    }

    #[test]
    fn a_run_is_of_the_day_on_which_it_was_due() {
        let day = |expression: &str, zone: Option<&str>, now: &str| {
            let schedule = CronSchedule::parse(expression, zone, at("2026-01-01T00:00:00Z"));
            schedule.unwrap().date_of_run(at(now)).to_string()
        };
        for (expression, zone, now, date) in [
            ("0 9 * * *", None, "2026-01-31T09:00:02Z", "2026-01-31"),
            // made at 23:59, begun after midnight
            ("59 23 * * *", None, "2026-02-01T00:03:00Z", "2026-01-31"),
            // started by a person, long after the last time
            ("59 23 * * *", None, "2026-02-01T01:00:00Z", "2026-02-01"),
            ("*/15 * * * *", None, "2026-02-01T00:03:00Z", "2026-02-01"),
            // 23:30 UTC is the next day in Berlin
            (
                "30 0 * * *",
                Some("Europe/Berlin"),
                "2026-01-30T23:30:05Z",
                "2026-01-31",
            ),
            (
                "30 19 * * *",
                Some("America/New_York"),
                "2026-02-01T00:30:05Z",
                "2026-01-31",
            ),
            // the day on which clocks go forward, and the one on which they go back
            (
                "30 23 * * *",
                Some("Europe/Berlin"),
                "2026-03-29T21:30:05Z",
                "2026-03-29",
            ),
            (
                "30 0 * * *",
                Some("Europe/Berlin"),
                "2026-10-24T22:30:05Z",
                "2026-10-25",
            ),
            // a zone in which midnight is skipped on that day
            (
                "30 1 * * *",
                Some("Asia/Beirut"),
                "2026-03-28T22:30:05Z",
                "2026-03-29",
            ),
        ] {
            assert_eq!(
                day(expression, zone, now),
                date,
                "{expression} {zone:?} {now}"
            );
        }
    }

    #[test]
    fn keeps_what_was_written() {
        let schedule =
            CronSchedule::parse(" 0  9 * * mon", Some("UTC"), at("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(
            (schedule.expression(), schedule.time_zone()),
            ("0 9 * * mon", Some("UTC"))
        );
        let error = CronSchedule::parse("0 9 * * *", Some("Local"), at("2026-01-01T00:00:00Z"))
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.kind(), ScheduleErrorKind::TimeZone);
    }
}
