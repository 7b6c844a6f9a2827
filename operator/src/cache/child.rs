//! The child kinds as the API server knows them: resources, scopes and what is watched of each.

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::{CronJob, Job},
    core::v1::{
        ConfigMap, LimitRange, Namespace, PersistentVolumeClaim, Pod, ResourceQuota, Service,
    },
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{
    Api, Client, Resource,
    core::{ApiResource, DynamicResourceScope},
};
use langop_api::names::labels;
use langop_desired::observed::ChildKind;

use crate::settings::Scope;

/// What the operator watches when it works everywhere.
const CLUSTER_WIDE: [ChildKind; 12] = [
    ChildKind::ConfigMap,
    ChildKind::CronJob,
    ChildKind::Deployment,
    ChildKind::Job,
    ChildKind::LimitRange,
    ChildKind::Namespace,
    ChildKind::NetworkPolicy,
    ChildKind::PersistentVolumeClaim,
    ChildKind::Pod,
    ChildKind::ResourceQuota,
    ChildKind::RoleBinding,
    ChildKind::Service,
];

/// What it watches in single namespaces: all but the children of a LanguageCluster.
const NAMESPACED: [ChildKind; 8] = [
    ChildKind::ConfigMap,
    ChildKind::CronJob,
    ChildKind::Deployment,
    ChildKind::Job,
    ChildKind::NetworkPolicy,
    ChildKind::PersistentVolumeClaim,
    ChildKind::Pod,
    ChildKind::Service,
];

/// The kinds to watch.
pub(crate) fn watched(scope: &Scope) -> &'static [ChildKind] {
    match scope {
        Scope::Cluster => &CLUSTER_WIDE,
        Scope::Namespaces(_) => &NAMESPACED,
    }
}

/// The name in manifests.
pub(crate) fn name(kind: ChildKind) -> String {
    resource(kind).kind
}

/// The resource of a kind.
pub(crate) fn resource(kind: ChildKind) -> ApiResource {
    match kind {
        ChildKind::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
        ChildKind::CronJob => ApiResource::erase::<CronJob>(&()),
        ChildKind::Deployment => ApiResource::erase::<Deployment>(&()),
        ChildKind::Job => ApiResource::erase::<Job>(&()),
        ChildKind::LimitRange => ApiResource::erase::<LimitRange>(&()),
        ChildKind::Namespace => ApiResource::erase::<Namespace>(&()),
        ChildKind::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
        ChildKind::PersistentVolumeClaim => ApiResource::erase::<PersistentVolumeClaim>(&()),
        ChildKind::Pod => ApiResource::erase::<Pod>(&()),
        ChildKind::ResourceQuota => ApiResource::erase::<ResourceQuota>(&()),
        ChildKind::RoleBinding => ApiResource::erase::<RoleBinding>(&()),
        ChildKind::Service => ApiResource::erase::<Service>(&()),
    }
}

/// Access to a kind in a namespace; `None`, and the empty name, are everywhere.
pub(crate) fn api<K>(client: &Client, kind: ChildKind, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    match namespace.filter(|namespace| !namespace.is_empty()) {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource(kind)),
        None => Api::all_with(client.clone(), &resource(kind)),
    }
}

/// Which objects of a kind are watched: those we made, and namespaces that were given to a
/// LanguageCluster.
pub(crate) fn selector(kind: ChildKind) -> String {
    match kind {
        ChildKind::Namespace => labels::CLUSTER.to_owned(),
        _ => format!("{}={}", labels::MANAGED_BY, labels::MANAGED_BY_VALUE),
    }
}
