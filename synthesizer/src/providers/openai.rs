//! Chat completions, <https://platform.openai.com/docs/api-reference/chat>, of the vendor or of any
//! server that speaks it.

use langop_proto::v1::Usage;
use reqwest::{Url, header::HeaderMap};
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
    home: "https://api.openai.com",
    version: "/v1",
    path: "/chat/completions",
    versioned: Versioned::ByBase,
};

/// The two names of the limit on the answer's length, the older first.
const LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

pub(super) struct OpenAi {
    /// As [`LIMITS`], the one to try first in front.
    limits: [&'static str; 2],
}

impl OpenAi {
    /// The vendor's newer models refuse `max_tokens`, and few other servers know its successor.
    pub(super) fn at(url: &Url) -> Self {
        let mut limits = LIMITS;
        if url.host_str() == Some("api.openai.com") {
            limits.reverse();
        }
        Self { limits }
    }
}

impl Wire for OpenAi {
    fn headers(&self, key: Option<&SecretString>) -> HeaderMap {
        wire::bearer(key)
    }

    fn optional(&self) -> &'static [Optional] {
        &[
            ("max_tokens", "max_tokens"),
            ("max_completion_tokens", "max_completion_tokens"),
            ("stream_options", "stream_options"),
            ("reasoning_effort", "reasoning_effort"),
        ]
    }

    fn is_limited(&self, body: &Value) -> bool {
        LIMITS.iter().any(|name| body.get(name).is_some())
    }

    fn body(&self, ask: Ask<'_>) -> Value {
        let messages = ask.chat.turns();
        let mut body = json!({"model": ask.model, "messages": messages});
        if let Some(limit) = self.limits.iter().find(|name| ask.may_say(name)) {
            body[*limit] = ask.max_tokens.into();
        }
        if let Some(effort) = ask.effort.filter(|_| ask.may_say("reasoning_effort")) {
            body["reasoning_effort"] = effort.into();
        }
        if ask.chat.listener.is_some() {
            body["stream"] = Value::Bool(true);
            if ask.may_say("stream_options") {
                body["stream_options"] = json!({"include_usage": true});
            }
        }
        body
    }

    fn answer(&self, partial: &mut PartialCompletion, body: Value) -> Result<(), &'static str> {
        partial.usage = usage(&body["usage"]).unwrap_or_default();
        let answer: Answer = serde_json::from_value(body).map_err(|_| "not a chat completion")?;
        let choice = answer
            .choices
            .into_iter()
            .next()
            .ok_or("it holds no choice")?;
        partial.finish = Some(finish(choice.finish_reason.as_deref()));
        partial.text = choice.message.text();
        partial.model = answer.model;
        Ok(())
    }

    fn absorb(&self, partial: &mut PartialCompletion, event: Value) -> Result<(), &'static str> {
        // Once at the end, or with each piece, then of all so far.
        partial.usage = usage(&event["usage"]).unwrap_or(partial.usage);
        let chunk: Chunk = serde_json::from_value(event)
            .map_err(|_| "the stream contains something other than chat completions")?;
        partial.model = partial.model.take().or(chunk.model);
        if let Some(choice) = chunk.choices.into_iter().next() {
            let delta = choice.delta.unwrap_or_default();
            partial.text.push_str(&delta.text());
            if let Some(reason) = choice.finish_reason {
                partial.finish = Some(finish(Some(&reason)));
            }
        }
        Ok(())
    }
}

fn finish(reason: Option<&str>) -> Finish {
    match reason {
        Some("length") => Finish::Truncated,
        Some("content_filter") => Finish::Withheld,
        _ => Finish::Complete,
    }
}

#[derive(Deserialize)]
struct Chunk {
    model: Option<String>,
    #[serde(default)]
    choices: Vec<ChunkChoice>,
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
}

#[derive(Deserialize)]
struct Choice {
    message: Content,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Content {
    #[serde(default)]
    content: Value,
    refusal: Option<String>,
}

impl Content {
    fn text(self) -> String {
        let text = content::text(&self.content);
        if text.is_empty() {
            self.refusal.unwrap_or_default()
        } else {
            text
        }
    }
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

/// This API counts cached tokens among the others.
fn usage(said: &Value) -> Option<Usage> {
    let tokens = Counts::deserialize(said).ok()?;
    Some(Usage {
        input_tokens: tokens.prompt_tokens,
        output_tokens: tokens.completion_tokens,
        cache_read_input_tokens: tokens
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens)
            .unwrap_or(0),
        cache_creation_input_tokens: 0,
    })
}
