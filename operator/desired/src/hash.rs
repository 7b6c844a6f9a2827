//! The content hashes of what an agent is given: SHA-256 over canonical JSON.

use langop_api::{LanguagePersonaSpec, persona::Distilled};
pub use langop_dsl::hash::{of_json, sha256_hex};
pub(crate) use langop_dsl::hash::{write_canonical, write_text};
use serde::Serialize;
use serde_json::{Value, json};

use crate::references::{ModelView, ToolView};

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

#[cfg(test)]
mod tests {
    use super::*;

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
