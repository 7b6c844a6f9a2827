//! How often an agent runs at most.

use k8s_openapi::jiff::civil::{Date, date};
use langop_dsl::{format_duration, shortest_distance};
use serde::{Deserialize, Serialize};

use super::widening::Widening;
use crate::agent::timing::Timing;

/// From where runs are looked for: not from today on, so that the powers of an agent that nobody
/// changes stay the same text and an approval stays good.
const FROM: Date = date(2024, 1, 1);

/// How often an agent runs at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Pace {
    /// All the time.
    Continuous,
    /// Again after so many seconds at the earliest.
    Every {
        /// The shortest time between two runs.
        seconds: u64,
    },
}

impl Pace {
    /// That of an agent which runs so. What cannot be read counts as all the time.
    pub(super) fn of(timing: &Timing) -> Self {
        match timing {
            Timing::Continuous => Self::Continuous,
            Timing::Every { seconds } => Self::Every { seconds: *seconds },
            Timing::Cron {
                expressions, only, ..
            } => {
                let expressions = expressions.iter().map(String::as_str);
                shortest_distance(expressions, only.as_ref(), FROM)
                    .map_or(Self::Continuous, |seconds| Self::Every { seconds })
            }
        }
    }

    /// Whether it runs more often.
    pub(super) fn wider_than(self, before: Self) -> Option<Widening> {
        let is_wider = match (self, before) {
            (_, Self::Continuous) => false,
            (Self::Continuous, Self::Every { .. }) => true,
            (Self::Every { seconds }, Self::Every { seconds: before }) => seconds < before,
        };
        is_wider.then(|| Widening::more(self.told(), before.told()))
    }

    /// `every 5 min`, `daily`.
    pub(super) fn told(self) -> String {
        let Self::Every { seconds } = self else {
            return "all the time".to_owned();
        };
        match seconds {
            60 => "every minute".to_owned(),
            3600 => "hourly".to_owned(),
            86_400 => "daily".to_owned(),
            604_800 => "weekly".to_owned(),
            _ if seconds % 86_400 == 0 => format!("every {} days", seconds / 86_400),
            _ if seconds % 3600 == 0 => format!("every {} hours", seconds / 3600),
            _ if seconds % 60 == 0 && seconds < 3600 => format!("every {} min", seconds / 60),
            _ => format!("every {}", format_duration(seconds)),
        }
    }
}
