//! The output always validates and says what the text says.

use jiff::Timestamp;
use langop_dsl::{AgentDefinition, Offer, OfferedOperation, OfferedTool, Schedule, parse};
use proptest::prelude::*;

use super::answer;

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn offer() -> Offer {
    let operation = |name: &str, required: &[&str]| OfferedOperation {
        name: name.into(),
        input_schema: serde_json::json!({"type": "object", "required": required}),
    };
    let tool = |name: &str, operations| OfferedTool {
        name: name.into(),
        operations,
    };
    Offer {
        tools: vec![
            tool(
                "email-tool",
                vec![
                    operation("send", &["to", "body"]),
                    operation("search", &["query"]),
                ],
            ),
            tool(
                "files",
                vec![
                    operation("list_files", &[]),
                    operation("read_file", &["path"]),
                ],
            ),
            tool("web", vec![]),
        ],
        models: vec!["claude".into()],
    }
}

fn checked(text: &str) -> Result<AgentDefinition, String> {
    checked_with(text, &offer())
}

fn checked_with(text: &str, offer: &Offer) -> Result<AgentDefinition, String> {
    let code = answer(text, offer, now());
    let parsed = parse(&code, offer, now());
    let findings: Vec<String> = parsed.diagnostics.iter().map(ToString::to_string).collect();
    if findings.is_empty() {
        parsed.definition.ok_or(code)
    } else {
        Err(format!("{findings:#?}\n{code}"))
    }
}

