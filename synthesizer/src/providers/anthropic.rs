//! The Messages API, <https://docs.anthropic.com/en/api/messages>. The fixed part is marked for the provider's prompt cache.

use langop_proto::v1::Usage;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Chat, Completion, Finish, MAX_TOKENS, http, stream::Draft};

const ENDPOINT: &str = "https://api.anthropic.com";

pub(super) struct Anthropic {
    url: String,
    model: String,
}

impl Anthropic {
    pub(super) fn new(model: String, endpoint: Option<&str>) -> Self {
        Self {
            url: http::join(endpoint.unwrap_or(ENDPOINT), "/v1", "/messages"),
            model,
        }
    }
}

impl http::Wire for Anthropic {
    fn url(&self) -> &str {
        &self.url
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn headers(&self, key: Option<&SecretString>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        if let Some(key) = key.and_then(|key| http::secret("", key)) {
            headers.insert(HeaderName::from_static("x-api-key"), key);
        }
        headers
    }

    fn body(&self, chat: Chat<'_>) -> Value {
        let messages: Vec<Value> = chat
            .messages
            .iter()
            .map(|message| json!({"role": message.role, "content": message.text}))
            .collect();
        let is_streamed = chat.listener.is_some();
        json!({
            "model": self.model,
            "stream": is_streamed,
            "max_tokens": MAX_TOKENS,
            "system": [{"type": "text", "text": chat.system, "cache_control": {"type": "ephemeral"}}],
            "messages": messages,
        })
    }

    fn answer(&self, body: &[u8]) -> Result<Completion, &'static str> {
        let answer: Answer = serde_json::from_slice(body).map_err(|_| "it is no message")?;
        let text: String = answer
            .content
            .into_iter()
            .filter_map(|block| block.text)
            .collect();
        if text.is_empty() {
            return Err("it holds no text");
        }
        let finish = finish(answer.stop_reason.as_deref());
        Ok(Completion {
            text,
            model: answer.model,
            usage: answer.usage.into(),
            finish,
        })
    }

    fn absorb(&self, draft: &mut Draft, event: Value) -> Result<(), &'static str> {
        let event: Event =
            serde_json::from_value(event).map_err(|_| "a piece of it is no event of a message")?;
        match event {
            Event::MessageStart { message } => {
                draft.model = Some(message.model);
                draft.usage = message.usage.into();
            }
            Event::ContentBlockDelta { delta } => draft.text.extend(delta.text),
            Event::MessageDelta { delta, usage } => {
                draft.finish = Some(finish(delta.stop_reason.as_deref()));
                // Of all so far; what was sent is known from the start.
                draft.usage.output_tokens = usage.output_tokens;
            }
            Event::MessageStop => draft.is_over = true,
            Event::Other => {}
        }
        Ok(())
    }
}

fn finish(reason: Option<&str>) -> Finish {
    match reason {
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Truncated,
        _ => Finish::Complete,
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockDelta {
        delta: Block,
    },
    MessageDelta {
        delta: Stop,
        usage: Received,
    },
    MessageStop,
    /// Among others `ping`, and those the API will have one day.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    model: String,
    usage: Tokens,
}

#[derive(Deserialize)]
struct Stop {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Received {
    output_tokens: u64,
}

#[derive(Deserialize)]
struct Answer {
    model: String,
    content: Vec<Block>,
    stop_reason: Option<String>,
    usage: Tokens,
}

#[derive(Deserialize)]
struct Block {
    text: Option<String>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the API's names")]
struct Tokens {
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

/// This API counts cached tokens apart from the others.
impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        let read = tokens.cache_read_input_tokens.unwrap_or(0);
        let created = tokens.cache_creation_input_tokens.unwrap_or(0);
        Self {
            input_tokens: tokens
                .input_tokens
                .saturating_add(read)
                .saturating_add(created),
            output_tokens: tokens.output_tokens,
            cache_read_input_tokens: read,
            cache_creation_input_tokens: created,
        }
    }
}
