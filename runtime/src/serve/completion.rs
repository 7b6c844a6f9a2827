//! Chat completions from the other side: reads what a client asks, writes completions, the chunks
//! of a stream, and errors. Pure. What would be ignored and changes the meaning of an answer is
//! refused; what only tunes a model is the business of its own settings.

use std::collections::BTreeSet;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::{
    model::wire::{Message, ToolCall},
    outcome::{Failure, Reason},
    tokens::Tokens,
};

/// What a client asks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// The model, by the client's name for it.
    pub model: Option<String>,
    /// What was said, without instructions; the last is not of the model.
    pub messages: Vec<Message>,
    /// The client's own instructions.
    pub system: Option<String>,
    /// Whether the answer comes as a stream.
    pub is_stream: bool,
    /// Whether the stream ends with what was used.
    pub wants_usage: bool,
    /// Whether the stream holds calls of tools and their results.
    pub wants_tool_messages: bool,
}

/// Why there is no answer, as a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status, where it can still be told.
    pub status: StatusCode,
    /// A stable identifier.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// Whether nothing was done, so that asking again does nothing twice.
    pub may_repeat: bool,
}

impl Refusal {
    /// Nothing was done.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            may_repeat: true,
        }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// A run that failed. What it did before is done.
    pub fn of_run(reason: Reason, message: &str) -> Self {
        let status = match reason {
            Reason::ModelRefused | Reason::ToolProtocol => StatusCode::BAD_GATEWAY,
            Reason::ModelUnavailable | Reason::NotOffered | Reason::Stopped => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Reason::TimeLimit => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            may_repeat: false,
            ..Self::new(status, reason.as_str(), message)
        }
    }

    /// The body.
    pub fn body(&self) -> Json {
        let kind = match self.status.as_u16() {
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        json!({"error": {
            "message": self.message, "type": kind, "param": null, "code": self.code,
        }})
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::of_run(failure.reason, &failure.message)
    }
}

#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    messages: Vec<Json>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    n: Option<u32>,
    tools: Option<Vec<Json>>,
    functions: Option<Vec<Json>>,
    response_format: Option<Format>,
}

#[derive(Deserialize, Default)]
struct StreamOptions {
    include_usage: Option<bool>,
    /// Of ours.
    include_tool_messages: Option<bool>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
}

/// Reads a request.
///
/// # Errors
/// If it cannot be read, or asks for what is not done here.
pub fn read(body: &[u8]) -> Result<Question, Refusal> {
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| Refusal::invalid(format!("the body is no chat completion: {error}")))?;
    let has = |list: &Option<Vec<Json>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if has(&body.tools) || has(&body.functions) {
        return Err(Refusal::invalid(
            "functions of the caller are not called here, where tools are called on this side: leave out 'tools' and 'functions'",
        ));
    }
    if body.n.unwrap_or(1) != 1 {
        return Err(Refusal::invalid("there is one answer: leave out 'n'"));
    }
    if body
        .response_format
        .is_some_and(|format| format.kind != "text")
    {
        return Err(Refusal::invalid(
            "answers are text: leave out 'response_format', or ask for JSON in words",
        ));
    }
    let options = body.stream_options.unwrap_or_default();
    let mut question = Question {
        model: body.model.filter(|model| !model.is_empty()),
        is_stream: body.stream.unwrap_or_default(),
        wants_usage: options.include_usage.unwrap_or_default(),
        wants_tool_messages: options.include_tool_messages.unwrap_or_default(),
        ..Question::default()
    };
    let mut instructions = Vec::new();
    for (number, message) in body.messages.into_iter().enumerate() {
        match said(message).map_err(|wrong| of_message(number, &wrong))? {
            Message::System { content } => instructions.push(content),
            message => question.messages.push(message),
        }
    }
    question.system = (!instructions.is_empty()).then(|| instructions.join("\n"));
    check(&question.messages)?;
    Ok(question)
}

fn of_message(number: usize, wrong: &str) -> Refusal {
    Refusal::invalid(format!("messages[{number}]: {wrong}"))
}

