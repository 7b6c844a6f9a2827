//! Operations and parameters: code calls what the tools offer, as they offer it.

use langop_dsl::{Action, Offer, OfferedOperation, OfferedTool, Parsed, parse, render};
use serde_json::{Value, json};

use super::{now, steps};

fn tool(name: &str, operations: &[(&str, Value)]) -> OfferedTool {
    let operation = |(name, schema): &(&str, Value)| OfferedOperation {
        name: (*name).to_owned(),
        input_schema: schema.clone(),
    };
    OfferedTool {
        name: name.to_owned(),
        operations: operations.iter().map(operation).collect(),
    }
}

fn offer() -> Offer {
    let send = json!({
        "type": "object", "required": ["to", "body"], "additionalProperties": false,
        "properties": {"to": {"type": "string"}, "body": {"type": "string"}, "priority": {"enum": ["low", "high"]}},
    });
    let list = json!({"type": "object", "properties": {"path": {"type": "string"}, "depth": {"type": "integer"}}});
    Offer {
        tools: vec![
            tool("email-tool", &[("send", send), ("search", Value::Null)]),
            tool("files", &[("list_files", list)]),
            tool("web", &[]),
        ],
        models: vec![],
    }
}

fn read(call: &str) -> Parsed {
    let code = steps(&format!(
        "step 'A' do ask 'x' end\nstep 'B', depends_on: 'A' do\n{call}\nend"
    ));
    parse(&code, &offer(), now())
}

#[test]
fn calls_that_fit_what_is_offered() {
    for (call, operation) in [
        (
            "use_tool 'email', action: 'send', params: { to: 'a', body: 'b' }",
            Some("send"),
        ),
        (
            "use_tool 'email', action: 'send', params: { to: 'a', 'body' => result('A'), priority: 'low' }",
            Some("send"),
        ),
        (
            "use_tool 'email', action: 'search', params: { anything: [1] }",
            Some("search"),
        ),
        ("use_tool 'email', action: 'search'", Some("search")),
        (
            "use_tool 'files', action: 'list_files', params: { path: '/', more: true }",
            Some("list_files"),
        ),
        // its only one, by name, so that nobody needs the offer to know what may be called
        (
            "use_tool 'files', params: { path: '/' }",
            Some("list_files"),
        ),
        (
            "use_tool 'web', action: 'whatever', params: { x: 1 }",
            Some("whatever"),
        ),
        ("use_tool 'web'", None),
    ] {
        let parsed = read(call);
        assert_eq!(parsed.diagnostics, [], "{call}");
        let definition = parsed.definition.unwrap();
        let Action::UseTool { action, .. } = &definition.steps[1].action else {
            panic!("no tool")
        };
        assert_eq!(action.as_deref(), operation, "{call}");
        assert_eq!(
            parse(&render(&definition), &offer(), now()).definition,
            Some(definition)
        );
    }
}

#[test]
fn calls_beyond_what_is_offered() {
    for (rule, part, call) in [
        (
            "unknown-operation",
            "did you mean `send`? Offered: `send`, `search`",
            "use_tool 'email', action: ▸'sent', params: { to: 'a', body: 'b' }",
        ),
        (
            "unknown-operation",
            "`email-tool` does not offer the operation `delete_all`; use one that is offered",
            "use_tool 'email', action: ▸'delete_all'",
        ),
        (
            "unknown-operation",
            "Offered: `list_files`",
            "use_tool 'files', action: ▸'list_file'",
        ),
        (
            "missing-argument",
            "one of `send`, `search`",
            "▸use_tool 'email', params: { to: 'a' }",
        ),
        (
            "missing-parameter",
            "the parameter `body` is missing",
            "use_tool 'email', action: 'send', params: ▸{ to: 'a' }",
        ),
        (
            "unknown-parameter",
            "`bcc` does not exist",
            "use_tool 'email', action: 'send', params: { to: 'a', body: 'b', ▸bcc: 'c' }",
        ),
        (
            "unknown-parameter",
            "did you mean `priority`?",
            "use_tool 'email', action: 'send', params: { to: 'a', body: 'b', ▸'prioritty' => 'low' }",
        ),
        (
            "bad-parameter",
            "must be a string, not an integer",
            "use_tool 'email', action: 'send', params: { to: ▸5, body: 'b' }",
        ),
        (
            "bad-parameter",
            "`\"low\"`, `\"high\"`",
            "use_tool 'email', action: 'send', params: { to: 'a', body: 'b', priority: ▸'urgent' }",
        ),
        (
            "bad-parameter",
            "must be an integer",
            "use_tool 'files', params: { depth: ▸'2' }",
        ),
        (
            "unknown-parameter",
            "did you mean `path`?",
            "use_tool 'files', params: { ▸pth: '/' }",
        ),
    ] {
        let (before, _) = call.split_once('▸').unwrap();
        let parsed = read(&call.replace('▸', ""));
        assert_eq!(parsed.definition, None, "{call}");
        let [found] = &parsed.diagnostics[..] else {
            panic!("{call}: {:#?}", parsed.diagnostics)
        };
        let place = (found.line, found.column as usize);
        assert_eq!(
            (found.code.as_str(), place),
            (rule, (6, before.chars().count() + 1)),
            "{found}"
        );
        assert!(found.to_string().contains(part), "{found}");
    }
}

#[test]
fn all_that_is_missing_is_told_where_there_are_no_parameters() {
    let parsed = read("use_tool 'email', action: 'send'");
    let found: Vec<_> = parsed
        .diagnostics
        .iter()
        .map(|found| (found.code.as_str(), found.line, found.column))
        .collect();
    assert_eq!(found, [("missing-parameter", 6, 1); 2]);
}

/// A tenant writes the schemas and a model the code: neither makes checking costly.
#[test]
fn many_calls_with_costly_schemas_are_checked_in_bounded_time() {
    let costly = json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}], "properties": {"x": {"enum": (0..9_000).collect::<Vec<_>>()}}});
    let offer = Offer {
        tools: vec![tool("t", &[("o", costly)])],
        models: vec![],
    };
    let many: Vec<String> = (0..600)
        .map(|number| format!("step '{number}' do use_tool 't', params: {{ x: -1 }} end"))
        .collect();
    let code = steps(&many.join("\n"));
    let (parsed, took) = super::hostile::effort::effort(|| parse(&code, &offer, now()));
    assert!(!parsed.diagnostics.is_empty());
    assert!(took < super::hostile::effort::LONGEST, "{took:?}");
}
