//! A2A's JSON: reads what a caller asks by JSON-RPC, writes faults and the agent's card. Pure.
//! Unknown fields are ignored, as the specification says; what would be answered otherwise than
//! meant is refused.

use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};

use super::super::completion::Refusal;
use crate::termination::quote;

/// The version that is spoken, without the patch, which does not count.
const VERSION: &str = "1.0";
/// Longest identifier of a caller.
const MAX_ID_BYTES: usize = 256;
/// Most of a caller's own words in a fault.
const MAX_QUOTE_BYTES: usize = 200;

/// Code and reason of a fault, by the specification's table. In MCP the numbers mean other things.
type Kind = (i32, &'static str);
const NOT_JSON: Kind = (-32700, "PARSE_ERROR");
const INVALID_REQUEST: Kind = (-32600, "INVALID_REQUEST");
const METHOD_NOT_FOUND: Kind = (-32601, "METHOD_NOT_FOUND");
pub(super) const INVALID_PARAMS: Kind = (-32602, "INVALID_PARAMS");
const INTERNAL: Kind = (-32603, "INTERNAL_ERROR");
pub(super) const TASK_NOT_FOUND: Kind = (-32001, "TASK_NOT_FOUND");
pub(super) const NOT_CANCELABLE: Kind = (-32002, "TASK_NOT_CANCELABLE");
const NO_PUSH: Kind = (-32003, "PUSH_NOTIFICATION_NOT_SUPPORTED");
pub(super) const UNSUPPORTED: Kind = (-32004, "UNSUPPORTED_OPERATION");
const CONTENT_TYPE: Kind = (-32005, "CONTENT_TYPE_NOT_SUPPORTED");
const OTHER_VERSION: Kind = (-32009, "VERSION_NOT_SUPPORTED");

/// Why a call has no result.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    kind: Kind,
    message: String,
}

impl Fault {
    /// Of a call that arrived: JSON-RPC alone tells it.
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::OK,
            kind,
            message: message.into(),
        }
    }

    pub(super) fn body(&self, id: &Json) -> Json {
        let (code, reason) = self.kind;
        let mut info = json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "a2a-protocol.org",
            "reason": reason,
        });
        if self.kind == OTHER_VERSION {
            info["metadata"] = json!({"supportedVersions": VERSION});
        }
        let error = json!({"code": code, "message": self.message, "data": [info]});
        json!({"jsonrpc": "2.0", "id": id, "error": error})
    }
}

/// What is refused whatever the call is, HTTP's status tells, too.
impl From<Refusal> for Fault {
    fn from(
        Refusal {
            status, message, ..
        }: Refusal,
    ) -> Self {
        let is_late = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let kind = if is_late { INTERNAL } else { INVALID_REQUEST };
        Self {
            status,
            kind,
            message,
        }
    }
}

/// What a caller asks.
#[derive(Debug)]
pub(super) enum Call {
    Send(Sent),
    Get(String),
    Cancel(String),
    Subscribe(String),
}

/// A message to the agent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The same again is the same message.
    pub(super) message_id: String,
    pub(super) context_id: Option<String>,
    pub(super) task_id: Option<String>,
    pub(super) text: String,
    pub(super) is_stream: bool,
    pub(super) returns_at_once: bool,
}

#[derive(Deserialize)]
struct SendParams {
    message: Message,
    #[serde(default)]
    configuration: Option<Configuration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(rename = "messageId")]
    id: String,
    context_id: Option<String>,
    task_id: Option<String>,
    role: String,
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    task_push_notification_config: Option<Json>,
    return_immediately: Option<bool>,
}

#[derive(Deserialize)]
struct TaskParams {
    id: String,
}

/// The method and its parameters; what is the call's id goes into `id`, whatever else is wrong.
pub(super) fn envelope(body: &[u8], id: &mut Json) -> Result<(String, Json), Fault> {
    let mut body: Json = serde_json::from_slice(body)
        .map_err(|error| Fault::new(NOT_JSON, format!("the body is not JSON: {error}")))?;
    if let Some(said) = body.get("id").filter(|id| id.is_string() || id.is_i64()) {
        *id = said.clone();
    }
    let method = body.get("method").and_then(Json::as_str).map(str::to_owned);
    match method {
        Some(method) if !id.is_null() && body["jsonrpc"] == "2.0" => {
            Ok((method, body["params"].take()))
        }
        _ => Err(Fault::new(
            INVALID_REQUEST,
            "this is no request: write jsonrpc \"2.0\", an id that is a text or a whole number, and one method",
        )),
    }
}

