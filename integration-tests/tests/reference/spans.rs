//! The spans of each program: the sources say their names and attributes where they are made, and
//! what each is for is said here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use langop_integration_tests::workspace_root;

/// A program, and where its spans are made.
const PROGRAMS: [(&str, &str); 3] = [
    ("langop-operator", "operator/src"),
    ("langop-synthesizer", "synthesizer/src"),
    ("langop-agent", "runtime/src"),
];

/// What a span is, by program and name.
const WORDS: &[(&str, &str, &str)] = &[
    (
        "langop-operator",
        "reconcile",
        "one reconcile of one object; a root",
    ),
    (
        "langop-operator",
        "create_agent NAME",
        "code for an agent is asked for, its waiting included",
    ),
    (
        "langop-operator",
        "langop.synthesis.v1.SynthesisService/Synthesize",
        "the call of the synthesizer, its repeats included",
    ),
    (
        "langop-operator",
        "langop.synthesis.v1.SynthesisService/DistillPersona",
        "the same for a persona",
    ),
    (
        "langop-synthesizer",
        "SERVICE/METHOD",
        "one gRPC call, as the server sees it",
    ),
    (
        "langop-synthesizer",
        "langop.synthesis.cache",
        "a look into the cache, and the waiting for an equal request",
    ),
    (
        "langop-synthesizer",
        "langop.synthesis.prompt",
        "the prompt is written",
    ),
    (
        "langop-synthesizer",
        "chat MODEL",
        "one HTTP request to the provider; each repeat is another",
    ),
    (
        "langop-synthesizer",
        "chat template",
        "the built-in rules answer",
    ),
    (
        "langop-synthesizer",
        "langop.synthesis.extract",
        "the code is found in the answer",
    ),
    (
        "langop-synthesizer",
        "langop.synthesis.validate",
        "the code is read, checked and rendered",
    ),
    ("langop-agent", "invoke_agent NAME", "one run"),
    ("langop-agent", "langop.step NAME", "one step of a workflow"),
    (
        "langop-agent",
        "chat MODEL",
        "one question to a model, its repeats included",
    ),
    (
        "langop-agent",
        "tools/call NAME",
        "one call of a tool, its repeats included",
    ),
];

/// Attributes that are not in the macro, because they are no plain value.
const SET_LATER: [(&str, &str, &str); 1] = [(
    "langop-synthesizer",
    "chat MODEL",
    "gen_ai.response.finish_reasons",
)];

/// A span as it is made.
#[derive(Clone, Debug, Default)]
struct Made {
    kind: String,
    attributes: BTreeSet<String>,
}

/// The spans of a program, as a table.
pub(crate) fn table(program: &str) -> String {
    let made = made(program);
    let mut text = "\n| span | kind | what it is | attributes |\n|---|---|---|---|\n".to_owned();
    let words = WORDS.iter().filter(|(of, ..)| *of == program);
    for (_, name, words) in words {
        let Made { kind, attributes } = &made[*name];
        let attributes: Vec<_> = attributes.iter().map(|name| format!("`{name}`")).collect();
        writeln!(
            text,
            "| `{name}` | {kind} | {words} | {} |",
            attributes.join(", ")
        )
        .unwrap();
    }
    text
}

fn made(program: &str) -> BTreeMap<String, Made> {
    let (_, folder) = PROGRAMS.iter().find(|(of, _)| *of == program).unwrap();
    let mut found = BTreeMap::new();
    collect(&workspace_root().unwrap().join(folder), &mut found);
    for (_, span, attribute) in SET_LATER.iter().filter(|(of, ..)| *of == program) {
        let made: &mut Made = found.get_mut(*span).unwrap();
        made.attributes.insert((*attribute).to_owned());
    }
    found
}

fn collect(folder: &Path, found: &mut BTreeMap<String, Made>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            of_source(product, found);
        }
    }
}

/// Reads each `span!(…)`.
fn of_source(source: &str, found: &mut BTreeMap<String, Made>) {
    for part in source.split("_span!(").skip(1) {
        let arguments = arguments(part);
        let mut literals = arguments.iter().filter_map(|argument| quoted(argument));
        let mut name = literals.next().unwrap().to_owned();
        let mut made = Made {
            kind: "internal".to_owned(),
            ..Made::default()
        };
        for argument in &arguments {
            let Some((field, value)) = argument.split_once('=') else {
                continue;
            };
            let field = field.trim().trim_matches('"').replace("r#", "");
            match field.as_str() {
                "otel.name" => name = shown(value.trim()),
                "otel.kind" => value.trim().trim_matches('"').clone_into(&mut made.kind),
                "otel.status_code" => {}
                _ => {
                    made.attributes.insert(field);
                }
            }
        }
        let known = found.entry(name).or_default();
        known.kind = made.kind;
        known.attributes.extend(made.attributes);
    }
}

/// The arguments of a macro, up to its closing parenthesis.
fn arguments(source: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let (mut depth, mut is_quoted) = (0_u32, false);
    for character in source.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            '(' | '[' | '{' if !is_quoted => depth += 1,
            ')' | ']' | '}' if !is_quoted && depth == 0 => break,
            ')' | ']' | '}' if !is_quoted => depth -= 1,
            ',' if !is_quoted && depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(argument) = arguments.last_mut() {
            argument.push(character);
        }
    }
    let arguments = arguments.iter().map(|argument| argument.trim().to_owned());
    arguments.filter(|argument| !argument.is_empty()).collect()
}

/// A literal, and nothing else.
fn quoted(argument: &str) -> Option<&str> {
    let argument = argument.split(' ').next_back()?;
    argument.strip_prefix('"')?.strip_suffix('"')
}

/// The name that an expression gives, with capitals for what differs.
fn shown(expression: &str) -> String {
    if expression == "method" {
        return "SERVICE/METHOD".to_owned();
    }
    let literal = expression.split('"').nth(1).unwrap();
    let Some((before, rest)) = literal.split_once('{') else {
        return literal.to_owned();
    };
    let inside = rest.trim_end_matches('}');
    let outside = expression.trim_end_matches(')').rsplit(['.', ' ']).next();
    let differs = if inside.is_empty() {
        outside
    } else {
        Some(inside)
    };
    format!("{before}{}", differs.unwrap_or_default().to_uppercase())
}

#[test]
fn every_span_of_the_sources_has_words_and_no_other() {
    for (program, _) in PROGRAMS {
        let words = WORDS.iter().filter(|(of, ..)| *of == program);
        let named: BTreeSet<_> = words.map(|(_, name, _)| (*name).to_owned()).collect();
        let made: BTreeSet<_> = made(program).into_keys().collect();
        assert_eq!(named, made, "{program}");
    }
}

#[test]
fn a_span_is_read_as_it_is_written() {
    let mut found = BTreeMap::new();
    let source = r#"
        let span = tracing::info_span!(
            parent: None, "first",
            otel.kind = "client", error.r#type = Empty, name = %of(a, "b, c"),
        );
        info_span!("second", otel.name = format!("call {tool}"), "rpc.method" = method)
        info_span!("third", otel.name = format!("ask {}", self.name))
    "#;
    of_source(source, &mut found);
    let names: Vec<_> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["ask NAME", "call TOOL", "first"]);
    let first = &found["first"];
    assert_eq!(first.kind, "client");
    let attributes: Vec<_> = first.attributes.iter().map(String::as_str).collect();
    assert_eq!(attributes, ["error.type", "name"]);
    assert!(found["call TOOL"].attributes.contains("rpc.method"));
}
