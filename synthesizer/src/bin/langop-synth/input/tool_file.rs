//! A tool as it stands in a file.

use langop_proto::v1::{Tool, ToolOperation};
use serde::Deserialize;

/// A tool as it stands in a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ToolFile {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    operations: Vec<OperationFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OperationFile {
    name: String,
    #[serde(default)]
    description: String,
    /// A JSON Schema.
    #[serde(default)]
    input_schema: Option<serde_json::Map<String, serde_json::Value>>,
}

impl From<ToolFile> for Tool {
    fn from(file: ToolFile) -> Self {
        Self {
            name: file.name,
            description: file.description,
            operations: file
                .operations
                .into_iter()
                .map(ToolOperation::from)
                .collect(),
        }
    }
}

impl From<OperationFile> for ToolOperation {
    fn from(file: OperationFile) -> Self {
        let input_schema = file
            .input_schema
            .map(|schema| serde_json::Value::Object(schema).to_string())
            .unwrap_or_default();
        Self {
            name: file.name,
            description: file.description,
            input_schema,
        }
    }
}
