//! Why a schedule or duration is refused.

/// Why a schedule or duration is refused, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {advice}")]
pub struct ScheduleError {
    kind: ScheduleErrorKind,
    problem: String,
    advice: String,
}

/// What sort of thing is wrong with a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleErrorKind {
    /// The cron expression is outside the dialect.
    Cron,
    /// The cron expression is well formed but does not fire within five years.
    NeverFires,
    /// The time zone is no IANA name.
    TimeZone,
    /// The duration is none or out of bounds.
    Duration,
    /// The days of `only` are none that can be said.
    Calendar,
}

impl ScheduleError {
    pub(super) fn new(
        kind: ScheduleErrorKind,
        problem: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            problem: problem.into(),
            advice: advice.into(),
        }
    }

    /// What sort of thing is wrong.
    pub fn kind(&self) -> ScheduleErrorKind {
        self.kind
    }

    /// What is wrong, without advice.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What to write instead.
    pub fn advice(&self) -> &str {
        &self.advice
    }
}

/// `text` in backquotes for a message, cut where it is long and without control characters.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
