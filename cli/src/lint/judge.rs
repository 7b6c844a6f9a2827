//! All that is said of all documents.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{
    document::{Document, Remark},
    references::{self, Names},
    rules, schema, times,
};

/// One document, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Judged {
    pub(crate) file: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    /// The worst first.
    pub(crate) remarks: Vec<Remark>,
}

/// Judges our kinds; other objects are none of ours.
pub(crate) fn judge(documents: &[Document], default: &str, now: Timestamp) -> Vec<Judged> {
    let schemas = rules::schemas();
    let names = Names::of(documents, default);
    let mut seen = BTreeSet::new();
    documents
        .iter()
        .filter(|document| document.is_ours())
        .map(|document| {
            let mut remarks = of(document, &schemas, now);
            remarks.extend(references::check(document, &names, default));
            let key = (
                document.kind_name(),
                document.namespace(default),
                document.name(),
            );
            if !seen.insert(key) {
                remarks.push(Remark::error("metadata.name", "is in these files twice"));
            }
            remarks.sort_by_key(|remark| remark.severity);
            remarks.dedup();
            Judged {
                file: document.file.clone(),
                kind: document.kind_name().to_owned(),
                name: document.name().to_owned(),
                remarks,
            }
        })
        .collect()
}

/// By the schema; by the rules only what has its shape, since they take it for granted.
fn of(document: &Document, schemas: &BTreeMap<String, Value>, now: Timestamp) -> Vec<Remark> {
    let kind = document.kind_name();
    let Some(schema) = schemas.get(kind) else {
        let known: Vec<&str> = schemas.keys().map(String::as_str).collect();
        let message = format!("unknown kind; there are {}", known.join(", "));
        return vec![Remark::error("kind", message)];
    };
    let mut remarks = Vec::new();
    schema::check(
        "spec",
        &schema["properties"]["spec"],
        &document.value["spec"],
        &mut remarks,
    );
    if document.name().is_empty() {
        remarks.push(Remark::error("metadata.name", "is required"));
    }
    if remarks.is_empty() {
        remarks.extend(rules::check(schema, &document.value));
        remarks.extend(times::check(document, now));
    }
    remarks
}
