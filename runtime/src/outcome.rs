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
    ($($(#[doc = $doc:literal])+ $name:ident = $id:literal, $code:literal, $advice:literal;)+) => {
        /// Why a run failed. The identifiers are stable: they are in termination messages, logs and
        /// metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
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

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_start(),)+
                }
            }

            /// What to do.
            pub fn advice(self) -> &'static str {
                match self {
                    $(Self::$name => $advice,)+
                }
            }
        }
    };
}

reasons! {
    /// A tool answered with an error.
    ToolError = "tool-error", 1,
        "Read the tool's words in the message and in the log of the step; correct the parameters by clearer instructions, or the tool";
    /// A model refused, or gave nothing.
    ModelRefused = "model-refused", 1,
        "Read the provider's words: its content filter, a request that is too long, the key, or the name of the model";
    /// A model says that the objectives cannot be achieved.
    Impossible = "impossible", 1,
        "Read why; give the agent the tool that it lacks, or ask for less";
    /// A condition was answered neither YES nor NO.
    Undecided = "undecided", 1,
        "Word the condition so that yes or no answers it, or take a stronger model";
    /// The same call gave the same result again and again.
    NoProgress = "no-progress", 1,
        "Read in the log which call; say in the instructions what ends the work";
    /// A call may or may not have had its effect, and must not be repeated.
    OutcomeUnknown = "outcome-unknown", 1,
        "Look at the tool's own side whether the effect is there, then run it again, or not";
    /// A tool asks for a person, whom an agent does not have.
    NeedsPerson = "needs-person", 1,
        "Take a tool, or settings of it, that ask nobody";
    /// A step runs once per item of a list, and there is none.
    NotAList = "not-a-list", 1,
        "Have the step before give a list: see its result in the log";
    /// The environment is wrong.
    Configuration = "configuration", 3,
        "Correct what the message names: the container's environment, most often by a spec.env of your own";
    /// The code is wrong.
    InvalidCode = "invalid-code", 3,
        "Have the code written anew; an image of your own may be older than the operator";
    /// The code and the definition beside it differ.
    CodeMismatch = "code-mismatch", 3,
        "Have the code written anew: its ConfigMap is not as the operator stored it";
    /// The code names a tool or model that the environment does not hold.
    NotOffered = "not-offered", 3,
        "Add it to toolRefs or modelRefs, or have the code written anew";
    /// As many answers of models as allowed were used.
    IterationLimit = "iteration-limit", 4,
        "Ask for less in one run, or raise spec.limits.maxIterations";
    /// A list has more items than a step runs for.
    ItemLimit = "item-limit", 4,
        "Narrow the list, or raise spec.limits.maxIterations, up to 100";
    /// As many tokens as allowed were used.
    TokenLimit = "token-limit", 4,
        "Ask for less in one run, or raise LANGOP_AGENT_MAX_TOKENS in spec.env";
    /// The time is over.
    TimeLimit = "time-limit", 5,
        "Raise spec.limits.timeout, or find what is slow in the log of the steps";
    /// No model answers.
    ModelUnavailable = "model-unavailable", 6,
        "See why the LanguageModel's proxy or its provider does not answer: kubectl langop why model/NAME";
    /// A tool does not answer.
    ToolUnavailable = "tool-unavailable", 7,
        "See why the tool does not answer: kubectl langop why tool/NAME";
    /// A tool lets nobody in.
    ToolRefused = "tool-refused", 7,
        "Give the tool the credentials that it asks for";
    /// A tool does not keep to the protocol.
    ToolProtocol = "tool-protocol", 7,
        "See the tool's log; it must speak MCP over Streamable HTTP";
    /// A tool has no such operation.
    UnknownOperation = "unknown-operation", 7,
        "Have the code written anew, or correct spec.operations of the LanguageTool";
    /// A signal ended the run.
    Stopped = "stopped", 143,
        "Nothing, where somebody stopped it: a deletion, a new version, a drained node";
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
