//! What a request offers to code, by name. Code may use nothing else.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::schema;
use crate::definition::Value;

/// Tools and models.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    /// Tools; code may leave out a `-tool` at the end.
    pub tools: Vec<OfferedTool>,
    /// Models.
    pub models: Vec<String>,
}

/// A tool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OfferedTool {
    /// Its name.
    pub name: String,
    /// What it can do. Empty: not known; code may then name any operation.
    pub operations: Vec<OfferedOperation>,
}

/// An operation of a tool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OfferedOperation {
    /// Its name.
    pub name: String,
    /// The JSON Schema of its parameters; `Null`, or anything that is no schema: not known.
    pub input_schema: Json,
}

impl OfferedOperation {
    /// Whether code may call it with these parameters.
    pub fn takes(&self, params: &BTreeMap<String, Value>) -> bool {
        schema::check(&self.input_schema, params, &mut schema::Effort::default()).is_empty()
    }
}

impl Offer {
    /// The tool that code calls `name`: of the same name, else of that with `-tool` appended.
    pub fn tool(&self, name: &str) -> Option<&OfferedTool> {
        let is = |wanted: &str| self.tools.iter().find(|tool| tool.name == wanted);
        is(name).or_else(|| is(&format!("{name}-tool")))
    }

    /// The offered name of the model that code calls `name`: the same.
    pub fn model(&self, name: &str) -> Option<&str> {
        self.models
            .iter()
            .find(|model| *model == name)
            .map(String::as_str)
    }
}

impl From<&str> for OfferedTool {
    /// A tool of which nothing but the name is known.
    fn from(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            operations: Vec::new(),
        }
    }
}
