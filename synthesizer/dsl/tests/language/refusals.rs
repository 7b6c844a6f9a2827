//! What is refused, with rule, place and advice: the table in refusals.txt, and findings taken
//! together.

use langop_dsl::{DiagnosticCode, MAX_DIAGNOSTICS, parse_bytes};

use super::{EXAMPLE, agent, now, offer, params, read, steps, with};

/// One line of the table, in its frame.
struct Refusal {
    rule: &'static str,
    part: &'static str,
    code: String,
    line: usize,
    column: usize,
}

impl Refusal {
    /// Takes the mark out of `marked`; where it was is the place expected.
    fn new(rule: &'static str, part: &'static str, marked: &str) -> Self {
        let (before, _) = marked
            .split_once('▸')
            .unwrap_or_else(|| panic!("no mark in {marked}"));
        let last_line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            rule,
            part,
            line: before.matches('\n').count() + 1,
            column: last_line.chars().count() + 1,
            code: marked.replacen('▸', "", 1),
        }
    }
}

/// The section's frames around `code`.
fn frames(section: &str, code: &str) -> Vec<String> {
    match section {
        "file" => vec![code.to_owned()],
        "agent" => vec![agent(code)],
        "with" => vec![with(code)],
        "steps" => vec![steps(code)],
        "params" => vec![params(code)],
        "value" => vec![params(&format!("{{ k: {code} }}"))],
        "statement" => vec![
            format!("require 'language_operator'\n{code}\nagent('a') {{ objectives ['x'] }}"),
            with(code),
            steps(code),
            steps(&format!("step 'A' do ask 'x'\n{code}\nend")),
        ],
        other => panic!("no section {other}"),
    }
}

fn refusals() -> Vec<Refusal> {
    let mut section = "";
    let mut refusals = Vec::new();
    for line in include_str!("refusals.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(title) = line.strip_prefix("== ") {
            section = title.split(':').next().unwrap_or_default();
            continue;
        }
        let mut columns = line.splitn(3, " | ");
        let mut column = || {
            columns
                .next()
                .unwrap_or_else(|| panic!("too few columns: {line}"))
        };
        let (rule, part, code) = (column(), column(), column().replace('⏎', "\n"));
        refusals.extend(
            frames(section, &code)
                .iter()
                .map(|marked| Refusal::new(rule, part, marked)),
        );
    }
    refusals
}

#[test]
fn refuses_with_rule_place_and_advice() {
    let refusals = refusals();
    assert!(refusals.len() > 200, "the table was not read");
    for Refusal {
        rule,
        part,
        code,
        line,
        column,
    } in refusals
    {
        let parsed = read(&code);
        let found: Vec<String> = parsed.diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(parsed.definition, None, "{code}\n{found:#?}");
        let hit = parsed.diagnostics.iter().find(|diagnostic| {
            let place = (diagnostic.line as usize, diagnostic.column as usize);
            diagnostic.code.as_str() == rule
                && place == (line, column)
                && diagnostic.to_string().contains(part)
        });
        let Some(hit) = hit else {
            panic!("no {rule} at {line}:{column} with {part:?} in\n{code}\n{found:#?}")
        };
        assert!(
            hit.hint.as_ref().is_some_and(|hint| !hint.is_empty()),
            "{hit}"
        );
    }
}

/// Rules that need code no table can show are tested below or with the hostile input.
#[test]
fn every_rule_has_a_test() {
    let elsewhere = [
        "syntax-error",
        "too-large",
        "unchecked",
        // below, because a table of text cannot show them
        "control-character",
        "hidden-character",
        "unicode-space",
        // in `offered`
        "unknown-operation",
        "unknown-parameter",
        "missing-parameter",
        "bad-parameter",
    ];
    let tested: Vec<&str> = refusals()
        .iter()
        .map(|refusal| refusal.rule)
        .chain(elsewhere)
        .collect();
    for rule in DiagnosticCode::ALL {
        assert!(tested.contains(&rule.as_str()), "{rule}");
    }
}

#[test]
fn one_mistake_gives_one_finding() {
    for code in [
        with("eval 'x'"),
        with("schedule cron: '*/90 * * * *'\nmode :scheduled"),
        steps(
            "step 'A' do use_tool 'calendar' end\nstep 'B', depends_on: 'A' do ask result('A') end",
        ),
        steps("step 'A' do puts 'x' end"),
        agent("workflow do\nend"),
        params("{ a: { b: foo } }"),
    ] {
        let parsed = read(&code);
        assert_eq!(
            parsed.diagnostics.len(),
            1,
            "{code}\n{:#?}",
            parsed.diagnostics
        );
    }
}

