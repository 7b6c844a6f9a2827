//! Which LanguageCluster manages a namespace, as the objects in it see it. Fails closed: an invalid
//! or unreadable LanguageCluster keeps forbidding what it forbade, and only one that certainly may
//! not have the namespace is ignored.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use langop_api::{
    LanguageCluster,
    condition::{Reason, types},
};

use super::validate::namespace_of;
use crate::{agent::ClusterView, approval::ApprovalRule, conditions};

/// Why a cluster may not have the namespace it names.
const KEPT_OUT: [Reason; 3] = [
    Reason::NamespaceNotAdoptable,
    Reason::NamespaceConflict,
    Reason::NamespaceRefused,
];

/// A LanguageCluster as it was found.
#[derive(Clone, Copy, Debug)]
pub struct ObservedCluster<'a> {
    /// Its metadata, which can always be read.
    pub metadata: &'a ObjectMeta,
    /// All of it; `None` if it cannot be read.
    pub cluster: Option<&'a LanguageCluster>,
}

/// The cluster that manages a namespace: of several, the first. `label` is the one that the
/// namespace itself names, if it names any.
pub fn managing<'a>(
    namespace: &str,
    label: Option<&str>,
    seen: impl IntoIterator<Item = ObservedCluster<'a>>,
) -> Option<ClusterView> {
    let ObservedCluster { metadata, cluster } = seen
        .into_iter()
        .filter(|seen| manages(seen, namespace, label))
        .min_by_key(|seen| {
            (
                seen.metadata.creation_timestamp.clone(),
                seen.metadata.name.clone(),
            )
        })?;
    Some(ClusterView {
        name: metadata.name.clone().unwrap_or_default(),
        agent_egress: cluster.map(|cluster| cluster.spec.agent_egress),
        pods: cluster.and_then(|cluster| cluster.spec.pods.clone()),
        allowed_egress: cluster
            .map(|cluster| cluster.spec.allowed_egress.clone())
            .unwrap_or_default(),
        model_egress: cluster.and_then(|cluster| cluster.spec.model_egress.clone()),
        ingress_from: cluster
            .map(|cluster| cluster.spec.ingress_from.clone())
            .unwrap_or_default(),
        suspended: cluster.is_some_and(|cluster| cluster.spec.suspend == Some(true)),
        runtime_class_name: cluster.and_then(|cluster| cluster.spec.runtime_class_name.clone()),
        time_zone: cluster.and_then(|cluster| cluster.spec.time_zone.clone()),
        approval: ApprovalRule::floor(cluster),
    })
}

fn manages(seen: &ObservedCluster<'_>, namespace: &str, label: Option<&str>) -> bool {
    match seen.cluster {
        Some(cluster) => namespace_of(cluster) == namespace && !is_namespace_denied(cluster),
        // Its spec may name any namespace. It can use only one that names it back, or, before that,
        // one of its own name.
        None => seen.metadata.name.as_deref() == Some(label.unwrap_or(namespace)),
    }
}

/// Whether its status says that it may not have the namespace.
pub fn is_namespace_denied(cluster: &LanguageCluster) -> bool {
    let status = cluster.status.as_ref();
    let stalled = status.and_then(|status| conditions::find(&status.conditions, types::STALLED));
    stalled.is_some_and(|stalled| {
        stalled.status == "True"
            && KEPT_OUT
                .iter()
                .any(|reason| reason.as_str() == stalled.reason)
    })
}
