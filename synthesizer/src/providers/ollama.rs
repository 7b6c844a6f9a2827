//! Ollama's own API, <https://docs.ollama.com/api>.

use langop_proto::v1::Usage;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Chat, Completion, Finish, MAX_TOKENS, http};

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
        let options = json!({"num_predict": MAX_TOKENS, "num_ctx": CONTEXT_TOKENS});
        json!({"model": self.model, "messages": messages, "stream": false, "options": options})
    }

    fn answer(&self, body: &[u8]) -> Result<Completion, &'static str> {
        let answer: Answer = serde_json::from_slice(body).map_err(|_| "it is no chat answer")?;
        if answer.message.content.is_empty() {
            return Err("it holds no text");
        }
        let finish = match answer.done_reason.as_deref() {
            Some("length") => Finish::Truncated,
            _ => Finish::Complete,
        };
        let usage = Usage {
            input_tokens: answer.prompt_eval_count.unwrap_or(0),
            output_tokens: answer.eval_count.unwrap_or(0),
            ..Usage::default()
        };
        Ok(Completion {
            text: answer.message.content,
            model: answer.model,
            usage,
            finish,
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    model: String,
    message: Content,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

#[derive(Deserialize)]
struct Content {
    content: String,
}
