//! Answers that come piece by piece: progress while they come, and what becomes of those that do
//! not come to their end.

use std::{sync::Arc, time::Duration};

use langop_proto::v1::{
    SynthesisOutcome, SynthesizeResponse, SynthesizeStreamRequest, SynthesizeStreamResponse,
    synthesize_stream_response::Event,
};
use langop_synthesizer::settings::Settings;
use tokio::sync::Semaphore;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::{
    fake_llm::{Act, COST, FakeLlm, GOOD},
    harness::{KEY, TestServer, reason, request, settings},
};

const PROVIDERS: [&str; 3] = ["openai", "anthropic", "ollama"];

async fn open(server: &TestServer) -> Streaming<SynthesizeStreamResponse> {
    let asked = SynthesizeStreamRequest {
        request: Some(request("a", "watch the door")),
    };
    let mut client = server.client().await;
    client.synthesize_stream(asked).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<SynthesizeStreamResponse>) -> Result<Event, Status> {
    let event = stream
        .message()
        .await?
        .expect("a stream ends with a result");
    Ok(event.event.unwrap())
}

/// What one provider's acts come to when somebody watches.
async fn outcome(
    provider: &str,
    acts: &[Act],
    edit: impl Fn(Settings) -> Settings,
) -> (Result<SynthesizeResponse, Status>, FakeLlm) {
    let llm = FakeLlm::start(acts.to_vec()).await;
    let server = TestServer::start(edit(settings(provider, &llm))).await;
    let mut stream = open(&server).await;
    loop {
        match next(&mut stream).await {
            Ok(Event::Result(response)) => return (Ok(response), llm),
            Ok(_) => {}
            Err(status) => return (Err(status), llm),
        }
    }
}

#[tokio::test]
async fn tokens_are_reported_while_they_come_and_counted_all_the_same() {
    for provider in PROVIDERS {
        let gate = Arc::new(Semaphore::new(0));
        let llm = FakeLlm::start([Act::SayHalfThen(gate.clone(), GOOD)]).await;
        let server = TestServer::start(settings(provider, &llm)).await;
        let mut stream = open(&server).await;
        // The other half is held back, so this is not said at the end.
        let first = loop {
            match next(&mut stream).await.unwrap() {
                Event::TokensReceived(tokens) => break tokens.bytes,
                Event::PromptReady(_) => {}
                other => panic!("{provider}: {other:?}"),
            }
        };
        assert!(
            0 < first && first < GOOD.len() as u64,
            "{provider}: {first}"
        );
        gate.add_permits(1);
        let mut last = first;
        let response = loop {
            match next(&mut stream).await.unwrap() {
                Event::TokensReceived(tokens) => {
                    assert!(tokens.bytes >= last, "{provider}");
                    last = tokens.bytes;
                }
                Event::Result(response) => break response,
                _ => {}
            }
        };
        assert_eq!(last, GOOD.len() as u64, "{provider}");
        let usage = response.usage.unwrap();
        assert_eq!(
            (usage.input_tokens, usage.output_tokens),
            COST,
            "{provider}"
        );
        assert_eq!(
            (response.outcome(), response.model.as_str()),
            (SynthesisOutcome::Generated, "fake-1")
        );
        assert_eq!(llm.requests()[0].body["stream"], true);
    }
}

#[tokio::test]
async fn nobody_who_waits_for_the_whole_gets_a_stream() {
    for provider in PROVIDERS {
        let llm = FakeLlm::start([Act::Say(GOOD)]).await;
        let server = TestServer::start(settings(provider, &llm)).await;
        let mut client = server.client().await;
        client.synthesize(request("a", "x")).await.unwrap();
        let body = &llm.requests()[0].body;
        assert_ne!(body["stream"], true, "{provider}");
        assert!(body["stream_options"].is_null(), "{provider}");
    }
}

#[tokio::test]
async fn servers_that_know_less_work_all_the_same() {
    for (provider, act, calls, cost) in [
        ("openai", Act::SayWhole(GOOD), 1, COST),
        ("anthropic", Act::SayWhole(GOOD), 1, COST),
        ("ollama", Act::SayWhole(GOOD), 1, COST),
        ("openai", Act::RefuseStreams(GOOD), 2, COST),
    ] {
        let (answer, llm) = outcome(provider, &[act], |settings| settings).await;
        let answer = answer.unwrap();
        assert_eq!(answer.outcome(), SynthesisOutcome::Generated, "{provider}");
        let usage = answer.usage.unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), cost);
        assert_eq!(llm.calls(), calls, "{provider}");
    }
}

