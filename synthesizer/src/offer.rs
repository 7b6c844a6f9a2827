//! What a request lets code use, in the words of the language.

use langop_dsl::{Offer, OfferedOperation, OfferedTool};
use langop_proto::v1::{Model, Tool, ToolOperation};

/// What these tools and models offer. A schema that is none says nothing.
pub fn of(tools: &[Tool], models: &[Model]) -> Offer {
    Offer {
        tools: tools.iter().map(tool).collect(),
        models: models.iter().map(|model| model.name.clone()).collect(),
    }
}

fn tool(tool: &Tool) -> OfferedTool {
    OfferedTool {
        name: tool.name.clone(),
        operations: tool.operations.iter().map(operation).collect(),
    }
}

fn operation(operation: &ToolOperation) -> OfferedOperation {
    OfferedOperation {
        name: operation.name.clone(),
        input_schema: serde_json::from_str(&operation.input_schema).unwrap_or_default(),
    }
}
