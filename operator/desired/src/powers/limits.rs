//! The bounds of one run: the spec's word, else the code's. Those of an administrator bound every
//! agent alike and are no agent's power.

use langop_dsl::format_duration;
use serde::{Deserialize, Serialize};

use super::widening::Widening;

/// The bounds of one run; what is absent is unbounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Limits {
    /// Most rounds of thinking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_iterations: Option<u32>,
    /// Longest time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) timeout_seconds: Option<u64>,
}

impl Limits {
    /// Which bounds are larger, or gone.
    pub(super) fn wider_than(self, before: Self) -> impl Iterator<Item = Widening> {
        let iterations = (
            self.max_iterations.map(u64::from),
            before.max_iterations.map(u64::from),
        );
        let times = (self.timeout_seconds, before.timeout_seconds);
        [
            more(iterations, |most| match most {
                Some(most) => format!("at most {most} iterations"),
                None => "any number of iterations".to_owned(),
            }),
            more(times, |most| match most {
                Some(most) => format!("runs of at most {}", format_duration(most)),
                None => "runs of any length".to_owned(),
            }),
        ]
        .into_iter()
        .flatten()
    }
}

fn more(
    (now, before): (Option<u64>, Option<u64>),
    told: impl Fn(Option<u64>) -> String,
) -> Option<Widening> {
    let before_most = before?;
    let is_more = now.is_none_or(|now| now > before_most);
    is_more.then(|| Widening::more(told(now), told(before)))
}
