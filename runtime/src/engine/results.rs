//! What steps give, in both forms, and how a value of the definition becomes a parameter of a tool.
//! Pure.

use std::collections::BTreeMap;

use langop_dsl::Value;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value as Json};

/// Most bytes of a text that is kept; what is longer is cut, with a note.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// What a step gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// The structured form of a tool's result; a present `null` counts.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub structured: Option<Json>,
    /// The text.
    pub text: String,
}

/// Without this, serde reads a present `null` as absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

impl StepResult {
    /// Of a model.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            structured: None,
            text: text.into(),
        }
    }

    /// The structured form if there is one, else the text.
    fn value(&self) -> Json {
        self.structured
            .clone()
            .unwrap_or_else(|| Json::String(self.text.clone()))
    }
}

/// `text` in at most `limit` bytes, with a note of what is missing.
pub fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let note = format!("\n[cut: {} of {} bytes shown]", limit, text.len());
    let end = text.floor_char_boundary(limit.saturating_sub(note.len()));
    format!("{}{note}", &text[..end])
}

/// The arguments of a call: literals as they are, results in the form that the property of `schema`
/// wants. `schema` is the operation's live input schema, if it could be had.
pub fn arguments<'r>(
    params: &BTreeMap<String, Value>,
    schema: Option<&Json>,
    result: impl Fn(&str) -> Option<&'r StepResult>,
) -> Map<String, Json> {
    let argument = |(name, value): (&String, &Value)| {
        let json = match value {
            Value::Result { step } => match result(step) {
                Some(found) if wants_text(schema, name) => Json::String(found.text.clone()),
                found => found.map_or(Json::Null, StepResult::value),
            },
            other => inner(other, &result),
        };
        (name.clone(), json)
    };
    params.iter().map(argument).collect()
}

fn inner<'r>(value: &Value, result: &impl Fn(&str) -> Option<&'r StepResult>) -> Json {
    match value {
        Value::Result { step } => result(step).map_or(Json::Null, StepResult::value),
        Value::Array(items) => items.iter().map(|item| inner(item, result)).collect(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| (key.clone(), inner(value, result)))
            .collect(),
        literal => literal.clone().into(),
    }
}

/// Whether the schema says that the property is a string, and nothing else.
fn wants_text(schema: Option<&Json>, property: &str) -> bool {
    let kind = schema.and_then(|schema| schema.get("properties")?.get(property)?.get("type"));
    match kind {
        Some(Json::String(kind)) => kind == "string",
        Some(Json::Array(kinds)) => {
            matches!(kinds.as_slice(), [Json::String(kind)] if kind == "string")
        }
        _ => false,
    }
}

/// The steps whose results a value uses.
pub fn used_by(value: &Value) -> Vec<&str> {
    match value {
        Value::Result { step } => vec![step],
        Value::Array(items) => items.iter().flat_map(used_by).collect(),
        Value::Object(entries) => entries.values().flat_map(used_by).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(name: &str) -> Value {
        Value::Result {
            step: name.to_owned(),
        }
    }

    #[test]
    fn a_string_parameter_takes_the_text_and_others_the_structure() {
        let found = StepResult {
            structured: Some(json!({"content": "hello"})),
            text: "hello".to_owned(),
        };
        let params = [
            ("body".to_owned(), result("s")),
            ("any".to_owned(), result("s")),
            ("list".to_owned(), Value::Array(vec![result("s")])),
            ("n".to_owned(), Value::Number(3.into())),
        ]
        .into();
        let schema = json!({"properties": {
            "body": {"type": "string"}, "any": {"type": ["string", "object"]},
            "list": {"type": "string"},
        }});
        let arguments = |schema| Json::Object(arguments(&params, schema, |_| Some(&found)));
        assert_eq!(
            arguments(Some(&schema)),
            json!({"body": "hello", "any": {"content": "hello"},
                "list": [{"content": "hello"}], "n": 3})
        );
        assert_eq!(arguments(None)["body"], json!({"content": "hello"}));
    }

    #[test]
    fn a_present_null_is_kept_also_through_json() {
        let null = StepResult {
            structured: Some(Json::Null),
            text: "null".to_owned(),
        };
        let json = serde_json::to_string(&null).unwrap();
        assert_eq!(serde_json::from_str::<StepResult>(&json).unwrap(), null);
        let none = StepResult::text("x");
        let json = serde_json::to_string(&none).unwrap();
        assert_eq!(serde_json::from_str::<StepResult>(&json).unwrap(), none);
        let params = [("p".to_owned(), result("s"))].into();
        assert_eq!(arguments(&params, None, |_| Some(&null))["p"], Json::Null);
        assert_eq!(arguments(&params, None, |_| Some(&none))["p"], json!("x"));
    }

    #[test]
    fn a_long_text_is_cut_with_a_note() {
        assert_eq!(cut("abc", 3), "abc");
        let long = "ä".repeat(1000);
        let short = cut(&long, 101);
        assert!(short.len() <= 101, "{}", short.len());
        assert!(short.ends_with("[cut: 101 of 2000 bytes shown]"), "{short}");
    }
}
