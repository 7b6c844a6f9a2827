//! Our kinds as people name them on the command line and as `kubectl` names them.

use kube::core::ApiResource;
use langop_api::{
    LanguageAgent, LanguageClient, LanguageModel, LanguagePersona, LanguageTool, names::labels,
};
use serde::Serialize;

/// A namespaced kind of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Agent,
    Tool,
    Model,
    Persona,
    Client,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Agent,
        Self::Tool,
        Self::Model,
        Self::Persona,
        Self::Client,
    ];

    /// One word, as in sentences.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Tool => "tool",
            Self::Model => "model",
            Self::Persona => "persona",
            Self::Client => "client",
        }
    }

    /// As in manifests.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Agent => "LanguageAgent",
            Self::Tool => "LanguageTool",
            Self::Model => "LanguageModel",
            Self::Persona => "LanguagePersona",
            Self::Client => "LanguageClient",
        }
    }

    /// The short name of the resource.
    pub(crate) const fn short(self) -> &'static str {
        match self {
            Self::Agent => "lagent",
            Self::Tool => "ltool",
            Self::Model => "lmodel",
            Self::Persona => "lpersona",
            Self::Client => "lclient",
        }
    }

    /// The label by which its children are known; a persona has none.
    pub(crate) const fn label(self) -> Option<&'static str> {
        match self {
            Self::Agent => Some(labels::AGENT),
            Self::Tool => Some(labels::TOOL),
            Self::Model => Some(labels::MODEL),
            Self::Client => Some(labels::CLIENT),
            Self::Persona => None,
        }
    }

    /// The Deployment (or CronJob) of an object of this name.
    pub(crate) fn workload(self, name: &str) -> String {
        match self {
            Self::Model => format!("{name}-proxy"),
            _ => name.to_owned(),
        }
    }

    pub(crate) fn resource(self) -> ApiResource {
        match self {
            Self::Agent => ApiResource::erase::<LanguageAgent>(&()),
            Self::Tool => ApiResource::erase::<LanguageTool>(&()),
            Self::Model => ApiResource::erase::<LanguageModel>(&()),
            Self::Persona => ApiResource::erase::<LanguagePersona>(&()),
            Self::Client => ApiResource::erase::<LanguageClient>(&()),
        }
    }

    /// The kind that a person means: `agent`, `lagent`, `languageagents`, `LanguageAgent`,
    /// `languageagents.langop.io`.
    fn of_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let word = word.split('.').next().unwrap_or_default();
        let word = word.strip_suffix('s').unwrap_or(word);
        Self::ALL.into_iter().find(|kind| {
            [kind.word(), kind.short()].contains(&word) || kind.name().to_ascii_lowercase() == word
        })
    }
}

/// An object of ours, named on the command line: `KIND/NAME`; a name alone is an agent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) name: String,
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            None => (Kind::Agent, text),
            Some((word, name)) => {
                let kind = Kind::of_word(word).ok_or_else(|| {
                    format!(
                        "unknown kind '{word}'; write agent, tool, model, persona or client, for example agent/{name}"
                    )
                })?;
                (kind, name)
            }
        };
        if name.is_empty() || name.contains('/') {
            return Err(format!(
                "'{text}' names no object; write KIND/NAME, for example agent/daily-report"
            ));
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_all_the_names_that_kubectl_takes() {
        for word in [
            "tool",
            "tools",
            "ltool",
            "languagetool",
            "languagetools",
            "LanguageTool",
            "languagetools.langop.io",
        ] {
            let target: Target = format!("{word}/mail").parse().unwrap();
            assert_eq!((target.kind, &*target.name), (Kind::Tool, "mail"), "{word}");
        }
        let alone: Target = "mail".parse().unwrap();
        assert_eq!(alone.kind, Kind::Agent);
    }

    #[test]
    fn what_names_nothing_is_told_what_to_write() {
        let error = |text: &str| text.parse::<Target>().unwrap_err();
        assert!(error("pod/x").contains("write agent, tool, model, persona or client"));
        assert!(error("agent/").contains("write KIND/NAME"));
        assert!(error("agent/a/b").contains("write KIND/NAME"));
    }
}
