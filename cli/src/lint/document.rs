//! One document of a file, and what is said of it.

use serde::Serialize;
use serde_json::Value;

use crate::kind::Kind;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It will not be accepted, or cannot run.
    Error,
    /// It may be right, but not by these files alone.
    Warning,
    /// Only told.
    Note,
}

/// What is said of a document.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Remark {
    pub(crate) severity: Severity,
    /// `spec.toolRefs[0].name`; empty: the whole of it.
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Remark {
    pub(crate) fn error(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(Severity::Error, path, message)
    }

    pub(crate) fn warning(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(Severity::Warning, path, message)
    }

    pub(crate) fn note(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(Severity::Note, path, message)
    }

    fn of(severity: Severity, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity,
            path: path.into(),
            message: message.into(),
        }
    }
}

/// One document of a file.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// The file, as people named it.
    pub(crate) file: String,
    pub(crate) value: Value,
}

impl Document {
    pub(crate) fn kind_name(&self) -> &str {
        self.value["kind"].as_str().unwrap_or("(no kind)")
    }

    /// The kind, if it is a namespaced one of ours.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| kind.name() == self.kind_name());
        kind.filter(|_| self.is_ours())
    }

    pub(crate) fn is_ours(&self) -> bool {
        let version = self.value["apiVersion"].as_str().unwrap_or_default();
        version.starts_with(concat!("langop.io", "/"))
    }

    pub(crate) fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// The namespace that it names, else the one that the command line does.
    pub(crate) fn namespace<'a>(&'a self, default: &'a str) -> &'a str {
        self.value["metadata"]["namespace"]
            .as_str()
            .unwrap_or(default)
    }
}
