//! Which characters code may be written in: those that every reader, person or program, sees as the
//! same. Looks at no syntax.
//!
//! Ruby ends a program at some control characters, obeys switches on lines that begin with `#!`,
//! and reads the file in another encoding if a comment says so; people do not see what has no width
//! and are misled by what turns the direction of text. What is stored is rendered from the
//! definition and holds none of these; they are refused so that what people check is what it says.

use super::findings::Findings;
use crate::clean::is_hidden;
use crate::diagnostic::DiagnosticCode;
use crate::source::Span;

/// Whether `code` holds no character that is refused wherever it stands. A line that begins with
/// `#!` is diagnosed, too, but does not keep the rest from being read.
pub(super) fn check(code: &str, findings: &mut Findings) -> bool {
    script_lines(code, findings);
    let mut is_plain = true;
    for (start, c) in code.char_indices() {
        let Some((rule, what)) = refusal(code, start, c) else {
            continue;
        };
        is_plain = false;
        if findings.are_enough() {
            break;
        }
        let hint = match c {
            '\0' => "remove it".to_owned(),
            '\r' => "end the line with a line feed".to_owned(),
            _ => format!(
                "remove it; where a text needs it, write `\\u{{{:x}}}` between double quotes",
                u32::from(c)
            ),
        };
        let message = format!("the code holds {what}");
        findings.error(of_character(start, c), rule, message, hint);
    }
    is_plain
}

fn of_character(start: usize, c: char) -> Span {
    Span {
        start,
        end: start + c.len_utf8(),
    }
}

/// The rule that the character breaks, and what it is called.
fn refusal(code: &str, start: usize, c: char) -> Option<(DiagnosticCode, String)> {
    match c {
        '\n' | '\t' => None,
        '\r' if code[start + 1..].starts_with('\n') => None,
        '\r' => Some((
            DiagnosticCode::ControlCharacter,
            "a carriage return without a line feed".to_owned(),
        )),
        '\0' => Some((DiagnosticCode::NullByte, "a NUL".to_owned())),
        c if c.is_control() => Some((
            DiagnosticCode::ControlCharacter,
            format!("a control character, U+{:04X}", u32::from(c)),
        )),
        // some editors begin every file with it
        '\u{feff}' if start == 0 => None,
        c if is_hidden(c) => Some((
            DiagnosticCode::HiddenCharacter,
            format!("{}, U+{:04X}", hidden(c), u32::from(c)),
        )),
        _ => None,
    }
}

fn hidden(c: char) -> &'static str {
    match c {
        '\u{200b}' => "a zero-width space",
        '\u{200c}' => "a zero-width non-joiner",
        '\u{200d}' => "a zero-width joiner",
        '\u{ad}' => "a soft hyphen",
        '\u{feff}' => "a byte order mark inside",
        '\u{2028}' | '\u{2029}' => "a line or paragraph separator",
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "a character that turns the direction of text"
        }
        _ => "a character that is not seen",
    }
}

fn script_lines(code: &str, findings: &mut Findings) {
    let mut start = 0;
    for line in code.split_inclusive('\n') {
        let text = line
            .trim_start_matches('\u{feff}')
            .trim_start_matches([' ', '\t']);
        if text.starts_with("#!") && !findings.are_enough() {
            let message =
                "a line that begins with `#!` is not part of the agent language".to_owned();
            let hint =
                "remove it; where a text needs it, write `\\n#!` in one line of it".to_owned();
            let span = Span::one(start + line.len() - text.len());
            findings.error(span, DiagnosticCode::OutsideLanguage, message, hint);
        }
        start += line.len();
    }
}

/// Whether it looks like a space and is none to Ruby, which takes it for a letter.
pub(super) fn is_unicode_space(c: char) -> bool {
    !c.is_ascii() && c.is_whitespace() && !c.is_control() && !is_hidden(c)
}

/// Diagnoses a character of [`is_unicode_space`] outside of texts.
pub(super) fn not_a_space(start: usize, c: char, findings: &mut Findings) {
    let what = match c {
        '\u{a0}' => "a no-break space",
        '\u{202f}' => "a narrow no-break space",
        '\u{3000}' => "an ideographic space",
        _ => "a space of Unicode",
    };
    let message = format!("{what}, U+{:04X}, is a letter to Ruby", u32::from(c));
    let hint = "write a plain space instead".to_owned();
    let rule = DiagnosticCode::UnicodeSpace;
    findings.error(of_character(start, c), rule, message, hint);
}

/// Whether Ruby could read `comment`, if it is on one of the first two lines, as one that names an
/// encoding. It takes several forms, and more than it documents; all hold this word.
pub(super) fn may_name_encoding(comment: &str) -> bool {
    comment.to_ascii_lowercase().contains("coding")
}