#[test]
fn every_mistake_is_found_in_source_order() {
    let parsed = read(&agent(
        "descripton 'x'\nschedule every: 'x'\nworkflow do\nstep 'A' do use_tool 'no', params: { a: B, c: D } end\nend",
    ));
    let found: Vec<_> = parsed
        .diagnostics
        .iter()
        .map(|diagnostic| (diagnostic.line, diagnostic.code.as_str()))
        .collect();
    let expected = [
        (3, "outside-language"),
        (4, "bad-duration"),
        (6, "unknown-tool"),
        (6, "outside-language"),
        (6, "outside-language"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn syntax_errors_have_a_place() {
    for (code, line) in [
        (agent("description 'x").replace("\nend\n", ""), 3),
        (agent("objectives ['x'"), 4),
        (agent("objectives ['x']\nend"), 5),
        ("```ruby\nagent 'a' do\nend\n```".to_owned(), 1),
        ("Here is your agent, as you asked:".to_owned(), 1),
    ] {
        let parsed = read(&code);
        assert_eq!(parsed.definition, None);
        assert!(
            parsed
                .diagnostics
                .iter()
                .all(|diagnostic| diagnostic.code == DiagnosticCode::SyntaxError),
            "{code}"
        );
        assert!(
            parsed
                .diagnostics
                .iter()
                .any(|diagnostic| diagnostic.line == line),
            "{code}\n{:#?}",
            parsed.diagnostics
        );
    }
    let fenced = read("```ruby\nagent 'a' do\nend\n```");
    assert!(
        fenced.diagnostics[0]
            .hint
            .as_ref()
            .unwrap()
            .contains("Markdown"),
        "{:#?}",
        fenced.diagnostics
    );
}

#[test]
fn bytes_that_are_no_text() {
    let bad = [b"# \xc3\xbc\n# ".as_slice(), b"\xff\xfe"].concat();
    let parsed = parse_bytes(&bad, &offer(), now());
    let [found] = &parsed.diagnostics[..] else {
        panic!("{parsed:#?}")
    };
    assert_eq!(
        (found.code, found.line, found.column),
        (DiagnosticCode::NotUtf8, 2, 3)
    );
    assert_eq!(
        parse_bytes(EXAMPLE.as_bytes(), &offer(), now()),
        read(EXAMPLE)
    );
    let nul = read("# ok\nagent \0'a'");
    let [found] = &nul.diagnostics[..] else {
        panic!("{nul:#?}")
    };
    assert_eq!(
        (found.code, found.line, found.column),
        (DiagnosticCode::NullByte, 2, 7)
    );
}

#[test]
fn many_findings_are_cut_but_keep_an_error() {
    let twice = "step 'S', depends_on: ['A', 'A'] do ask 'x' end\n";
    let mut body = "step 'A' do ask 'x' end\n".to_owned();
    for number in 0..100 {
        body.push_str(&twice.replace("'S'", &format!("'{number}'")));
    }
    assert_eq!(read(&steps(&body)).diagnostics.len(), MAX_DIAGNOSTICS);
    assert!(read(&steps(&body)).definition.is_some());
    let with_error = read(&steps(&format!("{body}eval 'x'")));
    assert_eq!(with_error.definition, None);
    assert_eq!(
        with_error.diagnostics.last().unwrap().code,
        DiagnosticCode::OutsideLanguage
    );
}

/// Each with the rule it breaks; where it is put is a line of its own, a comment, a text, and a
/// text of several lines.
#[test]
fn characters_that_mislead_are_refused_wherever_they_stand() {
    let rules = [
        (
            "control-character",
            "\u{1}\u{4}\u{7}\u{8}\u{b}\u{c}\u{d}\u{1a}\u{1b}\u{7f}\u{80}\u{85}\u{9b}",
        ),
        ("null-byte", "\0"),
        (
            "hidden-character",
            "\u{ad}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2064}\u{2066}\u{2067}\u{2068}\u{2069}\u{feff}\u{fffb}\u{e0041}",
        ),
    ];
    for (rule, characters) in rules {
        for c in characters.chars() {
            for line in [
                format!("{c} "),
                format!("# a{c}b"),
                format!("description 'a{c}b'"),
                format!("description <<~X\n  a{c}b\nX"),
                format!("desc{c}ription 'x'"),
            ] {
                let code = with(&line);
                let parsed = read(&code);
                let [found] = &parsed.diagnostics[..] else {
                    panic!("{code:?}: {parsed:#?}")
                };
                let before = &code[..code.find(c).unwrap()];
                let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
                let place = (before.matches('\n').count() + 1, column);
                assert_eq!(found.code.as_str(), rule, "{c:?}");
                assert_eq!((found.line as usize, found.column as usize), place, "{c:?}");
                assert!(
                    found.hint.is_some() && !found.to_string().contains(c),
                    "{found}"
                );
            }
        }
    }
    let all = read(&with("# \u{4} \u{1a}\n# \u{202e}"));
    assert_eq!(all.diagnostics.len(), 3, "all are found at once");
}

#[test]
fn spaces_that_are_none_to_ruby_are_named() {
    for (space, name) in [
        ('\u{a0}', "a no-break space, U+00A0"),
        ('\u{202f}', "a narrow no-break space, U+202F"),
        ('\u{3000}', "an ideographic space, U+3000"),
        ('\u{2003}', "a space of Unicode, U+2003"),
    ] {
        for line in [
            "▸description 'x'".to_owned(),
            "description▸'x'".to_owned(),
            format!("description▸ 'a{space}b'"),
            "constraints max_iterations:▸10".to_owned(),
            "schedule every: '5m'▸".to_owned(),
        ] {
            let refusal = Refusal::new("unicode-space", name, &with(&line));
            let code = with(&line.replace('▸', &space.to_string()));
            let parsed = read(&code);
            let [found] = &parsed.diagnostics[..] else {
                panic!("{code}: {parsed:#?}")
            };
            assert_eq!(found.code, DiagnosticCode::UnicodeSpace, "{code}");
            assert_eq!(
                (found.line as usize, found.column as usize),
                (refusal.line, refusal.column)
            );
            assert!(found.message.contains(name), "{found}");
            assert!(
                found.hint.as_ref().unwrap().contains("plain space"),
                "{found}"
            );
        }
    }
}

/// The forms that Ruby's documentation names, those that it takes beside them, and near ones.
#[test]
fn comments_that_may_name_an_encoding_are_refused() {
    const REST: &str = "require 'language_operator'\nagent 'a' do\nobjectives ['x']\nend\n";
    for comment in [
        "# coding: ascii",
        "# encoding: ascii",
        "# coding : ascii",
        "# coding = ascii",
        "# coding=ascii",
        "# CODING: ascii",
        "#coding: ascii",
        "# -*- coding: ascii -*-",
        "# -*- encoding: \"ascii\" -*-",
        "# -*- frozen_string_literal: true; coding: ascii -*-",
        "# -*- mode: ruby; coding : ascii -*-",
        "# vim: set fileencoding=ascii :",
        "# vim: fileencoding = ascii",
        "# my_encoding: ascii",
        "# the coding is plain",
    ] {
        for code in [
            format!("{comment}\n{REST}"),
            format!("# first\n{comment}\n{REST}"),
            format!("\n{comment}\n{REST}"),
            format!("\u{feff}{comment}\n{REST}"),
            format!("require 'language_operator' {comment}\n{REST}")
                .replace(&format!("\n{}", &REST[..28]), "\n"),
        ] {
            let parsed = read(&code);
            let found = &parsed.diagnostics[..];
            assert_eq!(parsed.definition, None, "{code}");
            assert!(
                found.len() == 1
                    && found[0].message.contains("encoding comment")
                    && found[0].line <= 2,
                "{code}{found:#?}"
            );
        }
        assert!(
            read(&format!("# 1\n# 2\n{comment}\n{REST}"))
                .definition
                .is_some()
        );
    }
}

#[test]
fn lines_for_a_shell_are_refused_wherever_they_stand() {
    for (code, line) in [
        (
            "▸#!/usr/bin/ruby -Ku\nagent('a') { objectives ['x'] }\n".to_owned(),
            1,
        ),
        ("▸#! x\nagent('a') { objectives ['x'] }\n".to_owned(), 1),
        (with("▸#!ruby"), 4),
        (with("description 'a\n▸#!ruby\nb'"), 5),
        (with("description <<~X\n  a\n  ▸#!ruby\nX"), 6),
    ] {
        let refusal = Refusal::new("outside-language", "#!", &code);
        let parsed = read(&refusal.code);
        let [found] = &parsed.diagnostics[..] else {
            panic!("{code}: {parsed:#?}")
        };
        assert_eq!(
            (found.line as usize, found.column as usize),
            (refusal.line, refusal.column)
        );
        assert_eq!(
            (found.line, found.message.contains("`#!`")),
            (line, true),
            "{found}"
        );
    }
}
