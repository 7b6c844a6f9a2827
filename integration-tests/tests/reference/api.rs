//! docs/api.md: every field of the six kinds, from the types that the CRDs are made of. A type of
//! several kinds is shown once, and an enum where it is used.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use langop_api::crds::{self, Types};
use langop_integration_tests::workspace_root;
use serde_json::{Map, Value, json};

use crate::{WRITTEN, cell, hold};

const HEAD: &str = "# API reference

The kinds of `langop.io/v1alpha1`. A field that a kind does not have is refused by `kubectl apply` and dropped by clients that do not ask for
strict validation; what a rule says is refused by the API server in these words. Conditions and their reasons are in
[Troubleshooting by reason](troubleshooting.md). `kubectl explain lagent.spec` shows the same.
";

/// Names of types that have none in their schemas, by the fields that are of them; else a field's
/// own.
const NAMES: [(&str, &str); 18] = [
    ("allowedEgress", "EgressRule"),
    ("approval", "ApprovalStatus"),
    ("egress", "EgressRule"),
    ("env", "EnvVar"),
    ("inForce", "PowersInForce"),
    ("ingressFrom", "IngressPeer"),
    ("limits", "Limits"),
    ("members", "Member"),
    ("modelEgress", "EgressRule"),
    ("operations", "Operation"),
    ("pods", "PodFrame"),
    ("requested", "PowersRequested"),
    ("resources", "Resources"),
    ("runAsUserRange", "IdRange"),
    ("subject", "Subject"),
    ("tolerations", "Toleration"),
    ("valueFrom", "EnvVarSource"),
    ("workspace", "Workspace"),
];

/// All types by name, and the names of each kind's spec and status.
struct Reference {
    types: Map<String, Value>,
    kinds: Vec<[String; 2]>,
}

impl Reference {
    fn new() -> Self {
        let Types { referred, kinds } = crds::types();
        let mut reference = Self {
            types: Map::new(),
            kinds: Vec::new(),
        };
        let of_kinds = kinds.iter().flatten().cloned();
        for (name, mut schema) in referred.into_iter().chain(of_kinds) {
            reference.name_below(&name, &mut schema);
            reference.types.insert(name, schema);
        }
        let names = kinds
            .iter()
            .map(|parts| parts.clone().map(|(name, _)| name));
        reference.kinds.extend(names);
        reference
    }

    /// Takes the objects out of a schema, and leaves their names there.
    fn name_below(&mut self, field: &str, schema: &mut Value) {
        for (name, below) in object_mut(schema, "properties") {
            self.name(name, below);
        }
        for key in ["items", "additionalProperties"] {
            if let Some(below) = schema.get_mut(key).filter(|below| below.is_object()) {
                self.name(field, below);
            }
        }
        for key in ["anyOf", "allOf"] {
            let choices = schema.get_mut(key).and_then(Value::as_array_mut);
            for choice in choices.into_iter().flatten() {
                self.name(field, choice);
            }
        }
    }

    fn name(&mut self, field: &str, schema: &mut Value) {
        self.name_below(field, schema);
        if !is_object(schema) {
            return;
        }
        let known = NAMES.iter().find(|(of, _)| *of == field);
        let name = known.map_or_else(|| capitalized(field), |(_, name)| (*name).to_owned());
        let reference = json!({
            "$ref": format!("#/$defs/{name}"), "description": schema["description"],
        });
        let object = std::mem::replace(schema, reference);
        let before = self
            .types
            .entry(name.clone())
            .or_insert_with(|| object.clone());
        assert_eq!(
            bare(before),
            bare(&object),
            "two types would be called {name}"
        );
    }

    fn page(&self) -> String {
        let mut text = format!("{HEAD}{WRITTEN}");
        let used: Vec<_> = self.kinds.iter().map(|parts| self.used_by(parts)).collect();
        let is_shared = |name: &&String| used.iter().filter(|of| of.contains(*name)).count() > 1;
        let shared: BTreeSet<&String> = used.iter().flatten().filter(is_shared).collect();
        for ((crd, parts), used) in crds::all().iter().zip(&self.kinds).zip(&used) {
            let crd = serde_json::to_value(crd).unwrap();
            text += &head(&crd);
            let nested = used.iter().filter(|name| !shared.contains(name));
            for name in parts.iter().chain(nested) {
                text += &self.section(name);
            }
        }
        text += "\n## Types of several kinds\n";
        for name in shared {
            text += &self.section(name);
        }
        text
    }

