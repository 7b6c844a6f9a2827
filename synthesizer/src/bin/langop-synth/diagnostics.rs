//! Diagnostics as a compiler prints them, by the renderer that rustc's own output comes from. Pure;
//! nothing that is printed can move the terminal's cursor. The text is coloured: whoever writes it
//! removes that where it is not wanted.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use langop_dsl::clean;
use langop_proto::v1::{Diagnostic, Severity};

/// The code that was checked, if it is at hand.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// How places in it are named.
    pub(crate) name: &'a str,
    pub(crate) code: Option<&'a str>,
}

/// All of them, each with its place, the line, what is marked, and what to write instead; a blank
/// line after each.
pub(crate) fn render(diagnostics: &[Diagnostic], source: Source<'_>) -> String {
    let name = clean(source.name);
    let code = source.code.map(visible);
    let renderer = Renderer::styled();
    let mut text = String::new();
    for diagnostic in diagnostics {
        let report = [group(diagnostic, &name, code.as_deref())];
        text.push_str(&renderer.render(&report));
        text.push_str("\n\n");
    }
    text
}

fn group<'a>(diagnostic: &Diagnostic, name: &'a str, code: Option<&'a str>) -> Group<'a> {
    let level = match diagnostic.severity() {
        Severity::Warning => Level::WARNING,
        Severity::Error | Severity::Unspecified => Level::ERROR,
    };
    let title = level
        .primary_title(clean(&diagnostic.message))
        .id(clean(&diagnostic.code));
    let mut group = Group::with_title(title);
    let marked = code.and_then(|code| Some((code, marked(diagnostic, code)?)));
    if let Some((code, span)) = marked {
        let mark = AnnotationKind::Primary.span(span);
        group = group.element(Snippet::source(code).path(name).annotation(mark));
    } else if diagnostic.line > 0 {
        let origin = Origin::path(name)
            .line(diagnostic.line as usize)
            .char_column(diagnostic.column as usize);
        group = group.element(origin);
    }
    if !diagnostic.hint.is_empty() {
        group = group.element(Level::HELP.message(clean(&diagnostic.hint)));
    }
    group
}

/// The bytes of `code` that are meant; `None` where it has no such line.
fn marked(diagnostic: &Diagnostic, code: &str) -> Option<Range<usize>> {
    let line = (diagnostic.line as usize).checked_sub(1)?;
    let before: usize = code.split_inclusive('\n').take(line).map(str::len).sum();
    let line = code[before..].split('\n').next()?;
    if before == code.len() && !code.is_empty() {
        return None;
    }
    let byte = |column: usize| {
        let found = line.char_indices().nth(column);
        before + found.map_or(line.len(), |(byte, _)| byte)
    };
    let start = (diagnostic.column as usize).saturating_sub(1);
    let length = (diagnostic.length as usize).max(1);
    Some(byte(start)..byte(start.saturating_add(length)))
}

/// Code with what is not seen in its lines as spaces, so that columns stay.
fn visible(code: &str) -> String {
    let lines: Vec<String> = code.split('\n').map(clean).collect();
    lines.join("\n")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Without colours.
    pub(crate) fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

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
        let code = "require 'x'\n\tuse_tool \"mäil\"\u{1b}[2J\n";
        let findings = [
            diagnostic(Severity::Error, 2, 11, 6, "write `email-tool`"),
            diagnostic(Severity::Warning, 2, 500, 9, ""),
            diagnostic(Severity::Error, 77, 1, 1, ""),
            diagnostic(Severity::Error, 0, 0, 0, "write an agent"),
        ];
        let text = render(
            &findings,
            Source {
                name: "agent.rb",
                code: Some(code),
            },
        );
        insta::assert_snapshot!(plain(&text), @r#"
        error[unknown-tool]: the tool `mail` is not offered
         --> agent.rb:2:11
          |
        2 |  use_tool "mäil" [2J
          |           ^^^^^^
          |
          = help: write `email-tool`

        warning[unknown-tool]: the tool `mail` is not offered
         --> agent.rb:2:21
          |
        2 |  use_tool "mäil" [2J
          |                     ^

        error[unknown-tool]: the tool `mail` is not offered
        --> agent.rb:77:1

        error[unknown-tool]: the tool `mail` is not offered
         |
         = help: write an agent
        "#);
        assert!(text.contains("\u{1b}[1m"), "it is coloured");
        assert!(!text.contains("[2J\u{1b}") && !text.contains("\u{1b}[2J"));
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
            plain(&text),
            "error[unknown-tool]: the tool `mail` is not offered\n--> answer:3:5\n\n"
        );
    }

    #[test]
    fn no_place_is_outside_the_code() {
        for code in ["", "a", "a\n", "ä\r\nö", "\n\n"] {
            for line in 0..5 {
                for (column, length) in [(0, 0), (1, 1), (2, 9), (u32::MAX, u32::MAX)] {
                    let finding = diagnostic(Severity::Error, line, column, length, "");
                    let text = render(
                        &[finding],
                        Source {
                            name: "x",
                            code: Some(code),
                        },
                    );
                    assert!(text.contains("not offered"));
                }
            }
        }
    }
}
