//! A rude LLM: each habit that servers have, for each API that knows it, and what it comes to for
//! the caller: code, tokens, words.

use langop_proto::v1::{SynthesisOutcome, SynthesizeResponse};
use langop_synthesizer::settings::{ReasoningEffort, Settings};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    fake_llm::{Act, COST, FakeLlm, GOOD, Recorded, Reply, answer},
    harness::{KEY, TestServer, reason, request, settings},
};

const ALL: &[&str] = &["openai", "anthropic", "ollama"];
const OPENAI: &[&str] = &["openai"];

/// What an answer comes to.
enum End {
    /// An answer of this outcome.
    Answer(SynthesisOutcome),
    /// An error of this code and reason.
    Error(Code, &'static str),
}

/// What it costs.
enum Cost {
    /// So much, for each request.
    Said,
    /// More than nothing, and no more than the prompt and the limit allow.
    Sane,
    /// Nothing that is known.
    Unknown,
}

struct Habit {
    what: &'static str,
    of: &'static [&'static str],
    act: fn(&Recorded) -> Reply,
    end: End,
    calls: usize,
    cost: Cost,
    /// Part of the diagnostics, or of the status.
    words: &'static str,
}

fn good(asked: &Recorded) -> Value {
    answer(&asked.path, GOOD, false)
}

fn ok(body: Value) -> Reply {
    (200, None, body)
}

/// A good answer with another text, or none.
fn with_content(asked: &Recorded, content: &Value, finish: &str) -> Reply {
    let mut body = good(asked);
    for place in ["/choices/0/message/content", "/content", "/message/content"] {
        if let Some(found) = body.pointer_mut(place) {
            *found = content.clone();
        }
    }
    for place in ["/choices/0/finish_reason", "/stop_reason", "/done_reason"] {
        if let Some(found) = body.pointer_mut(place) {
            *found = finish.into();
        }
    }
    ok(body)
}

fn with_usage(asked: &Recorded, count: &Value) -> Reply {
    let mut body = good(asked);
    for place in [
        "/usage/prompt_tokens",
        "/usage/completion_tokens",
        "/usage/input_tokens",
        "/usage/output_tokens",
        "/prompt_eval_count",
        "/eval_count",
    ] {
        if let Some(found) = body.pointer_mut(place) {
            *found = count.clone();
        }
    }
    ok(body)
}

fn error(status: u16, kind: &str) -> Reply {
    let message = "prose of the provider";
    let error = json!({"type": kind, "message": message});
    (status, None, json!({"error": error}))
}

fn in_pieces(asked: &Recorded) -> Reply {
    let (first, second) = GOOD.split_at(GOOD.len() / 2);
    let pieces = json!([
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": first},
        {"type": "text", "text": second},
    ]);
    with_content(asked, &pieces, "stop")
}

fn refuses_the_limit(asked: &Recorded) -> Reply {
    if asked.body["max_tokens"].is_null() {
        return ok(good(asked));
    }
    let message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.";
    let error = json!({"param": "max_tokens", "code": "unsupported_parameter", "message": message});
    (400, None, json!({"error": error}))
}

fn named_at_length(asked: &Recorded) -> Reply {
    let mut body = good(asked);
    body["model"] = format!("a\u{1b}[31m\n{}", "b".repeat(100_000)).into();
    ok(body)
}

fn habit(
    what: &'static str,
    of: &'static [&'static str],
    act: fn(&Recorded) -> Reply,
    end: End,
    calls: usize,
    cost: Cost,
    words: &'static str,
) -> Habit {
    Habit {
        what,
        of,
        act,
        end,
        calls,
        cost,
        words,
    }
}

