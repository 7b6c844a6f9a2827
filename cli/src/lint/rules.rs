//! The CEL rules of our CRDs, evaluated here. A rule that this library cannot evaluate is a note,
//! for the API server will.

use std::collections::BTreeMap;

use kube_cel::{ErrorKind, Validator};
use langop_api::crds;
use serde_json::Value;

use super::document::Remark;

/// The schemas of all our kinds, by kind.
pub(crate) fn schemas() -> BTreeMap<String, Value> {
    let schemas = crds::all().into_iter().filter_map(|crd| {
        let version = crd.spec.versions.into_iter().next()?;
        let schema = version.schema?.open_api_v3_schema?;
        Some((crd.spec.names.kind, serde_json::to_value(schema).ok()?))
    });
    schemas.collect()
}

/// What the rules say of an object.
pub(crate) fn check(schema: &Value, object: &Value) -> Vec<Remark> {
    match Validator::new().validate(schema, object, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .into_vec()
            .into_iter()
            .map(|error| match error.kind {
                ErrorKind::ValidationFailure => Remark::error(error.field_path, error.message),
                _ => Remark::note(
                    error.field_path,
                    format!("a rule is left to the API server: {}", error.message),
                ),
            })
            .collect(),
    }
}