    /// The object types below these parts.
    fn used_by(&self, parts: &[String; 2]) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        for part in parts {
            self.collect(&self.types[part], &mut used);
        }
        used
    }

    fn collect(&self, schema: &Value, used: &mut BTreeSet<String>) {
        match schema {
            Value::Object(fields) => {
                if let Some(name) = fields.get("$ref").and_then(referenced) {
                    let is_new = !is_object(&self.types[name]) || used.insert(name.to_owned());
                    if is_new {
                        self.collect(&self.types[name], used);
                    }
                }
                fields.values().for_each(|field| self.collect(field, used));
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item, used)),
            _ => {}
        }
    }

    fn section(&self, name: &str) -> String {
        let schema = &self.types[name];
        let says = cell(schema["description"].as_str().unwrap_or_default());
        let mut text = format!(
            "\n### {name}\n\n{says}\n\n| field | type | default | what it is |\n|---|---|---|---|\n"
        );
        let required: Vec<_> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        for (field, of) in schema["properties"].as_object().unwrap() {
            let default = match &of["default"] {
                _ if required.iter().any(|name| *name == field) => "**required**".to_owned(),
                Value::Null => String::new(),
                value if value.as_array().is_some_and(Vec::is_empty) => String::new(),
                value if value.as_object().is_some_and(Map::is_empty) => String::new(),
                value => format!("`{value}`"),
            };
            writeln!(
                text,
                "| `{field}` | {} | {default} | {} |",
                self.type_of(of),
                self.says(of)
            )
            .unwrap();
        }
        let rules = rules(schema);
        if !rules.is_empty() {
            text += "\nRules:\n\n";
        }
        for rule in rules {
            writeln!(text, "- {}", cell(rule)).unwrap();
        }
        text
    }

    /// What it may be, in words.
    fn type_of(&self, schema: &Value) -> String {
        let schema = inner(schema);
        if let Some(name) = schema.get("$ref").and_then(referenced) {
            return match &self.types[name] {
                object if is_object(object) => format!("[{name}](#{})", name.to_lowercase()),
                other => self.type_of(other),
            };
        }
        let values = values(schema);
        if !values.is_empty() {
            let values: Vec<_> = values
                .iter()
                .map(|(value, _)| format!("`{value}`"))
                .collect();
            return values.join(", ");
        }
        let at_most = |bound: &str, what: &str| match &schema[bound] {
            Value::Null => String::new(),
            most => format!("; at most {most} {what}"),
        };
        match type_name(schema) {
            _ if schema["x-kubernetes-int-or-string"] == true => "integer or string".to_owned(),
            _ if schema["format"] == "date-time" => "time".to_owned(),
            "array" => format!(
                "list of {}{}",
                self.type_of(&schema["items"]),
                at_most("maxItems", "items")
            ),
            "object" if schema["additionalProperties"].is_object() => {
                let inner = self.type_of(&schema["additionalProperties"]);
                format!("map to {inner}{}", at_most("maxProperties", "keys"))
            }
            "string" => match between(schema, "minLength", "maxLength") {
                bounds if bounds.is_empty() => "string".to_owned(),
                bounds => format!("string, {bounds} characters"),
            },
            name => match between(schema, "minimum", "maximum") {
                bounds if bounds.is_empty() => name.to_owned(),
                bounds => format!("{name}, {bounds}"),
            },
        }
    }

    /// What a field is, what its values mean, and its rules.
    fn says(&self, field: &Value) -> String {
        let mut says = cell(field["description"].as_str().unwrap_or_default());
        let mut shown = inner(field);
        let mut all_rules = rules(field);
        loop {
            let next = match shown.get("$ref").and_then(referenced) {
                Some(name) if is_object(&self.types[name]) => break,
                Some(name) => &self.types[name],
                None => [&shown["items"], &shown["additionalProperties"]]
                    .into_iter()
                    .find(|below| below.is_object())
                    .unwrap_or(&Value::Null),
            };
            all_rules.extend(rules(shown));
            let values = values(shown).into_iter();
            for (value, meaning) in values.filter(|(_, meaning)| !meaning.is_empty()) {
                write!(says, "<br>`{value}`: {}", cell(meaning)).unwrap();
            }
            if next.is_null() {
                break;
            }
            shown = inner(next);
        }
        let mut told = BTreeSet::new();
        for rule in all_rules.into_iter().filter(|rule| told.insert(*rule)) {
            write!(says, "<br>Rule: {}", cell(rule)).unwrap();
        }
        says
    }
}

