//! A server on the glue of the reference tools, with the tools that the protocol's conformance
//! suite calls by name: what it finds about the glue is true of every tool.

use std::{future::Future, process::ExitCode, sync::Arc};

use langop_tools::{
    server,
    toolbox::{Call, Effect, Output, ToolError, Toolbox, operation},
};
use rmcp::model::{JsonObject, Tool};
use serde_json::{Value as Json, json};

struct Fixture;

impl Toolbox for Fixture {
    fn name(&self) -> &'static str {
        "conformance"
    }

    fn operations(&self) -> Vec<Tool> {
        let region = json!({"region": {"type": "string", "x-mcp-header": "Region"}});
        let reads =
            |name, description| operation(name, description, Effect::ReadOnly, &json!({}), &[]);
        vec![
            Tool::new("json_schema_2020_12_tool", "Has a rich schema", rich()),
            reads("test_error_handling", "Fails"),
            operation(
                "test_region",
                "Takes a parameter that is a header too",
                Effect::ReadOnly,
                &region,
                &["region"],
            ),
            reads("test_simple_text", "Answers"),
        ]
    }

    fn call(
        &self,
        operation: &str,
        _: Call,
    ) -> impl Future<Output = Option<Result<Output, ToolError>>> + Send {
        let result = match operation {
            "json_schema_2020_12_tool" | "test_region" => Some(Ok(Output::text("done"))),
            "test_simple_text" => Some(Ok(Output::text(
                "This is a simple text response for testing.",
            ))),
            "test_error_handling" => Some(Err(ToolError::new(
                "This tool intentionally returns an error for testing",
            ))),
            _ => None,
        };
        std::future::ready(result)
    }
}

/// As the suite wants to find it again.
fn rich() -> Arc<JsonObject> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {
            "$anchor": "addressDef", "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }},
        "properties": {
            "name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"}, "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    });
    match schema {
        Json::Object(schema) => Arc::new(schema),
        _ => Arc::default(),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    server::log();
    match server::run(Fixture).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
