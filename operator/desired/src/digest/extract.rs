//! The part of a live object that one field manager owns, by the `fieldsV1` of its Apply entry.
//!
//! Source of the format: structured-merge-diff, `fieldpath` serialisation. Below a node, `f:NAME`
//! is a field, `k:{…}` the list item with these key fields, `v:VALUE` the item of a set, `.` the
//! node itself; a node without any is owned as a whole.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value};

use super::canonical::{
    Within, ZERO, write_child, write_field, write_list, write_name, write_value,
};
use crate::hash;

/// Digest of the values at the paths that `manager` applied. Empty if it applied nothing.
///
/// The list `managed_fields` may have been taken out of `live`.
pub fn owned_live(live: &Value, managed_fields: &[ManagedFieldsEntry], manager: &str) -> String {
    let entry = managed_fields
        .iter()
        .find(|entry| is_apply_of(entry, manager));
    entry
        .and_then(|entry| entry.fields_v1.as_ref())
        .map_or_else(String::new, |fields| digest(live, &fields.0))
}

/// Whether this is the one entry of the manager's applies to the object itself (not to a
/// subresource).
pub(super) fn is_apply_of(entry: &ManagedFieldsEntry, manager: &str) -> bool {
    entry.manager.as_deref() == Some(manager)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

/// Digest of the values of `live` at the paths in `fields`.
pub(super) fn digest(live: &Value, fields: &Value) -> String {
    let mut text = Vec::with_capacity(4096);
    write_owned("", Some(live), fields, Within::Fields, &mut text);
    hash::sha256_hex(&text)
}

/// Writes what `node` owns of the value of the field `name`.
fn write_owned(name: &str, live: Option<&Value>, node: &Value, within: Within, out: &mut Vec<u8>) {
    let below = node.as_object().filter(|below| !below.is_empty());
    match (live, below) {
        (None | Some(Value::Null), _) => out.extend_from_slice(ZERO),
        (Some(live), None) => write_child(within, name, live, out),
        (Some(Value::Object(live)), Some(below)) => write_owned_fields(name, live, below, out),
        (Some(Value::Array(live)), Some(below)) => write_owned_items(live, below, out),
        // The owned path leads through a plain value: the schema changed under us.
        (Some(live), Some(_)) => write_field(name, live, out),
    }
}

fn write_owned_fields(
    name: &str,
    live: &Map<String, Value>,
    below: &Map<String, Value>,
    out: &mut Vec<u8>,
) {
    let within = Within::field(name);
    let mut fields: Vec<_> = below
        .iter()
        .filter_map(|(path, node)| Some((path.strip_prefix("f:")?, node)))
        .collect();
    if fields.is_empty() {
        return out.extend_from_slice(ZERO);
    }
    fields.sort_unstable_by_key(|(name, _)| *name);
    out.push(b'{');
    for (name, node) in fields {
        write_name(name, out);
        write_owned(name, live.get(name), node, within, out);
        out.push(b',');
    }
    out.push(b'}');
}

fn write_owned_items(live: &[Value], below: &Map<String, Value>, out: &mut Vec<u8>) {
    let items: Vec<_> = below
        .iter()
        .filter_map(|(path, node)| Some((Item::parse(path)?, node)))
        .collect();
    if items.is_empty() {
        return out.extend_from_slice(ZERO);
    }
    // In live order: the order of containers and variables matters.
    let owned = live.iter().filter_map(|value| {
        let (_, node) = items.iter().find(|(item, _)| item.is(value))?;
        Some((value, *node))
    });
    write_list(out, owned, |(value, node), out| match node.as_object() {
        Some(below) if !below.is_empty() => write_owned("", Some(value), node, Within::Fields, out),
        _ => write_value(value, Within::Fields, out),
    });
}

/// Names items of a list.
pub(super) enum Item {
    /// The item with these values of its key fields.
    Key(Map<String, Value>),
    /// The item that equals this.
    Value(Value),
}

impl Item {
    pub(super) fn parse(path: &str) -> Option<Self> {
        match path.split_at_checked(2)? {
            ("k:", key) => serde_json::from_str(key).ok().map(Self::Key),
            ("v:", value) => serde_json::from_str(value).ok().map(Self::Value),
            _ => None,
        }
    }

    pub(super) fn is(&self, item: &Value) -> bool {
        match self {
            // A key field that the item lacks has its default, which the server has filled in by
            // the time we look, or is null.
            Self::Key(key) => key
                .iter()
                .all(|(name, value)| item.get(name).unwrap_or(&Value::Null) == value),
            Self::Value(value) => value == item,
        }
    }
}
