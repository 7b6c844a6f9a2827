//! What was read of one object, as the pure middle takes it: leniently, because an object that
//! cannot be decoded is one of the things to speak of.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{ResourceExt as _, api::DynamicObject};
use langop_desired::conditions;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::kind::Kind;

/// What a question to the API server gave: an answer, or that this user may not ask.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Read<T> {
    Got(T),
    /// The server's words.
    Denied(String),
}

impl<T> Read<T> {
    pub(crate) fn got(&self) -> Option<&T> {
        match self {
            Self::Got(value) => Some(value),
            Self::Denied(_) => None,
        }
    }

    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Read<U> {
        match self {
            Self::Got(value) => Read::Got(f(value)),
            Self::Denied(said) => Read::Denied(said),
        }
    }
}

/// An object of ours, whatever its kind.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) generation: Option<i64>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) is_deleting: bool,
    /// Why it cannot be decoded, where somebody has tried.
    pub(crate) unreadable: Option<String>,
    pub(crate) finalizers: Vec<String>,
    pub(crate) phase: Option<String>,
    pub(crate) observed_generation: Option<i64>,
    pub(crate) conditions: Vec<Condition>,
}

impl Subject {
    /// Of a live object. What of its status cannot be read counts as absent.
    pub(crate) fn of(kind: Kind, object: &DynamicObject) -> Self {
        let status = &object.data["status"];
        let conditions = serde_json::from_value(status["conditions"].clone());
        Self {
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            generation: object.metadata.generation,
            created: object.creation_timestamp().map(|time| time.0),
            is_deleting: object.metadata.deletion_timestamp.is_some(),
            unreadable: None,
            finalizers: object.finalizers().to_vec(),
            phase: status["phase"].as_str().map(str::to_owned),
            // The CRD's default says that nobody has looked yet.
            observed_generation: status["observedGeneration"]
                .as_i64()
                .filter(|seen| *seen >= 0),
            conditions: conditions.unwrap_or_default(),
        }
    }

    pub(crate) fn condition(&self, type_: &str) -> Option<&Condition> {
        conditions::find(&self.conditions, type_)
    }

    pub(crate) fn is(&self, type_: &str) -> bool {
        conditions::is_true(&self.conditions, type_)
    }

    /// `LanguageTool demo/mail`.
    pub(crate) fn title(&self) -> String {
        format!("{} {}/{}", self.kind.name(), self.namespace, self.name)
    }

    /// A command of kubectl in its namespace.
    pub(crate) fn kubectl(&self, command: &str) -> String {
        format!("kubectl -n {} {command}", self.namespace)
    }
}

/// The object in its type.
///
/// # Errors
/// The field that cannot be read, and why.
pub(crate) fn decode<K: DeserializeOwned>(object: &DynamicObject) -> Result<K, String> {
    let value = serde_json::to_value(object).unwrap_or(Value::Null);
    serde_path_to_error::deserialize(value)
        .map_err(|error| langop_dsl::clean(&format!("{}: {}", error.path(), error.inner())))
}
