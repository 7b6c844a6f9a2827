//! Kubernetes manifests into the parts of a request: the agent, and what the same file says of the
//! tools, models and the persona it names. Pure; reads the few fields a request needs and passes
//! over all others. Knows no cluster.

use langop_proto::v1::{Model, Persona, Tool};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::tool_file::ToolFile;

/// Our kinds' group.
const GROUP: &str = "langop.io/";

/// What a manifest says of one agent.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) instructions: String,
    pub(super) tools: Vec<Tool>,
    pub(super) models: Vec<Model>,
    pub(super) persona: Option<Persona>,
    /// What the agent names and the manifest does not describe, for people.
    pub(super) notes: Vec<String>,
}

/// Why a manifest gives no request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("invalid YAML; separate two objects by a line of ---")]
    Yaml(#[source] Box<serde_saphyr::Error>),
    #[error(
        "it holds something without a kind; instructions in plain words come from one file alone"
    )]
    NoObject,
    #[error("{kind} {name} is not valid")]
    Object {
        kind: String,
        name: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("it holds no LanguageAgent; kinds found: {}", .0.join(", "))]
    NoAgent(Vec<String>),
    #[error("it holds {} agents ({}); choose one by --name", .0.len(), .0.join(", "))]
    ManyAgents(Vec<String>),
    #[error("it holds no agent called {name}; it has {}", .found.join(", "))]
    OtherAgents { name: String, found: Vec<String> },
}

/// Whether a text is a manifest of our kinds, alone, among others or in a List, as YAML or JSON: it
/// begins as such, and somewhere names our group.
pub(super) fn is_manifest(text: &str) -> bool {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '%']) && *line != "---");
    let begins = lines.clone().next().is_some_and(|first| {
        let word = first.trim_start_matches(char::is_alphanumeric);
        first.starts_with('{') || word.len() < first.len() && word.starts_with(':')
    });
    begins && lines.any(names_group)
}

fn names_group(line: &str) -> bool {
    let key = line.trim_start_matches([' ', '-', '{', '"', '\'']);
    let value = key.strip_prefix("apiVersion").unwrap_or_default();
    value
        .trim_start_matches(['"', '\'', ' ', ':'])
        .starts_with(GROUP)
}

/// All objects of some manifests.
#[derive(Default)]
pub(super) struct Objects(Vec<Object>);

impl Objects {
    /// Reads the objects of one more manifest.
    pub(super) fn add(&mut self, text: &str) -> Result<(), ManifestError> {
        let options = serde_saphyr::options! { with_snippet: false };
        let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
            .map_err(|error| ManifestError::Yaml(Box::new(error)))?;
        let objects: Vec<Object> = documents.iter().flat_map(objects).collect();
        if objects.iter().any(|object| object.kind.is_empty()) {
            return Err(ManifestError::NoObject);
        }
        self.0.extend(objects);
        Ok(())
    }

    /// The agent called `name`; without a name the only one.
    pub(super) fn agent(&self, name: Option<&str>) -> Result<Manifest, ManifestError> {
        let agent = self.choose(name)?;
        let spec: AgentSpec = agent.spec()?;
        let mut notes = Notes::default();
        let tools = spec
            .tool_refs
            .iter()
            .map(|tool| self.tool(tool, &mut notes));
        let tools = tools.collect::<Result<_, _>>()?;
        let models = spec
            .model_refs
            .iter()
            .map(|model| self.model(model, &mut notes));
        let models = models.collect::<Result<_, _>>()?;
        let persona = match &spec.persona_ref {
            Some(reference) => self.persona(reference, &mut notes)?,
            None => None,
        };
        Ok(Manifest {
            name: name.unwrap_or(&agent.name).to_owned(),
            namespace: agent.namespace.clone(),
            instructions: spec.instructions,
            tools,
            models,
            persona,
            notes: notes.lines(),
        })
    }

    fn tool(&self, reference: &Reference, notes: &mut Notes) -> Result<Tool, ManifestError> {
        let Some(object) = self.find("LanguageTool", &reference.name) else {
            notes.by_name_only.push(reference.name.clone());
            return Ok(Tool {
                name: reference.name.clone(),
                ..Tool::default()
            });
        };
        let ToolSpec {
            description,
            operations,
        } = object.spec()?;
        // A tool's spec has the fields of a tool's file, and more.
        let operations = Value::Array(operations);
        let file = serde_json::json!({"name": object.name, "description": description, "operations": operations});
        let file: ToolFile = serde_json::from_value(file).map_err(|source| object.wrong(source))?;
        Ok(file.into())
    }

