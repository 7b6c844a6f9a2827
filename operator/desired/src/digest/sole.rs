//! Fields where only we may write: what we leave out of a workload's spec is as much our word as
//! what we put in. Server-side apply alone does not keep it: it never removes what another manager
//! wrote beside our fields, and is refused where that is the other half of a one-of (`value` beside
//! our `valueFrom`).
//!
//! The way out is the one of client-go's `csaupgrade`: such fields are given to our own entry of
//! `managedFields`, without any change of the object. The next apply, which does not name them,
//! then removes them.
//!
//! Ours alone are the whole `spec` (of a ConfigMap its data, of a RoleBinding its subjects), but
//! for [`OTHERS`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use langop_api::names::managers;
use serde_json::{Map, Value, json};

use super::extract::{Item, is_apply_of};
use crate::observed::ChildKind;

/// Between the digest of what we own and that of what others own beside it.
pub(super) const SHARED: char = '+';

/// What others may write within: replicas are an autoscaler's unless we say how many, how long a
/// rollout may take before it is called stuck changes nothing that runs, and the time is `kubectl
/// rollout restart`.
const OTHERS: [&[&str]; 3] = [
    &["f:spec", "f:replicas"],
    &["f:spec", "f:progressDeadlineSeconds"],
    &[
        "f:spec",
        "f:template",
        "f:metadata",
        "f:annotations",
        "f:kubectl.kubernetes.io/restartedAt",
    ],
];

/// The parts of a child that are ours alone.
const fn roots(kind: ChildKind) -> &'static [&'static str] {
    match kind {
        ChildKind::CronJob
        | ChildKind::Deployment
        | ChildKind::LimitRange
        | ChildKind::NetworkPolicy
        | ChildKind::ResourceQuota
        | ChildKind::Service => &["f:spec"],
        ChildKind::ConfigMap => &["f:binaryData", "f:data"],
        ChildKind::RoleBinding => &["f:subjects"],
        // A claim's volume is bound by others, a namespace is shared, and the rest is not applied
        // by us.
        ChildKind::Job
        | ChildKind::Namespace
        | ChildKind::PersistentVolumeClaim
        | ChildKind::Pod => &[],
    }
}

/// What of the `fieldsV1` of another manager is ours alone; `None` if nothing is.
pub(super) fn trespass(kind: ChildKind, fields: &Value) -> Option<Value> {
    let mut within = Map::new();
    for root in roots(kind) {
        if let Some(node) = fields.get(*root) {
            within.insert((*root).to_owned(), node.clone());
        }
    }
    let mut within = Value::Object(within);
    for path in OTHERS {
        remove(&mut within, path);
    }
    is_anything(&within).then_some(within)
}

/// Removes a path, and what has nothing below it any more.
fn remove(node: &mut Value, path: &[&str]) {
    let (Some(map), [first, rest @ ..]) = (node.as_object_mut(), path) else {
        return;
    };
    let is_empty = match map.get_mut(*first) {
        None => return,
        Some(_) if rest.is_empty() => true,
        Some(below) => {
            remove(below, rest);
            !is_anything(below)
        }
    };
    if is_empty {
        map.remove(*first);
    }
}

/// Whether more than the node itself is owned.
fn is_anything(node: &Value) -> bool {
    node.as_object()
        .is_some_and(|below| below.keys().any(|key| key != "."))
}

/// Whether others own what is ours alone and `body` has no such field, so that an apply of it would
/// leave it, or be refused.
pub fn is_beside(kind: ChildKind, managed: &[ManagedFieldsEntry], body: &Value) -> bool {
    others(managed)
        .any(|fields| trespass(kind, &fields.0).is_some_and(|trespass| !is_within(&trespass, body)))
}

/// Whether every path of `node` leads to something in `value`.
fn is_within(node: &Value, value: &Value) -> bool {
    let Some(below) = node.as_object() else {
        return true;
    };
    below.iter().all(|(path, node)| {
        let found = match path.strip_prefix("f:") {
            Some(name) => value.get(name),
            None if path == "." => Some(value),
            None => Item::parse(path).and_then(|item| {
                let items = value.as_array()?;
                items.iter().find(|value| item.is(value))
            }),
        };
        found.is_some_and(|found| is_within(node, found))
    })
}

fn others(managed: &[ManagedFieldsEntry]) -> impl Iterator<Item = &FieldsV1> {
    managed
        .iter()
        .filter(|entry| !is_apply_of(entry, managers::CHILDREN))
        .filter_map(|entry| entry.fields_v1.as_ref())
}

/// `managedFields` in which what is ours alone is owned by nobody else; `None` if that is so
/// already, or we never applied the object.
pub fn reclaimed(
    kind: ChildKind,
    managed: &[ManagedFieldsEntry],
) -> Option<Vec<ManagedFieldsEntry>> {
    let trespasses: Vec<Value> = others(managed)
        .filter_map(|fields| trespass(kind, &fields.0))
        .collect();
    if trespasses.is_empty() {
        return None;
    }
    let mut next = managed.to_vec();
    let ours = next
        .iter_mut()
        .find(|entry| is_apply_of(entry, managers::CHILDREN))?;
    let mut fields = ours.fields_v1.take().map_or_else(|| json!({}), |own| own.0);
    for trespass in &trespasses {
        add(&mut fields, trespass);
    }
    let strategy = "/f:spec/f:strategy";
    if trespasses
        .iter()
        .any(|trespass| trespass.pointer(strategy).is_some())
    {
        // The API server fills it in for who changes only the type, and then it is nobody's.
        let rolling_update = json!({"f:maxSurge": {}, "f:maxUnavailable": {}});
        add(
            &mut fields,
            &json!({"f:spec": {"f:strategy": {"f:rollingUpdate": rolling_update}}}),
        );
    }
    ours.fields_v1 = Some(FieldsV1(fields));
    for entry in &mut next {
        if !is_apply_of(entry, managers::CHILDREN)
            && let Some(fields) = &mut entry.fields_v1
            && let Some(trespass) = trespass(kind, &fields.0)
        {
            subtract(&mut fields.0, &trespass);
        }
    }
    next.retain(|entry| {
        entry
            .fields_v1
            .as_ref()
            .is_some_and(|fields| is_anything(&fields.0))
    });
    Some(next)
}

fn add(fields: &mut Value, more: &Value) {
    let (Some(fields), Some(more)) = (fields.as_object_mut(), more.as_object()) else {
        return;
    };
    for (path, node) in more {
        add(
            fields.entry(path.clone()).or_insert_with(|| json!({})),
            node,
        );
    }
}

fn subtract(fields: &mut Value, less: &Value) {
    let (Some(fields), Some(less)) = (fields.as_object_mut(), less.as_object()) else {
        return;
    };
    for (path, node) in less {
        let Some(held) = fields.get_mut(path) else {
            continue;
        };
        subtract(held, node);
        if !is_anything(held) {
            fields.remove(path);
        }
    }
}
