//! What an agent's status says of each habit of a rude LLM, and when the operator asks again. What
//! the habits come to for a gRPC caller is the synthesizer's own table,
//! `synthesizer/tests/grpc/habits.rs`.

use langop_api::{
    LanguageAgent,
    agent::{SynthesisInfo, Tokens},
};
use langop_integration_tests::{
    FakeLlm, Reply, Synthesizer,
    env::{TestEnv, condition, is, is_current},
    fake_llm::{AGENT, INPUT_TOKENS, LlmRequest, OUTPUT_TOKENS},
};
use serde_json::{Value, json};

/// What a provider says in its errors: it may repeat what was sent, so it is in no status.
const PROSE: &str = "prose of the provider";

/// What `status.synthesisInfo.tokens` may be, for each attempt.
#[derive(Clone, Copy, Debug)]
enum Spent {
    /// What the fake says an answer costs, this many times.
    Answers(usize),
    /// More than nothing, and no more than a prompt and the limit of an answer allow.
    Estimated,
    /// Nothing is known of it.
    Nothing,
}

/// When the operator asks again, while nobody changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// There is code.
    Never,
    /// By the back-off, which begins short and doubles.
    Soon,
    /// After the longest pause only: time alone does not help, or the provider asks for time.
    Late,
}

#[derive(Clone, Copy)]
struct Habit {
    /// Name of the agent whose requests meet it.
    agent: &'static str,
    reply: fn(&LlmRequest) -> Reply,
    /// Reason of the agent's `Synthesized`.
    reason: &'static str,
    /// Part of that condition's message.
    message: &'static str,
    /// What the LLM is asked in one attempt.
    requests: usize,
    spent: Spent,
    again: Again,
}

const GENERATED: &str = "SynthesisSucceeded";
const REJECTED: &str = "ValidationFailed";
const FAILED: &str = "SynthesisFailed";
const DISABLED: &str = "SynthesisDisabled";

type Script = fn(&LlmRequest) -> Reply;

const fn generated(agent: &'static str, reply: Script, requests: usize, spent: Spent) -> Habit {
    Habit {
        agent,
        reply,
        reason: GENERATED,
        message: "synthesized from these instructions",
        requests,
        spent,
        again: Again::Never,
    }
}

/// Paid for so many times, and no code.
const fn rejected(
    agent: &'static str,
    reply: Script,
    message: &'static str,
    times: usize,
) -> Habit {
    Habit {
        reason: REJECTED,
        spent: Spent::Answers(times),
        again: Again::Soon,
        ..failed(agent, reply, message, times)
    }
}

const fn failed(
    agent: &'static str,
    reply: Script,
    message: &'static str,
    requests: usize,
) -> Habit {
    Habit {
        agent,
        reply,
        reason: FAILED,
        message,
        requests,
        spent: Spent::Nothing,
        again: Again::Soon,
    }
}

/// Everybody's: an administrator must act.
const fn disabled(agent: &'static str, reply: Script, message: &'static str) -> Habit {
    Habit {
        reason: DISABLED,
        ..failed(agent, reply, message, 1).late()
    }
}

impl Habit {
    const fn late(self) -> Self {
        Self {
            again: Again::Late,
            ..self
        }
    }

    const fn estimated(self) -> Self {
        Self {
            spent: Spent::Estimated,
            ..self
        }
    }
}

/// The path of the base URL that all are asked at, which is none of the usual ones.
const BASE: &str = "/v1beta/openai/";
const PATH: &str = "/v1beta/openai/chat/completions";