/// What is not null of what may be null.
fn inner(schema: &Value) -> &Value {
    let choices = ["anyOf", "allOf"]
        .into_iter()
        .find_map(|key| schema[key].as_array());
    let choice = choices.and_then(|all| all.iter().find(|one| one["type"] != "null"));
    choice.map_or(schema, inner)
}

fn object_mut<'a>(
    schema: &'a mut Value,
    key: &str,
) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    let object = schema.get_mut(key).and_then(Value::as_object_mut);
    object.into_iter().flatten()
}

fn capitalized(field: &str) -> String {
    let (first, rest) = field.split_at(1);
    first.to_uppercase() + rest
}

/// Without what a field says of its type.
fn bare(object: &Value) -> Value {
    let mut bare = object.clone();
    for key in ["description", "default", "type"] {
        bare.as_object_mut().unwrap().remove(key);
    }
    bare
}

fn referenced(reference: &Value) -> Option<&str> {
    reference.as_str()?.rsplit('/').next()
}

fn is_object(schema: &Value) -> bool {
    schema["properties"].is_object()
}

fn type_name(schema: &Value) -> &str {
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().find(|name| *name != "null"),
        name => Some(name),
    };
    types.and_then(Value::as_str).unwrap_or("any")
}

/// The values of an enum, each with what it means.
fn values(schema: &Value) -> Vec<(&str, &str)> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    let listed = listed.filter_map(|value| Some((value.as_str()?, "")));
    let told = schema["oneOf"].as_array().into_iter().flatten();
    let told = told.filter_map(|one| {
        Some((
            one["const"].as_str()?,
            one["description"].as_str().unwrap_or_default(),
        ))
    });
    listed.chain(told).collect()
}

fn between(schema: &Value, least: &str, most: &str) -> String {
    let number = |key: &str| schema[key].as_f64();
    match (number(least), number(most)) {
        (None, None) => String::new(),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (Some(least), Some(most)) => format!("{least} to {most}"),
    }
}

fn rules(schema: &Value) -> Vec<&str> {
    let rules = schema["x-kubernetes-validations"].as_array();
    let rules = rules.into_iter().flatten();
    rules.filter_map(|rule| rule["message"].as_str()).collect()
}

/// A kind, as its CRD names it.
fn head(crd: &Value) -> String {
    let names = &crd["spec"]["names"];
    let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let [kind, short] =
        [&names["kind"], &names["shortNames"][0]].map(|name| name.as_str().unwrap());
    let scope = crd["spec"]["scope"].as_str().unwrap().to_lowercase();
    let mut text = format!("\n## {kind}\n\nShort name `{short}`; {scope}.");
    for rule in rules(root) {
        write!(text, " {}.", cell(rule)).unwrap();
    }
    text.push('\n');
    text
}

#[test]
fn the_page_of_the_api_is_what_the_types_say() {
    hold("docs/api.md", &Reference::new().page());
}

#[test]
fn every_field_and_rule_of_the_crds_is_on_the_page() {
    let page = fs::read_to_string(workspace_root().unwrap().join("docs/api.md")).unwrap();
    let mut fields = BTreeMap::new();
    for crd in crds::all() {
        let crd = serde_json::to_value(crd).unwrap();
        let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        collect(root, &mut fields);
    }
    let [named, ruled] = [true, false].map(|is_field| {
        let kept = fields.iter().filter(move |(_, field)| **field == is_field);
        kept.map(|(text, _)| text.clone()).collect::<Vec<_>>()
    });
    assert!(
        named.len() > 100 && ruled.len() > 50,
        "{} {}",
        named.len(),
        ruled.len()
    );
    let outer = ["spec", "status"];
    let fields = named.iter().filter(|name| !outer.contains(&name.as_str()));
    let missing = fields.filter(|name| !page.contains(&format!("| `{name}` | ")));
    let untold = ruled.iter().filter(|rule| !page.contains(&cell(rule)));
    let missing: Vec<_> = missing.chain(untold).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Names of fields (true) and messages of rules (false).
fn collect(schema: &Value, found: &mut BTreeMap<String, bool>) {
    let names = schema["properties"].as_object().into_iter().flatten();
    for (name, field) in names {
        found.insert(name.clone(), true);
        collect(field, found);
    }
    found.extend(
        rules(schema)
            .into_iter()
            .map(|rule| (rule.to_owned(), false)),
    );
    for below in [&schema["items"], &schema["additionalProperties"]] {
        if below.is_object() {
            collect(below, found);
        }
    }
}
