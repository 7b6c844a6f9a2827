//! The manifest of an agent that is to be: written as a person would, and judged as `lint` does.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::{
    failure::Failure,
    kind::Kind,
    lint::{
        document::{Document, Remark, Severity},
        judge::judge,
    },
};

/// What is known of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) name: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) instructions: Option<String>,
    pub(crate) schedule: Option<String>,
    pub(crate) time_zone: Option<String>,
    pub(crate) models: Vec<String>,
    pub(crate) tools: Vec<String>,
    pub(crate) persona: Option<String>,
}

/// Only what is in it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    instructions: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_refs: Vec<NameRef<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_refs: Vec<NameRef<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    persona_ref: Option<NameRef<'a>>,
}

#[derive(Serialize)]
struct NameRef<'a> {
    name: &'a str,
}

/// A manifest, and what `lint` says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) yaml: String,
    pub(crate) errors: Vec<String>,
    /// Only told, such as when it runs.
    pub(crate) notes: Vec<String>,
}

impl Draft {
    /// The manifest, judged.
    pub(crate) fn judged(&self, now: Timestamp) -> Result<Judged, Failure> {
        let unwritable = |error: &dyn std::fmt::Display| {
            Failure::told(
                format!("the manifest cannot be written: {error}"),
                "write it by hand; deploy/first-agent.yaml is an example",
            )
        };
        let manifest = self.manifest();
        let yaml = serde_saphyr::to_string(&manifest).map_err(|error| unwritable(&error))?;
        // What is judged is what will be read, not what was meant.
        let value: Value = serde_saphyr::from_str(&yaml).map_err(|error| unwritable(&error))?;
        let document = Document {
            file: String::new(),
            value,
        };
        let namespace = self.namespace.as_deref().unwrap_or("default");
        let judged = judge(&[document], namespace, now);
        // That tools and models are not in these files is meant so.
        let remarks = |severity| {
            let remarks = judged.iter().flat_map(|one| &one.remarks);
            remarks.filter(move |remark| remark.severity == severity)
        };
        let notes = remarks(Severity::Note).map(|note| note.message.clone());
        Ok(Judged {
            errors: remarks(Severity::Error).map(line).collect(),
            notes: notes.collect(),
            yaml,
        })
    }

    /// The manifest, for writing it down.
    ///
    /// # Errors
    /// What `lint` has against it.
    pub(crate) fn accepted(&self, now: Timestamp) -> Result<Judged, Failure> {
        let judged = self.judged(now)?;
        if judged.errors.is_empty() {
            return Ok(judged);
        }
        Err(Failure::told(
            format!(
                "such an agent is not accepted: {}",
                judged.errors.join("; ")
            ),
            "correct the flag, and write the rest as before",
        ))
    }

    fn manifest(&self) -> Manifest<'_> {
        Manifest {
            api_version: "langop.io/v1alpha1",
            kind: Kind::Agent.name(),
            metadata: Metadata {
                name: self.name.as_deref().unwrap_or_default(),
                namespace: self.namespace.as_deref(),
            },
            spec: Spec {
                instructions: block(self.instructions.as_deref().unwrap_or_default()),
                schedule: self.schedule.as_deref(),
                time_zone: self.time_zone.as_deref(),
                model_refs: references(&self.models),
                tool_refs: references(&self.tools),
                persona_ref: self.persona.as_deref().map(|name| NameRef { name }),
            },
        }
    }
}

fn references(names: &[String]) -> Vec<NameRef<'_>> {
    names.iter().map(|name| NameRef { name }).collect()
}

/// Several lines end with a line end, as those of `|` do.
fn block(text: &str) -> String {
    let text = text.trim();
    if text.contains('\n') {
        format!("{text}\n")
    } else {
        text.to_owned()
    }
}

fn line(remark: &Remark) -> String {
    match remark.path.as_str() {
        "" => remark.message.clone(),
        path => format!("{path}: {}", remark.message),
    }
}
