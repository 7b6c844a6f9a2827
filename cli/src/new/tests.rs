//! Manifests that people would write, and the questions that lead to them.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    command::{NewArgs, run},
    draft::Draft,
    questions::{answered, missing},
};
use crate::failure::Failure;

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn draft(name: &str, instructions: &str) -> Draft {
    Draft {
        name: Some(name.to_owned()),
        instructions: Some(instructions.to_owned()),
        ..Draft::default()
    }
}

fn yaml(draft: &Draft) -> String {
    draft.accepted(now()).unwrap().yaml
}

/// Answers in order, and all that was asked.
fn conversation(draft: Draft, answers: &[&str]) -> (Result<Draft, Failure>, Vec<String>) {
    let mut answers: VecDeque<&str> = answers.iter().copied().collect();
    let mut asked = Vec::new();
    let draft = answered(
        draft,
        |question| {
            asked.push(question.to_owned());
            Ok(answers.pop_front().map(str::to_owned))
        },
        |draft| {
            let is_taken = draft.name.as_deref() == Some("taken");
            is_taken.then(|| "It is taken.".to_owned())
        },
        now(),
    );
    assert!(answers.is_empty(), "nobody asked for {answers:?}");
    (draft, asked)
}

#[test]
fn a_manifest_is_what_a_person_would_write() {
    let whole = Draft {
        namespace: Some("demo".to_owned()),
        schedule: Some("0 9 * * 1-5".to_owned()),
        time_zone: Some("Europe/Berlin".to_owned()),
        models: vec!["claude".to_owned()],
        tools: vec!["email-tool".to_owned(), "web".to_owned()],
        persona: Some("analyst".to_owned()),
        ..draft(
            "daily-report",
            "Search the mailbox for messages about incidents.\nEmail a summary to team@example.com.",
        )
    };
    let accepted = whole.accepted(now()).unwrap();
    assert_eq!(
        accepted.notes,
        ["runs at 09:00, on Monday, Tuesday, Wednesday, Thursday, and Friday (Europe/Berlin)"]
    );
    insta::assert_snapshot!("whole", accepted.yaml);
    let flags = Draft {
        models: vec!["claude".to_owned()],
        tools: vec!["email-tool".to_owned()],
        ..draft("daily-report", "Summarize my mail at 9.")
    };
    insta::assert_snapshot!("flags", yaml(&flags));
}

#[test]
fn instructions_are_read_back_as_they_were_written() {
    for text in [
        "Say: hello # not a comment",
        "- one\n- two",
        "yes",
        "At 9:\n\n  indented\nlast",
        "a long line that goes on and on, for it says all that there is to be said of this one agent, at once",
        "\"quoted\" and 'quoted'",
        "{{ braces }}",
    ] {
        let value: Value = serde_saphyr::from_str(&yaml(&draft("a", text))).unwrap();
        let read = value["spec"]["instructions"].as_str().unwrap();
        assert_eq!(read.trim_end(), text);
    }
}

#[test]
fn what_lint_refuses_is_not_written() {
    let refused = Draft {
        schedule: Some("0 0 31 2 *".to_owned()),
        ..draft("Bad_Name", "x")
    };
    let errors = refused.accepted(now()).unwrap_err().render();
    assert!(errors.contains("metadata.name must be"), "{errors}");
    assert!(
        errors.contains("does not fire within five years"),
        "{errors}"
    );
}

#[test]
fn everything_is_asked_that_was_not_said_and_a_wrong_answer_is_asked_for_again() {
    let said = Draft {
        models: vec!["claude".to_owned()],
        ..Draft::default()
    };
    assert_eq!(missing(&said), ["NAME", "--instructions TEXT"]);
    let answers = [
        "",
        "Bad_Name",
        "taken",
        "daily",
        "Report the news.",
        "In one line.",
        "",
        "at nine",
        "0 9 * * *",
        "Mars",
        "UTC",
        "web, email-tool",
        "",
    ];
    let (draft, asked) = conversation(said, &answers);
    let draft = draft.unwrap();
    insta::assert_snapshot!("asked", asked.join("\n"));
    assert_eq!(
        draft,
        Draft {
            name: Some("daily".to_owned()),
            namespace: None,
            instructions: Some("Report the news.\nIn one line.".to_owned()),
            schedule: Some("0 9 * * *".to_owned()),
            time_zone: Some("UTC".to_owned()),
            models: vec!["claude".to_owned()],
            tools: vec!["web".to_owned(), "email-tool".to_owned()],
            persona: None,
        }
    );
}

#[test]
fn a_wrong_flag_is_told_before_anything_is_asked() {
    let said = Draft {
        time_zone: Some("Mars".to_owned()),
        ..Draft::default()
    };
    let (refused, asked) = conversation(said, &[]);
    let failure = refused.unwrap_err().render();
    assert!(failure.contains("unknown IANA time zone"), "{failure}");
    assert_eq!(asked, [""; 0]);
}

#[test]
fn whoever_leaves_has_written_nothing() {
    let (left, _) = conversation(Draft::default(), &["daily"]);
    let failure = left.unwrap_err().render();
    assert!(failure.contains("nothing was written"), "{failure}");
}

#[test]
fn a_file_that_is_there_stays_unless_it_is_to_be_replaced() {
    let file = std::env::temp_dir().join(format!("langop-new-{}.yaml", std::process::id()));
    let mut args = NewArgs {
        name: Some("greeter".to_owned()),
        instructions: Some("Say hello".to_owned()),
        schedule: None,
        time_zone: None,
        models: Vec::new(),
        tools: Vec::new(),
        persona: None,
        file: Some(file.clone()),
        force: false,
    };
    let first = run(&args, None).unwrap();
    assert!(first.text.starts_with("wrote "), "{}", first.text);
    args.instructions = Some("Say goodbye".to_owned());
    let refused = run(&args, None).unwrap_err().render();
    assert!(refused.contains("--force"), "{refused}");
    assert!(std::fs::read_to_string(&file).unwrap().contains("hello"));
    args.force = true;
    run(&args, None).unwrap();
    assert!(std::fs::read_to_string(&file).unwrap().contains("goodbye"));
    std::fs::remove_file(&file).unwrap();
}
