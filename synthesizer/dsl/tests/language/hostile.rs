//! Input made to hurt: nesting, size, many findings. Every one is answered, in bounded stack and
//! size.

#[path = "../fuzzing/effort.rs"]
pub(super) mod effort;

use std::fmt::Write as _;

use langop_dsl::{DiagnosticCode, MAX_CODE_BYTES, MAX_DIAGNOSTICS, Severity, render};
use proptest::prelude::*;

use effort::{LONGEST, effort};

use super::{EXAMPLE, accept, agent, read, steps};

/// What was found to nest, to repeat or to confuse.
#[rustfmt::skip]
const UNITS: &[&str] = &[
    "[", "(", "{", "!", "-", "~", "not ", "a ", "a=", "a?b:", "a**", "->{", "->", "\"#{", "`#{", "/#{", ":\"#{",
    "<<A\n", "<<~A\n#{", "if a\n", "begin\n", "def a\n", "class A\n", "module A\n", "while a\n", "case a\nwhen b\n",
    "case a\nin [", "a[", "a(", "a do ", "a{", "a.b ", "*", "&", "**", "((a,", "((a", "|", "{a:", "[*", "a => ",
    "a => [", "a => {a:", "a in (", "a rescue ", "a if ", "a and ", "a,", "defined? ", "return ", "yield ", "super ",
    "BEGIN{", "alias a ", "undef a,", "a::", "A::", "@a=", "$a=", "a||=", "a+=", "/(", "/(?<a>", "%w[", "%q(", "?a ",
    "'a' ", "\\\n", "# coding: x\n", "=begin\n", "__END__\n", "\"\\u{", "0", "1_", "1e", "0x", "9", "x\n", "'", "\"",
    "%", "é", "\u{2028}", "->(a=", "->(a:", "def a(b=", "def a((", "a ? ", "for a in ", "unless a\n", "until a\n",
    "\"#@", "<<'A'\n", "{|a|", "{|a;", "agent 'a' do ", "step 'x' do ask 'x' end\n", "a => b | ", "a => ^(", "in ",
    "elsif a\n", "else\n", "ensure\n", "rescue a\n", "end\n", "]", ")", "}", ";", "\\!", "!", "+", "!-", "a{it;",
    "a{_1;", ":for ", "'a':for ", "1r;", "1,", "'',", "1rA\n", "step 1do ", "a=.", "..", "a..", "...",
];

/// `unit` as often as `size` allows.
fn filled(before: &str, unit: &str, after: &str, size: usize) -> String {
    let most = (size - before.len() - after.len()) / unit.len();
    format!("{before}{}{after}", unit.repeat(most))
}

#[test]
fn hostile_input_is_answered_in_bounded_stack_size_and_time() {
    let too_large = read(&"#".repeat(MAX_CODE_BYTES + 1));
    assert_eq!(too_large.diagnostics[0].code, DiagnosticCode::TooLarge);
    for unit in UNITS {
        for (before, after) in [
            ("", ""),
            (
                "require 'language_operator'\nagent 'a' do\nobjectives [",
                "]\nend",
            ),
        ] {
            for size in [8 * 1024, MAX_CODE_BYTES] {
                let code = filled(before, unit, after, size);
                answered(unit, &code);
            }
        }
    }
}

fn answered(unit: &str, code: &str) {
    let (parsed, took) = effort(|| read(code));
    assert!(parsed.diagnostics.len() <= MAX_DIAGNOSTICS, "{unit:?}");
    assert!(
        parsed.definition.is_some() || !parsed.diagnostics.is_empty(),
        "{unit:?}"
    );
    for found in &parsed.diagnostics {
        assert!(found.to_string().len() < 2000, "{unit:?}: {found}");
        assert_ne!(found.code, DiagnosticCode::Unchecked, "{unit:?}");
    }
    assert!(
        took < LONGEST,
        "{unit:?} of {} bytes took {took:?}",
        code.len()
    );
}

