//! The normal form of values: equal for a desired value and for what the API server makes of it.
//!
//! Canonical JSON, with two exceptions. Quantities are written as amounts, since the server
//! rewrites `1024Mi` to `1Gi`. Every zero value (`""`, `0`, `false`, `[]`, `{}`) is written as
//! [`ZERO`], since the server leaves out most of them: a path that we own and that has no value has
//! its zero value.

use serde_json::{Map, Value};

use crate::{hash, quantity};

/// Stands for a zero value and for a missing one.
pub(super) const ZERO: &[u8] = b"~";

/// Whether the values directly below are quantities.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// Ordinary fields.
    Fields,
    /// A map from resource names to quantities.
    Quantities,
}

impl Within {
    /// What is below a field of this name, when it is an object.
    pub(super) fn field(name: &str) -> Self {
        match name {
            "requests" | "limits" | "hard" | "default" | "defaultRequest" => Self::Quantities,
            _ => Self::Fields,
        }
    }
}

/// Writes all that an apply of a whole object owns: not its identity, which nobody owns.
pub(super) fn write_body(body: &Value, out: &mut Vec<u8>) {
    let Value::Object(body) = body else { return };
    write_fields(
        body,
        |name| !matches!(name, "apiVersion" | "kind"),
        out,
        |name, value, out| match (name, value) {
            ("metadata", Value::Object(metadata)) => {
                let owned =
                    |name: &str| !matches!(name, "name" | "namespace" | "uid" | "resourceVersion");
                write_fields(metadata, owned, out, write_field);
            }
            _ => write_field(name, value, out),
        },
    );
}

/// Writes the value of the field `name`.
pub(super) fn write_field(name: &str, value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) if name == "sizeLimit" => write_quantity(text, out),
        _ => write_value(value, Within::field(name), out),
    }
}

/// Writes a value.
pub(super) fn write_value(value: &Value, within: Within, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            write_fields(
                map,
                |_| true,
                out,
                |name, value, out| write_child(within, name, value, out),
            );
        }
        Value::Array(items) if !items.is_empty() => {
            write_list(out, items, |item, out| {
                write_value(item, Within::Fields, out);
            });
        }
        value if is_zero(value) => out.extend_from_slice(ZERO),
        other => hash::write_canonical(other, out),
    }
}

/// Writes a field, or a quantity, below something.
pub(super) fn write_child(within: Within, name: &str, value: &Value, out: &mut Vec<u8>) {
    match (within, value) {
        (Within::Quantities, Value::String(text)) => write_quantity(text, out),
        (Within::Quantities, Value::Number(number)) => write_quantity(&number.to_string(), out),
        _ => write_field(name, value, out),
    }
}

/// Writes a list in brackets.
pub(super) fn write_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for item in items {
        write(item, out);
        out.push(b',');
    }
    out.push(b']');
}

/// Writes the name of a field.
pub(super) fn write_name(name: &str, out: &mut Vec<u8>) {
    hash::write_text(name, out);
    out.push(b':');
}

fn write_fields(
    map: &Map<String, Value>,
    owned: impl Fn(&str) -> bool,
    out: &mut Vec<u8>,
    mut write: impl FnMut(&str, &Value, &mut Vec<u8>),
) {
    let mut fields: Vec<_> = map
        .iter()
        .filter(|(name, value)| owned(name) && !value.is_null())
        .collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    out.push(b'{');
    for (name, value) in fields {
        write_name(name, out);
        write(name, value, out);
        out.push(b',');
    }
    out.push(b'}');
}

/// Writes an amount; a text that is no quantity as it is.
fn write_quantity(text: &str, out: &mut Vec<u8>) {
    match quantity::parse(text) {
        Ok(amount) => out.extend_from_slice(amount.to_string().as_bytes()),
        Err(_) => hash::write_text(text, out),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}