/// Two retries, where they may help, and two repairs. What is slow, cut or huge is among the
/// failures of `providers` and `streaming`.
#[expect(clippy::too_many_lines, reason = "a table")]
fn habits() -> Vec<Habit> {
    use Cost::{Said, Sane, Unknown};
    use End::{Answer, Error};
    use SynthesisOutcome::{Generated, Rejected};
    let refused = || Error(Code::InvalidArgument, "PROVIDER_REFUSED_REQUEST");
    let failed = || Error(Code::Unavailable, "PROVIDER_ERROR");
    let limited = || Error(Code::ResourceExhausted, "PROVIDER_RATE_LIMITED");
    let unpaid = || Error(Code::ResourceExhausted, "PROVIDER_QUOTA_SPENT");
    let null = |asked: &Recorded| with_content(asked, &Value::Null, "length");
    let withheld = |asked: &Recorded| {
        let finish = if asked.path == "/v1/messages" {
            "refusal"
        } else {
            "content_filter"
        };
        with_content(asked, &Value::Null, finish)
    };
    vec![
        habit(
            "refuses a parameter",
            OPENAI,
            refuses_the_limit,
            Answer(Generated),
            2,
            Said,
            "",
        ),
        habit(
            "answers in pieces",
            ALL,
            in_pieces,
            Answer(Generated),
            1,
            Said,
            "",
        ),
        habit(
            "thinks until the limit",
            &["openai", "ollama"],
            null,
            Answer(Rejected),
            1,
            Said,
            "reached its length limit before any code",
        ),
        habit(
            "thinks until the limit",
            &["anthropic"],
            |asked| with_content(asked, &json!([]), "max_tokens"),
            Answer(Rejected),
            1,
            Said,
            "reached its length limit before any code",
        ),
        habit(
            "says nothing",
            ALL,
            |asked| with_content(asked, &"".into(), "stop"),
            Answer(Rejected),
            3,
            Said,
            "the answer holds no code",
        ),
        habit(
            "withholds it",
            &["openai", "anthropic"],
            withheld,
            Answer(Rejected),
            1,
            Said,
            "content filter",
        ),
        habit(
            "fails inside a success",
            ALL,
            |_| ok(json!({"error": {"code": 502, "message": "prose of the provider"}})),
            failed(),
            3,
            Unknown,
            "the provider failed",
        ),
        habit(
            "refuses inside a success",
            ALL,
            |_| ok(json!({"error": {"code": "content_filter"}})),
            refused(),
            1,
            Unknown,
            "content_filter",
        ),
        habit(
            "filters",
            ALL,
            |_| error(400, "content_filter"),
            refused(),
            1,
            Unknown,
            "(HTTP 400, content_filter)",
        ),
        habit(
            "finds it too long",
            ALL,
            |_| error(413, "request_too_large"),
            refused(),
            1,
            Unknown,
            "request_too_large",
        ),
        habit(
            "has no money left",
            ALL,
            |_| error(429, "insufficient_quota"),
            unpaid(),
            1,
            Unknown,
            "no money or quota",
        ),
        habit(
            "wants money",
            ALL,
            |_| error(402, "x"),
            unpaid(),
            1,
            Unknown,
            "no money or quota",
        ),
        habit(
            "is overloaded",
            ALL,
            |_| error(529, "overloaded_error"),
            failed(),
            3,
            Unknown,
            "(HTTP 529, overloaded_error)",
        ),
        habit(
            "asks to wait for ever",
            ALL,
            |_| (429, Some("99999999999"), Value::Null),
            limited(),
            1,
            Unknown,
            "rate limit",
        ),
        habit(
            "says no cost",
            ALL,
            |asked| with_usage(asked, &Value::Null),
            Answer(Generated),
            1,
            Sane,
            "",
        ),
        habit(
            "says an absurd cost",
            ALL,
            |asked| with_usage(asked, &u64::MAX.into()),
            Answer(Generated),
            1,
            Sane,
            "",
        ),
        habit(
            "says a negative cost",
            ALL,
            |asked| with_usage(asked, &(-5).into()),
            Answer(Generated),
            1,
            Sane,
            "",
        ),
        habit(
            "has a name without end",
            ALL,
            named_at_length,
            Answer(Generated),
            1,
            Said,
            "",
        ),
    ]
}

#[tokio::test]
async fn a_rude_llm() {
    for habit in habits() {
        for provider in habit.of {
            let what = format!("{provider} {}", habit.what);
            let llm = FakeLlm::start([Act::Behave(habit.act)]).await;
            let server = TestServer::start(Settings {
                llm_retries: 2,
                ..settings(provider, &llm)
            })
            .await;
            let asked = request("mailer", "watch the door");
            let answer = server.client().await.synthesize(asked).await;
            let answer = answer.map(tonic::Response::into_inner);
            let said = check_end(&habit, &what, answer);
            assert!(said.contains(habit.words), "{what}: {said}");
            assert!(
                !said.contains(KEY) && !said.contains("prose"),
                "{what}: {said}"
            );
            assert_eq!(llm.calls(), habit.calls, "{what}");
            let page = server.page("/metrics").await.1;
            let is_counted = page.lines().any(|line| {
                line.starts_with("langop_synthesis_tokens_total{") && !line.ends_with(" 0")
            });
            assert_eq!(
                is_counted,
                !matches!(habit.cost, Cost::Unknown),
                "{what}\n{page}"
            );
        }
    }
}

