//! Input made to hurt: nesting, size, many findings. Every one is answered, in bounded stack and size.

use std::fmt::Write as _;

use langop_dsl::{DiagnosticCode, MAX_CODE_BYTES, MAX_DIAGNOSTICS, Severity, render};
use proptest::prelude::*;

use super::{EXAMPLE, accept, agent, read, steps};

/// `unit` more often than the parser nests, as far as the limit allows.
fn filled(before: &str, unit: &str, after: &str) -> String {
    let most = (MAX_CODE_BYTES - before.len() - after.len()) / unit.len();
    format!("{before}{}{after}", unit.repeat(most.min(11_000)))
}

#[test]
fn hostile_input_is_answered_in_bounded_stack_and_size() {
    let too_large = read(&"#".repeat(MAX_CODE_BYTES + 1));
    assert_eq!(too_large.diagnostics[0].code, DiagnosticCode::TooLarge);
    for unit in [
        "[",
        "(",
        "{",
        "!",
        "-",
        "~",
        "not ",
        "a ",
        "a=",
        "a?b:",
        "a**",
        "->{",
        "->",
        "\"#{",
        "`#{",
        "/#{",
        ":\"#{",
        "<<A\n",
        "<<~A\n#{",
        "if a\n",
        "begin\n",
        "def a\n",
        "class A\n",
        "module A\n",
        "while a\n",
        "case a\nwhen b\n",
        "case a\nin [",
        "a[",
        "a(",
        "a do ",
        "a{",
        "a.b ",
        "*",
        "&",
        "**",
        "((a,",
        "((a",
        "|",
        "{a:",
        "[*",
        "a => ",
        "a => [",
        "a => {a:",
        "a in (",
        "a rescue ",
        "a if ",
        "a and ",
        "a,",
        "defined? ",
        "return ",
        "yield ",
        "super ",
        "BEGIN{",
        "alias a ",
        "undef a,",
        "a::",
        "A::",
        "@a=",
        "$a=",
        "a||=",
        "a+=",
        "/(",
        "/(?<a>",
        "%w[",
        "%q(",
        "?a ",
        "'a' ",
        "\\\n",
        "# coding: x\n",
        "=begin\n",
        "__END__\n",
        "\"\\u{",
        "0",
        "1_",
        "1e",
        "0x",
        "9",
        "x\n",
        "'",
        "\"",
        "%",
        "é",
        "\u{2028}",
        "->(a=",
        "->(a:",
        "def a(b=",
        "def a((",
        "a ? ",
        "for a in ",
        "unless a\n",
        "until a\n",
        "\"#@",
        "<<'A'\n",
        "{|a|",
        "{|a;",
        "agent 'a' do ",
        "step 'x' do ask 'x' end\n",
        "a => b | ",
        "a => ^(",
        "in ",
        "elsif a\n",
        "else\n",
        "ensure\n",
        "rescue a\n",
        "end\n",
        "]",
        ")",
        "}",
        ";",
        "..",
        "a..",
        "...",
    ] {
        for (before, after) in [
            ("", ""),
            (
                "require 'language_operator'\nagent 'a' do\nobjectives [",
                "]\nend",
            ),
        ] {
            let parsed = read(&filled(before, unit, after));
            assert!(parsed.diagnostics.len() <= MAX_DIAGNOSTICS, "{unit:?}");
            assert!(
                parsed.definition.is_some() || !parsed.diagnostics.is_empty(),
                "{unit:?}"
            );
            for found in &parsed.diagnostics {
                assert!(found.to_string().len() < 2000, "{unit:?}: {found}");
            }
        }
    }
}

#[test]
fn runs_of_operators_are_refused_but_rulers_are_not() {
    let ruled = |length| {
        read(&format!(
            "# {}\n{}",
            "-".repeat(length),
            agent("objectives ['x']")
        ))
    };
    assert_eq!(ruled(200).diagnostics, []);
    let long = ruled(501);
    let [found] = &long.diagnostics[..] else {
        panic!("{long:#?}")
    };
    assert_eq!(
        (found.code, found.line, found.column),
        (DiagnosticCode::TooDeep, 1, 3)
    );
}

#[test]
fn large_workflows_are_checked() {
    let mut chain = String::new();
    for number in 0..2000 {
        let _ = writeln!(
            chain,
            "step '{number}', depends_on: '{}' do ask 'x' end",
            (number + 1) % 2000
        );
    }
    let cycle = read(&steps(&chain));
    let [found] = &cycle.diagnostics[..] else {
        panic!("{:#?}", cycle.diagnostics)
    };
    assert_eq!(found.code, DiagnosticCode::DependencyCycle);
    assert!(
        found.message.ends_with("`7`, …, `0`") || found.message.contains('…'),
        "{found}"
    );
    // without the one edge that closes it, the same workflow is valid
    let open = accept(&steps(&chain.replace(", depends_on: '0'", "")));
    assert_eq!(open.steps.len(), 2000);
}

#[test]
fn an_agent_of_two_hundred_lines() {
    let mut body = String::new();
    for number in 0..64 {
        let _ = writeln!(
            body,
            "step 'S{number}' do\n  use_tool 'email', action: 'send', params: {{ n: {number} }}\nend"
        );
    }
    let code = steps(&body);
    assert!(code.lines().count() >= 195);
    let started = std::time::Instant::now();
    assert_eq!(accept(&code).steps.len(), 64);
    println!("200 lines: {:?}", started.elapsed());
}

proptest! {
    #[test]
    fn any_text_is_answered(code in "\\PC{0,200}") {
        let parsed = read(&code);
        prop_assert_eq!(parsed.definition, None);
        prop_assert!(!parsed.diagnostics.is_empty());
    }

    #[test]
    fn a_damaged_agent_is_answered(at in 0..EXAMPLE.len(), length in 0..20_usize, put in "[\\[\\](){}'\"#;@$`a-c\n]{0,6}") {
        let end = (at + length).min(EXAMPLE.len());
        let code = [&EXAMPLE[..at], &put, &EXAMPLE[end..]].concat();
        let parsed = read(&code);
        let errors = parsed.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        prop_assert_eq!(parsed.definition.is_none(), errors);
        if let Some(definition) = parsed.definition {
            prop_assert_eq!(accept(&render(&definition)), definition);
        }
    }
}
