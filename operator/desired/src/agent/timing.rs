//! How an agent runs and when: the user's word first, then the code's.

use k8s_openapi::jiff::Timestamp;
use langop_api::agent::ExecutionMode;
use langop_dsl::{Calendar, CronSchedule, Mode, Schedule, ScheduleError, cron_for_every};

use crate::{conditions::Invalid, observed::CodeRequirements};

/// What the spec says about how and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requested {
    /// spec.executionMode.
    pub mode: Option<ExecutionMode>,
    /// spec.schedule, checked, as written.
    pub schedule: Option<String>,
    /// spec.timeZone, checked.
    pub time_zone: Option<String>,
    /// The zone where neither the spec nor the code names one, checked.
    pub default_zone: Option<String>,
    /// spec.replicas.
    pub replicas: Option<i32>,
    /// spec.suspend.
    pub suspended: bool,
}

/// How an agent runs and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timing {
    /// All the time, in a Deployment.
    Continuous,
    /// As CronJobs, one for each expression.
    Cron {
        /// Five fields each; at least one expression.
        expressions: Vec<String>,
        /// IANA name; absent: the cluster's.
        time_zone: Option<String>,
        /// The days on which a run has something to do; absent: all.
        only: Option<Calendar>,
    },
    /// In a Deployment that keeps time itself, because no cron says this distance exactly.
    Every {
        /// From one run to the next.
        seconds: u64,
    },
}

impl Timing {
    /// As in `AGENT_MODE` and `status.mode`.
    pub fn mode(&self) -> ExecutionMode {
        match self {
            Self::Continuous => ExecutionMode::Autonomous,
            Self::Cron { .. } | Self::Every { .. } => ExecutionMode::Scheduled,
        }
    }

    /// As in `status.schedule`: with the zone that its times are of.
    pub fn told(&self) -> Option<String> {
        match self {
            Self::Cron {
                expressions,
                time_zone,
                only,
            } => {
                let times = in_zone(&expressions.join(", "), time_zone.as_deref());
                Some(match only {
                    Some(only) => format!("{times}, only {only}"),
                    None => times,
                })
            }
            Self::Every { seconds } => Some(distance(*seconds)),
            Self::Continuous => None,
        }
    }
}

/// The fixed distance as in `AGENT_SCHEDULE`: `every 90m`.
pub(super) fn distance(seconds: u64) -> String {
    format!("every {}", in_one_unit(seconds))
}

/// A cron expression and the zone that its times are of, for people: `0 9 * * 1-5 (Europe/Berlin)`.
/// Without one they are the kube-controller-manager's, which is UTC on nearly all clusters and
/// cannot be asked.
pub fn in_zone(expression: &str, time_zone: Option<&str>) -> String {
    format!(
        "{expression} ({})",
        time_zone.unwrap_or("the cluster's zone")
    )
}

/// In the largest unit that says it in a whole number: `90m`, `5h`, `45s`.
fn in_one_unit(seconds: u64) -> String {
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
    let unit = units
        .into_iter()
        .find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length));
    let (length, letter) = unit.unwrap_or((1, 's'));
    format!("{}{letter}", seconds / length)
}

/// Whether schedules can be of this zone.
///
/// # Errors
/// What is wrong with its name, and what to write instead.
pub fn check_zone(name: &str) -> Result<(), ScheduleError> {
    // Any expression does to check a zone, and any time.
    CronSchedule::parse("* * * * *", Some(name), Timestamp::UNIX_EPOCH).map(|_| ())
}

/// Decides how the agent runs. `code` is what the active code says.
///
/// # Errors
/// If it should run at times and nobody says at which, or if several pods should keep one schedule.
pub fn timing(requested: &Requested, code: Option<&CodeRequirements>) -> Result<Timing, Invalid> {
    let timing = match mode(requested, code) {
        ExecutionMode::Autonomous => return Ok(Timing::Continuous),
        ExecutionMode::Scheduled => scheduled(requested, code)?,
    };
    match requested.replicas {
        Some(replicas) if replicas > 1 => Err(Invalid::spec(
            "spec.replicas is for autonomous agents, and the code of this one runs at times: leave replicas out, or set spec.executionMode to autonomous",
        )),
        _ => Ok(timing),
    }
}

