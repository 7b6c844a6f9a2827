//! The agent language: what is accepted and what it means, how agents are named; in the modules
//! what is refused, hostile input, and printing.
#![cfg(feature = "parse")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod hostile;
mod offered;
#[path = "../recorder/mod.rs"]
mod recorder;
mod refusals;
mod rendering;

use jiff::Timestamp;
use langop_dsl::{
    Action, AgentDefinition, Offer, OfferedTool, Parsed, Severity, parse, rename, render,
};
use serde_json::json;

const EXAMPLE: &str = include_str!("example.rb");

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn offer() -> Offer {
    let tools = ["filesystem-tool", "email-tool", "email-archive"];
    Offer {
        tools: tools.map(OfferedTool::from).into(),
        models: vec!["claude".to_owned()],
    }
}

fn read(code: &str) -> Parsed {
    parse(code, &offer(), now())
}

/// An agent whose block holds `body`, which starts on line 3.
fn agent(body: &str) -> String {
    format!("require 'language_operator'\nagent 'a' do\n{body}\nend\n")
}

/// An agent that has something to do, and `line` on line 4.
fn with(line: &str) -> String {
    agent(&format!("objectives ['x']\n{line}"))
}

/// An agent with the steps in `steps`, which start on line 4.
fn steps(steps: &str) -> String {
    agent(&format!("workflow do\n{steps}\nend"))
}

/// An agent with one step that calls a tool with these parameters, on line 4 from column 50.
fn params(params: &str) -> String {
    steps(&format!(
        "step 'One' do use_tool 'email', action: 'x', params: {params} end"
    ))
}

fn accept(code: &str) -> AgentDefinition {
    let parsed = read(code);
    let found: Vec<String> = parsed.diagnostics.iter().map(ToString::to_string).collect();
    parsed
        .definition
        .unwrap_or_else(|| panic!("{code}\n{found:#?}"))
}

#[test]
fn the_example_of_the_design() {
    let parsed = read(EXAMPLE);
    assert_eq!(parsed.diagnostics, []);
    let definition = parsed.definition.unwrap();
    let expected = json!({
        "name": "monitor-agent",
        "description": "Watches the workspace",
        "mode": "scheduled",
        "schedule": {"every": {"seconds": 300}},
        "objectives": ["Monitor /workspace for file changes", "Send email alerts for critical files"],
        "steps": [
            {"name": "Check workspace", "action": {"useTool": {
                "tool": "filesystem-tool", "action": "list_files", "params": {"path": "/workspace"}}}},
            {"name": "Judge", "dependsOn": ["Check workspace"], "action": {"ask": {
                "prompt": "Which of these are critical?", "model": "claude"}}},
            {"name": "Alert if changed", "dependsOn": ["Judge"], "onlyIf": "a critical file changed", "action": {"useTool": {
                "tool": "email-tool", "action": "send",
                "params": {"to": "ops@example.com", "body": {"$result": "Judge"}}}}},
        ],
        "constraints": {"maxIterations": 10, "timeoutSeconds": 600},
    });
    assert_eq!(serde_json::to_value(&definition).unwrap(), expected);
    assert_eq!(accept(&render(&definition)), definition);
}

