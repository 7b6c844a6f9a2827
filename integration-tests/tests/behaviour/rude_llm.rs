//! What an agent's status says of each habit of a rude LLM. What the habits come to for a gRPC
//! caller is the synthesizer's own table, `synthesizer/tests/grpc/habits.rs`.

use langop_api::{LanguageAgent, agent::Tokens};
use langop_integration_tests::{
    FakeLlm, Reply, Synthesizer,
    env::{TestEnv, condition},
    fake_llm::{AGENT, INPUT_TOKENS, LlmRequest, OUTPUT_TOKENS},
};
use serde_json::{Value, json};

/// What a provider says in its errors: it may repeat what was sent, so it is in no status.
const PROSE: &str = "prose of the provider";

/// What `status.synthesisInfo.tokens` may be.
#[derive(Clone, Copy, Debug)]
enum Spent {
    /// What the fake says an answer costs, this many times.
    Answers(i64),
    /// More than nothing, and no more than a prompt and the limit of an answer allow.
    Estimated,
    /// Nothing is known of it.
    Nothing,
}

struct Habit {
    /// Name of the agent whose requests meet it.
    agent: &'static str,
    reply: fn(&LlmRequest) -> Reply,
    /// Reason of the agent's `Synthesized`.
    reason: &'static str,
    /// Part of that condition's message.
    message: &'static str,
    spent: Spent,
}

const fn habit(
    agent: &'static str,
    reply: fn(&LlmRequest) -> Reply,
    reason: &'static str,
    message: &'static str,
    spent: Spent,
) -> Habit {
    Habit {
        agent,
        reply,
        reason,
        message,
        spent,
    }
}

const GENERATED: &str = "SynthesisSucceeded";
const REJECTED: &str = "ValidationFailed";
const FAILED: &str = "SynthesisFailed";

/// The synthesizer makes one retry, and two repairs of refused code.
const HABITS: &[Habit] = &[
    habit(
        "parameter",
        refuses_the_limit,
        GENERATED,
        "",
        Spent::Answers(1),
    ),
    habit("pieces", in_pieces, GENERATED, "", Spent::Answers(1)),
    habit(
        "costless",
        |_| costs(&Value::Null),
        GENERATED,
        "",
        Spent::Estimated,
    ),
    habit(
        "absurd",
        |_| costs(&u64::MAX.into()),
        GENERATED,
        "",
        Spent::Estimated,
    ),
    habit(
        "limit",
        |_| says(&Value::Null, "length"),
        REJECTED,
        "length limit before any code",
        Spent::Answers(1),
    ),
    habit(
        "nothing",
        |_| says(&"".into(), "stop"),
        REJECTED,
        "the answer holds no code",
        Spent::Answers(3),
    ),
    habit(
        "withheld",
        |_| says(&Value::Null, "content_filter"),
        REJECTED,
        "content filter",
        Spent::Answers(1),
    ),
    habit(
        "filter",
        |_| error(400, "content_filter"),
        FAILED,
        "(HTTP 400, content_filter)",
        Spent::Nothing,
    ),
    habit(
        "long",
        |_| error(413, "request_too_large"),
        FAILED,
        "request_too_large",
        Spent::Nothing,
    ),
    habit(
        "success",
        |_| error(200, "overloaded"),
        FAILED,
        "the provider failed",
        Spent::Nothing,
    ),
    habit(
        "unpaid",
        |_| error(429, "insufficient_quota"),
        FAILED,
        "no money or quota",
        Spent::Nothing,
    ),
    habit(
        "patience",
        |_| waits("99999999999"),
        FAILED,
        "rate limit",
        Spent::Nothing,
    ),
    habit(
        "overloaded",
        |_| error(529, "overloaded_error"),
        FAILED,
        "(HTTP 529, overloaded_error)",
        Spent::Nothing,
    ),
    habit(
        "slow",
        |_| Reply::Hang,
        FAILED,
        "took too long",
        Spent::Nothing,
    ),
    habit(
        "cut",
        |_| Reply::Truncated,
        FAILED,
        "broke off",
        Spent::Nothing,
    ),
    habit(
        "huge",
        |_| Reply::Huge(20 << 20),
        FAILED,
        "larger than",
        Spent::Nothing,
    ),
    habit(
        "garbage",
        |_| Reply::Garbage,
        FAILED,
        "not valid JSON",
        Spent::Estimated,
    ),
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
    let prompt = request.body["messages"].to_string();
    let habit = HABITS
        .iter()
        .find(|habit| prompt.contains(&instructions(habit)))
        .expect("nobody else asks");
    (habit.reply)(request)
}

fn instructions(habit: &Habit) -> String {
    format!("Meet the habit <{}>", habit.agent)
}

#[tokio::test]
async fn the_status_says_what_a_rude_llm_did_and_what_it_cost() {
    let llm = FakeLlm::start().await.unwrap();
    llm.reply_with(meet);
    let synthesizer = Synthesizer::asking(&llm)
        .env("LANGOP_REQUEST_TIMEOUT", "20s")
        .env("LANGOP_LLM_RETRIES", "1")
        .start()
        .await
        .unwrap();
    let url = synthesizer.grpc_url().to_owned();
    let env = TestEnv::with("rude", llm, synthesizer, |operator| {
        operator.synthesizer(&url).synthesis_backoff("1h", "1h")
    })
    .await;
    let agents: Vec<String> = HABITS.iter().map(agent_yaml).collect();
    env.apply(&agents.join("---")).await;
    for habit in HABITS {
        let status = if habit.reason == GENERATED {
            "True"
        } else {
            "False"
        };
        let agent = env
            .until_condition(habit.agent, "Synthesized", status, habit.reason)
            .await;
        check(habit, &agent);
    }
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

fn check(habit: &Habit, agent: &LanguageAgent) {
    let name = habit.agent;
    let message = &condition(agent, "Synthesized").unwrap().message;
    assert!(message.contains(habit.message), "{name}: {message}");
    assert!(!message.contains(PROSE), "{name}: {message}");
    let status = agent.status.as_ref().unwrap();
    let info = status.synthesis_info.as_ref();
    let Tokens { input, output } = info.and_then(|info| info.tokens).unwrap_or_default();
    let is_right = match habit.spent {
        Spent::Answers(times) => {
            let cost = |tokens: u64| times * i64::try_from(tokens).unwrap();
            (input, output) == (cost(INPUT_TOKENS), cost(OUTPUT_TOKENS))
        }
        Spent::Estimated => (500..100_000).contains(&input) && (0..=8192).contains(&output),
        Spent::Nothing => (input, output) == (0, 0),
    };
    assert!(
        is_right,
        "{name}: {input} and {output} tokens, not {:?}",
        habit.spent
    );
}
