//! Prints a definition as agent code, canonically: what is stored and run. Reading what it prints
//! gives the same definition back.
//!
//! Whatever a definition holds, Ruby reads texts, numbers and statements of the language in it and
//! nothing else: this is what keeps those who run the code from running anything but the
//! definition.

use std::fmt::Write as _;

use crate::clean::is_hidden;
use crate::definition::{Action, AgentDefinition, Constraints, Schedule, Step, Value};
use crate::schedule::format_duration;

/// The agent code that says `definition`. To be read again it must be one that checked code can
/// give: legal name, schedule and steps.
pub fn render(definition: &AgentDefinition) -> String {
    let sections = [
        head(definition),
        objectives(&definition.objectives),
        workflow(&definition.steps),
        constraints(&definition.constraints),
    ];
    let body: Vec<String> = sections
        .into_iter()
        .filter(|section| !section.is_empty())
        .collect();
    format!(
        "require 'language_operator'\n\nagent {} do\n{}end\n",
        word(&definition.name),
        body.join("\n")
    )
}

fn head(definition: &AgentDefinition) -> String {
    let mut lines = String::new();
    if let Some(description) = &definition.description {
        line(
            &mut lines,
            1,
            &format!("description {}", quote(description)),
        );
    }
    if let Some(schedule) = &definition.schedule {
        line(
            &mut lines,
            1,
            &format!("schedule {}", schedule_arguments(schedule)),
        );
    }
    if let Some(mode) = definition.mode {
        line(&mut lines, 1, &format!("mode :{mode}"));
    }
    lines
}

fn schedule_arguments(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Every { seconds } => format!("every: '{}'", format_duration(*seconds)),
        Schedule::Cron {
            expression,
            also,
            time_zone,
            only,
        } => {
            let mut arguments = format!("cron: {}", crons(expression, also));
            if let Some(zone) = time_zone {
                append(&mut arguments, "time_zone", &word(zone));
            }
            if let Some(only) = only {
                append(&mut arguments, "only", &word(&only.to_string()));
            }
            arguments
        }
    }
}

fn crons(first: &str, also: &[String]) -> String {
    if also.is_empty() {
        return word(first);
    }
    let all = std::iter::once(first).chain(also.iter().map(String::as_str));
    list(all.map(word))
}

fn objectives(objectives: &[String]) -> String {
    let mut lines = String::new();
    if objectives.is_empty() {
        return lines;
    }
    line(&mut lines, 1, "objectives [");
    for (index, objective) in objectives.iter().enumerate() {
        let comma = if index + 1 < objectives.len() {
            ","
        } else {
            ""
        };
        line(&mut lines, 2, &format!("{}{comma}", quote(objective)));
    }
    line(&mut lines, 1, "]");
    lines
}

fn workflow(steps: &[Step]) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let steps: Vec<String> = steps.iter().map(step).collect();
    format!("  workflow do\n{}  end\n", steps.join("\n"))
}

fn step(step: &Step) -> String {
    let mut head = format!("step {}", quote(&step.name));
    match &step.depends_on[..] {
        [] => {}
        [one] => append(&mut head, "depends_on", &quote(one)),
        several => append(
            &mut head,
            "depends_on",
            &list(several.iter().map(|name| quote(name))),
        ),
    }
    if let Some(condition) = &step.only_if {
        append(&mut head, "only_if", &quote(condition));
    }
    if let Some(list) = &step.each {
        append(&mut head, "each", &format!("result({})", quote(list)));
    }
    let mut lines = String::new();
    line(&mut lines, 2, &format!("{head} do"));
    line(&mut lines, 3, &action(&step.action));
    line(&mut lines, 2, "end");
    lines
}

fn action(action: &Action) -> String {
    match action {
        Action::UseTool {
            tool,
            action,
            params,
        } => {
            let mut call = format!("use_tool {}", quote(tool));
            if let Some(action) = action {
                append(&mut call, "action", &quote(action));
            }
            if !params.is_empty() {
                append(&mut call, "params", &hash(params.iter()));
            }
            call
        }
        Action::Ask { prompt, model } => {
            let mut call = format!("ask {}", value(prompt));
            if let Some(model) = model {
                append(&mut call, "model", &quote(model));
            }
            call
        }
    }
}

fn constraints(constraints: &Constraints) -> String {
    let iterations = constraints
        .max_iterations
        .map(|most| format!("max_iterations: {most}"));
    let timeout = constraints
        .timeout_seconds
        .map(|seconds| format!("timeout: '{}'", format_duration(seconds)));
    let bounds: Vec<String> = iterations.into_iter().chain(timeout).collect();
    if bounds.is_empty() {
        String::new()
    } else {
        format!("  constraints {}\n", bounds.join(", "))
    }
}

fn value(literal: &Value) -> String {
    match literal {
        Value::Null => "nil".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quote(text),
        Value::Array(items) => list(items.iter().map(value)),
        Value::Object(entries) => hash(entries.iter()),
        Value::Result { step } => format!("result({})", quote(step)),
        Value::Item => "item".to_owned(),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn hash<'a>(entries: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    let entries: Vec<String> = entries
        .map(|(key, entry)| format!("{}: {}", label(key), value(entry)))
        .collect();
    if entries.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", entries.join(", "))
    }
}

/// A key as it stands before the colon: bare where Ruby allows it.
fn label(key: &str) -> String {
    let first_is_letter = key.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let bare = first_is_letter
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if bare { key.to_owned() } else { quote(key) }
}

/// A name or a schedule: in single quotes, as all that are legal can be.
fn word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" */,+-_".contains(&byte);
    if text.bytes().all(is_plain) {
        format!("'{text}'")
    } else {
        quote(text)
    }
}

/// A double-quoted Ruby string that interpolates nothing, and in which every character is seen.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '#' if matches!(characters.peek(), Some('{' | '$' | '@')) => quoted.push_str("\\#"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            unseen if unseen.is_control() || is_hidden(unseen) => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(unseen));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

fn append(call: &mut String, keyword: &str, value: &str) {
    let _ = write!(call, ", {keyword}: {value}");
}

fn line(lines: &mut String, depth: usize, text: &str) {
    let _ = writeln!(lines, "{:width$}{text}", "", width = 2 * depth);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_everything_ruby_would_interpret() {
        for (text, quoted) in [
            ("plain ß 'x'", r#""plain ß 'x'""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("#{x} #$x #@x # #", r#""\#{x} \#$x \#@x # #""#),
            ("##{x}", r##""#\#{x}""##),
            ("\\#{x}", r#""\\\#{x}""#),
            ("a\nb\tc\rd\u{1b}\u{85}", r#""a\nb\tc\u{d}d\u{1b}\u{85}""#),
            ("\u{202e}\u{feff}\u{a0}", "\"\\u{202e}\\u{feff}\u{a0}\""),
        ] {
            assert_eq!(quote(text), quoted);
        }
        assert_eq!(word("Europe/Berlin"), "'Europe/Berlin'");
        assert_eq!(word("a'b"), "\"a'b\"");
        assert_eq!(label("path"), "path");
        assert_eq!(label("X"), "\"X\"");
        assert_eq!(label("a-b"), "\"a-b\"");
        assert_eq!(label(""), "\"\"");
    }
}
