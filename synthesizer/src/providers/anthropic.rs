//! The Messages API, <https://docs.anthropic.com/en/api/messages>. The fixed part is marked for the
//! provider's prompt cache.

use langop_proto::v1::Usage;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api::Finish,
    content,
    endpoint::{Api, Versioned},
    parameters::Optional,
    wire::{self, Ask, PartialCompletion, Wire},
};

pub(super) const API: Api = Api {
    home: "https://api.anthropic.com",
    version: "/v1",
    path: "/messages",
    versioned: Versioned::ByUs,
};

pub(super) struct Anthropic;

impl Wire for Anthropic {
    fn headers(&self, key: Option<&SecretString>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        if let Some(key) = key.and_then(|key| wire::secret("", key)) {
            headers.insert(HeaderName::from_static("x-api-key"), key);
        }
        headers
    }

    /// The limit on the length is not optional here.
    fn optional(&self) -> &'static [Optional] {
        &[("output_config", "effort")]
    }

    fn body(&self, ask: Ask<'_>) -> Value {
        let messages: Vec<Value> = ask
            .chat
            .messages
            .iter()
            .map(|message| json!({"role": message.role, "content": message.text}))
            .collect();
        let mut body = json!({
            "model": ask.model,
            "stream": ask.chat.listener.is_some(),
            "max_tokens": ask.max_tokens,
            "system": [{"type": "text", "text": ask.chat.system, "cache_control": {"type": "ephemeral"}}],
            "messages": messages,
        });
        if let Some(effort) = ask.effort.filter(|_| ask.may_say("output_config")) {
            body["output_config"] = json!({"effort": effort});
        }
        body
    }

    fn answer(&self, partial: &mut PartialCompletion, body: Value) -> Result<(), &'static str> {
        partial.usage = usage(&body["usage"]).unwrap_or_default();
        let answer: Answer =
            serde_json::from_value(body).map_err(|_| "not a message of the Messages API")?;
        partial.text = content::text(&answer.content);
        partial.finish = Some(finish(answer.stop_reason.as_deref()));
        partial.model = answer.model;
        Ok(())
    }

    fn absorb(&self, partial: &mut PartialCompletion, event: Value) -> Result<(), &'static str> {
        let event: Event = serde_json::from_value(event)
            .map_err(|_| "the stream contains something other than message events")?;
        match event {
            Event::MessageStart { message } => {
                partial.model = message.model;
                partial.usage = usage(&message.usage).unwrap_or_default();
            }
            Event::ContentBlockStart {
                content_block: piece,
            }
            | Event::ContentBlockDelta { delta: piece } => {
                partial.text.push_str(&content::text(&piece));
            }
            Event::MessageDelta { delta, usage } => {
                partial.finish = Some(finish(delta.stop_reason.as_deref()));
                // Of all so far; what was sent is known from the start.
                if let Some(tokens) = usage["output_tokens"].as_u64() {
                    partial.usage.output_tokens = tokens;
                }
            }
            Event::MessageStop => partial.is_over = true,
            Event::Other => {}
        }
        Ok(())
    }
}

fn finish(reason: Option<&str>) -> Finish {
    match reason {
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Truncated,
        Some("refusal") => Finish::Withheld,
        _ => Finish::Complete,
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        content_block: Value,
    },
    ContentBlockDelta {
        delta: Value,
    },
    MessageDelta {
        delta: Stop,
        #[serde(default)]
        usage: Value,
    },
    MessageStop,
    /// Among others `ping`, and those the API will have one day.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    model: Option<String>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
struct Stop {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    model: Option<String>,
    content: Value,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the API's names")]
struct Tokens {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

/// This API counts cached tokens apart from the others.
fn usage(said: &Value) -> Option<Usage> {
    let tokens = Tokens::deserialize(said).ok()?;
    let read = tokens.cache_read_input_tokens.unwrap_or(0);
    let created = tokens.cache_creation_input_tokens.unwrap_or(0);
    Some(Usage {
        input_tokens: tokens
            .input_tokens
            .saturating_add(read)
            .saturating_add(created),
        output_tokens: tokens.output_tokens,
        cache_read_input_tokens: read,
        cache_creation_input_tokens: created,
    })
}
