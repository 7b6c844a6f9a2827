//! SHA-256 over canonical JSON, and the content hashes of what an agent is given.
//!
//! Canonical: no white space, keys of objects sorted by bytes. Two values are equal exactly if
//! their canonical texts are.

use langop_api::{LanguagePersonaSpec, persona::Distilled};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::references::{ModelView, ToolView};

/// SHA-256 in lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Hash of a value's canonical JSON. A value that cannot be JSON (a map whose keys are no strings)
/// counts as null.
pub fn of_json(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or(Value::Null);
    let mut text = Vec::new();
    write_canonical(&value, &mut text);
    sha256_hex(&text)
}

/// Hash of the tools an agent is given: name, URL and mode of each, in order.
pub fn tools(tools: &[ToolView]) -> String {
    let content: Vec<Value> = tools
        .iter()
        .map(|tool| json!({"name": tool.name, "url": tool.url, "mode": tool.mode}))
        .collect();
    of_json(&content)
}

/// Hash of the models an agent is given: name, URL and the provider's id of each, in order.
pub fn models(models: &[ModelView]) -> String {
    let content: Vec<Value> = models
        .iter()
        .map(|model| json!({"name": model.name, "url": model.url, "model": model.model}))
        .collect();
    of_json(&content)
}

/// The four fields of a persona, from its spec or from the snapshot in its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PersonaContent<'a> {
    description: Option<&'a str>,
    system_prompt: Option<&'a str>,
    tone: Option<&'a str>,
    language: Option<&'a str>,
}

impl<'a> From<&'a LanguagePersonaSpec> for PersonaContent<'a> {
    fn from(spec: &'a LanguagePersonaSpec) -> Self {
        Self {
            description: spec.description.as_deref(),
            system_prompt: spec.system_prompt.as_deref(),
            tone: spec.tone.as_deref(),
            language: spec.language.as_deref(),
        }
    }
}

impl<'a> From<&'a Distilled> for PersonaContent<'a> {
    fn from(distilled: &'a Distilled) -> Self {
        Self {
            description: distilled.description.as_deref(),
            system_prompt: distilled.system_prompt.as_deref(),
            tone: distilled.tone.as_deref(),
            language: distilled.language.as_deref(),
        }
    }
}

/// Hash of a persona's four fields.
pub fn persona<'a>(content: impl Into<PersonaContent<'a>>) -> String {
    of_json(&content.into())
}

/// Appends a value's canonical JSON.
pub(crate) fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            write_sequence(out, *b"{}", entries, |out, (key, value)| {
                write_text(key, out);
                out.push(b':');
                write_canonical(value, out);
            });
        }
        Value::Array(items) => {
            write_sequence(out, *b"[]", items, |out, item| write_canonical(item, out));
        }
        Value::String(text) => write_text(text, out),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Null => out.extend_from_slice(b"null"),
    }
}

fn write_sequence<T>(
    out: &mut Vec<u8>,
    brackets: [u8; 2],
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(brackets[0]);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(brackets[1]);
}

/// Appends a string as JSON has it.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    #[expect(clippy::expect_used, reason = "neither a string nor a Vec can fail")]
    serde_json::to_writer(out, text).expect("a string is always JSON");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            of_json(&json!({"b": [1, null], "a": "\n"})),
            sha256_hex(br#"{"a":"\n","b":[1,null]}"#)
        );
    }

    #[test]
    fn a_persona_and_its_snapshot_have_one_hash() {
        let spec = LanguagePersonaSpec {
            description: Some("d".into()),
            system_prompt: None,
            tone: Some("dry".into()),
            language: None,
        };
        let snapshot = Distilled {
            description: Some("d".into()),
            tone: Some("dry".into()),
            prompt: "condensed".into(),
            ..Distilled::default()
        };
        assert_eq!(persona(&spec), persona(&snapshot));
        // A text moved from one field to another is another persona.
        let moved = LanguagePersonaSpec {
            description: None,
            system_prompt: Some("d".into()),
            ..spec.clone()
        };
        assert_ne!(persona(&spec), persona(&moved));
    }
}
