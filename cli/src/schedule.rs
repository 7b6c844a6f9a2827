//! Schedules in words, and when they fire next. Pure: the clock is the caller's.

use std::str::FromStr as _;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use langop_api::names::env;
use langop_dsl::{Calendar, CronSchedule, Schedule, cron_for_every, format_duration};

/// Most firings that are looked at for one on a day that counts.
const MOST_FIRINGS: usize = 1000;

/// When an agent runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NextRun {
    pub(crate) at: Timestamp,
    /// The CronJob names no zone: it is the controller's, which cannot be asked and is taken to be
    /// UTC.
    pub(crate) is_in_assumed_zone: bool,
}

/// When a CronJob begins its next run that has something to do; `None` if it is suspended or its
/// schedule cannot be read.
pub(crate) fn next_run(cron_job: &CronJob, now: Timestamp) -> Option<NextRun> {
    let spec = &cron_job.spec;
    if spec.suspend == Some(true) {
        return None;
    }
    let zone = spec.time_zone.as_deref();
    let schedule = CronSchedule::parse(&spec.schedule, zone, now).ok()?;
    let only = only(cron_job);
    let firings =
        std::iter::successors(schedule.next_after(now), |time| schedule.next_after(*time));
    let at = firings
        .take(MOST_FIRINGS)
        .find(|time| only.is_none_or(|only| only.is_due_on(schedule.date_of_run(*time))))?;
    Some(NextRun {
        at,
        is_in_assumed_zone: zone.is_none(),
    })
}

/// The days on which its runs have something to do.
fn only(cron_job: &CronJob) -> Option<Calendar> {
    let pod = cron_job.spec.job_template.spec.as_ref()?;
    let container = pod.template.spec.as_ref()?.containers.first()?;
    let mut variables = container.env.iter().flatten();
    let variable = variables.find(|variable| variable.name == env::AGENT_SCHEDULE_ONLY)?;
    Calendar::from_str(variable.value.as_deref()?).ok()
}

/// `at 09:00, on Monday (Europe/Berlin)`; the expression itself where it has no words.
pub(crate) fn cron_in_words(expression: &str, zone: Option<&str>) -> String {
    let words = match croner::Cron::from_str(expression) {
        Ok(cron) => sentence_part(&cron.describe()),
        Err(_) => expression.to_owned(),
    };
    format!("{words} ({})", zone.unwrap_or("the cluster's zone"))
}

/// croner writes a sentence, and this is a part of one.
fn sentence_part(sentence: &str) -> String {
    let sentence = sentence
        .trim_end_matches('.')
        .replacen("At every", "Every", 1);
    let mut characters = sentence.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => sentence,
    }
}

/// What code says of when it runs.
pub(crate) fn in_words(schedule: Option<&Schedule>) -> String {
    match schedule {
        None => "all the time".to_owned(),
        Some(Schedule::Every { seconds }) => match cron_for_every(*seconds) {
            Some(expression) => cron_in_words(&expression, None),
            None => format!("every {}", format_duration(*seconds)),
        },
        Some(Schedule::Cron {
            expression,
            also,
            time_zone,
            only,
        }) => {
            let times: Vec<String> = std::iter::once(expression)
                .chain(also)
                .map(|expression| cron_in_words(expression, time_zone.as_deref()))
                .collect();
            let times = times.join(", and ");
            match only {
                Some(only) => format!("{times}, only {only}"),
                None => times,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schedules_have_words_and_a_zone() {
        for (expression, zone, words) in [
            (
                "*/15 * * * *",
                None,
                "every 15 minutes (the cluster's zone)",
            ),
            ("0 14 * * *", Some("UTC"), "at 14:00 (UTC)"),
            (
                "30 9 * * 1",
                Some("Europe/Berlin"),
                "at 09:30, on Monday (Europe/Berlin)",
            ),
            ("nonsense", None, "nonsense (the cluster's zone)"),
        ] {
            assert_eq!(cron_in_words(expression, zone), words);
        }
    }

    #[test]
    fn code_without_a_schedule_runs_all_the_time() {
        assert_eq!(in_words(None), "all the time");
        let every = Schedule::Every { seconds: 5400 };
        assert_eq!(in_words(Some(&every)), "every 1h30m");
        let monthly = Schedule::Cron {
            expression: "0 9 * * *".into(),
            also: vec!["0 12 * * *".into()],
            time_zone: Some("UTC".into()),
            only: Some(Calendar::LastDayOfMonth),
        };
        assert_eq!(
            in_words(Some(&monthly)),
            "at 09:00 (UTC), and at 12:00 (UTC), only last day of month"
        );
    }

    fn cron_job(spec: &serde_json::Value) -> CronJob {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    #[test]
    fn the_next_run_is_on_a_day_that_counts() {
        let now: Timestamp = "2026-11-10T10:00:00Z".parse().unwrap();
        let template = |only: Option<&str>| {
            let env = only.map(|only| json!([{"name": "AGENT_SCHEDULE_ONLY", "value": only}]));
            json!({"spec": {"template": {"spec": {"containers": [{"name": "agent", "env": env}]}}}})
        };
        let next = |spec: serde_json::Value| next_run(&cron_job(&spec), now);
        let daily = next(
            json!({"schedule": "0 9 * * *", "timeZone": "UTC", "jobTemplate": template(None)}),
        );
        assert_eq!(daily.unwrap().at.to_string(), "2026-11-11T09:00:00Z");
        assert!(!daily.unwrap().is_in_assumed_zone);
        let last = next(
            json!({"schedule": "0 9 * * *", "jobTemplate": template(Some("last day of month"))}),
        );
        assert_eq!(last.unwrap().at.to_string(), "2026-11-30T09:00:00Z");
        assert!(last.unwrap().is_in_assumed_zone);
        let suspended =
            json!({"schedule": "0 9 * * *", "suspend": true, "jobTemplate": template(None)});
        assert_eq!(next(suspended), None);
    }
}
