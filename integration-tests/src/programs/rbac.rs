//! What deploy/rbac.yaml says, carried over to the namespaces of one test's operator.
//!
//! Rules are applied as they are shipped; only names of namespaces and scopes of bindings differ.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::{manifests, wait};

/// Name of the operator's service account and of its main `ClusterRole`.
pub(super) const NAME: &str = "langop-operator";

/// Where an operator may work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everywhere.
    Cluster,
    /// Everywhere, by what a release of the chart has applied.
    Released,
    /// In these namespaces, by `RoleBinding`s only.
    Namespaces(Vec<String>),
}

/// Applies service account, roles and bindings, as `file` (deploy/rbac.yaml) has them, for an
/// operator that runs in namespace `own`.
pub(super) async fn apply(client: &Client, file: &Path, own: &str, scope: &Scope) -> Result<()> {
    if *scope == Scope::Released {
        return Ok(());
    }
    let documents = manifests::read(file)?;
    ensure_namespace(client, own).await?;
    for object in plan(&documents, own, scope)? {
        manifests::apply(client, &object, own).await?;
    }
    Ok(())
}

/// A token of a service account, as the kubelet would mount it. Valid for a day.
pub(super) async fn token(client: &Client, namespace: &str, account: &str) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(24 * 3600),
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await?;
    answer
        .status
        .and_then(|status| status.token)
        .context("the API server returned no token")
}

async fn ensure_namespace(client: &Client, name: &str) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    if namespaces.get_opt(name).await?.is_none() {
        manifests::apply(client, &serde_json::from_value(namespace)?, name).await?;
    }
    wait::object(namespaces, name, Duration::from_secs(10), |_| true).await?;
    Ok(())
}

fn plan(documents: &[DynamicObject], own: &str, scope: &Scope) -> Result<Vec<DynamicObject>> {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": own}});
    let mut planned = vec![account];
    let mut bindings = vec![json!({"kind": "ClusterRole", "name": NAME})];
    for document in documents {
        let value = serde_json::to_value(document)?;
        match value["kind"].as_str().unwrap_or_default() {
            "ClusterRole" => planned.push(value),
            "Role" | "RoleBinding" => planned.push(moved(value, own)),
            "ClusterRoleBinding" if *scope == Scope::Cluster => {
                let role =
                    json!({"kind": value["roleRef"]["kind"], "name": value["roleRef"]["name"]});
                if !bindings.contains(&role) {
                    bindings.push(role);
                }
            }
            // Made by us: the first two differ in the namespace only, and in single namespaces
            // nothing but the main ClusterRole is bound, as the file says.
            "Namespace" | "ServiceAccount" | "ClusterRoleBinding" => {}
            kind => bail!("deploy/rbac.yaml holds a {kind}; it is for roles and bindings only"),
        }
    }
    planned.extend(bindings.iter().flat_map(|role| bind(role, own, scope)));
    planned
        .into_iter()
        .map(|value| serde_json::from_value(value).context("no Kubernetes object"))
        .collect()
}

/// Puts a namespaced object, and the subjects of a binding, into the operator's own namespace.
fn moved(mut value: Value, own: &str) -> Value {
    value["metadata"]["namespace"] = own.into();
    let subjects = value.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        subject["namespace"] = own.into();
    }
    value
}

/// Binds the operator to a `ClusterRole`, everywhere or in each of its namespaces.
fn bind(role: &Value, own: &str, scope: &Scope) -> Vec<Value> {
    let role_name = role["name"].as_str().unwrap_or_default();
    let body = |kind: &str, metadata: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": role_name},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": own}],
        })
    };
    let name = format!("{role_name}-of-{own}");
    match scope {
        Scope::Released => Vec::new(),
        Scope::Cluster => vec![body("ClusterRoleBinding", json!({"name": name}))],
        Scope::Namespaces(namespaces) => {
            let in_each = namespaces.iter().map(|namespace| {
                body("RoleBinding", json!({"name": name, "namespace": namespace}))
            });
            in_each.collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = "
{apiVersion: v1, kind: ServiceAccount, metadata: {name: langop-operator, namespace: langop-system}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: langop-operator}, rules: []}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: leases, namespace: langop-system}, rules: []}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: leases, namespace: langop-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: leases}
subjects: [{kind: ServiceAccount, name: langop-operator, namespace: langop-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: langop-operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: langop-operator}
subjects: [{kind: ServiceAccount, name: langop-operator, namespace: langop-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: more}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: more}
subjects: [{kind: ServiceAccount, name: langop-operator, namespace: langop-system}]
";

    fn planned(scope: &Scope) -> Vec<String> {
        let documents = manifests::parse(SHIPPED).unwrap();
        let objects = plan(&documents, "own", scope).unwrap();
        assert!(
            !serde_json::to_string(&objects)
                .unwrap()
                .contains("langop-system")
        );
        let line = |o: &DynamicObject| {
            let kind = o.types.as_ref().unwrap().kind.clone();
            format!(
                "{kind} {}/{}",
                o.metadata.namespace.as_deref().unwrap_or_default(),
                o.metadata.name.as_deref().unwrap()
            )
        };
        objects.iter().map(line).collect()
    }

    #[test]
    fn a_cluster_wide_operator_gets_a_cluster_role_binding() {
        let lines = planned(&Scope::Cluster);
        assert!(
            lines.contains(&"ClusterRoleBinding /more-of-own".to_owned()),
            "{lines:?}"
        );
        assert!(
            lines.contains(&"ClusterRoleBinding /langop-operator-of-own".to_owned()),
            "{lines:?}"
        );
        assert!(
            lines.contains(&"RoleBinding own/leases".to_owned()),
            "{lines:?}"
        );
    }

    #[test]
    fn a_namespaced_operator_gets_role_bindings_only() {
        let lines = planned(&Scope::Namespaces(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(
            lines,
            [
                "ServiceAccount own/langop-operator",
                "ClusterRole /langop-operator",
                "Role own/leases",
                "RoleBinding own/leases",
                "RoleBinding a/langop-operator-of-own",
                "RoleBinding b/langop-operator-of-own",
            ]
        );
    }
}