#[derive(Deserialize)]
struct Said {
    role: String,
    #[serde(default)]
    content: Json,
    tool_calls: Option<Vec<ToolCall>>,
    tool_call_id: Option<String>,
}

fn said(message: Json) -> Result<Message, String> {
    let said: Said = serde_json::from_value(message).map_err(|error| error.to_string())?;
    let content = text(said.content)?;
    let needed = |content: Option<String>| {
        content.ok_or_else(|| "there is no content: write a text".to_owned())
    };
    match said.role.as_str() {
        "system" | "developer" => Ok(Message::System {
            content: needed(content)?,
        }),
        "user" => Ok(Message::User {
            content: needed(content)?,
        }),
        "assistant" => Ok(Message::Assistant {
            content,
            tool_calls: said.tool_calls.unwrap_or_default(),
        }),
        "tool" => Ok(Message::Tool {
            tool_call_id: said
                .tool_call_id
                .ok_or("there is no tool_call_id: name the call that this is the result of")?,
            content: needed(content)?,
        }),
        _ => Err("the role is unknown: write system, user, assistant or tool".to_owned()),
    }
}

/// A text, or the texts of a list of parts.
fn text(content: Json) -> Result<Option<String>, String> {
    let parts = match content {
        Json::Null => return Ok(None),
        Json::String(text) => return Ok(Some(text)),
        Json::Array(parts) => parts,
        _ => return Err("the content must be a text".to_owned()),
    };
    let texts: Option<String> = parts
        .iter()
        .map(|part| part.get("text")?.as_str())
        .collect();
    texts
        .map(Some)
        .ok_or_else(|| "only parts with text are read: leave out images, sounds and files".into())
}

/// Every call has its result right after it: else the loop would carry out a call that no model
/// asked it for. And there is something to answer.
fn check(messages: &[Message]) -> Result<(), Refusal> {
    let mut open = BTreeSet::new();
    for message in messages {
        match message {
            Message::Tool { tool_call_id, .. } if open.remove(tool_call_id.as_str()) => {}
            Message::Tool { tool_call_id, .. } => {
                let wrong = format!("there is a result of '{tool_call_id}' and no such call");
                return Err(Refusal::invalid(wrong));
            }
            _ if !open.is_empty() => break,
            Message::Assistant { tool_calls, .. } => {
                open = tool_calls.iter().map(|call| call.id.as_str()).collect();
                if open.len() < tool_calls.len() {
                    return Err(Refusal::invalid("two calls of a message have the same id"));
                }
            }
            Message::User { .. } | Message::System { .. } => {}
        }
    }
    if let Some(call) = open.first() {
        let wrong = format!("the call '{call}' has no result: add its message of role tool");
        return Err(Refusal::invalid(wrong));
    }
    match messages.last() {
        // After results of tools: an answer that was broken off goes on without calling them again.
        Some(Message::User { .. } | Message::Tool { .. }) => Ok(()),
        _ => Err(Refusal::invalid(
            "there is nothing to answer: the last message must be of role user or tool",
        )),
    }
}

/// What all parts of one answer have in common.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Of this answer; the run's in the log.
    pub id: String,
    /// Seconds since 1970.
    pub created: i64,
    /// The model, by the client's name for it.
    pub model: String,
}

impl Answer {
    fn part(&self, kind: &str, choices: &Json) -> Json {
        json!({
            "id": format!("chatcmpl-{}", self.id), "object": kind, "created": self.created,
            "model": self.model, "choices": choices,
        })
    }

    /// The answer in one piece.
    pub fn whole(&self, text: &str, tokens: Tokens) -> Json {
        let message = json!({"role": "assistant", "content": text, "refusal": null});
        let choice =
            json!([{"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"}]);
        let mut whole = self.part("chat.completion", &choice);
        whole["usage"] = usage(tokens);
        whole
    }

    /// A chunk that adds `delta`.
    pub fn chunk(&self, delta: &Json, finish: Option<&str>) -> Json {
        let choice =
            json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        self.part("chat.completion.chunk", &choice)
    }

