//! The names of the providers.

use std::fmt;

use clap::ValueEnum;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum ProviderKind {
    /// The Messages API.
    Anthropic,
    /// Chat completions, of the vendor or of any compatible server.
    Openai,
    /// A local server.
    Ollama,
    /// Built-in rules; no LLM.
    Template,
}

impl ProviderKind {
    /// The name in settings, answers, metrics and `gen_ai.provider.name`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai => "openai",
            Self::Ollama => "ollama",
            Self::Template => "template",
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
