//! Operations of tools: which one a step means, and what the server says of it. Pure.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool};
use serde_json::Value as Json;

use super::output::ToolOutput;
use crate::{
    outcome::{Failure, Reason},
    termination::{MAX_QUOTE_BYTES, quote},
};

/// An operation of a tool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Operation {
    /// As the server calls it.
    pub name: String,
    /// For whoever may choose it.
    pub description: String,
    /// Its live input schema, if it could be had.
    pub schema: Option<Json>,
    /// Its live output schema, if it has one.
    pub output_schema: Option<Json>,
    /// By the server's word it changes nothing.
    pub is_read_only: bool,
    /// By the server's word it may be called again.
    pub is_harmless: bool,
}

impl Operation {
    /// What a server says of it.
    pub fn of(tool: Tool) -> Self {
        let hints = tool.annotations.as_ref();
        let is_read_only = hints
            .and_then(|hints| hints.read_only_hint)
            .unwrap_or(false);
        let is_idempotent = hints
            .and_then(|hints| hints.idempotent_hint)
            .unwrap_or(false);
        Self {
            name: tool.name.into_owned(),
            description: tool.description.unwrap_or_default().into_owned(),
            schema: Some(schema(tool.input_schema)),
            output_schema: tool.output_schema.map(schema),
            is_read_only,
            is_harmless: is_read_only || is_idempotent,
        }
    }

    /// What of a result is not as the server says that results are.
    pub(super) fn misfit(&self, output: &ToolOutput) -> Option<String> {
        let schema = self.output_schema.as_ref().filter(|_| !output.is_error)?;
        let Some(structured) = &output.result.structured else {
            return Some("it has no structure".to_owned());
        };
        let misfit = langop_dsl::misfit(schema, structured)?;
        Some(quote(&misfit, MAX_QUOTE_BYTES))
    }
}

fn schema(schema: Arc<JsonObject>) -> Json {
    Json::Object(Arc::unwrap_or_clone(schema))
}

pub(super) fn resolve<'l>(
    list: &'l [Arc<Operation>],
    action: Option<&str>,
) -> Option<&'l Arc<Operation>> {
    let Some(action) = action else {
        return match list {
            [only] => Some(only),
            _ => None,
        };
    };
    if let Some(equal) = list.iter().find(|known| known.name == action) {
        return Some(equal);
    }
    let plain = |name: &str| name.to_lowercase().replace(['-', '.'], "_");
    let mut alike = list
        .iter()
        .filter(|known| plain(&known.name) == plain(action));
    match (alike.next(), alike.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

pub(super) fn unknown(tool: &str, action: Option<&str>, list: &[Arc<Operation>]) -> Failure {
    let names: Vec<_> = list.iter().map(|known| &*known.name).take(10).collect();
    let names = names.join(", ");
    let message = match action {
        Some(action) => format!("the tool '{tool}' has no operation '{action}'; it has {names}"),
        None => format!("the tool '{tool}' has several operations; name one of {names}"),
    };
    Failure::new(Reason::UnknownOperation, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::mcp::output;

    fn tools(names: &[&'static str]) -> Vec<Arc<Operation>> {
        let tool = |name: &&'static str| Tool::new(*name, "", Map::new());
        let operations = names.iter().map(tool).map(Operation::of);
        operations.map(Arc::new).collect()
    }

    #[test]
    fn a_result_that_is_not_as_announced_is_told_and_an_error_need_not_be() {
        let schema = json!({"type": "object", "required": ["content"]});
        let operation = Operation {
            output_schema: Some(schema),
            ..Operation::default()
        };
        let misfit = |operation: &Operation, result: Json| {
            operation.misfit(&output::read(serde_json::from_value(result).unwrap()))
        };
        let good = json!({"structuredContent": {"content": "a"}});
        assert_eq!(misfit(&operation, good), None);
        let error = json!({"content": [], "isError": true});
        assert_eq!(misfit(&operation, error), None);
        let text = json!({"content": [{"type": "text", "text": "a"}]});
        let said = misfit(&operation, text.clone());
        assert_eq!(said.as_deref(), Some("it has no structure"));
        assert_eq!(misfit(&Operation::default(), text), None);
        let other = json!({"structuredContent": {"contents": "a"}});
        let said = misfit(&operation, other);
        assert_eq!(
            said.as_deref(),
            Some("`content` is missing: it is required")
        );
    }

    #[test]
    fn an_operation_is_found_by_name_and_never_guessed() {
        let list = tools(&["list_files", "read-file", "read.file", "Send"]);
        let found = |action| resolve(&list, action).map(|tool| tool.name.clone());
        assert_eq!(found(Some("list_files")).as_deref(), Some("list_files"));
        assert_eq!(found(Some("List.Files")).as_deref(), Some("list_files"));
        assert_eq!(found(Some("send")).as_deref(), Some("Send"));
        assert_eq!(found(Some("read_file")), None, "two are alike");
        assert_eq!(found(Some("list")), None);
        assert_eq!(found(None), None);
        assert_eq!(
            resolve(&tools(&["only"]), None).map(|tool| &*tool.name),
            Some("only")
        );
        let failure = unknown("fs", Some("x"), &list);
        assert!(
            failure.message.contains("list_files, read-file"),
            "{failure}"
        );
    }
}