/// The synthesizer makes one retry where that may help, and two repairs of refused code.
const HABITS: &[Habit] = &[
    // A refused parameter is left out at once, and what is refused costs nothing.
    generated("parameter", refuses_the_limit, 2, Spent::Answers(1)),
    generated("pieces", in_pieces, 1, Spent::Answers(1)),
    generated("costless", |_| costs(&Value::Null), 1, Spent::Estimated),
    generated("absurd", |_| costs(&u64::MAX.into()), 1, Spent::Estimated),
    generated("negative", |_| costs(&(-5).into()), 1, Spent::Estimated),
    rejected(
        "limit",
        |_| says(&Value::Null, "length"),
        "length limit before any code",
        1,
    ),
    rejected(
        "nothing",
        |_| says(&"".into(), "stop"),
        "the answer holds no code",
        3,
    ),
    rejected(
        "withheld",
        |_| says(&Value::Null, "content_filter"),
        "content filter",
        1,
    ),
    failed(
        "filter",
        |_| error(400, "content_filter"),
        "(HTTP 400, content_filter)",
        1,
    ),
    failed(
        "long",
        |_| error(413, "request_too_large"),
        "request_too_large",
        1,
    ),
    failed(
        "success",
        |_| error(200, "overloaded"),
        "the provider failed before it answered (overloaded)",
        2,
    ),
    failed(
        "overloaded",
        |_| error(529, "overloaded_error"),
        "(HTTP 529, overloaded_error)",
        2,
    ),
    failed("slow", |_| Reply::Hang, "took too long", 1),
    failed("cut", |_| Reply::Truncated, "broke off", 2),
    failed("huge", |_| Reply::Huge(20 << 20), "larger than", 1),
    failed("garbage", |_| Reply::Garbage, "not valid JSON", 1).estimated(),
    // More time brings no money.
    failed(
        "unpaid",
        |_| error(429, "insufficient_quota"),
        "no money or quota",
        1,
    )
    .late(),
    // An hour is believed, and not three thousand years.
    failed("patience", |_| waits("99999999999"), "rate limit", 1).late(),
    disabled("key", |_| error(401, "invalid_api_key"), "the API key"),
    disabled("path", |_| error(404, "not_found"), PATH),
];

fn json_reply(code: u16, body: Value) -> Reply {
    Reply::Json {
        code,
        retry_after: None,
        body,
    }
}

fn error(code: u16, kind: &str) -> Reply {
    json_reply(code, json!({"error": {"code": kind, "message": PROSE}}))
}

fn waits(retry_after: &'static str) -> Reply {
    Reply::Json {
        code: 429,
        retry_after: Some(retry_after),
        body: Value::Null,
    }
}

fn completion(content: &Value, finish: &str, usage: &Value) -> Reply {
    let message = json!({"role": "assistant", "content": content});
    let choice = json!({"index": 0, "finish_reason": finish, "message": message});
    json_reply(
        200,
        json!({"model": "fake-model", "choices": [choice], "usage": usage}),
    )
}

