//! What is refused, with rule, place and advice: the table in refusals.txt, and findings taken together.

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
    let elsewhere = ["syntax-error", "too-large", "unchecked"];
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
        "agent 'a' do objectives ['x'] end".to_owned(),
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
