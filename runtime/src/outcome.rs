//! How a run ended: the outcome, its reason and the exit code of the process. The one table of
//! them; pure.

use std::fmt;

use serde::Serialize;

/// How a run ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All was done, or there was nothing to do.
    Succeeded,
    /// Something kept it from the end.
    Failed,
    /// A signal ended it.
    Stopped,
    /// It was not due, and nothing was done.
    Skipped,
}

impl Outcome {
    /// As in the termination message and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Skipped => "skipped",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident = $id:literal, $code:literal;)+) => {
        /// Why a run failed. The identifiers are stable: they are in termination messages, logs and
        /// metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])+ $name,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable kebab-case identifier.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)+
                }
            }

            /// With which the process exits.
            pub fn exit_code(self) -> u8 {
                match self {
                    $(Self::$name => $code,)+
                }
            }
        }
    };
}

reasons! {
    /// A tool answered with an error.
    ToolError = "tool-error", 1;
    /// A model refused, or gave nothing.
    ModelRefused = "model-refused", 1;
    /// A model says that the objectives cannot be achieved.
    Impossible = "impossible", 1;
    /// A condition was answered neither YES nor NO.
    Undecided = "undecided", 1;
    /// The same call gave the same result again and again.
    NoProgress = "no-progress", 1;
    /// A call may or may not have had its effect, and must not be repeated.
    OutcomeUnknown = "outcome-unknown", 1;
    /// A tool asks for a person, whom an agent does not have.
    NeedsPerson = "needs-person", 1;
    /// A step runs once per item of a list, and there is none.
    NotAList = "not-a-list", 1;
    /// The environment is wrong.
    Configuration = "configuration", 3;
    /// The code is wrong.
    InvalidCode = "invalid-code", 3;
    /// The code and the definition beside it differ.
    CodeMismatch = "code-mismatch", 3;
    /// The code names a tool or model that the environment does not hold.
    NotOffered = "not-offered", 3;
    /// As many answers of models as allowed were used.
    IterationLimit = "iteration-limit", 4;
    /// A list has more items than a step runs for.
    ItemLimit = "item-limit", 4;
    /// As many tokens as allowed were used.
    TokenLimit = "token-limit", 4;
    /// The time is over.
    TimeLimit = "time-limit", 5;
    /// No model answers.
    ModelUnavailable = "model-unavailable", 6;
    /// A tool does not answer.
    ToolUnavailable = "tool-unavailable", 7;
    /// A tool lets nobody in.
    ToolRefused = "tool-refused", 7;
    /// A tool does not keep to the protocol.
    ToolProtocol = "tool-protocol", 7;
    /// A tool has no such operation.
    UnknownOperation = "unknown-operation", 7;
    /// A signal ended the run.
    Stopped = "stopped", 143;
}

impl Reason {
    /// The outcome that it is a reason for.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Stopped => Outcome::Stopped,
            _ => Outcome::Failed,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why something failed, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The reason.
    pub reason: Reason,
    /// What is wrong and what to do; may hold texts of tools and models.
    pub message: String,
}

impl Failure {
    /// A failure for `reason`, described by `message`.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_kebab_case_unique_and_have_a_code() {
        let ids: std::collections::BTreeSet<_> =
            Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(ids.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!(
                reason
                    .as_str()
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{reason}"
            );
            assert!(
                matches!(reason.exit_code(), 1 | 3..=7 | 143),
                "{reason} exits with a code of the table"
            );
        }
    }
}
