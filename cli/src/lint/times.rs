//! Schedules of agents in words, or why the operator will refuse them.

use jiff::Timestamp;
use langop_dsl::{CronSchedule, ScheduleErrorKind};

use super::document::{Document, Remark};
use crate::{kind::Kind, schedule::cron_in_words};

/// What an agent's schedule and time zone say.
pub(crate) fn check(document: &Document, now: Timestamp) -> Option<Remark> {
    if document.kind() != Some(Kind::Agent) {
        return None;
    }
    let spec = &document.value["spec"];
    let zone = spec["timeZone"].as_str();
    let expression = spec["schedule"].as_str();
    // Any schedule does to check a zone that has none.
    match CronSchedule::parse(expression.unwrap_or("* * * * *"), zone, now) {
        Err(error) if error.kind() == ScheduleErrorKind::TimeZone => {
            Some(Remark::error("spec.timeZone", error.to_string()))
        }
        Err(error) => Some(Remark::error("spec.schedule", error.to_string())),
        Ok(_) => {
            let words = format!("runs {}", cron_in_words(expression?, zone));
            Some(Remark::note("spec.schedule", words))
        }
    }
}
