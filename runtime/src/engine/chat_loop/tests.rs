//! Properties of the loop, over random models and random tools.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{engine::functions::Offered, model::wire::FunctionCall, tokens::Tokens};

const LIMITS: Limits = Limits {
    iterations: 25,
    bytes: 1024 * 1024,
};

fn functions() -> Functions {
    let offered = |operation: &str, is_read_only| Offered {
        tool: "t".to_owned(),
        operation: operation.to_owned(),
        description: String::new(),
        parameters: json!({}),
        is_read_only,
    };
    Functions::new(vec![offered("read", true), offered("write", false)])
}

fn begin() -> Vec<Message> {
    let content = "begin".to_owned();
    vec![
        Message::System {
            content: content.clone(),
        },
        Message::User { content },
    ]
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: id.to_owned(),
        kind: "function".to_owned(),
        function: FunctionCall {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        },
    }
}

fn completion(text: &str, calls: Vec<ToolCall>) -> Completion {
    Completion {
        text: text.to_owned(),
        refusal: None,
        calls,
        finish: Finish::Complete,
        tokens: Tokens::MISSING,
        model: None,
    }
}

fn chat() -> ChatLoop {
    ChatLoop::new(begin(), functions(), LIMITS)
}

/// Each id of each message of the model has exactly one answer after it, before anything else is
/// said.
fn check(messages: &[Message]) -> Result<(), TestCaseError> {
    let mut rest = messages;
    while let [message, tail @ ..] = rest {
        rest = tail;
        let Message::Assistant { tool_calls, .. } = message else {
            prop_assert!(
                !matches!(message, Message::Tool { .. }),
                "an answer to nothing"
            );
            continue;
        };
        prop_assert!(rest.len() >= tool_calls.len());
        let (answers, tail) = rest.split_at(tool_calls.len());
        for (call, answer) in tool_calls.iter().zip(answers) {
            let Message::Tool { tool_call_id, .. } = answer else {
                return Err(TestCaseError::fail("a call without answer"));
            };
            prop_assert_eq!(tool_call_id, &call.id, "in the order of the calls");
        }
        rest = tail;
    }
    Ok(())
}

