//! The children of a LanguageCluster: quota, default requests and limits, the members' bindings,
//! isolation; and the namespace.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{
            LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec,
        },
        networking::v1::{NetworkPolicy, NetworkPolicySpec},
        rbac::v1::{RoleBinding, RoleRef, Subject as RbacSubject},
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use langop_api::{
    LanguageClusterSpec,
    cluster::{Role, Subject, SubjectKind},
};

use super::{decide::NamespaceUse, validate::ValidatedCluster};
use crate::{
    children::{Children, Prepared},
    ingress,
    meta::{self, Component},
    pod, reach,
};

const QUOTA: &str = "langop-quota";
const DEFAULTS: &str = "langop-defaults";
/// With a dot, which the names of agents, tools and clients do not have: none of their policies can
/// stand in its way.
const ISOLATION: &str = "langop.isolation";

/// All children.
pub fn build(cluster: &ValidatedCluster) -> Children<Prepared> {
    let mut children = Children::default();
    children.resource_quotas.extend(build_quota(cluster));
    children.limit_ranges.extend(build_defaults(cluster));
    children.role_bindings.extend(
        [Role::View, Role::Edit, Role::Admin, Role::Approve]
            .map(|role| build_binding(cluster, role)),
    );
    children.network_policies.extend(build_isolation(cluster));
    children
}

/// The namespace: no owner reference, so that it outlives its cluster, and no label of its owner's.
///
/// To be applied without force: a label that another manager owns stays that manager's.
pub fn build_namespace(cluster: &ValidatedCluster, namespace: NamespaceUse) -> Namespace {
    let mut namespace_labels = meta::selector(Component::Cluster, &cluster.name);
    if namespace != NamespaceUse::AdoptLabelled {
        let level = cluster.spec.pod_security.as_str();
        for mode in ["enforce", "audit", "warn"] {
            namespace_labels.insert(
                format!("pod-security.kubernetes.io/{mode}"),
                level.to_owned(),
            );
        }
    }
    Namespace {
        metadata: meta::object_meta(&cluster.namespace, None, None, namespace_labels),
        ..Namespace::default()
    }
}

fn child_meta(cluster: &ValidatedCluster, name: &str) -> ObjectMeta {
    let labels = meta::labels(Component::Cluster, &cluster.name);
    meta::object_meta(name, Some(&cluster.namespace), Some(&cluster.owner), labels)
}

fn build_quota(cluster: &ValidatedCluster) -> Option<ResourceQuota> {
    let hard = &cluster.spec.resource_quotas;
    let hard: BTreeMap<_, _> = hard
        .iter()
        .map(|(resource, hard)| (resource.clone(), Quantity(hard.0.clone())))
        .collect();
    (!hard.is_empty()).then(|| ResourceQuota {
        metadata: child_meta(cluster, QUOTA),
        spec: Some(ResourceQuotaSpec {
            hard: Some(hard),
            ..ResourceQuotaSpec::default()
        }),
        status: None,
    })
}

/// What a container gets that sets nothing, by resource: request and limit.
const CONTAINER_DEFAULTS: [(&str, &str, &str); 3] = [
    ("cpu", pod::DEFAULTS.cpu_request, pod::DEFAULTS.cpu_limit),
    ("ephemeral-storage", pod::DISK_REQUEST, pod::DISK_LIMIT),
    (
        "memory",
        pod::DEFAULTS.memory_request,
        pod::DEFAULTS.memory_limit,
    ),
];

/// A quota on requests or limits refuses containers that set none; these defaults let them in.
///
/// A default limit alone would become the default request too (the API server fills it in), so the
/// request is always written.
fn build_defaults(cluster: &ValidatedCluster) -> Option<LimitRange> {
    let has = |key: &str| cluster.spec.resource_quotas.contains_key(key);
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    for (resource, request, limit) in CONTAINER_DEFAULTS {
        let limited = has(&format!("limits.{resource}"));
        if limited {
            limits.insert(resource.to_owned(), Quantity(limit.to_owned()));
        }
        // In a quota, plain `cpu` is the same as `requests.cpu`.
        if limited || has(resource) || has(&format!("requests.{resource}")) {
            requests.insert(resource.to_owned(), Quantity(request.to_owned()));
        }
    }
    (!requests.is_empty()).then(|| LimitRange {
        metadata: child_meta(cluster, DEFAULTS),
        spec: Some(LimitRangeSpec {
            limits: vec![LimitRangeItem {
                type_: "Container".to_owned(),
                default: Some(limits).filter(|limits| !limits.is_empty()),
                default_request: Some(requests),
                ..LimitRangeItem::default()
            }],
        }),
    })
}

/// The binding of a role exists without members too: `roleRef` cannot be changed, and a list of
/// subjects that we own, even empty, is one that nobody else can fill unnoticed.
fn build_binding(cluster: &ValidatedCluster, role: Role) -> RoleBinding {
    let name = match role {
        Role::View => "langop-view",
        Role::Edit => "langop-edit",
        Role::Admin => "langop-admin",
        Role::Approve => "langop-approve",
    };
    RoleBinding {
        metadata: child_meta(cluster, name),
        role_ref: RoleRef {
            api_group: Some(RBAC.to_owned()),
            kind: "ClusterRole".to_owned(),
            name: name.to_owned(),
        },
        subjects: Some(subjects(&cluster.spec, role)),
    }
}

/// Nobody comes into pods that are not ours but the namespace itself and those named. Ours have
/// policies of their own, and policies add up.
fn build_isolation(cluster: &ValidatedCluster) -> Option<NetworkPolicy> {
    let mut peers = vec![ingress::own_namespace()];
    peers.extend(ingress::named(&cluster.spec.ingress_from));
    cluster.spec.network_isolation.then(|| NetworkPolicy {
        metadata: child_meta(cluster, ISOLATION),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(reach::others()),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(ingress::rules(peers, None)),
            egress: None,
        }),
    })
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
