//! Multi-document YAML: read, and applied the way `kubectl apply --server-side` does.

use std::path::Path;

use anyhow::{Context, Result};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use kube::{Api, Client};

/// Reads all documents of a YAML text; empty ones are left out.
///
/// # Errors
/// If a document is no Kubernetes object.
pub fn parse(text: &str) -> Result<Vec<DynamicObject>> {
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(text)?;
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .map(|document| {
            serde_json::from_value(document).context("a document is no Kubernetes object")
        })
        .collect()
}

/// Reads all documents of a YAML file.
///
/// # Errors
/// If the file cannot be read or holds something else.
pub fn read(path: &Path) -> Result<Vec<DynamicObject>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

/// Server-side applies one object as field manager [`crate::USER_AGENT`], with strict field
/// validation. An object that names no namespace goes to `namespace`, as with `kubectl -n`.
///
/// # Errors
/// If its kind is unknown to the server, or the server refuses it.
pub async fn apply(
    client: &Client,
    object: &DynamicObject,
    namespace: &str,
) -> Result<DynamicObject> {
    let types = object
        .types
        .as_ref()
        .context("an object without apiVersion and kind")?;
    let name = object
        .metadata
        .name
        .as_deref()
        .context("an object without metadata.name")?;
    let gvk = GroupVersionKind::try_from(types)?;
    let (resource, capabilities) =
        discovery::pinned_kind(client, &gvk)
            .await
            .with_context(|| {
                format!(
                    "the API server knows no {} {}",
                    types.api_version, types.kind
                )
            })?;
    let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let params = PatchParams {
        field_validation: Some(kube::api::ValidationDirective::Strict),
        ..PatchParams::apply(crate::USER_AGENT).force()
    };
    api.patch(name, &params, &Patch::Apply(object))
        .await
        .with_context(|| format!("cannot apply {} {name}", types.kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_separated_and_empty_ones_ignored() {
        let text = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n# nothing\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: b}\n";
        let names: Vec<_> = parse(text)
            .unwrap()
            .into_iter()
            .filter_map(|o| o.metadata.name)
            .collect();
        assert_eq!(names, ["a", "b"]);
    }
}
