//! The shortest time from one run to the next, as clocks on the wall show it. Pure arithmetic on
//! dates and minutes of the day: zones and their clock changes make no schedule a more frequent
//! one.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::Date;

use super::calendar::Calendar;
use super::cron::Fields;
use super::error::ScheduleError;

/// How far is looked: as long as a leap year may be away, so that what is found does not depend on
/// the year in which somebody looks.
const YEARS: i32 = 8;

const DAY_MINUTES: usize = 24 * 60;

/// The shortest time between two runs, in seconds, of an agent that runs by all of these cron
/// expressions, on the days of `only` if there are such. Looked for from `from` on; of what fires
/// only once in that time, all of it.
///
/// # Errors
/// If an expression is none of the dialect; the message says what to write instead.
pub fn shortest_distance<'a>(
    expressions: impl IntoIterator<Item = &'a str>,
    only: Option<&Calendar>,
    from: Date,
) -> Result<u64, ScheduleError> {
    let crons: Vec<Fields> = expressions
        .into_iter()
        .map(Fields::parse)
        .collect::<Result<_, _>>()?;
    let end = from.checked_add(YEARS.years()).unwrap_or(Date::MAX);
    let minutes = shortest_between(&crons, only, from, end);
    Ok(u64::try_from(minutes)
        .unwrap_or(u64::MAX)
        .saturating_mul(60))
}

/// The same in minutes, looked for until `end`.
fn shortest_between(crons: &[Fields], only: Option<&Calendar>, from: Date, end: Date) -> usize {
    // Days on which the same expressions fire are alike.
    let mut kinds: BTreeMap<Vec<bool>, Option<Day>> = BTreeMap::new();
    let (mut midnight, mut last, mut shortest) = (0, None, usize::MAX);
    for date in from.series(1.day()).take_while(|date| *date < end) {
        let is_due = only.is_none_or(|only| only.is_due_on(date));
        let firing = crons.iter().map(|cron| is_due && cron.is_on(date));
        let day = kinds
            .entry(firing.collect())
            .or_insert_with_key(|firing| Day::of(crons, firing));
        if let Some(day) = day {
            let night = last.map(|last| midnight + day.first - last);
            let distances = night.into_iter().chain(day.shortest);
            shortest = distances.fold(shortest, usize::min);
            last = Some(midnight + day.last);
        }
        midnight += DAY_MINUTES;
    }
    shortest.min(midnight)
}

/// The runs of a day that has any, in minutes after midnight.
struct Day {
    first: usize,
    last: usize,
    /// Between two of them; none if there is only one.
    shortest: Option<usize>,
}

impl Day {
    fn of(crons: &[Fields], firing: &[bool]) -> Option<Self> {
        let mut runs = [false; DAY_MINUTES];
        for (cron, _) in crons.iter().zip(firing).filter(|(_, fires)| **fires) {
            for hour in cron.hour.values() {
                for minute in cron.minute.values() {
                    runs[usize::from(hour) * 60 + usize::from(minute)] = true;
                }
            }
        }
        let runs: Vec<usize> = (0..DAY_MINUTES).filter(|minute| runs[*minute]).collect();
        Some(Self {
            first: *runs.first()?,
            last: *runs.last()?,
            shortest: runs.windows(2).map(|pair| pair[1] - pair[0]).min(),
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::super::CronSchedule;
    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    fn shortest(expressions: &[&str], only: Option<&str>) -> u64 {
        let only = only.map(|only| only.parse().unwrap());
        let from = date(2024, 1, 1);
        shortest_distance(expressions.iter().copied(), only.as_ref(), from).unwrap()
    }

    #[test]
    fn the_shortest_distance_counts() {
        for (expressions, only, seconds) in [
            (&["* * * * *"][..], None, MINUTE),
            (&["*/5 * * * *"], None, 5 * MINUTE),
            // the hour is no multiple of it
            (&["*/7 * * * *"], None, 4 * MINUTE),
            (&["0 9 * * *"], None, DAY),
            (&["0 9 * * 1-5"], None, DAY),
            (&["0 9 * * 1"], None, 7 * DAY),
            (&["0 9 1 * *"], None, 28 * DAY),
            (&["0 9 31 * *"], None, 31 * DAY),
            // either day
            (&["0 9 1 * 1"], None, DAY),
            (&["0 0 29 2 *"], None, 1461 * DAY),
            (&["0 9 * * *", "20 9 * * *"], None, 20 * MINUTE),
            // one day's last and the next day's first
            (&["50 23 * * 1", "10 0 * * 2"], None, 20 * MINUTE),
            (&["0 9 * * *"], Some("last day of month"), 28 * DAY),
            (&["0 9 * * *"], Some("first MON"), 28 * DAY),
            (
                &["0 9 * * 2"],
                Some("every 2 weeks from 2026-01-06"),
                14 * DAY,
            ),
            (&["0 9 1 1 *"], None, 365 * DAY),
            // nothing after the first
            (&["0 9 29 2 *"], Some("last SUN"), 2922 * DAY),
        ] {
            assert_eq!(
                shortest(expressions, only),
                seconds,
                "{expressions:?} {only:?}"
            );
        }
        assert!(shortest_distance(["nonsense"], None, date(2024, 1, 1)).is_err());
    }

    fn numbers(low: u8, high: u8) -> impl Strategy<Value = String> {
        prop_oneof![
            2 => (low..=high).prop_map(|value| value.to_string()),
            1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{a},{b}")),
        ]
    }

    fn days(low: u8, high: u8) -> impl Strategy<Value = String> {
        prop_oneof![1 => Just("*".to_owned()), 1 => Just("*/2".to_owned()), 2 => numbers(low, high)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Against the search that says when agents run next.
        #[test]
        fn it_is_that_of_the_times_at_which_agents_run(
            minute in numbers(0, 59), hour in numbers(0, 23), day in days(1, 31), weekday in days(0, 6),
        ) {
            let expression = format!("{minute} {hour} {day} * {weekday}");
            let (from, end) = (date(2024, 1, 1), date(2025, 1, 1));
            let midnight = |date: Date| date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
            let before = midnight(from) - 1.second();
            let schedule = CronSchedule::parse(&expression, None, before).unwrap();
            let runs = std::iter::successors(schedule.next_after(before), |run| schedule.next_after(*run));
            let runs: Vec<i64> = runs
                .take_while(|run| *run < midnight(end))
                .map(Timestamp::as_second)
                .collect();
            let found = runs.windows(2).map(|pair| (pair[1] - pair[0]) / 60).min().unwrap();
            let crons = [Fields::parse(&expression).unwrap()];
            let shortest = i64::try_from(shortest_between(&crons, None, from, end));
            prop_assert_eq!(shortest, Ok(found), "{}", expression);
        }
    }
}
