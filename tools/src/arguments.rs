//! Arguments of callers, read into types. What is wrong is told by the field's name, never by its
//! value, which may be anything.

use rmcp::model::JsonObject;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::toolbox::ToolError;

/// Reads the arguments of a call; unknown fields are refused if the type says so.
pub fn read<T: DeserializeOwned>(arguments: Option<JsonObject>) -> Result<T, ToolError> {
    let json = Json::Object(arguments.unwrap_or_default());
    serde_path_to_error::deserialize(json).map_err(|error| {
        let field = error.path().to_string();
        ToolError::new(describe(&field, &error.inner().to_string()))
    })
}

fn describe(field: &str, problem: &str) -> String {
    let field = match field {
        "." | "" => "the arguments".to_owned(),
        name => format!("'{name}'"),
    };
    // Serde quotes the names of fields itself: missing field `path`, unknown field `x`, expected …
    if problem.starts_with("missing field") || problem.starts_with("unknown field") {
        return problem.replace('`', "'");
    }
    match problem.split_once("expected ") {
        Some((_, expected)) => format!("{field} must be {}", expected.replace('`', "'")),
        None => format!("{field} cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Arguments {
        path: String,
        #[serde(default)]
        limit: u32,
    }

    fn problem(json: &Json) -> String {
        let error = read::<Arguments>(json.as_object().cloned()).unwrap_err();
        error.to_string()
    }

    #[test]
    fn what_is_wrong_is_told_by_name_and_without_the_value() {
        assert_eq!(problem(&json!({})), "missing field 'path'");
        assert!(problem(&json!({"path": "x", "secret": 1})).starts_with("unknown field 'secret'"));
        assert_eq!(problem(&json!({"path": 71234})), "'path' must be a string");
        let limit = problem(&json!({"path": "x", "limit": "s3cret"}));
        assert_eq!(limit, "'limit' must be u32");
        assert!(read::<Arguments>(None).is_err());
        let good = json!({"path": "x", "limit": 3});
        let good: Arguments = read(good.as_object().cloned()).unwrap();
        assert_eq!((good.path.as_str(), good.limit), ("x", 3));
    }
}
