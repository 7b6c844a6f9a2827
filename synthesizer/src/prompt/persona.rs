//! The prompt that condenses a persona.

use std::sync::LazyLock;

use langop_proto::v1::Persona;

use super::fence::{self, Piece};

/// The fixed part.
pub const SYSTEM: &str = include_str!("persona.md");

/// As [`super::version`], for this prompt.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| super::version_of(SYSTEM));
    &VERSION
}

/// The variable part.
pub fn user(persona: &Persona) -> String {
    let mut prompt = fence::message(&[Piece::new("persona", super::persona_json(persona))]);
    prompt.push_str("Write the text.\n");
    prompt
}
