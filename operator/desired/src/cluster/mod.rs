//! Clusters: whose namespace it is, and what frames it.
//!
//! Everything in the namespace has an owner reference to the (cluster-scoped) LanguageCluster; the namespace itself has none and is
//! never deleted.

use k8s_openapi::{api::rbac::v1::Subject as RbacSubject, apimachinery::pkg::apis::meta::v1::Time};
use kube::ResourceExt as _;
use langop_api::{
    LanguageCluster, LanguageClusterSpec,
    cluster::{PodSecurity, Role, SYSTEM_SUBJECT_MESSAGE, SYSTEM_SUBJECTS, Subject, SubjectKind},
    condition::Reason,
    names::labels,
};

use crate::{
    conditions::{Invalid, Standing},
    meta::{Owner, owner_of},
    observed::{Facts, Observed},
    quantity,
    settings::Settings,
};

mod build;
mod frame;
mod status;

pub use build::{build, build_namespace};
pub use frame::{Seen, framing, is_kept_out};
pub use status::{count, phase, status};

/// A LanguageCluster whose spec can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedCluster {
    /// Its name.
    pub name: String,
    /// The namespace in effect.
    pub namespace: String,
    owner: Owner,
    spec: LanguageClusterSpec,
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
) -> Result<NamespaceUse, Standing> {
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
        return Err(Standing::Stalled(Reason::NamespaceConflict, message));
    }
    let Some(observed) = observed else {
        return Ok(NamespaceUse::Create);
    };
    let (terminating, foreign) = match observed.facts {
        Facts::Namespace {
            terminating,
            foreign_pod_security,
        } => (terminating || observed.deleting, foreign_pod_security),
        _ => (observed.deleting, false),
    };
    if terminating {
        let message = format!(
            "the namespace '{namespace}' is being deleted; it is made again when it is gone"
        );
        return Err(Standing::Progressing(Reason::NamespaceTerminating, message));
    }
    if observed.labels.get(labels::CLUSTER) != Some(cluster.name_any().as_str()) {
        return Err(Standing::Stalled(
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

/// The members of a role as RBAC has them: sorted, each once.
fn subjects(spec: &LanguageClusterSpec, role: Role) -> Vec<RbacSubject> {
    let mut subjects: Vec<&Subject> = spec
        .members
        .iter()
        .filter(|member| member.role == role)
        .map(|member| &member.subject)
        .collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects.into_iter().map(rbac_subject).collect()
}

fn rbac_subject(subject: &Subject) -> RbacSubject {
    let (kind, api_group) = match subject.kind {
        SubjectKind::User => ("User", Some(RBAC)),
        SubjectKind::Group => ("Group", Some(RBAC)),
        SubjectKind::ServiceAccount => ("ServiceAccount", None),
    };
    RbacSubject {
        kind: kind.to_owned(),
        api_group: api_group.map(str::to_owned),
        name: subject.name.clone(),
        namespace: subject.namespace.clone(),
    }
}

/// The API group of roles and bindings.
const RBAC: &str = "rbac.authorization.k8s.io";

#[cfg(test)]
mod tests;
