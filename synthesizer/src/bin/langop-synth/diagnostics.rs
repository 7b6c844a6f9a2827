//! Diagnostics as a compiler prints them. Pure; nothing that is printed can move the terminal's cursor.

use std::fmt::Write as _;

use langop_proto::v1::{Diagnostic, Severity};

/// Longest part of a source line that is shown, in characters.
const WIDTH: usize = 160;

/// The code that was checked, if it is at hand.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// How places in it are named.
    pub(crate) name: &'a str,
    pub(crate) code: Option<&'a str>,
}

/// All of them, each with its place, the line, what is marked, and what to write instead.
pub(crate) fn render(diagnostics: &[Diagnostic], source: Source<'_>) -> String {
    diagnostics
        .iter()
        .map(|diagnostic| one(diagnostic, source))
        .collect::<Vec<_>>()
        .join("\n")
}

fn one(diagnostic: &Diagnostic, source: Source<'_>) -> String {
    let mut text = format!(
        "{}[{}]: {}\n",
        severity(diagnostic.severity()),
        clean(&diagnostic.code),
        clean(&diagnostic.message)
    );
    let indent = " ".repeat(diagnostic.line.to_string().len());
    if diagnostic.line > 0 {
        let _ = writeln!(
            text,
            "{indent}--> {}:{}:{}",
            clean(source.name),
            diagnostic.line,
            diagnostic.column
        );
        if let Some(line) = source
            .code
            .and_then(|code| code.lines().nth(diagnostic.line as usize - 1))
        {
            let _ = write!(
                text,
                "{indent} |\n{} | {}\n{indent} | {}\n",
                diagnostic.line,
                shown(line),
                mark(diagnostic, line)
            );
        }
    }
    if !diagnostic.hint.is_empty() {
        let _ = writeln!(text, "{indent} = help: {}", clean(&diagnostic.hint));
    }
    text
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Error | Severity::Unspecified => "error",
    }
}

/// The line with every character one column wide, cut where it is long.
fn shown(line: &str) -> String {
    clean(line)
        .chars()
        .take(WIDTH)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

fn mark(diagnostic: &Diagnostic, line: &str) -> String {
    let width = line.chars().count().min(WIDTH);
    let before = (diagnostic.column.max(1) as usize - 1).min(width);
    let length = (diagnostic.length as usize).clamp(1, (width - before).max(1));
    format!("{}{}", " ".repeat(before), "^".repeat(length))
}

/// `text` with control characters as spaces.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(
        severity: Severity,
        line: u32,
        column: u32,
        length: u32,
        hint: &str,
    ) -> Diagnostic {
        Diagnostic {
            severity: severity.into(),
            code: "unknown-tool".into(),
            message: "the tool `mail` is not offered".into(),
            line,
            column,
            length,
            hint: hint.into(),
        }
    }

    #[test]
    fn prints_like_a_compiler() {
        let code = "require 'x'\n\tuse_tool \"mail\"\u{1b}[2J\n";
        let findings = [
            diagnostic(Severity::Error, 2, 11, 6, "write `email-tool`"),
            diagnostic(Severity::Warning, 2, 500, 9, ""),
            diagnostic(Severity::Error, 77, 1, 1, ""),
            diagnostic(Severity::Error, 0, 0, 0, "write an agent"),
        ];
        insta::assert_snapshot!(render(&findings, Source { name: "agent.rb", code: Some(code) }), @r#"
        error[unknown-tool]: the tool `mail` is not offered
         --> agent.rb:2:11
          |
        2 |  use_tool "mail" [2J
          |           ^^^^^^
          = help: write `email-tool`

        warning[unknown-tool]: the tool `mail` is not offered
         --> agent.rb:2:500
          |
        2 |  use_tool "mail" [2J
          |                     ^

        error[unknown-tool]: the tool `mail` is not offered
          --> agent.rb:77:1

        error[unknown-tool]: the tool `mail` is not offered
          = help: write an agent
        "#);
    }

    #[test]
    fn without_the_code_only_the_place_is_named() {
        let text = render(
            &[diagnostic(Severity::Error, 3, 5, 2, "")],
            Source {
                name: "answer",
                code: None,
            },
        );
        assert_eq!(
            text,
            "error[unknown-tool]: the tool `mail` is not offered\n --> answer:3:5\n"
        );
    }
}
