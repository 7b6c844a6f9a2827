//! What is refused before any parsing, and the bounds of the language.

use super::Parsed;
use super::findings::Findings;
use super::scan;
use crate::diagnostic::DiagnosticCode;
use crate::source::{Source, Span};

/// Largest code in bytes: what the code ConfigMap holds.
pub const MAX_CODE_BYTES: usize = 128 * 1024;

/// Most diagnostics returned.
pub const MAX_DIAGNOSTICS: usize = 50;

/// Deepest nesting of arrays and hashes in a value.
pub const MAX_VALUE_DEPTH: usize = 32;

/// Most bytes of what is not plain code of the language, unary operators counted twice: nothing shorter nests the parser. What
/// is allowed takes at most 50 ms to check; the worst found in a million tries took half of that.
const MAX_OTHER_BYTES: usize = 8 * 1024;

/// Deepest nesting of brackets and blocks, values included.
const MAX_NESTING: usize = 100;

/// Whether `code` may be handed to the parser.
pub(super) fn check(code: &str, findings: &mut Findings) -> bool {
    if code.len() > MAX_CODE_BYTES {
        let message = format!(
            "the code has {} bytes, more than {MAX_CODE_BYTES}",
            code.len()
        );
        findings.error(
            Span::START,
            DiagnosticCode::TooLarge,
            message,
            "write a shorter agent".to_owned(),
        );
        return false;
    }
    if let Some(start) = code.find('\0') {
        findings.error(
            Span::one(start),
            DiagnosticCode::NullByte,
            "the code holds a NUL".to_owned(),
            "remove it".to_owned(),
        );
        return false;
    }
    is_measured(code, findings)
}

fn is_measured(code: &str, findings: &mut Findings) -> bool {
    let measure = scan::measure(code, MAX_NESTING);
    if let Some(start) = measure.too_deep {
        let message = format!("brackets and blocks are nested deeper than {MAX_NESTING}");
        let hint = "close what is open, and write flatter values".to_owned();
        findings.error(Span::one(start), DiagnosticCode::TooDeep, message, hint);
        return false;
    }
    let Some(start) = measure.other else {
        return true;
    };
    let rest = &code[start..];
    let operators = rest
        .bytes()
        .filter(|byte| matches!(byte, b'!' | b'~' | b'+' | b'-'));
    let is_short = rest.len() + operators.count() <= MAX_OTHER_BYTES;
    if !is_short {
        let message = format!(
            "from here on there is too much to check that is no plain text: {} bytes",
            rest.len()
        );
        let hint = "write fewer and plainer statements, texts in plain quotes without interpolation, and close every quote".to_owned();
        findings.error(Span::one(start), DiagnosticCode::TooLarge, message, hint);
    }
    is_short
}

/// The answer to bytes that are not UTF-8 from `valid` on.
pub(super) fn not_utf8(code: &[u8], valid: usize) -> Parsed {
    // what is before the bad byte is text, and enough to count lines and columns
    let before = String::from_utf8_lossy(&code[..valid]);
    let mut findings = Findings::default();
    let span = Span::one(valid);
    findings.error(
        span,
        DiagnosticCode::NotUtf8,
        "the code is not UTF-8 from here".to_owned(),
        "save it as UTF-8".to_owned(),
    );
    findings.finish(&Source::new(&before), None)
}

/// Whether Ruby would read `comment` as one that names an encoding: `coding:` or `coding=` and a word.
pub(super) fn names_encoding(comment: &str) -> bool {
    let lower = comment.to_ascii_lowercase();
    lower.split("coding").skip(1).any(|rest| {
        rest.strip_prefix([':', '=']).is_some_and(|value| {
            value
                .trim_start()
                .starts_with(|c: char| c.is_ascii_alphanumeric())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_comments_as_ruby_sees_them() {
        for yes in [
            "# coding: ascii",
            "# -*- Encoding: UTF-8 -*-",
            "# vim: set fileencoding=latin1 :",
        ] {
            assert!(names_encoding(yes), "{yes}");
        }
        for no in [
            "# coding",
            "# encoding is utf-8",
            "# a coding : x",
            "# frozen_string_literal: true",
        ] {
            assert!(!names_encoding(no), "{no}");
        }
    }
}
