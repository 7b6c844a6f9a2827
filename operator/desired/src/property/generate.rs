//! Random objects of a kind, from the CRD's schema. Texts are mostly such as people write in the
//! field of that name, and sometimes anything, so that many objects are admitted and few are alike.
//! Must not look at rules: who may pass is [`super::admission`]'s matter.

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::admission::{required, schema};

/// Objects of this kind, as a user sends them.
pub(crate) fn object(kind: &'static str) -> BoxedStrategy<Value> {
    let schema = schema(kind);
    let name = text("metadata.name", &json!({}));
    (name, value("spec", &schema["properties"]["spec"]))
        .prop_map(move |(name, spec)| {
            json!({
                "apiVersion": "langop.io/v1alpha1", "kind": kind, "spec": spec,
                "metadata": {"name": name, "namespace": "wood", "uid": "uid", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
            })
        })
        .boxed()
}

/// Values of a field.
fn value(field: &str, schema: &Value) -> BoxedStrategy<Value> {
    if let Some(values) = schema["enum"].as_array() {
        let values = values.iter().filter(|value| !value.is_null());
        return select(values.cloned().collect::<Vec<_>>()).boxed();
    }
    match schema["type"].as_str() {
        Some("object") if schema["additionalProperties"].is_object() => map(field, schema),
        Some("object") => fields(schema),
        Some("array") => {
            let item = value(field, &schema["items"]);
            vec(item, 0..3).prop_map(Value::Array).boxed()
        }
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("integer") => integer(schema),
        Some("number") => select(vec![json!(0.0), json!(0.5), json!(2.0)]).boxed(),
        // Without a type it is a quantity: text or a whole number.
        None => {
            prop_oneof![9 => text("quantity", schema), 1 => (0..5000).prop_map(Value::from)].boxed()
        }
        Some(_) => text(field, schema),
    }
}

fn fields(schema: &Value) -> BoxedStrategy<Value> {
    let all = schema["properties"].as_object().into_iter().flatten();
    let all: Vec<_> = all
        .map(|(name, schema_of_field)| {
            let is_required = required(schema).any(|required| required == name);
            let likely = if is_required { 0.99 } else { likely(name) };
            let value = value(name, schema_of_field);
            let name = name.clone();
            prop::option::weighted(likely, value)
                .prop_map(move |value| value.map(|value| (name.clone(), value)))
        })
        .collect();
    all.prop_map(|fields| fields.into_iter().flatten().collect::<Map<_, _>>().into())
        .boxed()
}

/// How often an optional field is there. Those that exclude or need each other are tuned so that
/// many objects pass.
fn likely(field: &str) -> f64 {
    match field {
        "ports" | "key" => 0.97,
        "systemPrompt" | "apiKeySecretRef" | "instructions" => 0.8,
        "cidr" | "secretKeyRef" | "configMapKeyRef" => 0.5,
        "except" | "tolerationSeconds" | "operator" | "configuration" | "args" => 0.1,
        _ => 0.25,
    }
}

fn map(field: &str, schema: &Value) -> BoxedStrategy<Value> {
    let keys = match field {
        "requests" | "limits" => "resource",
        "resourceQuotas" => "quota",
        _ => "label",
    };
    let entry = (
        text(keys, &json!({})),
        value("labelValue", &schema["additionalProperties"]),
    );
    vec(entry, 0..3)
        .prop_map(|entries| {
            let entries = entries.into_iter();
            entries
                .map(|(key, value)| (key.as_str().unwrap().to_owned(), value))
                .collect::<Map<_, _>>()
                .into()
        })
        .boxed()
}

/// Mostly small, at times anything that its bounds allow.
fn integer(schema: &Value) -> BoxedStrategy<Value> {
    let bound = |key: &str| {
        schema[key]
            .as_f64()
            .map(|bound| format!("{bound:.0}").parse().unwrap())
    };
    let least: i64 = bound("minimum").unwrap_or(0);
    let most: i64 = bound("maximum").unwrap_or_else(|| least.saturating_add(1_000_000));
    let small = least..=most.min(least + 20);
    prop_oneof![8 => small, 1 => least..=most, 1 => Just(most)]
        .prop_map(Value::from)
        .boxed()
}

/// Mostly what people write there, at times anything.
fn text(field: &str, schema: &Value) -> BoxedStrategy<Value> {
    let anything = prop_oneof!["[a-z][a-z0-9-]{0,20}", "\\PC{0,30}", "[a-z0-9./:@-]{1,70}"];
    let known = usual(field);
    if known.is_empty() {
        let fitting = schema["minLength"]
            .as_u64()
            .map_or("\\PC{0,12}", |_| "\\PC{1,12}");
        return fitting.prop_map(Value::from).boxed();
    }
    let known = select(known).prop_map(str::to_owned);
    prop_oneof![40 => known, 1 => anything]
        .prop_map(Value::from)
        .boxed()
}

/// What people write in the field of this name, mistakes that no rule can refuse among it.
fn usual(field: &str) -> &'static [&'static str] {
    match field {
        "metadata.name" => &[
            "scout",
            "a",
            "a234567890-234567890-234567890-234567890-234567890-2",
        ],
        "name" => &["t1", "t2", "m1", "LOG_LEVEL", "a23456789_"],
        "label" => &[
            "team",
            "app",
            "example.com/team",
            "kubernetes.io/metadata.name",
        ],
        "labelValue" => &["store", "web", "", "A.b_c-9"],
        "resource" => &["cpu", "memory", "ephemeral-storage", "example.com/gpu"],
        "quota" => &["requests.cpu", "limits.memory", "pods", "cpu"],
        "quantity" => &[
            "10Gi",
            "1",
            "500m",
            "1e3",
            "0",
            "1.5Gi",
            "9223372036854775807",
            "100000000000Ti",
        ],
        "image" => &["ghcr.io/acme/server:1.2.0", "own"],
        "schedule" => &["0 9 * * 1-5", "*/5 * * * *", "0 0 30 2 *", "99 * * * *"],
        "timeZone" => &["Europe/Berlin", "UTC", "Nowhere/Else"],
        "timeout" => &["15m", "1h30m", "99999999999999999999d"],
        "cidr" => &[
            "203.0.113.0/24",
            "0.0.0.0/0",
            "::/0",
            "2001:db8::/32",
            "300.0.0.0/8",
        ],
        "except" => &["203.0.113.128/25", "10.0.0.0/8", "fe80::/10"],
        "mountPath" => &["/workspace", "/data/of-agent", "/etc/agent2"],
        "path" => &["/mcp", "/v1/$(X)"],
        "endpoint" => &["https://llm.example.com/v1", "http://[::1]:1"],
        "model" => &["claude-sonnet-4-5", "org/model:7b"],
        "namespace" => &["team-a", "langop-system", "9"],
        "instructions" | "systemPrompt" => &["Do it", "$(HOME)$$", "a\r\nb", " "],
        "key" => &["api-key", "example.com/gpu"],
        _ => &[],
    }
}
