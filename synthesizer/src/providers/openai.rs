//! Chat completions, <https://platform.openai.com/docs/api-reference/chat>, of the vendor or of any server that speaks it.

use langop_proto::v1::Usage;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Chat, Completion, Finish, MAX_TOKENS, http, stream::Draft};

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

    fn model(&self) -> &str {
        &self.model
    }

    fn headers(&self, key: Option<&SecretString>) -> HeaderMap {
        http::bearer(key)
    }

    fn body(&self, chat: Chat<'_>) -> Value {
        let messages = chat.turns();
        let mut body = json!({"model": self.model, "messages": messages, self.limit: MAX_TOKENS});
        if chat.listener.is_some() {
            body["stream"] = Value::Bool(true);
            body["stream_options"] = json!({"include_usage": true});
        }
        body
    }

    fn answer(&self, body: &[u8]) -> Result<Completion, &'static str> {
        let answer: Answer =
            serde_json::from_slice(body).map_err(|_| "it is no chat completion")?;
        let choice = answer
            .choices
            .into_iter()
            .next()
            .ok_or("it holds no choice")?;
        let finish = finish(choice.finish_reason.as_deref());
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

    fn absorb(&self, draft: &mut Draft, event: Value) -> Result<(), &'static str> {
        let chunk: Chunk =
            serde_json::from_value(event).map_err(|_| "a piece of it is no chat completion")?;
        draft.model = draft.model.take().or(chunk.model);
        // Once at the end, or with each piece, then of all so far.
        if let Some(tokens) = chunk.usage {
            draft.usage = tokens.into();
        }
        if let Some(choice) = chunk.choices.into_iter().next() {
            let delta = choice.delta.unwrap_or_default();
            let pieces = [delta.content, delta.refusal];
            draft.text.extend(pieces.into_iter().flatten());
            if let Some(reason) = choice.finish_reason {
                draft.finish = Some(finish(Some(&reason)));
            }
        }
        Ok(())
    }
}

fn finish(reason: Option<&str>) -> Finish {
    match reason {
        Some("length") => Finish::Truncated,
        _ => Finish::Complete,
    }
}

#[derive(Deserialize)]
struct Chunk {
    model: Option<String>,
    #[serde(default)]
    choices: Vec<ChunkChoice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    delta: Option<Content>,
    finish_reason: Option<String>,
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

#[derive(Default, Deserialize)]
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