fn says(content: &Value, finish: &str) -> Reply {
    let usage = json!({"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS});
    completion(content, finish, &usage)
}

fn costs(count: &Value) -> Reply {
    let usage = json!({"prompt_tokens": count, "completion_tokens": count});
    completion(&AGENT.into(), "stop", &usage)
}

fn in_pieces(_: &LlmRequest) -> Reply {
    let (first, second) = AGENT.split_at(AGENT.len() / 2);
    let piece = |text: &str| json!({"type": "text", "text": text});
    let thinking = json!({"type": "thinking", "thinking": "hm"});
    says(&json!([thinking, piece(first), piece(second)]), "stop")
}

fn refuses_the_limit(request: &LlmRequest) -> Reply {
    if request.body["max_tokens"].is_null() {
        return says(&AGENT.into(), "stop");
    }
    let message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.";
    let error = json!({"param": "max_tokens", "code": "unsupported_parameter", "message": message});
    json_reply(400, json!({"error": error}))
}

/// By what the instructions of each agent say, whatever else the prompt holds.
fn meet(request: &LlmRequest) -> Reply {
    let mut all = HABITS.iter();
    let habit = all.find(|habit| is_about(request, habit));
    (habit.expect("nobody else asks").reply)(request)
}

fn is_about(request: &LlmRequest, habit: &Habit) -> bool {
    let prompt = request.body["messages"].to_string();
    prompt.contains(&instructions(habit))
}

fn instructions(habit: &Habit) -> String {
    format!("Meet the habit <{}>", habit.agent)
}

#[tokio::test]
async fn the_status_says_what_a_rude_llm_did_what_it_cost_and_who_is_asked_again() {
    let llm = FakeLlm::start().await.unwrap();
    llm.reply_with(meet);
    let synthesizer = Synthesizer::asking(&llm)
        .endpoint(&format!("{}{BASE}", llm.endpoint()))
        .env("LANGOP_REQUEST_TIMEOUT", "20s")
        .env("LANGOP_LLM_RETRIES", "1")
        .start()
        .await
        .unwrap();
    let url = synthesizer.grpc_url().to_owned();
    let env = TestEnv::with("rude", llm, synthesizer, |operator| {
        operator.synthesizer(&url).synthesis_backoff("5s", "1h")
    })
    .await;
    let agents: Vec<String> = HABITS.iter().map(agent_yaml).collect();
    env.apply(&agents.join("---")).await;
    for habit in HABITS {
        let agent = env.until(habit.agent, |agent| is_final(habit, agent)).await;
        check_conditions(habit, &agent);
        check_tokens(habit, &agent);
    }
    // By now those that are asked again soon have been.
    let requests = env.llm.requests();
    for habit in HABITS {
        let of_it = requests.iter().filter(|request| is_about(request, habit));
        let (count, once) = (of_it.count(), habit.requests);
        let is_right = match habit.again {
            Again::Never | Again::Late => count == once,
            Again::Soon => count >= 2 * once,
        };
        assert!(is_right, "{}: {count} requests", habit.agent);
    }
    let mut paths = requests.iter().map(|request| request.path.as_str());
    assert!(paths.all(|path| path == PATH));
}

fn agent_yaml(habit: &Habit) -> String {
    format!(
        "
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {{name: {}}}
spec: {{instructions: {:?}}}
",
        habit.agent,
        instructions(habit)
    )
}

/// Whether an attempt is over: the first, or a further one where one follows soon.
fn is_final(habit: &Habit, agent: &LanguageAgent) -> bool {
    let info = info(agent);
    let least = match habit.again {
        Again::Never => return is(agent, "Synthesized", "True") && is_current(agent),
        Again::Late => 1,
        Again::Soon => 2,
    };
    info.synthesis_attempts >= Some(least) && info.last_failure_time.is_some()
}

fn info(agent: &LanguageAgent) -> SynthesisInfo {
    let status = agent.status.clone().unwrap_or_default();
    status.synthesis_info.unwrap_or_default()
}

/// What it says of the answer; of the agent, who is to act; and nothing that the provider wrote.
fn check_conditions(habit: &Habit, agent: &LanguageAgent) {
    let Habit {
        agent: name,
        reason,
        ..
    } = *habit;
    let synthesized = condition(agent, "Synthesized").unwrap();
    let message = &synthesized.message;
    assert_eq!(synthesized.reason, reason, "{name}: {message}");
    assert!(message.contains(habit.message), "{name}: {message}");
    let all = serde_json::to_string(&agent.status).unwrap();
    assert!(!all.contains(PROSE), "{name}: {all}");
    if reason == GENERATED {
        return;
    }
    assert_eq!(synthesized.status, "False", "{name}");
    // Nobody but an administrator can help where all are refused; else it is tried again.
    let kind = match reason {
        DISABLED => "Stalled",
        _ => "Reconciling",
    };
    for (type_, status) in [("Ready", "False"), (kind, "True")] {
        let told = condition(agent, type_).unwrap();
        let found = (told.status.as_str(), told.reason.as_str(), &told.message);
        assert_eq!(found, (status, reason, message), "{name}: {type_}");
    }
    assert_eq!(info(agent).last_failure_reason.as_deref(), Some(reason));
}

fn check_tokens(habit: &Habit, agent: &LanguageAgent) {
    let info = info(agent);
    let attempts = info.synthesis_attempts.map_or(1, i64::from);
    let Tokens { input, output } = info.tokens.unwrap_or_default();
    let is_right = match habit.spent {
        Spent::Answers(times) => {
            let times = attempts * i64::try_from(times).unwrap();
            let cost = |tokens: u64| times * i64::try_from(tokens).unwrap();
            (input, output) == (cost(INPUT_TOKENS), cost(OUTPUT_TOKENS))
        }
        Spent::Estimated => {
            let per = |tokens: i64| attempts * tokens;
            (per(500)..per(100_000)).contains(&input) && (0..=per(8192)).contains(&output)
        }
        Spent::Nothing => (input, output) == (0, 0),
    };
    assert!(
        is_right,
        "{}: {input} and {output} tokens in {attempts} attempts, not {:?}",
        habit.agent, habit.spent
    );
}
