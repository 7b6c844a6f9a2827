//! The real LiteLLM behind its door, before an upstream of each provider that hears everything and
//! is rude.

use std::time::{Duration, Instant};

use langop_integration_tests::wait;
use serde_json::{Value, json};

use crate::{
    built::{KEY, built, specs},
    peer::LiteLlm,
    probes::{self, Probe, chat, chat_with},
    recording::{Recording, Seen, inputs},
    upstream::{Manner, Upstream},
};

/// A proxy and whom it asks.
struct Pair {
    provider: &'static str,
    upstream: Upstream,
    proxy: LiteLlm,
}

impl Pair {
    async fn start(provider: &'static str) -> Self {
        let upstream = Upstream::start().await;
        let proxy = LiteLlm::start(provider, &built(&specs(&upstream.url)[provider])).await;
        let this = Self {
            provider,
            upstream,
            proxy,
        };
        // The first request loads much of LiteLLM.
        let mut first = (0, String::new());
        for _ in 0..3 {
            first = this.send(&chat_with(json!({}))).await;
            if first.0 == 200 {
                break;
            }
        }
        assert_eq!(first.0, 200, "{provider}: {}", first.1);
        this.upstream.heard();
        this
    }

    async fn send(&self, probe: &Probe) -> (u16, String) {
        let url = format!("{}{}", self.proxy.url, probe.path);
        let method = probe.method.parse().unwrap();
        let mut request = self
            .proxy
            .client
            .request(method, url)
            .body(probe.body.clone());
        for (name, value) in &probe.headers {
            request = request.header(*name, *value);
        }
        match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                // One that is cut has no whole text.
                (
                    status,
                    answer.text().await.unwrap_or_else(|_| "(cut)".to_owned()),
                )
            }
            Err(error) => panic!("{}: {error}", probe.name()),
        }
    }

    /// The answer, noted.
    async fn noted(&self, probe: &Probe, recording: &mut Recording) -> (u16, String) {
        let answer = self.send(probe).await;
        let heard = self.upstream.heard().into_iter();
        let seen = Seen {
            status: answer.0,
            upstream: heard.map(|heard| (heard.path, heard.body)).collect(),
        };
        let name = format!("{}: {}", self.provider, probe.name());
        recording.seen.insert(name, seen);
        answer
    }
}

fn tool() -> Value {
    json!([{"type": "function", "function": {"name": "look", "description": "Looks", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}}])
}

#[tokio::test]
async fn the_real_one_serves_what_the_model_says_and_nothing_else() {
    let Some(mode) = std::env::var("LANGOP_LITELLM")
        .ok()
        .filter(|mode| !mode.is_empty())
    else {
        eprintln!(
            "LEFT OUT: the real LiteLLM was not tried; LANGOP_LITELLM=1 cargo test --workspace --test litellm tries it (756 MB, minutes)"
        );
        return;
    };
    // reqwest has none of its own; another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut recording = Recording {
        of: inputs(),
        ..Recording::default()
    };
    compatible(&mut recording).await;
    openai(&mut recording).await;
    anthropic(&mut recording).await;
    ollama(&mut recording).await;
    if mode == "record" {
        recording.write();
    }
    let recorded = Recording::read();
    for (name, seen) in &recording.seen {
        assert_eq!(
            recorded.seen.get(name),
            Some(seen),
            "{name}: not as recorded"
        );
    }
    assert_eq!(recorded, recording);
}

/// All probes; the limits; a rude upstream.
async fn compatible(recording: &mut Recording) {
    let pair = Pair::start("openai-compatible").await;
    for probe in probes::refused() {
        let (status, text) = pair.noted(&probe, recording).await;
        assert!(
            (400..500).contains(&status),
            "{}: {status} {text}",
            probe.name()
        );
    }
    for probe in probes::served() {
        let (status, text) = pair.noted(&probe, recording).await;
        assert_eq!(status, 200, "{}: {text}", probe.name());
    }
    for (name, seen) in &recording.seen {
        let asked = usize::from(seen.status == 200 && name.contains("POST"));
        assert_eq!(seen.upstream.len(), asked, "{name}");
        for (path, body) in &seen.upstream {
            assert_eq!(
                (path.as_str(), &body["model"]),
                ("/v1/chat/completions", &json!("org/model:7b"))
            );
            assert!(
                (1..=64).contains(&body["max_tokens"].as_u64().unwrap()),
                "{name}: {body}"
            );
        }
    }
    tools(&pair, recording).await;
    errors(&pair).await;
    time(&pair).await;
}

/// A call of a tool, whole and streamed, and its result.
async fn tools(pair: &Pair, recording: &mut Recording) {
    let call = json!([{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": \"it\"}"}}]);
    let result = json!([
        {"role": "user", "content": "look at it"},
        {"role": "assistant", "content": null, "tool_calls": call},
        {"role": "tool", "tool_call_id": "call_1", "content": "it is blue"},
    ]);
    for stream in [false, true] {
        let asked = chat_with(json!({"tools": tool(), "stream": stream}));
        let (status, text) = pair.noted(&asked, recording).await;
        assert!(
            status == 200 && text.contains("tool_calls") && text.contains("look"),
            "{}: {status} {text}",
            pair.provider
        );
        let answered = chat_with(json!({"messages": result, "stream": stream}));
        let (status, text) = pair.noted(&answered, recording).await;
        assert!(
            status == 200 && text.contains("hello"),
            "{}: {status} {text}",
            pair.provider
        );
    }
    let (status, text) = pair.send(&chat_with(json!({}))).await;
    let heard = pair.upstream.heard().remove(0);
    let key = ["authorization", "x-api-key"].map(|name| {
        heard
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    });
    let with_key = key.iter().flatten().any(|value| value.ends_with(KEY));
    assert!(
        status == 200 && (with_key || pair.provider == "ollama"),
        "{}: {key:?}",
        pair.provider
    );
    assert!(!text.contains(KEY));
}

