//! The cache key: SHA-256 over the canonical JSON of every byte that reaches the prompt, and nothing that does not.

use langop_proto::{
    routing,
    v1::{Persona, SynthesizeRequest},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{prompt, providers::Identity};

/// The key of what a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestKey([u8; 32]);

impl RequestKey {
    /// The key of a request in the form of [`prompt::normalise`].
    pub fn of_synthesis(request: &SynthesizeRequest, answers: &Identity) -> Self {
        Self::of(
            "synthesize",
            prompt::version(),
            &routing::canonical(request),
            answers,
        )
    }

    /// The key of a persona to distill.
    pub fn of_persona(persona: &Persona, answers: &Identity) -> Self {
        let fields = json!([
            persona.name,
            persona.description,
            persona.system_prompt,
            persona.tone,
            persona.language
        ]);
        Self::of("distill", prompt::persona::version(), &fields, answers)
    }

    fn of(what: &str, prompt_version: &str, request: &Value, answers: &Identity) -> Self {
        // serde_json's maps are sorted by key (no `preserve_order`), so equal values have equal bytes.
        let canonical = json!({
            "rpc": what,
            "promptVersion": prompt_version,
            "provider": answers.provider.as_str(),
            "model": answers.model,
            "request": request,
        });
        Self(Sha256::digest(canonical.to_string().as_bytes()).into())
    }

    /// Lower-case hex, as `request_hash`.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }
}

/// SHA-256 of `bytes`, lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_lower_case_hex() {
        assert_eq!(
            sha256_hex(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
