//! Each LLM API, behaving and misbehaving.

use std::time::{Duration, Instant};

use langop_proto::v1::{SynthesisOutcome, SynthesizeResponse};
use langop_synthesizer::{prompt, settings::Settings};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    fake_llm::{Act, BAD, COST, FakeLlm, GOOD},
    harness::{KEY, TestServer, reason, request, settings},
    logs,
};

const PROVIDERS: [(&str, &str); 3] = [
    ("openai", "/v1/chat/completions"),
    ("anthropic", "/v1/messages"),
    ("ollama", "/api/chat"),
];

/// What one provider's acts come to, and how many requests it got.
async fn outcome(
    provider: &str,
    acts: &[Act],
    edit: impl Fn(Settings) -> Settings,
) -> (Result<SynthesizeResponse, Status>, FakeLlm) {
    let llm = FakeLlm::start(acts.to_vec()).await;
    let server = TestServer::start(edit(settings(provider, &llm))).await;
    let answer = server
        .client()
        .await
        .synthesize(request("mailer", "watch the door"))
        .await;
    (answer.map(tonic::Response::into_inner), llm)
}

#[tokio::test]
async fn a_good_answer() {
    for (provider, path) in PROVIDERS {
        let (answer, llm) = outcome(provider, &[Act::Say(GOOD)], |settings| settings).await;
        let answer = answer.unwrap();
        assert_eq!(answer.outcome(), SynthesisOutcome::Generated, "{provider}");
        assert!(answer.code.contains("agent 'mailer' do"), "{}", answer.code);
        assert_eq!(
            (answer.model.as_str(), answer.provider.as_str()),
            ("fake-1", provider)
        );
        let usage = answer.usage.unwrap();
        assert_eq!(
            (usage.input_tokens, usage.output_tokens),
            COST,
            "{provider}"
        );
        assert_eq!(
            usage.cache_read_input_tokens,
            if provider == "ollama" { 0 } else { 40 },
            "{provider}"
        );
        assert_eq!(
            usage.cache_creation_input_tokens,
            if provider == "anthropic" { 10 } else { 0 },
            "{provider}"
        );
        let requests = llm.requests();
        let sent = &requests[0];
        assert_eq!((requests.len(), sent.path.as_str()), (1, path));
        assert!(sent.key.ends_with(KEY), "{provider}");
        assert_eq!(sent.body["model"], "fake");
        assert!(
            !sent.body.to_string().contains("mailer"),
            "{provider}: the name is in the prompt"
        );
    }
}

/// What the provider may keep is what comes before the mark, byte by byte: the fixed part, whatever
/// the request and the attempt.
#[tokio::test]
async fn the_fixed_part_is_marked_for_the_prompt_cache() {
    let llm = FakeLlm::start([Act::Say(BAD), Act::Say(GOOD)]).await;
    let server = TestServer::start(settings("anthropic", &llm)).await;
    let mut client = server.client().await;
    for task in ["watch the door", "watch the window"] {
        client.synthesize(request("a", task)).await.unwrap();
    }
    let requests = llm.requests();
    assert_eq!(requests.len(), 3, "a repair and another request");
    for sent in &requests {
        let fixed = json!([{"type": "text", "text": prompt::SYSTEM, "cache_control": {"type": "ephemeral"}}]);
        assert_eq!(sent.body["system"], fixed);
        let rest = sent.body["messages"].to_string();
        assert!(rest.contains("watch the") && !rest.contains("cache_control"));
    }
}

#[tokio::test]
async fn a_rate_limit_is_waited_for() {
    for (provider, _) in PROVIDERS {
        let started = Instant::now();
        let (answer, llm) = outcome(
            provider,
            &[Act::Fail(429, Some("1")), Act::Say(GOOD)],
            |settings| settings,
        )
        .await;
        assert_eq!(
            answer.unwrap().outcome(),
            SynthesisOutcome::Generated,
            "{provider}"
        );
        assert_eq!(llm.calls(), 2);
        assert!(
            started.elapsed() >= Duration::from_secs(1),
            "{provider} did not wait"
        );
    }
}

struct Case {
    what: &'static str,
    act: Act,
    code: Code,
    reason: &'static str,
    calls: usize,
}

fn case(what: &'static str, act: Act, code: Code, reason: &'static str, calls: usize) -> Case {
    Case {
        what,
        act,
        code,
        reason,
        calls,
    }
}

