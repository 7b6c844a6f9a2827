//! What is refused before any parsing, and the bounds of the language.

use super::Parsed;
use super::findings::Findings;
use crate::diagnostic::DiagnosticCode;
use crate::source::{Source, Span};

/// Largest code in bytes: what the code ConfigMap holds.
pub const MAX_CODE_BYTES: usize = 128 * 1024;

/// Most diagnostics returned.
pub const MAX_DIAGNOSTICS: usize = 50;

/// Deepest nesting of arrays and hashes in a value.
pub const MAX_VALUE_DEPTH: usize = 32;

/// Longest run of the operators `! ~ + -`, spaces aside. The language has none of them but a minus sign; a ruler in a comment
/// has some, and prism takes seconds for 128 KiB of them.
const MAX_OPERATOR_RUN: usize = 500;

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
        let span = Span {
            start,
            end: start + 1,
        };
        findings.error(
            span,
            DiagnosticCode::NullByte,
            "the code holds a NUL".to_owned(),
            "remove it".to_owned(),
        );
        return false;
    }
    if let Some(start) = operator_run(code) {
        let span = Span {
            start,
            end: start + 1,
        };
        let message = format!("more than {MAX_OPERATOR_RUN} operators in a row");
        findings.error(
            span,
            DiagnosticCode::TooDeep,
            message,
            "remove them".to_owned(),
        );
        return false;
    }
    true
}

/// Where a run of operators starts that is too long.
fn operator_run(code: &str) -> Option<usize> {
    let (mut start, mut length) = (0, 0);
    for (offset, byte) in code.bytes().enumerate() {
        match byte {
            b'!' | b'~' | b'+' | b'-' if length == 0 => (start, length) = (offset, 1),
            b'!' | b'~' | b'+' | b'-' => length += 1,
            _ if byte.is_ascii_whitespace() => {}
            _ => length = 0,
        }
        if length > MAX_OPERATOR_RUN {
            return Some(start);
        }
    }
    None
}

/// The answer to bytes that are not UTF-8 from `valid` on.
pub(super) fn not_utf8(code: &[u8], valid: usize) -> Parsed {
    // what is before the bad byte is text, and enough to count lines and columns
    let before = String::from_utf8_lossy(&code[..valid]);
    let mut findings = Findings::default();
    let span = Span {
        start: valid,
        end: valid,
    };
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
