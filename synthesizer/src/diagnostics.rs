//! Findings in the form of the wire: those of the checker, and those about an answer as a whole.

use langop_dsl::{Diagnostic, Severity, secrets};
use langop_proto::{limits, v1};

/// The answer held no code.
pub const NO_CODE: &str = "no-code";
/// The answer was cut off.
pub const TRUNCATED: &str = "answer-truncated";

/// Too few tokens are left for a repair.
pub const TOO_FEW_TOKENS: &str = "too-few-tokens";

/// The provider keeps the answer back.
pub const WITHHELD: &str = "answer-withheld";

/// The instructions hold a secret.
pub const SECRET: &str = "secret-in-instructions";

/// Warnings about secrets in the instructions. They never reach the prompt, and no finding repeats
/// them; the place is in the words, because a finding's own is one in code.
pub fn about_secrets(instructions: &str) -> Vec<v1::Diagnostic> {
    secrets::find(instructions)
        .iter()
        .map(|secret| v1::Diagnostic {
            severity: v1::Severity::Warning.into(),
            code: SECRET.to_owned(),
            message: format!(
                "line {} of the instructions holds what looks like {}; it was left out",
                secret.line(instructions),
                secret.sort
            ),
            hint: "revoke it, remove it from the instructions, and put a new one into a Secret \
                   that the tool which needs it reads (LanguageTool spec.env with secretKeyRef)"
                .to_owned(),
            ..v1::Diagnostic::default()
        })
        .collect()
}

/// At most as many as an answer may hold.
pub fn to_wire(findings: Vec<Diagnostic>) -> Vec<v1::Diagnostic> {
    findings
        .into_iter()
        .take(limits::DIAGNOSTICS)
        .map(one_to_wire)
        .collect()
}

fn one_to_wire(finding: Diagnostic) -> v1::Diagnostic {
    let severity = match finding.severity {
        Severity::Error => v1::Severity::Error,
        Severity::Warning => v1::Severity::Warning,
    };
    v1::Diagnostic {
        severity: severity.into(),
        code: finding.code.as_str().to_owned(),
        message: finding.message,
        line: finding.line,
        column: finding.column,
        hint: finding.hint.unwrap_or_default(),
        length: finding.length,
    }
}

/// An error without a place.
pub fn about_answer(code: &str, message: &str, hint: &str) -> v1::Diagnostic {
    v1::Diagnostic {
        severity: v1::Severity::Error.into(),
        code: code.to_owned(),
        message: message.to_owned(),
        hint: hint.to_owned(),
        ..v1::Diagnostic::default()
    }
}