/// Two retries, where retrying may help at all.
fn cases() -> Vec<Case> {
    vec![
        case(
            "429 for long",
            Act::Fail(429, Some("3600")),
            Code::ResourceExhausted,
            "PROVIDER_RATE_LIMITED",
            1,
        ),
        case(
            "429",
            Act::Fail(429, None),
            Code::ResourceExhausted,
            "PROVIDER_RATE_LIMITED",
            3,
        ),
        case(
            "500",
            Act::Fail(500, None),
            Code::Unavailable,
            "PROVIDER_ERROR",
            3,
        ),
        case(
            "401",
            Act::Fail(401, None),
            Code::FailedPrecondition,
            "PROVIDER_REFUSED_KEY",
            1,
        ),
        case(
            "403",
            Act::Fail(403, None),
            Code::FailedPrecondition,
            "PROVIDER_REFUSED_KEY",
            1,
        ),
        case(
            "404",
            Act::Fail(404, None),
            Code::FailedPrecondition,
            "MODEL_NOT_FOUND",
            1,
        ),
        case(
            "400",
            Act::Fail(400, None),
            Code::InvalidArgument,
            "PROVIDER_REFUSED_REQUEST",
            1,
        ),
        case(
            "a redirect",
            Act::Fail(302, None),
            Code::FailedPrecondition,
            "PROVIDER_ENDPOINT_WRONG",
            1,
        ),
        case(
            "garbage",
            Act::Garbage,
            Code::Unavailable,
            "PROVIDER_ANSWER_UNREADABLE",
            1,
        ),
        case(
            "a body that breaks off",
            Act::BreakOff,
            Code::Unavailable,
            "PROVIDER_UNREACHABLE",
            3,
        ),
        case(
            "30 MB",
            Act::Flood,
            Code::Unavailable,
            "PROVIDER_ANSWER_TOO_LARGE",
            1,
        ),
        case(
            "no answer",
            Act::Hang,
            Code::DeadlineExceeded,
            "PROVIDER_TIMEOUT",
            1,
        ),
    ]
}

#[tokio::test]
async fn what_does_not_help_is_an_error_that_says_so_and_no_log_has_the_key() {
    let cases = cases();
    for (provider, _) in PROVIDERS {
        for Case {
            what,
            act,
            code,
            reason: expected,
            calls,
        } in &cases
        {
            let timeout = if matches!(act, Act::Hang) {
                Duration::from_millis(300)
            } else {
                Duration::from_secs(20)
            };
            let edit = |settings| Settings {
                llm_retries: 2,
                request_timeout: timeout,
                ..settings
            };
            let (answer, llm) = outcome(provider, std::slice::from_ref(act), edit).await;
            let status = answer.expect_err(what);
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (*code, *expected),
                "{provider}: {what}: {status:?}"
            );
            assert_eq!(llm.calls(), *calls, "{provider}: {what}");
            assert!(
                !format!("{status:?}").contains(KEY),
                "{provider}: {what}: the key is in the status"
            );
            assert!(status.details().len() < 4096);
            let retry = status
                .get_error_details()
                .retry_info()
                .and_then(|info| info.retry_delay);
            assert_eq!(
                retry.is_some(),
                *code == Code::ResourceExhausted,
                "{provider}: {what}"
            );
        }
    }
    let log = logs::captured();
    assert!(log.contains("trying again"), "the log was captured");
    assert!(!log.contains(KEY), "a log line has the key");
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let llm = FakeLlm::start([Act::Hang]).await;
    let mut settings = settings("openai", &llm);
    // Port 1 of loopback: refused at once.
    settings.endpoint = Some("http://127.0.0.1:1".to_owned());
    let server = TestServer::start(settings).await;
    let status = server
        .client()
        .await
        .synthesize(request("a", "x"))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unavailable, "PROVIDER_UNREACHABLE")
    );
}

#[tokio::test]
async fn a_key_file_is_read_again_when_it_changes() {
    let llm = FakeLlm::start([Act::Fail(401, None), Act::Say(GOOD)]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "first-key\n").unwrap();
    let settings = Settings {
        api_key: None,
        api_key_file: Some(file.clone()),
        ..settings("openai", &llm)
    };
    let server = TestServer::start(settings).await;
    let mut client = server.client().await;
    let refused = client.synthesize(request("a", "x")).await.unwrap_err();
    assert_eq!(reason(&refused), "PROVIDER_REFUSED_KEY");
    std::fs::write(&file, "second-key\n").unwrap();
    client.synthesize(request("a", "x")).await.unwrap();
    let keys: Vec<String> = llm
        .requests()
        .into_iter()
        .map(|request| request.key)
        .collect();
    assert_eq!(keys, ["Bearer first-key", "Bearer second-key"]);
    std::fs::remove_file(&file).unwrap();
    let unreadable = client.synthesize(request("a", "y")).await.unwrap_err();
    assert_eq!(reason(&unreadable), "PROVIDER_KEY_UNREADABLE");
}

#[tokio::test]
async fn at_most_as_many_requests_as_set_are_open_at_once() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let llm = FakeLlm::start([Act::SayAfter(gate.clone(), GOOD)]).await;
    let server = TestServer::start(Settings {
        max_llm_requests: 2,
        ..settings("ollama", &llm)
    })
    .await;
    let client = server.client().await;
    let calls: Vec<_> = (0..6)
        .map(|index| {
            let mut client = client.clone();
            tokio::spawn(async move {
                client
                    .synthesize(request("a", &format!("task {index}")))
                    .await
            })
        })
        .collect();
    server.until_metric("langop_synthesis_in_flight 6").await;
    assert!(llm.calls() <= 2, "{}", llm.calls());
    gate.add_permits(6);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(llm.calls(), 6);
}