fn completions() -> impl Strategy<Value = Completion> {
    let name = prop_oneof![
        6 => Just("t__read"), 6 => Just("t__write"), 1 => Just("unknown"), 1 => Just(FINISH),
    ];
    let arguments = prop_oneof![
        4 => (0..3u8).prop_map(|n| format!(r#"{{"n":{n}}}"#)),
        1 => Just(String::new()), 1 => Just("[]".to_owned()), 1 => Just("{".to_owned()),
        1 => Just(r#"{"outcome":"achieved","summary":"s"}"#.to_owned()),
    ];
    let id = prop_oneof![Just(""), Just("a"), Just("b"), Just("c")];
    let calls = prop::collection::vec((id, name, arguments), 0..20).prop_map(|calls| {
        calls
            .into_iter()
            .map(|(id, name, arguments)| call(id, name, &arguments))
            .collect::<Vec<_>>()
    });
    (prop_oneof![Just(""), Just("text")], calls).prop_map(|(text, calls)| completion(text, calls))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_call_gets_one_answer_and_the_loop_ends(
        mut answers in prop::collection::vec(completions(), 30),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 600),
        iterations in 1..10u32,
        cut in prop::option::of(0..40usize),
    ) {
        let limits = Limits { iterations, ..LIMITS };
        let mut chat = ChatLoop::new(begin(), functions(), limits);
        let mut picks = picks.into_iter();
        let mut active: Vec<Planned> = Vec::new();
        let mut work = 0;
        while chat.end().is_none() {
            work += 1;
            if cut == Some(work) && active.is_empty() {
                let json = serde_json::to_string(chat.messages()).unwrap();
                let used = chat.iterations();
                chat = ChatLoop::new(serde_json::from_str(&json).unwrap(), functions(), limits);
                chat.resume(used);
            }
            for start in chat.start_next() {
                match start {
                    Start::Ask(asked) => {
                        prop_assert!(active.is_empty(), "no question while calls are under way");
                        check(&asked.messages)?;
                        chat.answered(answers.pop().unwrap());
                    }
                    Start::Call(planned) => active.push(planned),
                }
            }
            prop_assert!(active.len() <= MAX_PARALLEL);
            let writes = active.iter().filter(|planned| !planned.is_read_only).count();
            prop_assert!(writes == 0 || active.len() == 1, "what changes things runs alone");
            if !active.is_empty() {
                let pick = picks.next().unwrap();
                let planned = active.swap_remove(pick.index(active.len()));
                chat.called(&planned.id, &format!("result {work}"));
            }
            prop_assert_eq!(chat.active(), active.len() + usize::from(chat.is_asking));
        }
        prop_assert!(chat.iterations() <= iterations);
        check(chat.messages())?;
    }
}

fn first(starts: Vec<Start>) -> Start {
    starts.into_iter().next().unwrap()
}

#[test]
fn finish_wins_over_other_calls() {
    let mut chat = chat();
    chat.start_next();
    let finish = call(
        "2",
        FINISH,
        r#"{"outcome":"nothing_to_do","summary":"all is well"}"#,
    );
    chat.answered(completion("", vec![call("1", "t__write", "{}"), finish]));
    assert_eq!(
        chat.end(),
        Some(&End::NothingToDo("all is well".to_owned()))
    );
    assert!(chat.start_next().is_empty());
    let Some(Message::Tool { content, .. }) = chat.messages().get(3) else {
        panic!("{:?}", chat.messages());
    };
    assert!(content.starts_with("not run"), "{content}");
}

#[test]
fn words_alone_are_the_end_and_silence_is_a_refusal() {
    let mut one = chat();
    one.start_next();
    one.answered(completion(" done ", vec![]));
    assert_eq!(one.end(), Some(&End::Achieved("done".to_owned())));
    let mut other = chat();
    other.start_next();
    other.answered(completion(" ", vec![]));
    let Some(End::Failed(failure)) = other.end() else {
        panic!("{:?}", other.end());
    };
    assert_eq!(failure.reason, Reason::ModelRefused);
}

#[test]
fn the_same_call_with_the_same_result_is_remarked_upon_and_then_ends_the_run() {
    let mut chat = chat();
    for round in 1..=5 {
        chat.start_next();
        chat.answered(completion("", vec![call("", "t__read", r#"{"n":1}"#)]));
        let Start::Call(planned) = first(chat.start_next()) else {
            panic!("no call");
        };
        chat.called(&planned.id, "same");
        let Some(Message::Tool { content, .. }) = chat.messages().last() else {
            panic!("no answer");
        };
        assert_eq!(
            content.contains("gave the same result"),
            (3..5).contains(&round),
            "{round}"
        );
    }
    let Some(End::Failed(failure)) = chat.end() else {
        panic!("it went on");
    };
    assert_eq!(failure.reason, Reason::NoProgress);
}

#[test]
fn another_result_is_progress() {
    let mut chat = chat();
    for round in 0..8 {
        chat.start_next();
        chat.answered(completion("", vec![call("", "t__read", "{}")]));
        let Start::Call(planned) = first(chat.start_next()) else {
            panic!("no call");
        };
        chat.called(&planned.id, &format!("{}", round % 2));
    }
    assert_eq!(chat.end(), None);
}

#[test]
fn long_conversations_lose_their_oldest_results_and_nothing_else() {
    let limits = Limits {
        bytes: 40_000,
        ..LIMITS
    };
    let mut chat = ChatLoop::new(begin(), functions(), limits);
    for round in 0..6 {
        let Start::Ask(asked) = first(chat.start_next()) else {
            panic!("no question");
        };
        let size: usize = asked.messages.iter().map(Message::size).sum();
        assert!(size <= 40_000, "{size}");
        assert_eq!(asked.messages[..2], begin());
        chat.answered(completion(
            "",
            vec![call("", "t__read", &format!(r#"{{"n":{round}}}"#))],
        ));
        let Start::Call(planned) = first(chat.start_next()) else {
            panic!("no call");
        };
        chat.called(&planned.id, &"x".repeat(30_000));
    }
    let removed = chat
        .messages()
        .iter()
        .filter(|message| matches!(message, Message::Tool { content, .. } if content == REMOVED))
        .count();
    assert!((3..=5).contains(&removed), "{removed}");
}