#[test]
fn the_example_of_the_documentation_has_no_finding() {
    let document = include_str!("../../../../docs/language.md");
    let example = document.split("```ruby\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let parsed = read(example);
    assert_eq!(parsed.diagnostics, []);
    assert_eq!(parsed.definition.unwrap().steps.len(), 5);
}

#[test]
fn an_exact_tool_name_goes_before_one_with_tool_appended() {
    let both = Offer {
        tools: ["email-tool", "email"].map(OfferedTool::from).into(),
        models: vec![],
    };
    assert_eq!(both.tool("email").unwrap().name, "email");
    assert_eq!(both.tool("email-tool").unwrap().name, "email-tool");
    assert_eq!(offer().tool("email").unwrap().name, "email-tool");
    assert_eq!(offer().tool("mail"), None);
    assert_eq!(offer().model("claud"), None);
}

/// Code for every construct that is allowed.
fn constructs() -> Vec<String> {
    vec![
        with("description 'What it is for'"),
        with("description(\"in \\u00fc parentheses\")"),
        with("description 'side' ' by ' \"side\""),
        with("description <<~TEXT\n  Several\n  lines\nTEXT"),
        with("description <<~'TEXT'\n  not #{computed}\nTEXT"),
        with("description %q(percent)"),
        with("description 'a #{b} c'"),
        with("# a comment\n=begin\na block comment\n=end"),
        with("schedule every: '90m'"),
        with("schedule cron: '0 9 * * MON-FRI'"),
        with("schedule cron: '0 9 * * 1-5', time_zone: 'Europe/Berlin'"),
        with("schedule :every => '5m'"),
        with("schedule every: '5m'; mode :scheduled"),
        with("mode :autonomous"),
        with("constraints max_iterations: 10"),
        with("constraints timeout: '1h30m'"),
        agent("objectives %w[one two]"),
        agent("objectives([\n'x',\n])"),
        steps("step 'One' do ask 'Why?' end"),
        steps("step('One') { ask('Why?', model: 'claude') }"),
        steps("step 'One' do use_tool 'email-archive' end"),
        steps("step 'Two', depends_on: ['One'] do ask result('One') end\nstep 'One' do ask 'Why?' end"),
        steps("step 'A' do ask 'x' end\nstep 'B', depends_on: 'A' do ask 'x' end\nstep 'C', depends_on: 'B' do ask result 'A' end"),
        params("{}"),
        steps("step 'L' do ask 'x' end\nstep 'S', depends_on: 'L', each: result('L') do ask 'Summarise it' end"),
        steps("step 'L' do ask 'x' end\nstep 'S', depends_on: 'L', only_if: 'it is', each: result('L') do use_tool 'email', action: 'x', params: { a: item, b: [{ c: item }], d: result('L') } end"),
        steps("step 'L' do ask 'x' end\nstep 'S', depends_on: 'L', each: result('L') do ask item end"),
        with("schedule cron: ['15 8 * * 1-5', '45 12 * * 1-5']"),
        with("schedule cron: ['0 9 * * *']"),
        with("schedule cron: '0 9 * * *', only: 'last day of month', time_zone: 'Europe/Berlin'"),
        with("schedule cron: ['0 9 * * *', '0 12 * * *'], only: 'First Monday'"),
        with("schedule cron: '0 9 * * 2', only: 'every 2 weeks from 2026-01-06'"),
        "# frozen_string_literal: true\nrequire \"language_operator\"\nagent(\"a\") { objectives ['x'] }".to_owned(),
        agent("objectives ['x']").replace('\n', "\r\n"),
        format!("\u{feff}{}", agent("objectives ['x']")),
        "agent 'a' do\n  objectives ['x']\nend\n".to_owned(),
        "agent('a') { objectives ['x'] }\nrequire 'language_operator'\n".to_owned(),
        with("# nothing is coded here\n# coding: on the third line and later it means nothing"),
        with("description '12\u{a0}000\u{202f}€ au\u{3000}total' # and\u{a0}so on"),
        with("description <<~TEXT\n  12\u{a0}000\nTEXT"),
        with("description \"seen \\u{202e} \\u{200d} \\e and \\u00a0\""),
        params("{ \"no\u{a0}break\": 1, 'so\u{a0}too' => 2 }"),
        with("description '#! not at the start of a line'"),
    ]
}

#[test]
fn accepts_every_construct() {
    for code in constructs() {
        assert_eq!(accept(&code).name, "a");
    }
}

/// Whatever was accepted is stored like this, and means the same to who reads it as Ruby.
#[test]
fn what_is_stored_is_to_ruby_what_was_checked() {
    let mut definitions: Vec<AgentDefinition> =
        constructs().iter().map(|code| accept(code)).collect();
    definitions.push(accept(EXAMPLE));
    definitions.extend(rendering::samples(256));
    recorder::notes_what_is_defined(&definitions);
}

#[test]
fn reads_every_kind_of_value() {
    let code = params(
        "{ text: \"ü\\n\", int: -1_000, hex: 0xff, float: 1.5e3, yes: true, no: false, none: nil, list: [1, ['x']], \
         map: { 'k' => 1, :s => 2, \"q r\": 3 }, min: -9223372036854775808, tiny: -0.0 }",
    );
    let definition = accept(&code);
    let Action::UseTool { params, .. } = &definition.steps[0].action else {
        panic!("no tool")
    };
    let expected = json!({
        "text": "ü\n", "int": -1000, "hex": 255, "float": 1500.0, "yes": true, "no": false, "none": null,
        "list": [1, ["x"]], "map": {"k": 1, "s": 2, "q r": 3}, "min": i64::MIN, "tiny": -0.0,
    });
    assert_eq!(serde_json::to_value(params).unwrap(), expected);
}

#[test]
fn a_warning_leaves_the_code_valid() {
    let parsed = read(&steps(
        "step 'A' do ask 'x' end\nstep 'B', depends_on: ['A', 'A'] do ask 'x' end",
    ));
    assert_eq!(parsed.definition.unwrap().steps[1].depends_on, ["A"]);
    let [warning] = &parsed.diagnostics[..] else {
        panic!("{:#?}", parsed.diagnostics)
    };
    assert_eq!(
        (warning.severity, warning.line, warning.column),
        (Severity::Warning, 5, 29)
    );
}

#[test]
fn renaming_changes_the_name_in_the_definition_and_nothing_else() {
    let renamed = rename(EXAMPLE, "other").unwrap();
    let expected = AgentDefinition {
        name: "other".to_owned(),
        ..accept(EXAMPLE)
    };
    assert_eq!(accept(&renamed), expected);
}