fn mode(requested: &Requested, code: Option<&CodeRequirements>) -> ExecutionMode {
    match (requested.mode, &requested.schedule, code) {
        (Some(mode), _, _) => mode,
        (None, Some(_), _) => ExecutionMode::Scheduled,
        (None, None, Some(code)) => match code.mode {
            Mode::Autonomous => ExecutionMode::Autonomous,
            Mode::Scheduled => ExecutionMode::Scheduled,
        },
        (None, None, None) => ExecutionMode::Autonomous,
    }
}

fn scheduled(requested: &Requested, code: Option<&CodeRequirements>) -> Result<Timing, Invalid> {
    let own_zone = || requested.time_zone.clone();
    let default_zone = || requested.default_zone.clone();
    if let Some(expression) = &requested.schedule {
        // The code's zone belongs to the code's times.
        return Ok(Timing::Cron {
            expressions: vec![expression.clone()],
            time_zone: own_zone().or_else(default_zone),
            only: None,
        });
    }
    match code.and_then(|code| code.schedule.as_ref()) {
        Some(Schedule::Cron {
            expression,
            also,
            time_zone,
            only,
        }) => Ok(Timing::Cron {
            expressions: std::iter::once(expression).chain(also).cloned().collect(),
            time_zone: own_zone()
                .or_else(|| time_zone.clone())
                .or_else(default_zone),
            only: *only,
        }),
        Some(Schedule::Every { seconds }) => Ok(match cron_for_every(*seconds) {
            Some(expression) => Timing::Cron {
                expressions: vec![expression],
                time_zone: own_zone().or_else(default_zone),
                only: None,
            },
            None => Timing::Every { seconds: *seconds },
        }),
        None => Err(Invalid::spec(
            "a scheduled agent needs a schedule, and neither its spec nor its code has one: set spec.schedule, for example '0 9 * * 1-5', or say in the instructions when it should run",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use langop_dsl::AgentDefinition;
    use serde_json::json;

    fn code(schedule: &serde_json::Value) -> CodeRequirements {
        let definition: AgentDefinition =
            serde_json::from_value(json!({"name": "a", "schedule": schedule})).unwrap();
        CodeRequirements::from(&definition)
    }

    fn cron(expression: &str, time_zone: Option<&str>) -> Timing {
        Timing::Cron {
            expressions: expression.split(", ").map(Into::into).collect(),
            time_zone: time_zone.map(Into::into),
            only: None,
        }
    }

    #[test]
    fn the_user_wins_then_the_code_then_autonomous() {
        let daily =
            code(&json!({"cron": {"expression": "0 7 * * *", "timeZone": "Europe/Berlin"}}));
        let quarter = code(&json!({"every": {"seconds": 900}}));
        let twice = code(&json!({"cron": {"expression": "15 8 * * *", "also": ["45 12 * * *"]}}));
        let odd = code(&json!({"every": {"seconds": 5400}}));
        let none = code(&json!(null));
        let user = |mode, schedule: Option<&str>, zone: Option<&str>| Requested {
            mode,
            schedule: schedule.map(Into::into),
            time_zone: zone.map(Into::into),
            ..Requested::default()
        };
        let (auto, sched) = (
            Some(ExecutionMode::Autonomous),
            Some(ExecutionMode::Scheduled),
        );
        for (requested, definition, expected) in [
            (user(None, None, None), None, Timing::Continuous),
            (user(None, None, None), Some(&none), Timing::Continuous),
            (
                user(None, None, None),
                Some(&daily),
                cron("0 7 * * *", Some("Europe/Berlin")),
            ),
            (
                user(None, None, None),
                Some(&twice),
                cron("15 8 * * *, 45 12 * * *", None),
            ),
            // The user's one schedule takes the place of all of the code's.
            (
                user(None, Some("0 9 * * *"), None),
                Some(&twice),
                cron("0 9 * * *", None),
            ),
            (
                user(None, None, Some("Asia/Tokyo")),
                Some(&daily),
                cron("0 7 * * *", Some("Asia/Tokyo")),
            ),
            (
                user(None, Some("0  9 * * *"), None),
                Some(&daily),
                cron("0  9 * * *", None),
            ),
            (
                user(None, Some("0 9 * * *"), Some("UTC")),
                Some(&odd),
                cron("0 9 * * *", Some("UTC")),
            ),
            (
                user(sched, Some("0 9 * * *"), None),
                None,
                cron("0 9 * * *", None),
            ),
            (
                user(sched, None, None),
                Some(&quarter),
                cron("*/15 * * * *", None),
            ),
            (
                user(None, None, None),
                Some(&odd),
                Timing::Every { seconds: 5400 },
            ),
            (user(auto, None, None), Some(&daily), Timing::Continuous),
        ] {
            assert_eq!(
                timing(&requested, definition),
                Ok(expected),
                "{requested:?} {definition:?}"
            );
        }
    }

    #[test]
    fn a_zone_that_is_named_wins_over_the_default_and_is_told() {
        let berlin =
            code(&json!({"cron": {"expression": "0 7 * * *", "timeZone": "Europe/Berlin"}}));
        let nowhere = code(&json!({"cron": {"expression": "0 7 * * *"}}));
        let daily = code(&json!({"every": {"seconds": 86_400}}));
        let twice = code(&json!({"cron": {"expression": "15 8 * * *", "also": ["45 12 * * *"]}}));
        let user = |schedule: Option<&str>, zone: Option<&str>, default: Option<&str>| Requested {
            schedule: schedule.map(Into::into),
            time_zone: zone.map(Into::into),
            default_zone: default.map(Into::into),
            ..Requested::default()
        };
        let (nine, tokyo, lima) = (Some("0 9 * * *"), Some("Asia/Tokyo"), Some("America/Lima"));
        for (requested, definition, told) in [
            (
                user(nine, None, None),
                None,
                "0 9 * * * (the cluster's zone)",
            ),
            (user(nine, None, lima), None, "0 9 * * * (America/Lima)"),
            (
                user(nine, tokyo, lima),
                Some(&berlin),
                "0 9 * * * (Asia/Tokyo)",
            ),
            // The code's zone belongs to the code's times.
            (
                user(nine, None, lima),
                Some(&berlin),
                "0 9 * * * (America/Lima)",
            ),
            (
                user(None, None, lima),
                Some(&berlin),
                "0 7 * * * (Europe/Berlin)",
            ),
            (
                user(None, None, lima),
                Some(&nowhere),
                "0 7 * * * (America/Lima)",
            ),
            (
                user(None, None, lima),
                Some(&daily),
                "0 0 * * * (America/Lima)",
            ),
            (
                user(None, None, lima),
                Some(&twice),
                "15 8 * * *, 45 12 * * * (America/Lima)",
            ),
        ] {
            let timing = timing(&requested, definition).unwrap();
            assert_eq!(timing.told().as_deref(), Some(told));
        }
    }

    #[test]
    fn the_days_of_the_code_belong_to_its_times() {
        let cron = json!({"expression": "0 9 * * *", "only": "last day of month"});
        let monthly = code(&json!({ "cron": cron }));
        let by_code = timing(&Requested::default(), Some(&monthly)).unwrap();
        assert_eq!(
            by_code.told().as_deref(),
            Some("0 9 * * * (the cluster's zone), only last day of month")
        );
        let requested = Requested {
            schedule: Some("0 9 1 * *".into()),
            ..Requested::default()
        };
        let by_user = timing(&requested, Some(&monthly)).unwrap();
        assert_eq!(
            by_user.told().as_deref(),
            Some("0 9 1 * * (the cluster's zone)")
        );
    }

    #[test]
    fn scheduled_without_a_schedule_is_told_what_to_write() {
        let none = code(&json!(null));
        let scheduled = Requested {
            mode: Some(ExecutionMode::Scheduled),
            ..Requested::default()
        };
        for definition in [None, Some(&none)] {
            let invalid = timing(&scheduled, definition).unwrap_err();
            assert!(
                invalid.message.contains("set spec.schedule, for example"),
                "{invalid}"
            );
        }
    }

    #[test]
    fn many_pods_do_not_share_one_schedule() {
        let requested = |replicas| Requested {
            replicas: Some(replicas),
            ..Requested::default()
        };
        let odd = code(&json!({"every": {"seconds": 5400}}));
        assert!(timing(&requested(2), Some(&odd)).is_err());
        assert!(timing(&requested(1), Some(&odd)).is_ok() && timing(&requested(2), None).is_ok());
    }

    #[test]
    fn distances_are_said_in_one_unit() {
        for (seconds, text) in [
            (5400, "every 90m"),
            (18_000, "every 5h"),
            (172_800, "every 2d"),
            (45, "every 45s"),
            (90, "every 90s"),
        ] {
            assert_eq!(Timing::Every { seconds }.told().as_deref(), Some(text));
        }
    }
}