    /// A chunk that adds nothing but what a tool is called with, or gave.
    pub fn tool_chunk(&self, message: &Message) -> Json {
        let mut chunk = self.chunk(&json!({}), None);
        chunk["langop_message"] = json!(message);
        chunk
    }

    /// The chunk of what was used.
    pub fn usage_chunk(&self, tokens: Tokens) -> Json {
        let mut chunk = self.part("chat.completion.chunk", &json!([]));
        chunk["usage"] = usage(tokens);
        chunk
    }
}

fn usage(tokens: Tokens) -> Json {
    json!({
        "prompt_tokens": tokens.input, "completion_tokens": tokens.output,
        "total_tokens": tokens.total(),
        "prompt_tokens_details": {"cached_tokens": tokens.cached_input},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: &Json) -> Result<Question, String> {
        read(body.to_string().as_bytes()).map_err(|refusal| refusal.message)
    }

    #[test]
    fn what_clients_write_is_read() {
        let question = ask(&json!({
            "model": "claude", "stream": true, "temperature": 0.2, "max_tokens": 9, "tools": [],
            "stream_options": {"include_usage": true},
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": "Be kind."},
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "2", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "2", "content": "two"},
                {"role": "tool", "tool_call_id": "1", "content": "one"},
                {"role": "assistant", "content": "done", "refusal": null, "annotations": []},
                {"role": "user", "name": "ada", "content": "And now?"},
            ],
        }))
        .unwrap();
        assert_eq!(question.system.as_deref(), Some("Be brief.\nBe kind."));
        assert_eq!(question.messages.len(), 6);
        let first = Message::User {
            content: "ab".to_owned(),
        };
        assert_eq!(question.messages[0], first);
        assert!(question.is_stream && question.wants_usage && !question.wants_tool_messages);
    }

    #[test]
    fn what_would_be_answered_otherwise_than_meant_is_refused() {
        let user = json!({"role": "user", "content": "a"});
        let call = json!({"role": "assistant", "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
        let result = json!({"role": "tool", "tool_call_id": "1", "content": "x"});
        let image = json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]});
        let answer = json!({"role": "assistant", "content": "x"});
        for (messages, said) in [
            (json!([]), "nothing to answer"),
            (json!([user, answer]), "nothing to answer"),
            (json!([image]), "messages[0]: only parts with text"),
            (json!([{"role": "king", "content": "x"}]), "write system"),
            (json!([{"role": "user"}]), "write a text"),
            (json!([{"role": "tool", "content": "x"}]), "tool_call_id"),
            (json!([user, call, user]), "'1' has no result"),
            (json!([user, call]), "'1' has no result"),
            (json!([user, call, result, result, user]), "no such call"),
            (json!([user, result, user]), "no such call"),
            (json!("x"), "no chat completion"),
        ] {
            let wrong = ask(&json!({"messages": messages})).unwrap_err();
            assert!(wrong.contains(said), "{said}: {wrong}");
        }
        for (field, value, said) in [
            ("tools", json!([{"type": "function"}]), "leave out 'tools'"),
            ("functions", json!([{"name": "f"}]), "leave out 'tools'"),
            ("n", json!(2), "leave out 'n'"),
            (
                "response_format",
                json!({"type": "json_object"}),
                "leave out 'response_format'",
            ),
            ("stream", json!("yes"), "no chat completion"),
        ] {
            let mut body = json!({"messages": [user]});
            body[field] = value;
            let wrong = ask(&body).unwrap_err();
            assert!(wrong.contains(said), "{said}: {wrong}");
        }
    }

    #[test]
    fn errors_have_the_shape_that_clients_read() {
        let busy = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "busy", "wait");
        assert_eq!(busy.body()["error"]["type"], "rate_limit_error");
        for reason in Reason::ALL {
            let refusal = Refusal::of_run(*reason, "no");
            assert!(refusal.status.is_server_error(), "{reason}");
            assert!(!refusal.may_repeat, "{reason}: what was done is done");
            assert_eq!(refusal.body()["error"]["code"], reason.as_str());
        }
    }
}
