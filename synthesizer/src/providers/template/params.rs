//! The parameters that an operation requires, as far as its schema and the sentence say them. Pure; guesses nothing.

use std::collections::BTreeMap;

use langop_dsl::Value;
use serde_json::Value as Json;

use super::text::clip;
use super::workflow::{TEXT, is_usable};

/// Longest subject of a message, in characters.
const SUBJECT: usize = 80;

/// The parameters that `schema` requires; none if one of them cannot be read from the text, or the schema is not known.
pub(super) fn params(
    schema: &str,
    sentence: &str,
    previous: Option<&str>,
) -> Option<BTreeMap<String, Value>> {
    let schema: serde_json::Map<String, Json> = serde_json::from_str(schema).ok()?;
    let Some(required) = schema.get("required") else {
        return Some(BTreeMap::new());
    };
    let params = required.as_array()?.iter().map(|name| {
        let name = name.as_str().filter(|name| is_usable(name))?;
        let property = schema
            .get("properties")
            .and_then(|properties| properties.get(name));
        let value = property
            .and_then(fixed)
            .or_else(|| derived(name, sentence, previous))?;
        Some((name.to_owned(), value))
    });
    params.collect()
}

/// What the schema itself says.
fn fixed(property: &Json) -> Option<Value> {
    let only = property
        .get("enum")
        .and_then(Json::as_array)
        .filter(|values| values.len() == 1)
        .and_then(|values| values.first());
    let value = property
        .get("const")
        .or_else(|| property.get("default"))
        .or(only)?;
    // texts and numbers only: nothing that could be nested too deep or use a reserved key
    match value {
        Json::String(text) if !text.contains('\0') && text.len() <= TEXT => {
            Some(Value::String(text.clone()))
        }
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(number) if number.is_i64() => Some(Value::Number(number.clone())),
        _ => None,
    }
}

fn derived(name: &str, sentence: &str, previous: Option<&str>) -> Option<Value> {
    let text = match name.to_lowercase().as_str() {
        "path" | "directory" | "dir" | "folder" => {
            only(sentence, |word| word.starts_with('/') && word.len() > 1)
        }
        "url" | "uri" => only(sentence, |word| {
            word.starts_with("https://") || word.starts_with("http://")
        }),
        "to" | "recipient" | "email" => only(sentence, is_mail_address),
        "subject" | "title" => Some(clip(sentence.trim_end_matches('.'), SUBJECT)),
        "body" | "content" | "message" | "text" => {
            return Some(previous.map_or_else(
                || Value::String(clip(sentence, TEXT)),
                |step| Value::Result {
                    step: step.to_owned(),
                },
            ));
        }
        _ => None,
    };
    text.map(Value::String)
}

/// The one word of `sentence` that is such.
fn only(sentence: &str, is_such: impl Fn(&str) -> bool) -> Option<String> {
    let trimmed = sentence.split(' ').map(|word| {
        word.trim_matches(|c: char| c.is_ascii_punctuation() && !matches!(c, '/' | '_' | '~'))
    });
    let mut found = trimmed.filter(|word| word.len() <= TEXT && is_such(word));
    let first = found.next()?;
    found.all(|next| next == first).then(|| first.to_owned())
}

fn is_mail_address(word: &str) -> bool {
    word.split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !host.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_that_are_none_or_hostile_give_no_parameters() {
        for schema in [
            "",
            "null",
            "[]",
            "{\"required\": 1}",
            "{\"required\": [\"query\"]}",
            "{\"required\": [\"x\"], \"properties\": {\"x\": {\"const\": {\"$result\": 1}}}}",
        ] {
            assert_eq!(params(schema, "a sentence", None), None, "{schema}");
        }
        let fixed = r#"{"required": ["n", "unit"], "properties": {"n": {"default": 5}, "unit": {"enum": ["day"]}}}"#;
        assert_eq!(params(fixed, "", None).map(|params| params.len()), Some(2));
        assert_eq!(params("{}", "", None), Some(BTreeMap::new()));
    }
}
