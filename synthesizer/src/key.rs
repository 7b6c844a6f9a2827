//! The cache key: SHA-256 over the canonical JSON of every byte that reaches the prompt, and
//! nothing that does not.

use langop_dsl::hash::{canonical_json, hex};
use langop_proto::{
    routing,
    v1::{Persona, SynthesizeRequest},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{identity::Identity, prompt};

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
        let canonical = json!({
            "rpc": what,
            "promptVersion": prompt_version,
            "provider": answers.provider.as_str(),
            "model": answers.model,
            "request": request,
        });
        Self(Sha256::digest(canonical_json(&canonical)).into())
    }

    /// Lower-case hex, as `request_hash`.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }
}
