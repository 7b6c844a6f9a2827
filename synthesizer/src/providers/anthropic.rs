//! The Messages API, <https://docs.anthropic.com/en/api/messages>. The fixed part is marked for the provider's prompt cache.

use langop_proto::v1::Usage;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Chat, Completion, Finish, MAX_TOKENS, http};

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
        json!({
            "model": self.model,
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
        let finish = match answer.stop_reason.as_deref() {
            Some("max_tokens" | "model_context_window_exceeded") => Finish::Truncated,
            _ => Finish::Complete,
        };
        Ok(Completion {
            text,
            model: answer.model,
            usage: answer.usage.into(),
            finish,
        })
    }
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
