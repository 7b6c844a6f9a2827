//! From the spec of a LanguageCluster to a [`ValidatedCluster`].

use kube::ResourceExt as _;
use langop_api::{
    LanguageCluster, LanguageClusterSpec,
    cluster::{SYSTEM_SUBJECT_MESSAGE, SYSTEM_SUBJECTS},
    condition::Reason,
};

use crate::{
    agent::timing,
    conditions::Invalid,
    meta::{Owner, owner_of},
    quantity,
    settings::Settings,
};

/// A LanguageCluster whose spec can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedCluster {
    /// Its name.
    pub name: String,
    /// The namespace in effect.
    pub namespace: String,
    pub(super) owner: Owner,
    pub(super) spec: LanguageClusterSpec,
}

/// The namespace a cluster names, or is named by.
pub fn namespace_of(cluster: &LanguageCluster) -> String {
    cluster
        .spec
        .namespace
        .clone()
        .unwrap_or_else(|| cluster.name_any())
}

/// Checks what the API server could not.
pub fn validate(
    cluster: &LanguageCluster,
    settings: &Settings,
) -> Result<ValidatedCluster, Invalid> {
    let namespace = namespace_of(cluster);
    if is_refused(&namespace, settings) {
        return Err(Invalid {
            reason: Reason::NamespaceRefused,
            message: format!(
                "the namespace '{namespace}' is kept for the system: make another LanguageCluster with another spec.namespace"
            ),
        });
    }
    for (resource, hard) in &cluster.spec.resource_quotas {
        quantity::parse(&hard.0)
            .map_err(|error| Invalid::spec(format!("resourceQuotas: {resource}: {error}")))?;
    }
    no_system_subjects(&cluster.spec)?;
    if let Some(zone) = &cluster.spec.time_zone {
        timing::check_zone(zone).map_err(|error| Invalid::spec(format!("timeZone: {error}")))?;
    }
    let owner = owner_of(cluster).ok_or_else(|| Invalid::spec("the object has no uid yet"))?;
    Ok(ValidatedCluster {
        name: owner.name.clone(),
        namespace,
        owner,
        spec: cluster.spec.clone(),
    })
}

/// The API server refuses them, but not in objects that are older than its rule.
fn no_system_subjects(spec: &LanguageClusterSpec) -> Result<(), Invalid> {
    let unmeant = spec.members.iter().find(|member| {
        member.subject.name.starts_with(SYSTEM_SUBJECTS)
            && member.allow_system_subject != Some(true)
    });
    unmeant.map_or(Ok(()), |member| {
        Err(Invalid::spec(format!(
            "members: '{}': {SYSTEM_SUBJECT_MESSAGE}",
            member.subject.name
        )))
    })
}

fn is_refused(namespace: &str, settings: &Settings) -> bool {
    namespace == "default"
        || namespace.starts_with("kube-")
        || namespace == settings.operator_namespace
        || settings
            .refused_namespaces
            .iter()
            .any(|refused| refused == namespace)
}
