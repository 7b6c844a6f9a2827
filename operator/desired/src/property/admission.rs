//! Whether an API server would take an object: the bounds of the CRD's schema and its CEL rules.
//! Knows of schemas what ours use.

use kube::core::cel::{CompiledSchema, Validator, apply_defaults, compile_schema};
use langop_api::crds;
use serde_json::{Map, Value};

/// The schema of one kind, and its rules.
pub(crate) struct Admission {
    schema: Value,
    rules: CompiledSchema,
    validator: Validator,
}

/// The OpenAPI schema of a kind.
pub(crate) fn schema(kind: &str) -> Value {
    let mut all = crds::all().into_iter();
    let mut crd = all.find(|crd| crd.spec.names.kind == kind).unwrap();
    let version = crd.spec.versions.remove(0).schema.unwrap();
    serde_json::to_value(version.open_api_v3_schema.unwrap()).unwrap()
}

impl Admission {
    pub(crate) fn of(kind: &str) -> Self {
        let schema = schema(kind);
        Self {
            rules: compile_schema(&schema),
            validator: Validator::new(),
            schema,
        }
    }

    /// The object as it is stored, defaults filled in; `None` if it is refused.
    pub(crate) fn admit(&self, object: &Value) -> Option<Value> {
        let fits = fits(&self.schema["properties"]["spec"], &object["spec"]);
        let admitted = fits
            && self
                .validator
                .validate_compiled(&self.rules, object, None)
                .is_ok();
        admitted.then(|| apply_defaults(&self.schema, object))
    }
}

/// Whether a value of the right types is within the bounds.
fn fits(schema: &Value, value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            within(schema, ["minProperties", "maxProperties"], fields.len())
                && required(schema).all(|name| fields.contains_key(name))
                && fields
                    .iter()
                    .all(|(name, field)| field_fits(schema, name, field))
        }
        Value::Array(items) => {
            within(schema, ["minItems", "maxItems"], items.len())
                && items.iter().all(|item| fits(&schema["items"], item))
                && keys_are_unique(schema, items)
        }
        Value::String(text) => {
            let one_of = schema["enum"].as_array();
            within(schema, ["minLength", "maxLength"], text.chars().count())
                && one_of.is_none_or(|values| values.contains(value))
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap();
            schema["minimum"]
                .as_f64()
                .is_none_or(|least| least <= number)
                && schema["maximum"].as_f64().is_none_or(|most| number <= most)
        }
        Value::Bool(_) => true,
        Value::Null => schema["nullable"] == true,
    }
}

fn field_fits(schema: &Value, name: &str, field: &Value) -> bool {
    let known = schema["properties"].get(name);
    match known.or_else(|| schema.get("additionalProperties")) {
        Some(schema) => fits(schema, field),
        None => schema["x-kubernetes-preserve-unknown-fields"] == true,
    }
}

/// The fields that an object of this schema must have.
pub(crate) fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let names = schema["required"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str)
}

fn within(schema: &Value, [least, most]: [&str; 2], count: usize) -> bool {
    let bound = |key: &str| {
        schema[key]
            .as_u64()
            .map(|bound| usize::try_from(bound).unwrap())
    };
    bound(least).is_none_or(|least| least <= count) && bound(most).is_none_or(|most| count <= most)
}

/// A list that is a map has each key once.
fn keys_are_unique(schema: &Value, items: &[Value]) -> bool {
    let Some(keys) = schema["x-kubernetes-list-map-keys"].as_array() else {
        return true;
    };
    let key = |item: &Value| -> Map<String, Value> {
        keys.iter()
            .filter_map(Value::as_str)
            .map(|name| (name.to_owned(), item[name].clone()))
            .collect()
    };
    items
        .iter()
        .enumerate()
        .all(|(index, item)| items[..index].iter().all(|other| key(other) != key(item)))
}
