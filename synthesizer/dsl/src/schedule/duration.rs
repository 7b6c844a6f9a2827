//! Durations such as `5m` and `1h30m`, in whole seconds, and the cron that says exactly the same as
//! one.

use std::fmt::Write as _;

use super::error::{ScheduleError, ScheduleErrorKind, quoted};

/// Longest duration: 366 days. The shortest is one second.
pub const MAX_DURATION_SECONDS: u64 = 366 * DAY;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Units from the largest down, the order in which a duration names them.
const UNITS: [(char, u64); 4] = [('d', DAY), ('h', HOUR), ('m', MINUTE), ('s', 1)];

const ADVICE: &str =
    "write whole numbers with d, h, m or s, largest first, such as `5m`, `1h30m` or `2d`";

/// Reads `45s`, `90m`, `1h30m` or `2d` into seconds, 1 to [`MAX_DURATION_SECONDS`]. Each unit at
/// most once, largest first.
pub fn parse_duration(text: &str) -> Result<u64, ScheduleError> {
    let seconds =
        total(text).ok_or_else(|| error(format!("invalid duration {}", quoted(text)), ADVICE))?;
    match seconds {
        0 => Err(error(
            format!("{} is not longer than zero", quoted(text)),
            "write at least `1s`",
        )),
        1..=MAX_DURATION_SECONDS => Ok(seconds),
        _ => Err(error(
            format!("{} is longer than 366 days", quoted(text)),
            "write at most `366d`",
        )),
    }
}

fn error(problem: String, advice: &str) -> ScheduleError {
    ScheduleError::new(ScheduleErrorKind::Duration, problem, advice)
}

fn total(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .filter(|end| *end > 0)?;
        let number: u64 = rest[..end].parse().ok()?;
        let (unit, length) = units.find(|(unit, _)| rest[end..].starts_with(*unit))?;
        seconds = seconds.checked_add(number.checked_mul(*length)?)?;
        rest = &rest[end + unit.len_utf8()..];
    }
    (!text.is_empty()).then_some(seconds)
}

/// Writes seconds as [`parse_duration`] reads them: `5400` is `1h30m`. Zero is `0s`.
pub fn format_duration(seconds: u64) -> String {
    if seconds == 0 {
        return "0s".to_owned();
    }
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, length) in UNITS {
        if rest >= length {
            let _ = write!(text, "{}{unit}", rest / length);
            rest %= length;
        }
    }
    text
}

/// The cron that fires at exactly this distance, for ever: minutes that divide an hour, hours that
/// divide a day, one day and one week. None for anything else (`90m`, anything with seconds). Exact
/// in a zone without clock changes.
pub fn cron_for_every(seconds: u64) -> Option<String> {
    let stepped = |step: u64| {
        if step == 1 {
            "*".to_owned()
        } else {
            format!("*/{step}")
        }
    };
    match seconds {
        DAY => Some("0 0 * * *".to_owned()),
        WEEK => Some("0 0 * * 0".to_owned()),
        HOUR..DAY if seconds.is_multiple_of(HOUR) && DAY.is_multiple_of(seconds) => {
            Some(format!("0 {} * * *", stepped(seconds / HOUR)))
        }
        MINUTE..HOUR if seconds.is_multiple_of(MINUTE) && HOUR.is_multiple_of(seconds) => {
            Some(format!("{} * * * *", stepped(seconds / MINUTE)))
        }
        _ => None,
    }
}

const WEEK: u64 = 7 * DAY;

#[cfg(test)]
mod tests {
    use super::super::CronSchedule;
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn reads_and_writes_durations() {
        for (text, seconds, written) in [
            ("5m", 300, "5m"),
            ("90m", 5400, "1h30m"),
            ("1h30m", 5400, "1h30m"),
            ("2d", 172_800, "2d"),
            ("45s", 45, "45s"),
            ("1d1h1m1s", 90_061, "1d1h1m1s"),
            ("0h5m", 300, "5m"),
            ("366d", MAX_DURATION_SECONDS, "366d"),
        ] {
            assert_eq!(parse_duration(text), Ok(seconds), "{text}");
            assert_eq!(format_duration(seconds), written);
        }
        assert_eq!(format_duration(0), "0s");
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "5",
            "m",
            "0s",
            "-5m",
            "+5m",
            "1.5h",
            "5 minutes",
            "5M",
            "5m ",
            " 5m",
            "1m1h",
            "1m1m",
            "1h 30m",
            "1w",
            "5ms",
            "367d",
            "٥m",
            "99999999999999999999d",
            "18446744073709551615d",
        ] {
            assert!(
                parse_duration(text).is_err_and(|error| !error.advice().is_empty()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_cron_says_exactly_the_same_or_there_is_none() {
        for (seconds, cron) in [
            (60, Some("* * * * *")),
            (300, Some("*/5 * * * *")),
            (1800, Some("*/30 * * * *")),
            (3600, Some("0 * * * *")),
            (7200, Some("0 */2 * * *")),
            (43_200, Some("0 */12 * * *")),
            (86_400, Some("0 0 * * *")),
            (604_800, Some("0 0 * * 0")),
            (1, None),
            (45, None),
            (90, None),
            (7 * 60, None),
            (90 * 60, None),
            (5 * 3600, None),
            (172_800, None),
        ] {
            assert_eq!(cron_for_every(seconds).as_deref(), cron, "{seconds}");
        }
    }

    #[test]
    fn the_cron_keeps_the_distance() {
        let now: Timestamp = "2026-02-27T00:00:00Z".parse().unwrap();
        for seconds in (60..=WEEK).step_by(60) {
            let Some(cron) = cron_for_every(seconds) else {
                continue;
            };
            let schedule = CronSchedule::parse(&cron, None, now).unwrap();
            let times: Vec<_> =
                std::iter::successors(schedule.next_after(now), |t| schedule.next_after(*t))
                    .take(40)
                    .collect();
            for pair in times.windows(2) {
                assert_eq!(
                    pair[1].as_second() - pair[0].as_second(),
                    i64::try_from(seconds).unwrap(),
                    "{cron}"
                );
            }
        }
    }
}
