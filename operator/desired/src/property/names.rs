//! Whether everything in a set of children has a name that an API server takes, whatever the spec
//! was. Restates the server's rules (RFC 1123 labels, or subdomains of policies; 52 characters of a
//! CronJob, which adds 11 for its Jobs); knows nothing of how names are made.

use std::{collections::BTreeSet, fmt::Debug};

use k8s_openapi::{
    api::core::v1::{Container, PodSpec, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::{
    children::{Children, Prepared},
    observed::ChildKind,
};

/// Labels with dots between them.
fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(|part| is_label(part, 63))
}

/// Lower-case letters, digits and '-', beginning and ending with a letter or digit.
pub(crate) fn is_label(name: &str, longest: usize) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= longest
        && name.starts_with(plain)
        && name.ends_with(plain)
        && name.chars().all(|c| plain(c) || c == '-')
}

fn is_label_value(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= 63
            && text.starts_with(plain)
            && text.ends_with(plain)
            && text.chars().all(|c| plain(c) || "-_.".contains(c))
}

/// A name of its own, with or without a domain before it.
fn is_label_key(key: &str) -> bool {
    let (domain, name) = key
        .split_once('/')
        .map_or((None, key), |(domain, name)| (Some(domain), name));
    !name.is_empty() && is_label_value(name) && domain.is_none_or(is_subdomain)
}

/// Panics with the first name that is not legal.
pub(crate) fn check(children: &Children<Prepared>) {
    for child in children.in_order() {
        let is_legal = match child.kind {
            ChildKind::CronJob => is_label(&child.name, 52),
            ChildKind::NetworkPolicy => is_subdomain(&child.name),
            _ => is_label(&child.name, 63),
        };
        assert!(is_legal, "{child:?}");
        assert!(is_label(&child.namespace, 63), "{child:?}");
        let is_service = child.kind == ChildKind::Service;
        assert!(
            !is_service || child.name.starts_with(|c: char| c.is_ascii_lowercase()),
            "{child:?}"
        );
    }
    unique(
        children
            .in_order()
            .into_iter()
            .map(|child| (child.kind, child.name)),
    );
    for deployment in &children.deployments {
        check_metadata(&deployment.metadata);
        check_template(&deployment.spec.as_ref().unwrap().template);
    }
    for cron_job in &children.cron_jobs {
        check_metadata(&cron_job.metadata);
        let job = cron_job.spec.job_template.spec.as_ref().unwrap();
        check_template(&job.template);
    }
}

/// Panics if one of them is there twice.
fn unique<T: Ord + Debug>(names: impl Iterator<Item = T>) {
    let mut seen = BTreeSet::new();
    for name in names {
        assert!(!seen.contains(&name), "{name:?} is there twice");
        seen.insert(name);
    }
}

pub(crate) fn check_metadata(metadata: &ObjectMeta) {
    for (key, value) in metadata.labels.iter().flatten() {
        assert!(is_label_key(key) && is_label_value(value), "{key}={value}");
    }
}

fn check_template(template: &PodTemplateSpec) {
    check_metadata(template.metadata.as_ref().unwrap());
    let pod = template.spec.as_ref().unwrap();
    let volumes = pod.volumes.iter().flatten().map(|volume| &volume.name);
    volumes
        .clone()
        .for_each(|name| assert!(is_label(name, 63), "{name}"));
    unique(volumes);
    unique(containers(pod).map(|container| &container.name));
    let ports = containers(pod).flat_map(|container| container.ports.iter().flatten());
    unique(ports.map(|port| port.container_port));
    containers(pod).for_each(|container| check_container(container, pod));
}

fn containers(pod: &PodSpec) -> impl Iterator<Item = &Container> {
    pod.containers
        .iter()
        .chain(pod.init_containers.iter().flatten())
}

fn check_container(container: &Container, pod: &PodSpec) {
    assert!(is_label(&container.name, 63), "{}", container.name);
    let port = |number: i32| assert!((1..=65535).contains(&number), "{number}");
    container
        .ports
        .iter()
        .flatten()
        .for_each(|one| port(one.container_port));
    unique(
        container
            .env
            .iter()
            .flatten()
            .map(|variable| &variable.name),
    );
    let mounts = container.volume_mounts.iter().flatten();
    unique(mounts.clone().map(|mount| &mount.mount_path));
    for mount in mounts {
        let known = pod
            .volumes
            .iter()
            .flatten()
            .any(|volume| volume.name == mount.name);
        assert!(known, "no volume is named {}", mount.name);
    }
}
