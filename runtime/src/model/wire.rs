//! Chat completions as they are written and read: the common denominator of the servers that speak
//! this API. Pure types and reading; what servers leave out or write otherwise is accepted here and
//! nowhere else.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::tokens::Tokens;

/// A message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Message {
    /// What the model is told about itself.
    System {
        /// The text.
        content: String,
    },
    /// What it is asked.
    User {
        /// The text.
        content: String,
    },
    /// What it answered.
    Assistant {
        /// The text, if any.
        #[serde(default)]
        content: Option<String>,
        /// The calls it wants.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// What came of one call.
    Tool {
        /// Which call.
        tool_call_id: String,
        /// The text.
        content: String,
    },
}

impl Message {
    /// About how many bytes it adds to a request.
    pub fn size(&self) -> usize {
        match self {
            Self::System { content } | Self::User { content } | Self::Tool { content, .. } => {
                content.len()
            }
            Self::Assistant {
                content,
                tool_calls,
            } => {
                let calls = tool_calls.iter();
                let calls: usize = calls
                    .map(|call| call.function.name.len() + call.function.arguments.len() + 40)
                    .sum();
                content.as_ref().map_or(0, String::len) + calls
            }
        }
    }
}

/// A call that a model wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// By which its answer is known.
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type", default = "function_type")]
    pub kind: String,
    /// What to call.
    pub function: FunctionCall,
}

fn function_type() -> String {
    "function".to_owned()
}

/// What to call and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// JSON in a string. Some servers write an object.
    #[serde(default, deserialize_with = "string_or_json")]
    pub arguments: String,
}

fn string_or_json<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Json::deserialize(deserializer)? {
        Json::String(text) => text,
        Json::Null => String::new(),
        other => other.to_string(),
    })
}

/// A function that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// At most 64 of `A-Za-z0-9_-`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Json,
}

/// What is asked of a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chat {
    /// The messages so far.
    pub messages: Vec<Message>,
    /// What it may call.
    pub functions: Vec<Function>,
    /// Temperature 0 and few tokens, for a word as an answer.
    pub is_judgement: bool,
}

/// Most tokens of the answer to a condition.
const JUDGEMENT_TOKENS: u32 = 16;

impl Chat {
    /// The body of the request, for a model that the server knows as `model`.
    pub fn body(&self, model: &str) -> Json {
        let mut body = Map::new();
        body.insert("model".to_owned(), model.into());
        body.insert("messages".to_owned(), json!(self.messages));
        if !self.functions.is_empty() {
            let tools = self.functions.iter().map(|function| {
                json!({"type": "function", "function": {
                    "name": function.name, "description": function.description,
                    "parameters": function.parameters,
                }})
            });
            body.insert("tools".to_owned(), tools.collect());
        }
        if self.is_judgement {
            body.insert("temperature".to_owned(), 0.into());
            body.insert("max_tokens".to_owned(), JUDGEMENT_TOKENS.into());
        }
        Json::Object(body)
    }
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It was done.
    Complete,
    /// The answer was as long as allowed.
    Length,
    /// A filter kept the answer.
    Filtered,
}

impl Finish {
    /// As in spans.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "stop",
            Self::Length => "length",
            Self::Filtered => "content_filter",
        }
    }
}

/// An answer of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The text; empty if there is none.
    pub text: String,
    /// What it says instead of an answer.
    pub refusal: Option<String>,
    /// The calls it wants.
    pub calls: Vec<ToolCall>,
    /// Why it stopped.
    pub finish: Finish,
    /// What it used.
    pub tokens: Tokens,
    /// The model that answered, by its own word.
    pub model: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Json,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Json,
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

/// Reads a chat completion; none if it is none.
pub fn read(body: &[u8]) -> Option<Completion> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let choice = answer.choices.into_iter().next()?;
    Some(Completion {
        text: text(&choice.message.content),
        refusal: choice.message.refusal.filter(|text| !text.is_empty()),
        calls: choice.message.tool_calls.unwrap_or_default(),
        finish: match choice.finish_reason.as_deref() {
            Some("length") => Finish::Length,
            Some("content_filter") => Finish::Filtered,
            _ => Finish::Complete,
        },
        tokens: tokens(&answer.usage),
        model: answer.model,
    })
}

/// A string, or the texts of a list of parts.
fn text(content: &Json) -> String {
    match content {
        Json::String(text) => text.clone(),
        Json::Array(parts) => parts
            .iter()
            .filter_map(|part| part.get("text")?.as_str())
            .collect(),
        _ => String::new(),
    }
}

fn tokens(usage: &Json) -> Tokens {
    let Ok(usage) = Usage::deserialize(usage) else {
        return Tokens::MISSING;
    };
    let cached = usage
        .prompt_tokens_details
        .and_then(|details| details.cached_tokens);
    Tokens {
        input: usage.prompt_tokens,
        output: usage.completion_tokens,
        cached_input: cached.unwrap_or(0),
        missing: 0,
    }
}

/// The message of an error's body, if there is one.
pub fn error_message(body: &[u8]) -> Option<String> {
    let body: Json = serde_json::from_slice(body).ok()?;
    let error = body.get("error").unwrap_or(&body);
    let message = error.get("message").unwrap_or(error);
    message.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_leave_out_or_write_otherwise_is_accepted() {
        let body = br#"{"choices":[{"message":{"content":null,"tool_calls":[
            {"id":"1","function":{"name":"f","arguments":{"a":1}}},
            {"id":"2","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}"#;
        let completion = read(body).unwrap();
        assert_eq!(completion.text, "");
        assert_eq!(completion.tokens, Tokens::MISSING);
        assert_eq!(completion.calls[0].function.arguments, r#"{"a":1}"#);
        assert_eq!(completion.calls[1].function.arguments, "{}");
        for garbage in [&b"{}"[..], b"[]", b"<html>", br#"{"choices":[]}"#] {
            assert_eq!(read(garbage), None);
        }
    }

    #[test]
    fn usage_is_summed_with_what_was_cached() {
        let body =
            br#"{"model":"m","choices":[{"message":{"content":[{"type":"text","text":"hi"}]},
            "finish_reason":"length"}],"usage":{"prompt_tokens":10,"completion_tokens":3,
            "prompt_tokens_details":{"cached_tokens":4}}}"#;
        let completion = read(body).unwrap();
        assert_eq!(completion.text, "hi");
        assert_eq!(completion.finish, Finish::Length);
        let expected = Tokens {
            input: 10,
            output: 3,
            cached_input: 4,
            missing: 0,
        };
        assert_eq!(completion.tokens, expected);
    }

    #[test]
    fn only_a_judgement_says_temperature_and_a_limit() {
        let mut chat = Chat {
            messages: vec![Message::User {
                content: "?".to_owned(),
            }],
            ..Chat::default()
        };
        let expected = json!({"model": "m", "messages": [{"role": "user", "content": "?"}]});
        assert_eq!(chat.body("m"), expected);
        chat.is_judgement = true;
        assert_eq!(chat.body("m")["temperature"], 0);
        assert_eq!(chat.body("m")["max_tokens"], 16);
    }

    #[test]
    fn an_error_has_a_message_in_many_shapes() {
        for (body, message) in [
            (r#"{"error":{"message":"no","code":"x"}}"#, Some("no")),
            (r#"{"error":"no"}"#, Some("no")),
            (r#"{"message":"no"}"#, Some("no")),
            ("<html>", None),
            ("{}", None),
        ] {
            assert_eq!(error_message(body.as_bytes()).as_deref(), message, "{body}");
        }
    }
}
