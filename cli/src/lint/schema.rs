//! The structural part of a CRD's schema: types, bounds, enums, and fields that do not exist. Of
//! JSON Schema only what an API server takes in a CRD, so it is short.

use serde_json::{Map, Value};

use super::document::Remark;

/// Compares a value with its schema.
pub(crate) fn check(path: &str, schema: &Value, value: &Value, remarks: &mut Vec<Remark>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if let Some(message) = wrong_type(schema, value).or_else(|| out_of_bounds(schema, value)) {
        remarks.push(Remark::error(path, message));
        return;
    }
    match value {
        Value::Object(fields) => object(path, schema, fields, remarks),
        Value::Array(items) if schema["items"].is_object() => {
            twice(path, schema, items, remarks);
            for (nth, item) in items.iter().enumerate() {
                check(&format!("{path}[{nth}]"), &schema["items"], item, remarks);
            }
        }
        _ => {}
    }
}

fn object(path: &str, schema: &Value, fields: &Map<String, Value>, remarks: &mut Vec<Remark>) {
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if !fields.contains_key(name) {
            remarks.push(Remark::error(join(path, name), "is required"));
        }
    }
    let known = schema["properties"].as_object();
    let others = &schema["additionalProperties"];
    for (name, value) in fields {
        let at = join(path, name);
        match known.and_then(|known| known.get(name)) {
            Some(schema) => check(&at, schema, value, remarks),
            None if others.is_object() => check(&at, others, value, remarks),
            None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            // An object without fields of its own takes any, as `metadata` does.
            None if known.is_none() => {}
            None => {
                let names = known.into_iter().flat_map(Map::keys);
                let names: Vec<&str> = names.map(String::as_str).collect();
                let message = format!("unknown field; there are {}", names.join(", "));
                remarks.push(Remark::error(at, message));
            }
        }
    }
}

/// Items of a set, or of a map by its keys, that are there already.
fn twice(path: &str, schema: &Value, items: &[Value], remarks: &mut Vec<Remark>) {
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    if keys.is_none() && schema["x-kubernetes-list-type"] != "set" {
        return;
    }
    let key_of = |item: &Value| match keys {
        Some(keys) => keys
            .iter()
            .filter_map(|key| Some(item[key.as_str()?].clone()))
            .collect(),
        None => vec![item.clone()],
    };
    let mut seen: Vec<Vec<Value>> = Vec::new();
    for (nth, item) in items.iter().enumerate() {
        let key = key_of(item);
        if seen.contains(&key) {
            remarks.push(Remark::error(
                format!("{path}[{nth}]"),
                "is in the list twice",
            ));
        }
        seen.push(key);
    }
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

fn wrong_type(schema: &Value, value: &Value) -> Option<String> {
    if schema["x-kubernetes-int-or-string"] == true {
        let fits = value.is_string() || value.is_i64() || value.is_u64();
        return (!fits).then(|| format!("must be a number or a text, not {}", name_of(value)));
    }
    let wanted = schema["type"].as_str()?;
    let fits = match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    };
    (!fits).then(|| format!("must be of type {wanted}, not {}", name_of(value)))
}

const fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn out_of_bounds(schema: &Value, value: &Value) -> Option<String> {
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        return Some(format!("must be one of {}", allowed.join(", ")));
    }
    let length = match value {
        Value::String(text) => Some(("minLength", "maxLength", "characters", text.chars().count())),
        Value::Array(items) => Some(("minItems", "maxItems", "items", items.len())),
        Value::Object(fields) => Some(("minProperties", "maxProperties", "entries", fields.len())),
        _ => None,
    };
    if let Some((least, most, what, length)) = length {
        return count(&schema[least], &schema[most], what, length);
    }
    let number = value.as_f64()?;
    if schema["minimum"]
        .as_f64()
        .is_some_and(|least| number < least)
    {
        return Some(format!("must be at least {}", schema["minimum"].as_f64()?));
    }
    if schema["maximum"].as_f64().is_some_and(|most| number > most) {
        return Some(format!("must be at most {}", schema["maximum"].as_f64()?));
    }
    None
}

fn count(least: &Value, most: &Value, what: &str, length: usize) -> Option<String> {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    if least.as_u64().is_some_and(|least| length < least) {
        return Some(format!("must have at least {least} {what}, has {length}"));
    }
    if most.as_u64().is_some_and(|most| length > most) {
        return Some(format!("must have at most {most} {what}, has {length}"));
    }
    None
}
