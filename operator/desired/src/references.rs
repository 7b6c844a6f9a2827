//! What an agent or client refers to, as far as it exists: tools, models and a persona, in the
//! order of the references, and what is missing.
//!
//! Views hold everything that builders and the synthesizer's request need, so that nothing
//! downstream looks anything up.

use std::{collections::HashSet, sync::Arc};

use langop_api::{
    LanguageModel, LanguagePersona, LanguageTool, LanguageToolSpec,
    persona::Distilled,
    pod::NameRef,
    policy::EgressRule,
    shared::Shared,
    tool::{DEFAULT_PATH, DeploymentMode, Operation},
};

use crate::settings::Settings;

/// The port of every model proxy, in its Service and in its container.
pub const MODEL_PORT: i32 = 8000;

/// What looking for an object gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// There is none of that name.
    Missing,
    /// It is there, but does not fit its kind's schema.
    Unreadable,
    /// It is there.
    Present(T),
}

impl<T> Found<T> {
    /// Applies `f` to what is there.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Missing => Found::Missing,
            Self::Unreadable => Found::Unreadable,
            Self::Present(object) => Found::Present(f(object)),
        }
    }
}

/// A tool that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolView {
    /// Its name.
    pub name: String,
    /// Where it runs.
    pub mode: DeploymentMode,
    /// Where agents reach it: scheme, host and port, and its path where that is not the default.
    pub url: String,
    /// The port it listens on.
    pub port: i32,
    /// What it may reach.
    pub egress: Vec<EgressRule>,
    /// What it is for; untrusted text.
    pub description: Option<String>,
    /// What it can do; untrusted text.
    pub operations: Shared<Operation>,
    /// The rest of it, for those in whose pod it runs.
    pub spec: Arc<LanguageToolSpec>,
}

impl ToolView {
    /// The view of a tool, in the tool's own namespace.
    pub fn new(tool: &LanguageTool, settings: &Settings) -> Self {
        let spec = &tool.spec;
        let name = tool.metadata.name.clone().unwrap_or_default();
        let namespace = tool.metadata.namespace.as_deref().unwrap_or_default();
        let origin = match spec.deployment_mode {
            DeploymentMode::Service => service_url(&name, namespace, spec.port, settings),
            DeploymentMode::Sidecar => format!("http://localhost:{}", spec.port),
        };
        let path = if spec.path == DEFAULT_PATH {
            ""
        } else {
            &spec.path
        };
        Self {
            url: format!("{origin}{path}"),
            name,
            mode: spec.deployment_mode,
            port: spec.port,
            egress: spec.egress.clone().unwrap_or_default(),
            description: spec.description.clone(),
            operations: spec.operations.clone(),
            spec: Arc::new(spec.clone()),
        }
    }

    /// Whether it runs in the pods of its agents.
    pub fn is_sidecar(&self) -> bool {
        self.mode == DeploymentMode::Sidecar
    }
}

/// A model that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelView {
    /// Its name.
    pub name: String,
    /// Where its proxy is reached.
    pub url: String,
    /// The provider's id of it.
    pub model: String,
    /// The port of the proxy's container.
    pub port: i32,
}

impl ModelView {
    /// The view of a model, in the model's own namespace.
    pub fn new(model: &LanguageModel, settings: &Settings) -> Self {
        let name = model.metadata.name.clone().unwrap_or_default();
        let namespace = model.metadata.namespace.as_deref().unwrap_or_default();
        Self {
            url: service_url(&format!("{name}-proxy"), namespace, MODEL_PORT, settings),
            name,
            model: model.spec.model.clone(),
            port: MODEL_PORT,
        }
    }
}

/// The address of a Service in the cluster.
pub fn service_url(name: &str, namespace: &str, port: i32, settings: &Settings) -> String {
    format!(
        "http://{name}.{namespace}.svc.{}:{port}",
        settings.cluster_domain
    )
}

/// A persona that is distilled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonaView {
    /// Its name.
    pub name: String,
    /// The snapshot in its status.
    pub distilled: Distilled,
}

/// Where referenced objects are found, in the namespace of who refers to them.
pub trait Source {
    /// The tool of this name.
    fn tool(&self, name: &str) -> Found<ToolView>;
    /// The model of this name.
    fn model(&self, name: &str) -> Found<ModelView>;
    /// The snapshot of the persona of this name; `None` inside: it exists and is not distilled yet.
    fn persona(&self, name: &str) -> Found<Option<PersonaView>>;
}

/// The view of a persona, if it is distilled.
pub fn persona_view(persona: &LanguagePersona) -> Option<PersonaView> {
    Some(PersonaView {
        name: persona.metadata.name.clone()?,
        distilled: persona.status.as_ref()?.distilled.clone()?,
    })
}