/// What was said, if it ended as expected.
fn check_end(habit: &Habit, what: &str, answer: Result<SynthesizeResponse, Status>) -> String {
    match (&habit.end, answer) {
        (End::Answer(outcome), Ok(answer)) => {
            assert_eq!(answer.outcome(), *outcome, "{what}: {answer:?}");
            let usage = answer.usage.unwrap();
            let times = habit.calls as u64;
            let said = (times * COST.0, times * COST.1);
            match habit.cost {
                // A refused parameter costs nothing.
                Cost::Said if *outcome == SynthesisOutcome::Generated => {
                    assert_eq!((usage.input_tokens, usage.output_tokens), COST, "{what}");
                }
                Cost::Said if answer.diagnostics[0].code == "no-code" => {
                    assert_eq!(usage.input_tokens, said.0, "{what}");
                }
                Cost::Said => {
                    assert_eq!((usage.input_tokens, usage.output_tokens), said, "{what}");
                }
                Cost::Sane | Cost::Unknown => {
                    assert!(
                        (1000..100_000).contains(&usage.input_tokens),
                        "{what}: {usage:?}"
                    );
                    assert!(
                        (1..=8192).contains(&usage.output_tokens),
                        "{what}: {usage:?}"
                    );
                }
            }
            let is_clean = !answer.model.contains(char::is_control);
            assert!(answer.model.len() <= 128 && is_clean, "{what}");
            let words: Vec<_> = answer
                .diagnostics
                .into_iter()
                .map(|found| found.message)
                .collect();
            words.join("; ")
        }
        (End::Error(code, expected), Err(status)) => {
            let found = (status.code(), reason(&status));
            assert_eq!(found, (*code, (*expected).to_owned()), "{what}: {status:?}");
            let retry = status.get_error_details().retry_info().cloned();
            let delay = retry.and_then(|info| info.retry_delay).unwrap_or_default();
            assert!(delay.as_secs() <= 3600, "{what}: {delay:?}");
            status.message().to_owned()
        }
        (_, answer) => panic!("{what}: {answer:?}"),
    }
}

#[tokio::test]
async fn a_refused_parameter_is_remembered() {
    let llm = FakeLlm::start([Act::Behave(refuses_the_limit)]).await;
    let server = TestServer::start(settings("openai", &llm)).await;
    let mut client = server.client().await;
    for task in ["watch the door", "watch the window"] {
        client.synthesize(request("a", task)).await.unwrap();
    }
    let limits: Vec<_> = llm
        .requests()
        .iter()
        .map(|sent| {
            let has = |name: &str| !sent.body[name].is_null();
            (has("max_tokens"), has("max_completion_tokens"))
        })
        .collect();
    assert_eq!(limits, [(true, false), (false, true), (false, true)]);
}

#[tokio::test]
async fn the_length_and_the_effort_are_settings_and_the_effort_may_be_refused() {
    let choosy = |asked: &Recorded| {
        let says_effort = ["reasoning_effort", "output_config", "think"]
            .iter()
            .any(|name| !asked.body[*name].is_null());
        if says_effort {
            let message = "reasoning_effort, effort, thinking: not supported by this model";
            return (400, None, json!({"error": {"message": message}}));
        }
        ok(good(asked))
    };
    for provider in ALL {
        let llm = FakeLlm::start([Act::Behave(choosy)]).await;
        let server = TestServer::start(Settings {
            max_answer_tokens: 20_000,
            reasoning_effort: Some(ReasoningEffort::Low),
            ..settings(provider, &llm)
        })
        .await;
        let mut client = server.client().await;
        client.synthesize(request("a", "x")).await.unwrap();
        let sent = llm.requests();
        assert_eq!(sent.len(), 2, "{provider}");
        assert!(sent[0].body.to_string().contains("\"low\""), "{provider}");
        assert!(!sent[1].body.to_string().contains("\"low\""), "{provider}");
        assert!(sent[1].body.to_string().contains("20000"), "{provider}");
    }
}

#[tokio::test]
async fn a_base_url_is_asked_where_the_vendors_sdks_ask_and_the_path_is_named() {
    let llm = FakeLlm::start([
        Act::Behave(|asked| ok(good(asked))),
        Act::Behave(|_| error(404, "not_found")),
    ])
    .await;
    let server = TestServer::start(Settings {
        endpoint: Some(format!("{}/v1beta/openai/?tenant=secret", llm.url)),
        ..settings("openai", &llm)
    })
    .await;
    let mut client = server.client().await;
    client.synthesize(request("a", "x")).await.unwrap();
    let path = "/v1beta/openai/chat/completions";
    assert_eq!(llm.requests()[0].path, path);
    let status = client.synthesize(request("a", "y")).await.unwrap_err();
    assert_eq!(reason(&status), "MODEL_NOT_FOUND");
    assert!(status.message().contains(path), "{}", status.message());
    assert!(!status.message().contains("secret"), "{}", status.message());
}

#[tokio::test]
async fn a_budget_ends_though_no_answer_has_code() {
    let llm = FakeLlm::start([Act::Behave(|asked| {
        with_content(asked, &Value::Null, "length")
    })])
    .await;
    let mut settings = settings("openai", &llm);
    settings.access.caller_tokens = COST.0 + COST.1;
    let server = TestServer::start(settings).await;
    let mut client = server.client().await;
    let first = client.synthesize(request("a", "x")).await.unwrap();
    assert_eq!(first.into_inner().outcome(), SynthesisOutcome::Rejected);
    let second = client.synthesize(request("a", "y")).await.unwrap_err();
    assert_eq!(reason(&second), "TOKEN_BUDGET_SPENT");
    assert_eq!(llm.calls(), 1);
}