    fn model(&self, reference: &Reference, notes: &mut Notes) -> Result<Model, ManifestError> {
        let object = self.find("LanguageModel", &reference.name);
        let spec: Option<ModelSpec> = object.map(Object::spec).transpose()?;
        let model = spec.unwrap_or_default().model;
        if model.is_empty() {
            notes.by_name_only.push(reference.name.clone());
        }
        Ok(Model {
            name: reference.name.clone(),
            model,
        })
    }

    fn persona(
        &self,
        reference: &Reference,
        notes: &mut Notes,
    ) -> Result<Option<Persona>, ManifestError> {
        let Some(object) = self.find("LanguagePersona", &reference.name) else {
            notes.no_persona = Some(reference.name.clone());
            return Ok(None);
        };
        let spec: PersonaSpec = object.spec()?;
        Ok(Some(Persona {
            name: object.name.clone(),
            description: spec.description,
            system_prompt: spec.system_prompt,
            tone: spec.tone,
            language: spec.language,
        }))
    }

    fn choose(&self, name: Option<&str>) -> Result<&Object, ManifestError> {
        let agents: Vec<&Object> = self
            .0
            .iter()
            .filter(|object| object.kind == "LanguageAgent")
            .collect();
        let found = || agents.iter().map(|agent| agent.name.clone()).collect();
        match (&agents[..], name) {
            ([], _) => Err(ManifestError::NoAgent(
                self.0.iter().map(|object| object.kind.clone()).collect(),
            )),
            // The name may be another one: the agent is only one.
            ([agent], _) => Ok(agent),
            (_, None) => Err(ManifestError::ManyAgents(found())),
            (agents, Some(name)) => agents
                .iter()
                .find(|agent| agent.name == name)
                .copied()
                .ok_or_else(|| ManifestError::OtherAgents {
                    name: name.to_owned(),
                    found: found(),
                }),
        }
    }

    fn find(&self, kind: &str, name: &str) -> Option<&Object> {
        self.0
            .iter()
            .find(|object| object.kind == kind && object.name == name)
    }
}

/// The objects of a document, which may be a List of them.
fn objects(document: &Value) -> Vec<Object> {
    let text = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    match document.get("items").and_then(Value::as_array) {
        Some(items) => items.iter().flat_map(objects).collect(),
        None => vec![Object {
            kind: text(document.get("kind")),
            name: text(document.pointer("/metadata/name")),
            namespace: text(document.pointer("/metadata/namespace")),
            spec: document.get("spec").cloned().unwrap_or_default(),
        }],
    }
}

/// What an agent names and nothing describes.
#[derive(Default)]
struct Notes {
    by_name_only: Vec<String>,
    no_persona: Option<String>,
}

impl Notes {
    fn lines(self) -> Vec<String> {
        let persona = self.no_persona.map(|name| {
            format!("the persona {name} is not in the manifest: the code is made without it")
        });
        let names = self.by_name_only.join(", ");
        let names = (!names.is_empty())
            .then(|| format!("not in the manifest, so offered by name only: {names}"));
        persona.into_iter().chain(names).collect()
    }
}

struct Object {
    kind: String,
    name: String,
    namespace: String,
    spec: Value,
}

impl Object {
    fn spec<T: DeserializeOwned>(&self) -> Result<T, ManifestError> {
        serde_json::from_value(self.spec.clone()).map_err(|source| self.wrong(source))
    }

