//! Whether a run that a CronJob started is due at all: `AGENT_SCHEDULE_ONLY` names the days. Date
//! arithmetic and nothing else; pure, the caller says what time it is.

use jiff::{Timestamp, civil::Date};
use langop_dsl::{Calendar, CronSchedule, ScheduleError};

/// The days on which a run has something to do, and the schedule that starts runs.
#[derive(Debug, Clone)]
pub struct DueDays {
    only: Calendar,
    schedule: CronSchedule,
}

impl DueDays {
    /// From `AGENT_SCHEDULE_ONLY`, `AGENT_SCHEDULE` and `AGENT_TIME_ZONE`. Where the schedule is
    /// unset, only the zone counts.
    ///
    /// # Errors
    /// What is wrong with the first of them that is, and what to write instead.
    pub fn new(
        only: &str,
        expression: Option<&str>,
        time_zone: Option<&str>,
    ) -> Result<Self, ScheduleError> {
        let expression = expression.unwrap_or("* * * * *");
        // That it fires was checked when the code was made; whether it still does matters to
        // nobody whom it has started.
        let schedule = CronSchedule::parse(expression, time_zone, Timestamp::UNIX_EPOCH)?;
        Ok(Self {
            only: only.parse()?,
            schedule,
        })
    }

    /// Why a run that begins at `now` has nothing to do, in words; `None` if it is due.
    pub fn not_due(&self, now: Timestamp) -> Option<String> {
        let date: Date = self.schedule.date_of_run(now);
        let only = self.only;
        (!only.is_due_on(date)).then(|| format!("not due: {date} is no day of '{only}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(only: &str, expression: Option<&str>, zone: Option<&str>) -> DueDays {
        DueDays::new(only, expression, zone).unwrap()
    }

    #[test]
    fn a_run_is_due_on_the_days_of_its_zone_only() {
        let monthly = days(
            "last day of month",
            Some("30 0 * * *"),
            Some("Europe/Berlin"),
        );
        for (now, is_due) in [
            ("2026-01-30T23:30:05Z", true),
            ("2026-01-31T23:30:05Z", false),
            ("2028-02-28T23:30:05Z", true),
            ("2026-02-28T23:30:05Z", false),
        ] {
            let told = monthly.not_due(now.parse().unwrap());
            assert_eq!(told.is_none(), is_due, "{now}: {told:?}");
        }
        let told = monthly.not_due("2026-01-31T23:30:05Z".parse().unwrap());
        assert_eq!(
            told.as_deref(),
            Some("not due: 2026-02-01 is no day of 'last day of month'")
        );
    }

    #[test]
    fn a_run_that_began_late_is_of_the_day_before_and_a_lone_zone_does() {
        let late = "2026-02-01T00:03:00Z".parse().unwrap();
        let evening = days("last day of month", Some("59 23 * * *"), None);
        assert_eq!(evening.not_due(late), None);
        assert!(
            days("last day of month", None, None)
                .not_due(late)
                .is_some()
        );
        let west = days("last day of month", None, Some("America/Lima"));
        assert_eq!(west.not_due(late), None);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (only, expression, zone, advice) in [
            ("fifth MON", None, None, "first MON"),
            ("first MON", Some("0 9 * *"), None, "day of week"),
            ("first MON", None, Some("Mars/Base"), "Europe/Berlin"),
        ] {
            let error = DueDays::new(only, expression, zone).unwrap_err();
            assert!(error.to_string().contains(advice), "{error}");
        }
    }
}
