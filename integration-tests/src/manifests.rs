//! Multi-document YAML: read, and applied the way `kubectl apply --server-side` does.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::client::Body;
use kube::core::{GroupVersionKind, Request};
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
    let (api, name) = target(client, object, namespace).await?;
    api.patch(&name, &params(), &Patch::Apply(object))
        .await
        .with_context(|| format!("cannot apply {} {name}", kind(object)))
}

/// What the server would warn of (its `Warning` headers) when the object is applied. Nothing is
/// stored.
///
/// # Errors
/// If its kind is unknown to the server, or the server refuses it.
pub async fn warnings(
    client: &Client,
    object: &DynamicObject,
    namespace: &str,
) -> Result<Vec<String>> {
    let (api, name) = target(client, object, namespace).await?;
    let params = PatchParams {
        dry_run: true,
        ..params()
    };
    let request = Request::new(api.resource_url()).patch(&name, &params, &Patch::Apply(object))?;
    let response = client.send(request.map(Body::from)).await?;
    let said = || format!("{} {name}", kind(object));
    ensure!(
        response.status().is_success(),
        "{}: {}",
        said(),
        response.status()
    );
    let headers = response.headers().get_all("warning").iter();
    Ok(headers
        .map(|header| format!("{}: {}", said(), String::from_utf8_lossy(header.as_bytes())))
        .collect())
}

fn params() -> PatchParams {
    PatchParams {
        field_validation: Some(kube::api::ValidationDirective::Strict),
        ..PatchParams::apply(crate::kubeconfig::USER_AGENT).force()
    }
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("?", |types| &types.kind)
}

/// Where an object belongs, and its name.
async fn target(
    client: &Client,
    object: &DynamicObject,
    namespace: &str,
) -> Result<(Api<DynamicObject>, String)> {
    let types = object
        .types
        .as_ref()
        .context("an object without apiVersion and kind")?;
    let name = object.metadata.name.clone();
    let name = name.context("an object without metadata.name")?;
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
    let api = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    Ok((api, name))
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