/// An upstream's error reaches the caller, is asked once, and keeps nobody else out.
async fn errors(pair: &Pair) {
    for told in [400, 401, 404, 429, 500, 503] {
        pair.upstream.be(Manner::Status(told));
        let (status, text) = pair.send(&chat_with(json!({}))).await;
        assert!(
            status >= 400 && !text.contains(KEY),
            "{told}: {status} {text}"
        );
        assert_eq!(pair.upstream.heard().len(), 1, "after {told}");
        pair.upstream.be(Manner::Polite);
        let (status, text) = pair.send(&chat_with(json!({}))).await;
        assert_eq!(status, 200, "after {told}: {text}");
        pair.upstream.heard();
    }
}

/// `timeoutSeconds: 3` bounds the whole, also where a byte comes now and then, and it is asked
/// once.
async fn time(pair: &Pair) {
    for (manner, stream) in [
        (Manner::Hangs, false),
        (Manner::Hangs, true),
        (Manner::Trickles, false),
        (Manner::Trickles, true),
    ] {
        pair.upstream.be(manner);
        let begun = Instant::now();
        let (status, text) = pair.send(&chat_with(json!({"stream": stream}))).await;
        let took = begun.elapsed();
        assert!(
            status >= 400 || text == "(cut)" || text.contains("error"),
            "{manner:?} {stream}: {status} {text}"
        );
        assert!(
            (Duration::from_secs(2)..Duration::from_secs(8)).contains(&took),
            "{manner:?} {stream}: {took:?}"
        );
        assert_eq!(pair.upstream.heard().len(), 1, "{manner:?} {stream}");
    }
    pair.upstream.be(Manner::Polite);
    let (status, text) = pair.send(&chat_with(json!({}))).await;
    assert_eq!(status, 200, "{text}");
    pair.upstream.heard();
}

/// A reasoning model that refuses what the configuration says.
async fn openai(recording: &mut Recording) {
    let pair = Pair::start("openai").await;
    pair.upstream
        .be(Manner::Refuses(&["temperature", "top_p", "max_tokens"]));
    tools(&pair, recording).await;
    let asked = chat_with(json!({"temperature": 0.3, "top_p": 0.4, "max_tokens": 100_000}));
    let (status, text) = pair.noted(&asked, recording).await;
    assert_eq!(status, 200, "{text}");
    let seen = &recording.seen[&format!("openai: {}", asked.name())];
    assert_eq!(seen.upstream[0].1["max_completion_tokens"], 64, "{seen:?}");
}

/// An endpoint that ends in `/v1`; a limit for a minute, over both names and many at once.
async fn anthropic(recording: &mut Recording) {
    let pair = Pair::start("anthropic").await;
    // The door's count begins with the start: what came before the burst is in it.
    let ask = |model: &str| chat_with(json!({"model": model, "reasoning_effort": "high"}));
    let burst = ["brain", "claude-sonnet-4-5"].map(ask);
    let all = (0..8).map(|nth| pair.send(&burst[nth % 2]));
    let statuses: Vec<_> = futures::future::join_all(all)
        .await
        .into_iter()
        .map(|(status, _)| status)
        .collect();
    let served = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    let heard = pair.upstream.heard();
    assert_eq!(
        (served, served + refused, heard.len()),
        (4, 8, 4),
        "5 a minute, one of them at the start: {statuses:?}"
    );
    for heard in heard {
        assert_eq!(heard.path, "/v1/messages");
        assert!(
            heard.body["max_tokens"].as_u64().unwrap() <= 64,
            "{}",
            heard.body
        );
    }
    let answer = pair
        .proxy
        .client
        .post(format!("{}/v1/chat/completions", pair.proxy.url))
        .body(chat().to_string());
    let answer = answer.send().await.unwrap();
    let after: u64 = answer.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        answer.status() == 429 && (1..=60).contains(&after),
        "{after}"
    );
    for stream in [false, true] {
        let asked = chat_with(json!({"tools": tool(), "stream": stream}));
        let what = "the next minute";
        let answered = wait::until(what, Duration::from_secs(90), async || {
            let (status, text) = pair.noted(&asked, recording).await;
            (status != 429).then_some((status, text))
        });
        let (status, text) = answered.await.unwrap();
        assert!(
            status == 200 && text.contains("tool_calls") && text.contains("look"),
            "{status} {text}"
        );
    }
    let heard = recording
        .seen
        .iter()
        .filter(|(name, _)| name.starts_with("anthropic"));
    assert!(
        heard
            .flat_map(|(_, seen)| &seen.upstream)
            .all(|(path, _)| path == "/v1/messages")
    );
}

/// Ollama's own API.
async fn ollama(recording: &mut Recording) {
    let pair = Pair::start("ollama").await;
    tools(&pair, recording).await;
    let asked = recording
        .seen
        .iter()
        .filter(|(name, _)| name.starts_with("ollama"));
    for (path, body) in asked.flat_map(|(_, seen)| &seen.upstream) {
        assert_eq!(
            (path.as_str(), &body["options"]["num_predict"]),
            ("/api/chat", &json!(64)),
            "{body}"
        );
    }
}