#[test]
fn text_may_be_long_but_other_ruby_is_short() {
    let words = "a{ (b[ `c` #d -- ".repeat(6_400);
    let heredoc = format!(
        "description <<~TEXT\n{}\nTEXT\nobjectives ['x']",
        words.replace('d', "d\n")
    );
    let mut steps_of_128_kib = String::new();
    while steps_of_128_kib.len() < 127 * 1024 {
        let _ = writeln!(
            steps_of_128_kib,
            "# --- {0}\nstep \"{0}\" do\n  use_tool 'email', params: {{ n: {0}, :t => [1.5, nil] }}\nend",
            steps_of_128_kib.len()
        );
    }
    for long in [
        agent(&format!("objectives ['{words}']")),
        agent(&format!(
            "objectives [\n\"\\\"{}\",\n]",
            words.replace(" #", " \\#{")
        )),
        agent(&format!("# {words}\nobjectives ['x', \\\n 'y']")),
        agent(&heredoc),
        steps(&steps_of_128_kib),
    ] {
        assert!(long.len() > 100 * 1024 && long.len() <= MAX_CODE_BYTES);
        accept(&long);
    }
    let other = |bytes: usize| {
        read(&format!(
            "{}\nx = '{}'",
            agent("objectives ['x']"),
            "a".repeat(bytes)
        ))
    };
    assert_eq!(
        other(8_000).diagnostics[0].code,
        DiagnosticCode::OutsideLanguage
    );
    let long = other(9_000);
    let [found] = &long.diagnostics[..] else {
        panic!("{long:#?}")
    };
    assert_eq!(
        (found.code, found.line, found.column),
        (DiagnosticCode::TooLarge, 6, 1)
    );
}

#[test]
fn brackets_and_blocks_nest_only_so_deep() {
    for (unit, column) in [("[", 101), ("a: { ", 504), ("do ", 301)] {
        let deep = read(&unit.repeat(101));
        let [found] = &deep.diagnostics[..] else {
            panic!("{deep:#?}")
        };
        assert_eq!(
            (found.code, found.column),
            (DiagnosticCode::TooDeep, column),
            "{found}"
        );
        assert_ne!(
            read(&unit.repeat(100)).diagnostics[0].code,
            DiagnosticCode::TooDeep
        );
    }
}

/// What is taken for text must be text to the parser too, or code could hide in it from the bound
/// on other Ruby.
#[test]
fn nothing_hides_in_text() {
    let hidden = "not ".repeat(4_000);
    for code in [
        format!("?' {hidden} '"),
        format!("$' {hidden} '"),
        format!("%'' {hidden} '"),
        format!("%{{'}} {hidden} '"),
        format!("/'/; {hidden} '"),
        format!("`'`; {hidden} '"),
        format!("\"\\c\" ' \" {hidden} '"),
        format!("\"\\M-\" ' \" {hidden} '"),
        format!("\"#{{'}}; {hidden} '"),
        format!("\"#{{ {hidden} }}\""),
        format!("description <<~A\n#{{ {hidden} }}\nA"),
        format!("description <<~A\n x \\\nA\n'\nA\n{hidden} '"),
        format!("description <<~A, '\n' {hidden}\nA"),
        format!("description = 1\ndescription <<~A\n{hidden}\nA"),
        format!("1 => description\ndescription <<~A\n{hidden}\nA"),
        format!("{{}} => {{ description: }}\ndescription <<~A\n{hidden}\nA"),
        format!("1 <<~A\n{hidden}\nA"),
        format!("ask{{|description| description <<~A\n{hidden}\nA\n}}"),
        format!("description :a <<~A\n{hidden}\nA"),
        format!("=begin\n'\n=end\n{hidden} '"),
    ] {
        let parsed = read(&code);
        let [found] = &parsed.diagnostics[..] else {
            panic!("{code:.60}\n{parsed:#?}")
        };
        assert_eq!(found.code, DiagnosticCode::TooLarge, "{code:.60}");
    }
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
