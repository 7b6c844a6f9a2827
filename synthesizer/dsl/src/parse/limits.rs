//! What is refused before any parsing.

use super::characters;
use super::findings::Findings;
use super::parsed::{MAX_CODE_BYTES, Parsed};
use super::scan;
use crate::diagnostic::DiagnosticCode;
use crate::source::{Source, Span};

/// Most bytes of what is not plain code of the language, unary operators counted twice: nothing
/// shorter nests the parser. What is allowed takes at most 50 ms to check; the worst found in a
/// million tries took half of that.
const MAX_OTHER_BYTES: usize = 8 * 1024;

/// Deepest nesting of brackets and blocks, values included.
const MAX_NESTING: usize = 100;

/// Whether `code` may be read.
pub(super) fn check(code: &str, findings: &mut Findings) -> bool {
    is_short(code, findings) && characters::check(code, findings) && is_measured(code, findings)
}

/// Whether `code` may be handed to the parser.
pub(super) fn is_bounded(code: &str) -> bool {
    let mut findings = Findings::default();
    is_short(code, &mut findings) && !code.contains('\0') && is_measured(code, &mut findings)
}

fn is_short(code: &str, findings: &mut Findings) -> bool {
    let is_short = code.len() <= MAX_CODE_BYTES;
    if !is_short {
        let message = format!(
            "the code has {} bytes, more than {MAX_CODE_BYTES}",
            code.len()
        );
        let hint = "write a shorter agent".to_owned();
        findings.error(Span::START, DiagnosticCode::TooLarge, message, hint);
    }
    is_short
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
            "too much that is not plain text follows: {} bytes",
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
