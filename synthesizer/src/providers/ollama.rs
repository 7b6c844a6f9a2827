//! Ollama's own API, <https://docs.ollama.com/api>.

use langop_proto::v1::Usage;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Chat, Completion, Finish, MAX_TOKENS, http, stream::Draft};

const ENDPOINT: &str = "http://localhost:11434";

/// The context asked for: the server's default is smaller than the prompt, and it cuts silently.
const CONTEXT_TOKENS: u32 = 32 * 1024;

pub(super) struct Ollama {
    url: String,
    model: String,
}

impl Ollama {
    pub(super) fn new(model: String, endpoint: Option<&str>) -> Self {
        Self {
            url: http::join(endpoint.unwrap_or(ENDPOINT), "/api", "/chat"),
            model,
        }
    }
}

impl http::Wire for Ollama {
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
        let options = json!({"num_predict": MAX_TOKENS, "num_ctx": CONTEXT_TOKENS});
        let is_streamed = chat.listener.is_some();
        json!({"model": self.model, "messages": messages, "stream": is_streamed, "options": options})
    }

    fn answer(&self, body: &[u8]) -> Result<Completion, &'static str> {
        let answer: Answer = serde_json::from_slice(body).map_err(|_| "it is no chat answer")?;
        if answer.message.content.is_empty() {
            return Err("it holds no text");
        }
        let (finish, usage) = (answer.finish(), answer.usage());
        Ok(Completion {
            text: answer.message.content,
            model: answer.model,
            usage,
            finish,
        })
    }

    /// Each line of a stream is an answer of its own; the last one has the counts.
    fn absorb(&self, draft: &mut Draft, event: Value) -> Result<(), &'static str> {
        let piece: Answer =
            serde_json::from_value(event).map_err(|_| "a piece of it is no chat answer")?;
        draft.text.push_str(&piece.message.content);
        if piece.done {
            draft.finish = Some(piece.finish());
            draft.usage = piece.usage();
            draft.is_over = true;
        }
        draft.model = Some(piece.model);
        Ok(())
    }
}

impl Answer {
    fn finish(&self) -> Finish {
        match self.done_reason.as_deref() {
            Some("length") => Finish::Truncated,
            _ => Finish::Complete,
        }
    }

    fn usage(&self) -> Usage {
        Usage {
            input_tokens: self.prompt_eval_count.unwrap_or(0),
            output_tokens: self.eval_count.unwrap_or(0),
            ..Usage::default()
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    model: String,
    message: Content,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

#[derive(Deserialize)]
struct Content {
    content: String,
}
