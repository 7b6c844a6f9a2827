//! The bounds of a status: what the operator writes is cut to what the schema takes, by the schema
//! itself, so that no text of somebody else (a message of the kubelet, an answer of an LLM) can
//! make a status too large to be stored, or have it refused.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::Value;

use crate::crds;

/// The schema of each kind's status.
static STATUSES: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let of = |crd: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition| {
        let version = crd.spec.versions.into_iter().next()?;
        let schema = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
        Some((crd.spec.names.kind, schema.pointer("/properties/status")?.clone()))
    };
    crds::all().into_iter().filter_map(of).collect()
});

/// What shows that a text was cut.
const ELLIPSIS: char = '…';

/// Cuts texts and lists in the status of a kind to the schema's bounds.
pub fn fit(kind: &str, status: &mut Value) {
    if let Some(schema) = STATUSES.get(kind) {
        cut(schema, status);
    }
}

fn cut(schema: &Value, value: &mut Value) {
    let bound = |key: &str| {
        let bound = schema.get(key)?.as_u64()?;
        usize::try_from(bound).ok()
    };
    match value {
        Value::String(text) => {
            if let Some(max) = bound("maxLength") {
                clip(text, max);
            }
        }
        Value::Array(items) => {
            if let Some(max) = bound("maxItems") {
                items.truncate(max);
            }
            if let Some(schema) = schema.get("items") {
                for item in items {
                    cut(schema, item);
                }
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let schema = schema
                    .get("properties")
                    .and_then(|properties| properties.get(name))
                    .or_else(|| schema.get("additionalProperties"));
                if let Some(schema) = schema {
                    cut(schema, field);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Cuts a text to so many bytes, which are never less than its characters, by which the API server
/// counts.
pub fn clip(text: &mut String, max: usize) {
    if text.len() <= max {
        return;
    }
    let end = text.floor_char_boundary(max.saturating_sub(ELLIPSIS.len_utf8()));
    text.truncate(end);
    if max >= ELLIPSIS.len_utf8() {
        text.push(ELLIPSIS);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_cut_where_its_schema_ends() {
        let long = "ü".repeat(40_000);
        let mut status = json!({
            "lastExecutionResult": long,
            "executionCount": 7,
            "synthesisInfo": {"resynthesizedFor": long, "validationErrors": vec![long.clone(); 20]},
            "conditions": [{"type": "Ready", "status": "True", "reason": "AsDesired", "message": long}],
        });
        fit("LanguageAgent", &mut status);
        let length = |pointer: &str| status.pointer(pointer).unwrap().as_str().unwrap().len();
        assert_eq!(length("/lastExecutionResult"), 1023);
        assert_eq!(length("/synthesisInfo/resynthesizedFor"), 255);
        assert_eq!(length("/conditions/0/message"), 1023);
        let errors = status["synthesisInfo"]["validationErrors"]
            .as_array()
            .unwrap();
        assert!(
            errors.len() == 10
                && errors
                    .iter()
                    .all(|error| error.as_str().unwrap().ends_with('…'))
        );
        assert_eq!(status["executionCount"], 7);
        let once = status.clone();
        fit("LanguageAgent", &mut status);
        assert_eq!(status, once, "what fits stays as it is");
    }
}