/// The references of an agent or client, resolved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct References {
    /// Those tools that exist, in the order of the references.
    pub tools: Vec<ToolView>,
    /// Those models that exist, in the order of the references.
    pub models: Vec<ModelView>,
    /// The persona, if it can be used.
    pub persona: Option<PersonaView>,
    /// What cannot be used and why, one sentence each, sorted.
    pub unresolved: Vec<String>,
    /// Whether something of that is there and cannot be read. It may be in use, so nothing is to be
    /// changed for want of it.
    pub unreadable: bool,
}

impl References {
    /// Looks up every reference. One that is named twice counts once.
    pub fn resolve(
        tools: &[NameRef],
        models: &[NameRef],
        persona: Option<&NameRef>,
        source: &impl Source,
    ) -> Self {
        let mut found = Self::default();
        for name in unique(tools) {
            let tool = found.keep("tool", name, source.tool(name));
            found.tools.extend(tool);
        }
        for name in unique(models) {
            let model = found.keep("model", name, source.model(name));
            found.models.extend(model);
        }
        if let Some(NameRef { name }) = persona {
            let view = found.keep("persona", name, source.persona(name));
            if view == Some(None) {
                found
                    .unresolved
                    .push(format!("persona '{name}' is not distilled yet"));
            }
            found.persona = view.flatten();
        }
        found.unresolved.sort();
        found
    }

    /// What is there, or a word on why it cannot be used.
    fn keep<T>(&mut self, what: &str, name: &str, found: Found<T>) -> Option<T> {
        let why = match found {
            Found::Present(view) => return Some(view),
            Found::Missing => "does not exist",
            Found::Unreadable => {
                self.unreadable = true;
                "cannot be read: correct it first"
            }
        };
        self.unresolved.push(format!("{what} '{name}' {why}"));
        None
    }

    /// Whether nothing is referenced.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
            && self.models.is_empty()
            && self.persona.is_none()
            && self.unresolved.is_empty()
    }
}

fn unique(refs: &[NameRef]) -> impl Iterator<Item = &str> {
    let mut seen = HashSet::new();
    refs.iter()
        .map(|reference| reference.name.as_str())
        .filter(move |name| seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(spec: &serde_json::Value) -> ToolView {
        let tool: LanguageTool = serde_json::from_value(json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool",
            "metadata": {"name": "files", "namespace": "team"}, "spec": spec,
        }))
        .unwrap();
        ToolView::new(&tool, &Settings::default())
    }

    #[test]
    fn urls_are_scheme_host_and_port_and_a_path_of_ones_own() {
        for (spec, url) in [
            (
                json!({"image": "x"}),
                "http://files.team.svc.cluster.local:8080",
            ),
            (
                json!({"image": "x", "path": "/mcp"}),
                "http://files.team.svc.cluster.local:8080",
            ),
            (
                json!({"image": "x", "path": "/v1", "port": 9}),
                "http://files.team.svc.cluster.local:9/v1",
            ),
            (
                json!({"image": "x", "deploymentMode": "sidecar"}),
                "http://localhost:8080",
            ),
            (
                json!({"image": "x", "deploymentMode": "sidecar", "path": "/f"}),
                "http://localhost:8080/f",
            ),
        ] {
            assert_eq!(tool(&spec).url, url);
        }
    }

    struct Fixed;

    impl Source for Fixed {
        fn tool(&self, name: &str) -> Found<ToolView> {
            match name {
                "files" => Found::Present(tool(&json!({"image": "x"}))),
                "broken" => Found::Unreadable,
                _ => Found::Missing,
            }
        }

        fn model(&self, _: &str) -> Found<ModelView> {
            Found::Missing
        }

        fn persona(&self, _: &str) -> Found<Option<PersonaView>> {
            Found::Present(None)
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_in_a_stable_order() {
        let names = |names: &[&str]| -> Vec<NameRef> {
            names
                .iter()
                .map(|name| NameRef {
                    name: (*name).into(),
                })
                .collect()
        };
        let tools = names(&["zeta", "broken", "files", "files"]);
        let persona = NameRef {
            name: "clerk".into(),
        };
        let found = References::resolve(&tools, &names(&["brain"]), Some(&persona), &Fixed);
        assert_eq!(found.tools.len(), 1, "one view for one tool");
        assert_eq!(
            found.unresolved,
            [
                "model 'brain' does not exist",
                "persona 'clerk' is not distilled yet",
                "tool 'broken' cannot be read: correct it first",
                "tool 'zeta' does not exist",
            ]
        );
        assert!(!found.is_empty() && References::resolve(&[], &[], None, &Fixed).is_empty());
    }

    #[test]
    fn what_is_gone_and_what_cannot_be_read_are_two_things() {
        let unreadable = |name: &str| {
            let tools = [NameRef { name: name.into() }];
            References::resolve(&tools, &[], None, &Fixed).unreadable
        };
        assert_eq!(
            ["broken", "gone", "files"].map(unreadable),
            [true, false, false]
        );
    }
}