    fn wrong(&self, source: serde_json::Error) -> ManifestError {
        ManifestError::Object {
            kind: self.kind.clone(),
            name: self.name.clone(),
            source,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AgentSpec {
    instructions: String,
    tool_refs: Vec<Reference>,
    model_refs: Vec<Reference>,
    persona_ref: Option<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ToolSpec {
    description: String,
    operations: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ModelSpec {
    model: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PersonaSpec {
    description: String,
    system_prompt: String,
    tone: String,
    language: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, name: Option<&str>) -> Result<Manifest, ManifestError> {
        let mut objects = Objects::default();
        objects.add(text)?;
        objects.agent(name)
    }

    const AGENT: &str = "\
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: reporter, namespace: demo}
spec:
  instructions: |
    Every day at 9am, send a report.
  toolRefs: [{name: email-tool}, {name: other-tool}]
  modelRefs: [{name: claude}]
  personaRef: {name: ann}
";
    const REST: &str = "\
---
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: email-tool}
spec:
  image: x
  description: Sends mail.
  operations:
  - name: send
    inputSchema: {type: object}
---
apiVersion: langop.io/v1alpha1
kind: LanguageModel
metadata: {name: claude}
spec: {provider: anthropic, model: claude-sonnet-4-5}
---
apiVersion: langop.io/v1alpha1
kind: LanguagePersona
metadata: {name: ann}
spec: {systemPrompt: Be brief., tone: dry}
";

    #[test]
    fn an_agent_alone_offers_names() {
        let manifest = read(AGENT, None).unwrap();
        assert_eq!(
            (manifest.name.as_str(), manifest.namespace.as_str()),
            ("reporter", "demo")
        );
        assert_eq!(manifest.instructions, "Every day at 9am, send a report.\n");
        let tools: Vec<&str> = manifest.tools.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(tools, ["email-tool", "other-tool"]);
        assert_eq!(manifest.models[0].name, "claude");
        assert_eq!(
            manifest.notes,
            [
                "the persona ann is not in the manifest: the code is made without it",
                "not in the manifest, so offered by name only: email-tool, other-tool, claude"
            ]
        );
    }

    #[test]
    fn what_stands_beside_the_agent_describes_its_offer() {
        let manifest = read(&format!("{AGENT}{REST}"), Some("renamed")).unwrap();
        assert_eq!(manifest.name, "renamed");
        let tool = &manifest.tools[0];
        assert_eq!(
            (
                tool.description.as_str(),
                tool.operations[0].input_schema.as_str()
            ),
            ("Sends mail.", r#"{"type":"object"}"#)
        );
        assert_eq!(manifest.models[0].model, "claude-sonnet-4-5");
        let persona = manifest.persona.unwrap();
        assert_eq!(
            (persona.name.as_str(), persona.tone.as_str()),
            ("ann", "dry")
        );
        assert_eq!(
            manifest.notes,
            ["not in the manifest, so offered by name only: other-tool"]
        );
    }

    #[test]
    fn manifests_are_known_by_their_group() {
        let list = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent", "metadata": {"name": "a"}, "spec": {"instructions": "x"}}]}"#;
        let pretty = list.replace(", \"", ",\n\"").replace("[{", "[\n{\n");
        for (text, expected) in [
            (AGENT, true),
            (
                "kind: LanguageAgent\napiVersion: langop.io/v1alpha1\n",
                true,
            ),
            ("items:\n- apiVersion: langop.io/v1alpha1\n", true),
            (&pretty, true),
            ("apiVersion: apps/v1\nkind: Deployment\n", false),
            (
                "Watch objects of this kind:\napiVersion: langop.io/v1alpha1\n",
                false,
            ),
            (
                "# A title\n\nWatch.\n\napiVersion: langop.io/v1alpha1\n",
                false,
            ),
            ("# A comment\n---\napiVersion: langop.io/v1alpha1\n", true),
            ("Every day at 9am, tell a joke.", false),
        ] {
            assert_eq!(is_manifest(text), expected, "{text}");
        }
        assert_eq!(read(&pretty, None).unwrap().instructions, "x");
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        let two = format!("{AGENT}---\n{}", AGENT.replace("reporter", "watcher"));
        assert_eq!(read(&two, Some("watcher")).unwrap().name, "watcher");
        let wrong = AGENT.replace("[{name: claude}]", "claude");
        for (text, name, expected) in [
            (two.as_str(), None, "2 agents (reporter, watcher)"),
            (&two, Some("nobody"), "no agent called nobody"),
            (
                &REST[4..],
                None,
                "no LanguageAgent; kinds found: LanguageTool, ",
            ),
            (&wrong, None, "LanguageAgent reporter is not valid"),
            ("apiVersion: [langop.io/v1", None, "invalid YAML"),
            ("Every day, tell a joke.", None, "without a kind"),
        ] {
            let error = read(text, name).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
