//! What a tool is to the server: its operations, and a way to call them. Knows nothing of the
//! protocol beyond its types.

use std::{future::Future, sync::Arc};

use rmcp::model::{CallToolResult, ContentBlock, JsonObject, Tool, ToolAnnotations};
use serde_json::{Value as Json, json};

/// Operations, and what they do.
pub trait Toolbox: Send + Sync + 'static {
    /// The name by which the server introduces itself.
    fn name(&self) -> &'static str;

    /// All operations, sorted by name.
    fn operations(&self) -> Vec<Tool>;

    /// Calls one; none if there is no such operation.
    fn call(
        &self,
        operation: &str,
        call: Call,
    ) -> impl Future<Output = Option<Result<Output, ToolError>>> + Send;
}

/// What a caller sent.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// The arguments.
    pub arguments: Option<JsonObject>,
    /// Equal for a call that is made again.
    pub idempotency_key: Option<String>,
}

/// What an operation gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// For people and models.
    pub text: String,
    /// For programs.
    pub structured: Option<Json>,
}

impl Output {
    /// A text alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            structured: None,
        }
    }

    /// A structure, whose text is `text`.
    pub fn structured(text: impl Into<String>, structured: Json) -> Self {
        Self {
            text: text.into(),
            structured: Some(structured),
        }
    }
}

impl From<Output> for CallToolResult {
    fn from(output: Output) -> Self {
        let mut result = Self::success(vec![ContentBlock::text(output.text)]);
        result.structured_content = output.structured;
        result
    }
}

/// Why an operation failed, for the caller: no paths outside its own world, no keys, no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ToolError(String);

impl ToolError {
    /// Told in these words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl From<ToolError> for CallToolResult {
    fn from(error: ToolError) -> Self {
        Self::error(vec![ContentBlock::text(error.0)])
    }
}

/// What an operation does to the world, by its hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing.
    ReadOnly,
    /// The second time changes nothing more.
    Idempotent,
    /// Each time counts.
    EachTime,
}

/// An operation, whose parameters are `properties` of which `required` must be there.
pub fn operation(
    name: &'static str,
    description: &'static str,
    effect: Effect,
    properties: &Json,
    required: &[&str],
) -> Tool {
    let schema = json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    });
    let schema = match schema {
        Json::Object(schema) => schema,
        _ => JsonObject::default(),
    };
    let hints = ToolAnnotations::new()
        .read_only(effect == Effect::ReadOnly)
        .idempotent(effect != Effect::EachTime);
    Tool::new(name, description, Arc::new(schema)).with_annotations(hints)
}