/// Budgets would never bite.
#[tokio::test]
async fn what_a_silent_server_costs_is_estimated() {
    let (answer, _) = outcome("openai", &[Act::SayForFree(GOOD)], |settings| settings).await;
    let usage = answer.unwrap().usage.unwrap();
    assert_eq!(usage.output_tokens, (GOOD.len() as u64).div_ceil(4));
    assert!(usage.input_tokens > 1000, "{usage:?}");
}

#[tokio::test]
async fn the_limit_on_the_length_is_seen_in_a_stream() {
    for provider in PROVIDERS {
        let acts = [Act::SayCut("```ruby\nagent 'agent' do\n"), Act::Say(GOOD)];
        let (answer, _) = outcome(provider, &acts, |settings| settings).await;
        let answer = answer.unwrap();
        assert_eq!(answer.outcome(), SynthesisOutcome::Repaired, "{provider}");
        assert_eq!(answer.usage.unwrap().input_tokens, 2 * COST.0);
    }
}

/// What goes wrong, the code, the reason, and how many requests are made with two retries.
const FAILURES: [(Act, Code, &str, usize); 9] = [
    (
        Act::BreakOff,
        Code::Unavailable,
        "PROVIDER_ANSWER_INCOMPLETE",
        1,
    ),
    (
        Act::FailMidway(GOOD),
        Code::Unavailable,
        "PROVIDER_ANSWER_INCOMPLETE",
        1,
    ),
    (Act::FailAtOnce, Code::Unavailable, "PROVIDER_ERROR", 3),
    (Act::Fail(503, None), Code::Unavailable, "PROVIDER_ERROR", 3),
    (
        Act::Fail(429, None),
        Code::ResourceExhausted,
        "PROVIDER_RATE_LIMITED",
        3,
    ),
    (
        Act::Fail(401, None),
        Code::FailedPrecondition,
        "PROVIDER_REFUSED_KEY",
        1,
    ),
    (
        Act::Garbage,
        Code::Unavailable,
        "PROVIDER_ANSWER_UNREADABLE",
        1,
    ),
    (
        Act::Flood,
        Code::Unavailable,
        "PROVIDER_ANSWER_TOO_LARGE",
        1,
    ),
    (Act::Hang, Code::DeadlineExceeded, "PROVIDER_TIMEOUT", 1),
];

#[tokio::test]
async fn only_what_has_not_begun_is_tried_again() {
    for provider in PROVIDERS {
        for (act, code, expected, calls) in FAILURES {
            let what = format!("{provider}: {expected} in {calls}");
            let timeout = match act {
                Act::Hang => Duration::from_millis(300),
                _ => Duration::from_secs(20),
            };
            let edit = |settings| Settings {
                llm_retries: 2,
                request_timeout: timeout,
                ..settings
            };
            let (answer, llm) = outcome(provider, std::slice::from_ref(&act), edit).await;
            let status = answer.expect_err(&what);
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (code, expected),
                "{what}: {status:?}"
            );
            assert_eq!(llm.calls(), calls, "{what}");
            assert!(
                !format!("{status:?}").contains(KEY),
                "{what}: the key is in the status"
            );
        }
    }
}

#[tokio::test]
async fn what_a_broken_answer_cost_is_said_where_it_is_known() {
    let never = Arc::new(Semaphore::new(0));
    for (act, expected) in [
        (Act::FailMidway(GOOD), "PROVIDER_ANSWER_INCOMPLETE"),
        (Act::GarbleMidway(GOOD), "PROVIDER_ANSWER_UNREADABLE"),
        (Act::FloodMidway(GOOD), "PROVIDER_ANSWER_TOO_LARGE"),
        (Act::SayHalfThen(never, GOOD), "PROVIDER_TIMEOUT"),
    ] {
        let timeout = match act {
            Act::SayHalfThen(..) => Duration::from_secs(2),
            _ => Duration::from_secs(20),
        };
        let edit = |settings| Settings {
            request_timeout: timeout,
            ..settings
        };
        let (answer, _) = outcome("anthropic", &[act], edit).await;
        let status = answer.unwrap_err();
        assert_eq!(reason(&status), expected);
        let details = status.get_error_details();
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(
            metadata.get("input_tokens"),
            Some(&COST.0.to_string()),
            "{expected}"
        );
    }
}
