//! Whose a namespace is, and what a LanguageCluster may do with it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use langop_api::{LanguageCluster, cluster::PodSecurity, condition::Reason, names::labels};

use super::validate::namespace_of;
use crate::{
    conditions::Summary,
    observed::{Observed, ObservedState},
};

/// What to do about the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceUse {
    /// Make it.
    Create,
    /// It is this cluster's; set its Pod Security labels.
    Adopt,
    /// It is this cluster's; its Pod Security labels are another manager's and stay.
    AdoptLabelled,
}

/// Decides about the namespace. `others` are all clusters, this one may be among them.
///
/// # Errors
/// What keeps the cluster from using it; nothing may be written then.
pub fn decide<'a>(
    cluster: &LanguageCluster,
    others: impl IntoIterator<Item = &'a LanguageCluster>,
    observed: Option<&Observed>,
) -> Result<NamespaceUse, Summary> {
    let namespace = namespace_of(cluster);
    if let Some(first) = others
        .into_iter()
        .filter(|other| comes_before(other, cluster))
        .min_by_key(|other| age(other))
    {
        let message = format!(
            "the LanguageCluster '{}' came first and uses the namespace '{namespace}': delete one of the two",
            first.name_any()
        );
        return Err(Summary::Stalled(Reason::NamespaceConflict, message));
    }
    let Some(observed) = observed else {
        return Ok(NamespaceUse::Create);
    };
    let (terminating, foreign) = match observed.state {
        ObservedState::Namespace {
            terminating,
            foreign_pod_security,
        } => (terminating || observed.deleting, foreign_pod_security),
        _ => (observed.deleting, false),
    };
    if terminating {
        let message = format!(
            "the namespace '{namespace}' is being deleted; it is created again when it is gone"
        );
        return Err(Summary::Progressing(Reason::NamespaceTerminating, message));
    }
    if observed.labels.get(labels::CLUSTER) != Some(cluster.name_any().as_str()) {
        return Err(Summary::Stalled(
            Reason::NamespaceNotAdoptable,
            not_adoptable(cluster, &namespace, observed),
        ));
    }
    Ok(if foreign {
        NamespaceUse::AdoptLabelled
    } else {
        NamespaceUse::Adopt
    })
}

/// The Pod Security level that a namespace's label enforces; without one it is the lowest.
pub fn enforced(namespace: &Observed) -> PodSecurity {
    match namespace.labels.get("pod-security.kubernetes.io/enforce") {
        Some("restricted") => PodSecurity::Restricted,
        Some("baseline") => PodSecurity::Baseline,
        _ => PodSecurity::Privileged,
    }
}

/// Whether `other` has the older claim to the same namespace.
fn comes_before(other: &LanguageCluster, cluster: &LanguageCluster) -> bool {
    other.name_any() != cluster.name_any()
        && other.metadata.deletion_timestamp.is_none()
        && namespace_of(other) == namespace_of(cluster)
        && age(other) < age(cluster)
}

/// What decides who came first.
fn age(cluster: &LanguageCluster) -> (Option<Time>, String) {
    (
        cluster.metadata.creation_timestamp.clone(),
        cluster.name_any(),
    )
}

fn not_adoptable(cluster: &LanguageCluster, namespace: &str, observed: &Observed) -> String {
    let name = cluster.name_any();
    let why = match observed.labels.get(labels::CLUSTER) {
        Some(other) => format!("belongs to the LanguageCluster '{other}'"),
        None => "exists and is not offered to this LanguageCluster".into(),
    };
    format!(
        "the namespace '{namespace}' {why}: its owner may offer it with `kubectl label --overwrite namespace {namespace} {}={name}`",
        labels::CLUSTER
    )
}
