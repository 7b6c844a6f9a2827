//! Chat completions, <https://platform.openai.com/docs/api-reference/chat>, of the vendor or of any server that speaks it.

use langop_proto::v1::Usage;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Chat, Completion, Finish, MAX_TOKENS, http};

const ENDPOINT: &str = "https://api.openai.com";

pub(super) struct OpenAi {
    url: String,
    model: String,
    /// The vendor's newer models refuse `max_tokens`, and few other servers know its successor.
    limit: &'static str,
}

impl OpenAi {
    pub(super) fn new(model: String, endpoint: Option<&str>) -> Self {
        let limit = if endpoint.is_some() {
            "max_tokens"
        } else {
            "max_completion_tokens"
        };
        Self {
            url: http::join(endpoint.unwrap_or(ENDPOINT), "/v1", "/chat/completions"),
            model,
            limit,
        }
    }
}

impl http::Wire for OpenAi {
    fn url(&self) -> &str {
        &self.url
    }

    fn headers(&self, key: Option<&SecretString>) -> HeaderMap {
        let value = key.and_then(|key| http::secret("Bearer ", key));
        value
            .map(|value| HeaderMap::from_iter([(AUTHORIZATION, value)]))
            .unwrap_or_default()
    }

    fn body(&self, chat: Chat<'_>) -> Value {
        let system = json!({"role": "system", "content": chat.system});
        let turns = chat
            .messages
            .iter()
            .map(|message| json!({"role": message.role, "content": message.text}));
        let messages: Vec<Value> = std::iter::once(system).chain(turns).collect();
        json!({"model": self.model, "messages": messages, self.limit: MAX_TOKENS})
    }

    fn answer(&self, body: &[u8]) -> Result<Completion, &'static str> {
        let answer: Answer =
            serde_json::from_slice(body).map_err(|_| "it is no chat completion")?;
        let choice = answer
            .choices
            .into_iter()
            .next()
            .ok_or("it holds no choice")?;
        let finish = match choice.finish_reason.as_deref() {
            Some("length") => Finish::Truncated,
            _ => Finish::Complete,
        };
        let text = choice
            .message
            .content
            .or(choice.message.refusal)
            .filter(|text| !text.is_empty())
            .ok_or("it holds no text")?;
        let model = answer.model.unwrap_or_else(|| self.model.clone());
        Ok(Completion {
            text,
            model,
            usage: answer.usage.map(Usage::from).unwrap_or_default(),
            finish,
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    model: Option<String>,
    choices: Vec<Choice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Content,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the API's names")]
struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

/// This API counts cached tokens among the others.
impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        Self {
            input_tokens: tokens.prompt_tokens,
            output_tokens: tokens.completion_tokens,
            cache_read_input_tokens: tokens
                .prompt_tokens_details
                .and_then(|details| details.cached_tokens)
                .unwrap_or(0),
            cache_creation_input_tokens: 0,
        }
    }
}
