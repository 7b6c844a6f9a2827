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
    pub(super) fn value(&self) -> Json {
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

/// An item as a text: of anything but a text, its JSON.
pub fn item_text(item: &Json) -> String {
    match item {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What the values of a step stand for, when it runs.
pub struct Bindings<'r> {
    /// Results of other steps, by name.
    pub results: &'r BTreeMap<String, StepResult>,
    /// The item, of a step that runs once per item.
    pub item: Option<&'r Json>,
}

impl Bindings<'_> {
    fn json(&self, value: &Value) -> Json {
        match value {
            Value::Result { step } => {
                let found = self.results.get(step);
                found.map_or(Json::Null, StepResult::value)
            }
            Value::Item => self.item.cloned().unwrap_or_default(),
            Value::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            Value::Object(entries) => entries
                .iter()
                .map(|(key, value)| (key.clone(), self.json(value)))
                .collect(),
            literal => literal.clone().into(),
        }
    }

    /// The text of a reference, for a parameter that must be one.
    fn text(&self, value: &Value) -> Option<String> {
        match value {
            Value::Result { step } => self.results.get(step).map(|found| found.text.clone()),
            Value::Item => self.item.map(item_text),
            _ => None,
        }
    }
}

/// The arguments of a call: literals as they are, results and items in the form that the property
/// of `schema` wants. `schema` is the operation's live input schema, if it could be had.
pub fn arguments(
    params: &BTreeMap<String, Value>,
    schema: Option<&Json>,
    bindings: &Bindings<'_>,
) -> Map<String, Json> {
    let argument = |(name, value): (&String, &Value)| {
        let text = bindings
            .text(value)
            .filter(|_| wants_text(schema, name))
            .map(Json::String);
        (name.clone(), text.unwrap_or_else(|| bindings.json(value)))
    };
    params.iter().map(argument).collect()
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
        let results = [("s".to_owned(), found)].into();
        let bindings = Bindings {
            results: &results,
            item: None,
        };
        let arguments = |schema| Json::Object(arguments(&params, schema, &bindings));
        assert_eq!(
            arguments(Some(&schema)),
            json!({"body": "hello", "any": {"content": "hello"},
                "list": [{"content": "hello"}], "n": 3})
        );
        assert_eq!(arguments(None)["body"], json!({"content": "hello"}));
    }

    #[test]
    fn an_item_is_a_text_where_one_is_wanted_and_itself_elsewhere() {
        let params = [
            ("body".to_owned(), Value::Item),
            ("any".to_owned(), Value::Array(vec![Value::Item])),
        ]
        .into();
        let schema = json!({"properties": {"body": {"type": "string"}}});
        for (item, body) in [
            (json!("a.txt"), json!("a.txt")),
            (json!({"n": 1}), json!("{\"n\":1}")),
            (json!(3), json!("3")),
        ] {
            let bindings = Bindings {
                results: &BTreeMap::new(),
                item: Some(&item),
            };
            let arguments = arguments(&params, Some(&schema), &bindings);
            assert_eq!(
                Json::Object(arguments),
                json!({"body": body, "any": [item]})
            );
        }
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
        for (result, expected) in [(null, Json::Null), (none, json!("x"))] {
            let results = [("s".to_owned(), result)].into();
            let bindings = Bindings {
                results: &results,
                item: None,
            };
            assert_eq!(arguments(&params, None, &bindings)["p"], expected);
        }
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