#[test]
fn writes_a_plain_agent() {
    let instructions = "# Watcher\n\nEvery weekday at 9am, list files in /workspace.\n\
        - Decide what is \"critical\"\n- If something is critical, email ops@example.com\n\nStop after 10 minutes, with at most 5 iterations.";
    let code = answer(instructions, &offer(), now());
    insta::assert_snapshot!(code, @r##"
    require 'language_operator'

    agent 'agent' do
      description "Watcher"
      schedule cron: '0 9 * * 1-5'

      objectives [
        "Every weekday at 9am, list files in /workspace.",
        "Decide what is \"critical\"",
        "If something is critical, email ops@example.com",
        "Stop after 10 minutes, with at most 5 iterations."
      ]

      workflow do
        step "Every weekday at 9am, list files in /workspace" do
          use_tool "files", action: "list_files"
        end
      end

      constraints max_iterations: 5, timeout: '10m'
    end
    "##);
}

#[test]
fn a_step_has_the_condition_of_its_sentence() {
    let text = "Search nothing.\nIf anything is new, list files.\n- Check if list files works.";
    let agent = checked(text).unwrap();
    let [step] = &agent.steps[..] else {
        panic!("{:?}", agent.steps)
    };
    assert_eq!(step.only_if.as_deref(), Some("anything is new"));
    assert_eq!(step.name, "If anything is new, list files");
    assert_eq!(agent.objectives.len(), 3, "all of it stays an objective");
    assert!(
        checked("If list files fails, do nothing.")
            .unwrap()
            .steps
            .is_empty()
    );
}

#[test]
fn says_why_there_is_no_schedule() {
    let agent = checked("At the end of each month, close the books.").unwrap();
    let said = "(no schedule, so it runs continuously: it is not clear which last day of a month or week is meant)";
    assert!(agent.description.unwrap().ends_with(said));
    assert_eq!(agent.schedule, None);
}

#[test]
fn hostile_text_stays_text() {
    let long = "Every 5 minutes, say \"#{`rm`}\" \\ ' end end\n".repeat(32 * 1024 / 44);
    for text in [
        "",
        " \n\t ",
        "...!?",
        "end",
        "end\nend\nsystem('x')",
        "agent 'x' do\n  schedule every: '1s'\nend",
        "\"; system(\"x\"); \"",
        "#{system('x')} #$x #@x",
        "`rm -rf /`",
        "\\",
        "\\\"",
        "a\u{0}b\u{1b}\u{85}\u{2028}\u{feff}\u{202e}",
        "__END__",
        "=begin\nx\n=end",
        "<<~X\nX",
        "%q(x) ?x :x ->{} 漢字 🦀 é",
        "# coding: ascii-8bit\n# encoding: latin1",
        "```ruby\nagent 'x' do\nend\n```",
        "Every 5 minutes (Europe/../etc/passwd), at 99:99 on the 77th of Smarch",
        &long,
        &"x".repeat(32 * 1024),
        &"\" ".repeat(16 * 1024),
        &"every 5 minutes and ".repeat(1600),
        &"1 ".repeat(16 * 1024),
    ] {
        let definition = checked(text).unwrap_or_else(|why| panic!("{text:.80}: {why:.2000}"));
        assert!(!definition.objectives.is_empty());
    }
}

/// The time it takes grows with the text and not faster: a caller must not be able to stop
/// everybody else.
#[test]
fn the_longest_texts_take_seconds_at_most() {
    for pattern in [
        "at 5pm ",
        "every 5 minutes and ",
        "on Monday ",
        "Asia/Tokyo. ",
        "every day. ",
        "if ",
        ", ",
        "a, ",
        "1 ",
        "\" ",
        "every Monday, ",
    ] {
        let text = pattern.repeat(32 * 1024 / pattern.len());
        let started = std::time::Instant::now();
        checked(&text).unwrap();
        let taken = started.elapsed();
        assert!(
            taken < std::time::Duration::from_secs(30),
            "{pattern:?} took {taken:?}"
        );
    }
}

#[test]
fn the_schedule_reaches_the_definition() {
    let definition = checked("Every 90 minutes, check the web.").unwrap();
    assert_eq!(definition.schedule, Some(Schedule::Every { seconds: 5400 }));
}

/// Pieces that the grammar knows, so that random texts get far into it.
fn piece() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "every",
        "each",
        "other",
        "second",
        "5",
        "90",
        "0",
        "31st",
        "first",
        "half",
        "minutes",
        "hour",
        "day",
        "week",
        "month",
        "year",
        "weekday",
        "Monday",
        "Mon-Fri",
        "sun",
        "weekends",
        "at",
        "on",
        "the",
        "of",
        "in",
        "from",
        "to",
        "between",
        "and",
        "or",
        ",",
        ".",
        "\n",
        "9am",
        "17:00",
        "9",
        "noon",
        "morning",
        "nights",
        "last",
        "January",
        "2027",
        "UTC",
        "Europe/Berlin",
        "EST",
        "time",
        "except",
        "not",
        "twice",
        "times",
        "a",
        "per",
        "daily",
        "monthly",
        "at most",
        "stop after",
        "iterations",
        "if",
        "email me@example.com",
        "list files in /x",
        "search",
        "\"",
        "`",
        "#{",
        "\\",
        "*/5",
        "*",
        "-",
        "# x",
        "- ",
    ];
    prop_oneof![8 => proptest::sample::select(KNOWN).prop_map(str::to_owned), 1 => any::<String>(), 1 => "\\PC{0,8}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_gives_a_valid_agent(text in any::<String>()) {
        prop_assert!(checked(&text).is_ok(), "{:?}", checked(&text));
    }

    #[test]
    fn any_sentence_gives_a_valid_agent(pieces in prop::collection::vec(piece(), 0..30)) {
        let text = pieces.join(" ");
        prop_assert!(checked(&text).is_ok(), "{:?}", checked(&text));
    }

    #[test]
    fn any_tools_give_a_valid_agent(name in ".{0,12}", operation in ".{0,12}", schema in ".{0,40}", model in ".{0,8}", text in ".{0,60}") {
        let schema = serde_json::from_str(&schema).unwrap_or_default();
        let operations = vec![OfferedOperation { name: operation.clone(), input_schema: schema }];
        let offer = Offer { tools: vec![OfferedTool { name: name.clone(), operations }], models: vec![model] };
        let text = format!("{text} {name} {operation}. {text}");
        prop_assert!(checked_with(&text, &offer).is_ok(), "{:?}", checked_with(&text, &offer));
    }
}
