//! Ollama's own API, <https://docs.ollama.com/api>.

use langop_proto::v1::Usage;
use reqwest::header::HeaderMap;
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
    home: "http://localhost:11434",
    version: "/api",
    path: "/chat",
    versioned: Versioned::ByUs,
};

/// The least context asked for: the server's default is smaller than the prompt, and it cuts
/// silently.
const CONTEXT_TOKENS: u32 = 32 * 1024;

pub(super) struct Ollama;

impl Wire for Ollama {
    fn headers(&self, key: Option<&SecretString>) -> HeaderMap {
        wire::bearer(key)
    }

    fn optional(&self) -> &'static [Optional] {
        &[("think", "thinking")]
    }

    fn body(&self, ask: Ask<'_>) -> Value {
        let messages = ask.chat.turns();
        // Prompt and answer share the context.
        let context = CONTEXT_TOKENS.max(ask.max_tokens.saturating_mul(2));
        let options = json!({"num_predict": ask.max_tokens, "num_ctx": context});
        let is_streamed = ask.chat.listener.is_some();
        let mut body = json!({"model": ask.model, "messages": messages, "stream": is_streamed, "options": options});
        if let Some(effort) = ask.effort.filter(|_| ask.may_say("think")) {
            body["think"] = effort.into();
        }
        body
    }

    fn answer(&self, partial: &mut PartialCompletion, body: Value) -> Result<(), &'static str> {
        partial.usage = usage(&body);
        let answer: Answer = serde_json::from_value(body).map_err(|_| "not a chat response")?;
        partial.text = content::text(&answer.message.content);
        partial.finish = Some(answer.finish());
        partial.model = answer.model;
        Ok(())
    }

    /// Each line of a stream is an answer of its own; the last one has the counts.
    fn absorb(&self, partial: &mut PartialCompletion, event: Value) -> Result<(), &'static str> {
        let usage = usage(&event);
        let piece: Answer = serde_json::from_value(event)
            .map_err(|_| "the stream contains something other than chat responses")?;
        partial
            .text
            .push_str(&content::text(&piece.message.content));
        if piece.done {
            partial.finish = Some(piece.finish());
            partial.usage = usage;
            partial.is_over = true;
        }
        partial.model = piece.model.or(partial.model.take());
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
}

/// A prompt that the server still has in its cache is not counted at all.
fn usage(answer: &Value) -> Usage {
    let count = |field: &str| answer[field].as_u64().unwrap_or(0);
    Usage {
        input_tokens: count("prompt_eval_count"),
        output_tokens: count("eval_count"),
        ..Usage::default()
    }
}

#[derive(Deserialize)]
struct Answer {
    model: Option<String>,
    message: Content,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    content: Value,
}
