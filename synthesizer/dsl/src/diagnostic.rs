//! What is wrong with code, where, and what to write instead. Stable identifiers; no rule lives
//! here.

use std::fmt;

use serde::Serialize;

/// One finding in code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Whether it makes the code invalid.
    pub severity: Severity,
    /// The rule.
    pub code: DiagnosticCode,
    /// What is wrong, bounded in length.
    pub message: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Characters marked on that line, at least 1.
    pub length: u32,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            severity,
            code,
            message,
            line,
            column,
            ..
        } = self;
        write!(f, "{line}:{column}: {severity}[{code}]: {message}")?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The code is invalid.
    Error,
    /// Valid, but probably not meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $id:literal,)+) => {
        /// The rule a finding breaks. The identifiers are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum DiagnosticCode {
            $($(#[$doc])+ #[serde(rename = $id)] $name,)+
        }

        impl DiagnosticCode {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable kebab-case identifier.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)+
                }
            }
        }
    };
}

codes! {
    /// Not Ruby.
    SyntaxError = "syntax-error",
    /// Bytes that are not UTF-8, in the code or made by escapes in a string.
    NotUtf8 = "not-utf8",
    /// A NUL, in the code or made by an escape in a string.
    NullByte = "null-byte",
    /// A control character that is neither a line end nor a tab.
    ControlCharacter = "control-character",
    /// A character that is not seen, or that turns the direction of what is.
    HiddenCharacter = "hidden-character",
    /// A space of Unicode where Ruby knows only plain ones.
    UnicodeSpace = "unicode-space",
    /// More than [`crate::MAX_CODE_BYTES`], or too much of what is clearly no code of the language.
    TooLarge = "too-large",
    /// Values nested deeper than [`crate::MAX_VALUE_DEPTH`], or brackets and blocks deeper than any
    /// value is.
    TooDeep = "too-deep",
    /// Ruby, but not of the agent language.
    OutsideLanguage = "outside-language",
    /// Another `require`.
    OtherRequire = "other-require",
    /// No agent.
    MissingAgent = "missing-agent",
    /// More than one agent.
    SeveralAgents = "several-agents",
    /// The agent's name is illegal.
    BadName = "bad-name",
    /// The agent has neither objectives nor a workflow.
    NothingToDo = "nothing-to-do",
    /// The same thing twice.
    Duplicate = "duplicate",
    /// A keyword that is not known there.
    UnknownKeyword = "unknown-keyword",
    /// An argument or block that is needed is missing.
    MissingArgument = "missing-argument",
    /// An argument or block too many.
    UnexpectedArgument = "unexpected-argument",
    /// A literal of another type than needed.
    WrongType = "wrong-type",
    /// An empty text or list.
    Empty = "empty",
    /// A number out of its range.
    OutOfRange = "out-of-range",
    /// A hash key that is reserved.
    ReservedKey = "reserved-key",
    /// A cron expression, or the days of `only`, is illegal or never comes.
    BadSchedule = "bad-schedule",
    /// The duration is illegal.
    BadDuration = "bad-duration",
    /// The time zone is unknown.
    BadTimeZone = "bad-time-zone",
    /// The mode is unknown.
    BadMode = "bad-mode",
    /// Parts of the schedule, or schedule and mode, contradict each other.
    Conflict = "conflict",
    /// Two steps of one name.
    DuplicateStep = "duplicate-step",
    /// A step that does not exist.
    UnknownStep = "unknown-step",
    /// Steps that wait for each other.
    DependencyCycle = "dependency-cycle",
    /// The result of a step that this one does not depend on.
    ResultNotAncestor = "result-not-ancestor",
    /// `item` in a step that has no `each`.
    ItemWithoutEach = "item-without-each",
    /// A step that calls a tool for each item, the same each time.
    ItemUnused = "item-unused",
    /// A step that does nothing.
    MissingAction = "missing-action",
    /// A step that does two things.
    SeveralActions = "several-actions",
    /// A tool that the request does not offer.
    UnknownTool = "unknown-tool",
    /// An operation that the tool does not offer.
    UnknownOperation = "unknown-operation",
    /// A parameter that the operation does not take.
    UnknownParameter = "unknown-parameter",
    /// A parameter that the operation needs and does not get.
    MissingParameter = "missing-parameter",
    /// A parameter whose value is not what the operation takes.
    BadParameter = "bad-parameter",
    /// A model that the request does not offer.
    UnknownModel = "unknown-model",
    /// The code could not be checked at all; not the code's fault.
    Unchecked = "unchecked",
}

impl fmt::Display for DiagnosticCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_kebab_case_and_unique() {
        let ids: std::collections::BTreeSet<_> = DiagnosticCode::ALL
            .iter()
            .map(|code| code.as_str())
            .collect();
        assert_eq!(ids.len(), DiagnosticCode::ALL.len());
        for id in ids {
            assert!(
                id.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{id}"
            );
        }
        let json = serde_json::to_value(DiagnosticCode::NotUtf8).unwrap();
        assert_eq!(json, DiagnosticCode::NotUtf8.as_str());
    }
}
