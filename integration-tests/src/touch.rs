//! Touches objects: an annotation of somebody else's, which means nothing to anybody. Changes
//! nothing else.

use anyhow::Result;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{
    ConfigMap, LimitRange, PersistentVolumeClaim, ResourceQuota, Service,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Api, Client, Resource, ResourceExt as _};
use langop_api::{LanguageAgent, LanguageClient, LanguageModel, LanguagePersona, LanguageTool};
use serde_json::json;

/// Touches every object of our kinds in a namespace and every child of theirs, and says how many
/// those are. Not Deployments: for them an annotation is a new generation, whose roll-out is
/// rightly followed.
///
/// # Errors
/// If one cannot be listed or patched.
pub async fn everything(client: &Client, namespace: &str) -> Result<usize> {
    let mut touched = 0;
    for resource in kinds() {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        for object in api.list(&ListParams::default()).await? {
            one(&api, &object.name_any()).await?;
            touched += 1;
        }
    }
    Ok(touched)
}

/// Touches one object.
///
/// # Errors
/// If it cannot be patched.
pub async fn one<K>(api: &Api<K>, name: &str) -> Result<()>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let touch = json!({"metadata": {"annotations": {"somebody/else": "was here"}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(touch))
        .await?;
    Ok(())
}

fn kinds() -> [ApiResource; 13] {
    fn of<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>() -> ApiResource {
        ApiResource::erase::<K>(&())
    }
    [
        of::<LanguageAgent>(),
        of::<LanguageClient>(),
        of::<LanguageModel>(),
        of::<LanguagePersona>(),
        of::<LanguageTool>(),
        of::<ConfigMap>(),
        of::<CronJob>(),
        of::<LimitRange>(),
        of::<NetworkPolicy>(),
        of::<PersistentVolumeClaim>(),
        of::<ResourceQuota>(),
        of::<RoleBinding>(),
        of::<Service>(),
    ]
}