/// Whether the caller speaks our version. None is 0.3, as the specification says.
pub(super) fn check_version(said: &[u8]) -> Result<(), Fault> {
    let said = String::from_utf8_lossy(said);
    let said = Some(said.trim()).filter(|said| !said.is_empty());
    let said = said.unwrap_or("0.3");
    if said == VERSION || said.starts_with("1.0.") {
        return Ok(());
    }
    let said = quote(said, 40);
    let message = format!("this is A2A {said} (no version is 0.3): write A2A-Version: {VERSION}");
    Err(Fault::new(OTHER_VERSION, message))
}

pub(super) fn call(method: &str, params: Json) -> Result<Call, Fault> {
    match method {
        "SendMessage" => sent(read(method, params)?, false).map(Call::Send),
        "SendStreamingMessage" => sent(read(method, params)?, true).map(Call::Send),
        "GetTask" => task(method, params).map(Call::Get),
        "CancelTask" => task(method, params).map(Call::Cancel),
        "SubscribeToTask" => task(method, params).map(Call::Subscribe),
        "ListTasks" => Err(Fault::new(
            UNSUPPORTED,
            "callers are not told apart, so that none is shown what others asked: write GetTask and an id",
        )),
        "GetExtendedAgentCard" => Err(Fault::new(
            UNSUPPORTED,
            "there is one card: GET /.well-known/agent-card.json",
        )),
        "CreateTaskPushNotificationConfig"
        | "GetTaskPushNotificationConfig"
        | "ListTaskPushNotificationConfigs"
        | "DeleteTaskPushNotificationConfig" => Err(no_push()),
        other => Err(Fault::new(
            METHOD_NOT_FOUND,
            format!(
                "there is no '{}': write SendMessage, SendStreamingMessage, GetTask, CancelTask or SubscribeToTask",
                quote(other, 60)
            ),
        )),
    }
}

fn no_push() -> Fault {
    let message = "nobody is called back: wait for the answer, follow its stream, or write GetTask";
    Fault::new(NO_PUSH, message)
}

fn task(method: &str, params: Json) -> Result<String, Fault> {
    read(method, params).map(|task: TaskParams| task.id)
}

fn read<T: DeserializeOwned>(method: &str, params: Json) -> Result<T, Fault> {
    serde_json::from_value(params).map_err(|error| {
        let error = quote(&error.to_string(), MAX_QUOTE_BYTES);
        invalid(format!("the params of {method} are wrong: {error}"))
    })
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(INVALID_PARAMS, message)
}

fn sent(params: SendParams, is_stream: bool) -> Result<Sent, Fault> {
    let message = params.message;
    let configuration = params.configuration.unwrap_or_default();
    if configuration.task_push_notification_config.is_some() {
        return Err(no_push());
    }
    if message.role != "ROLE_USER" {
        return Err(invalid("message.role is not ROLE_USER: write that"));
    }
    let given = |id: Option<String>| id.filter(|id| !id.is_empty());
    let context_id = given(message.context_id);
    let longest = context_id
        .as_ref()
        .map_or(0, String::len)
        .max(message.id.len());
    if message.id.is_empty() || longest > MAX_ID_BYTES {
        let what = format!("messageId and contextId have at most {MAX_ID_BYTES} bytes");
        return Err(invalid(format!("{what}, and there must be a messageId")));
    }
    let texts: Option<Vec<_>> = message.parts.into_iter().map(|part| part.text).collect();
    let text = texts.map(|texts| texts.join("\n")).ok_or_else(|| {
        let message =
            "only parts with text are read: leave out files and data, or write them as text";
        Fault::new(CONTENT_TYPE, message)
    })?;
    if text.trim().is_empty() {
        return Err(invalid(
            "message.parts says nothing: write a part with a text",
        ));
    }
    Ok(Sent {
        message_id: message.id,
        context_id,
        task_id: given(message.task_id),
        text,
        is_stream,
        returns_at_once: configuration.return_immediately.unwrap_or_default(),
    })
}

/// The card of an agent that answers at `url`; `version` is its own.
pub(super) fn card(url: &str, name: &str, description: &str, version: &str) -> Json {
    let text = "text/plain";
    json!({
        "name": name, "description": description, "version": version,
        "supportedInterfaces": [
            {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": VERSION},
        ],
        "capabilities": {"streaming": true, "pushNotifications": false, "extendedAgentCard": false},
        "defaultInputModes": [text], "defaultOutputModes": [text],
        "skills": [{"id": "ask", "name": name, "description": description, "tags": ["agent"]}],
    })
}
