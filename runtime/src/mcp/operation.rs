//! Operations of tools: which one a step means, and what the server says of it. Pure.

use rmcp::model::Tool;
use serde_json::Value as Json;

use crate::outcome::{Failure, Reason};

/// An operation of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// As the server calls it.
    pub name: String,
    /// Its live input schema, if it could be had.
    pub schema: Option<Json>,
    /// By the server's word it changes nothing.
    pub is_read_only: bool,
    /// By the server's word it may be called again.
    pub is_harmless: bool,
}

impl Operation {
    /// What a server says of it.
    pub fn of(tool: &Tool) -> Self {
        let hints = tool.annotations.as_ref();
        let is_read_only = hints
            .and_then(|hints| hints.read_only_hint)
            .unwrap_or(false);
        let is_idempotent = hints
            .and_then(|hints| hints.idempotent_hint)
            .unwrap_or(false);
        Self {
            name: tool.name.to_string(),
            schema: Some(tool.schema_as_json_value()),
            is_read_only,
            is_harmless: is_read_only || is_idempotent,
        }
    }
}

pub(super) fn resolve<'l>(list: &'l [Tool], action: Option<&str>) -> Option<&'l Tool> {
    let Some(action) = action else {
        return match list {
            [only] => Some(only),
            _ => None,
        };
    };
    if let Some(equal) = list.iter().find(|tool| tool.name == action) {
        return Some(equal);
    }
    let plain = |name: &str| name.to_lowercase().replace(['-', '.'], "_");
    let mut alike = list
        .iter()
        .filter(|tool| plain(&tool.name) == plain(action));
    match (alike.next(), alike.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

pub(super) fn unknown(tool: &str, action: Option<&str>, list: &[Tool]) -> Failure {
    let names: Vec<_> = list.iter().map(|tool| &*tool.name).take(10).collect();
    let names = names.join(", ");
    let message = match action {
        Some(action) => format!("the tool '{tool}' has no operation '{action}'; it has {names}"),
        None => format!("the tool '{tool}' has several operations; name one of {names}"),
    };
    Failure::new(Reason::UnknownOperation, message)
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn tools(names: &[&'static str]) -> Vec<Tool> {
        let tool = |name: &&'static str| Tool::new(*name, "", Map::new());
        names.iter().map(tool).collect()
    }

    #[test]
    fn an_operation_is_found_by_name_and_never_guessed() {
        let list = tools(&["list_files", "read-file", "read.file", "Send"]);
        let found = |action| resolve(&list, action).map(|tool| tool.name.to_string());
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
