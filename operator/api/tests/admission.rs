//! The objects in integration-tests/fixtures/admission against the types and their rules, without
//! an API server. The end-to-end tests hold the same files against a real one, which also knows
//! what only it can judge (required fields, bounds, unknown fields).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "all of this file is a test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::LazyLock,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::cel::{ValidationErrors, Validator, apply_defaults};
use langop_api::{
    LanguageAgent, LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool,
    crds,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A file: its name, its first line's expectation, its documents.
struct Fixture {
    file: String,
    expect: Option<String>,
    documents: Vec<Value>,
}

/// The YAML files of a folder of the repository.
fn files(folder: &str) -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(folder);
    let paths = std::fs::read_dir(folder).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path());
    paths.map(|path| fixture(&path)).collect()
}

fn fixtures(folder: &str) -> Vec<Fixture> {
    let fixtures = files(&format!("integration-tests/fixtures/admission/{folder}"));
    assert!(fixtures.len() > 10, "the fixtures were not found");
    fixtures
}

fn fixture(path: &Path) -> Fixture {
    let text = std::fs::read_to_string(path).unwrap();
    Fixture {
        file: path.file_name().unwrap().to_string_lossy().into_owned(),
        expect: text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# expect: "))
            .map(str::to_owned),
        documents: serde_saphyr::from_multiple(&text).unwrap(),
    }
}

/// The schema of each kind.
static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let of = |mut crd: CustomResourceDefinition| {
        let schema = crd
            .spec
            .versions
            .remove(0)
            .schema
            .unwrap()
            .open_api_v3_schema
            .unwrap();
        (crd.spec.names.kind, serde_json::to_value(schema).unwrap())
    };
    crds::all().into_iter().map(of).collect()
});

fn schema_for(document: &Value) -> &'static Value {
    &SCHEMAS[document["kind"].as_str().unwrap()]
}

/// What the rules say of each document, given the one before it.
fn complaints(fixture: &Fixture) -> Vec<Vec<String>> {
    let mut old = None;
    let mut said = Vec::new();
    for document in &fixture.documents {
        let result = Validator::new().validate(schema_for(document), document, old);
        let errors = result
            .err()
            .map(ValidationErrors::into_vec)
            .unwrap_or_default();
        said.push(errors.into_iter().map(|error| error.message).collect());
        old = Some(document);
    }
    said
}

/// The messages of all rules of all kinds.
fn messages() -> BTreeSet<String> {
    fn collect(schema: &Value, into: &mut BTreeSet<String>) {
        if let Some(rules) = schema["x-kubernetes-validations"].as_array() {
            into.extend(rules.iter().map(|rule| {
                rule["message"]
                    .as_str()
                    .expect("every rule has a message")
                    .to_owned()
            }));
        }
        children(schema).for_each(|(_, child)| collect(child, into));
    }
    let mut all = BTreeSet::new();
    SCHEMAS
        .values()
        .for_each(|schema| collect(schema, &mut all));
    all
}

/// The schemas directly below one, by name.
fn children(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let fields = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, child)| (name.as_str(), child));
    let inner = [
        ("[]", &schema["items"]),
        ("{}", &schema["additionalProperties"]),
    ];
    fields.chain(inner.into_iter().filter(|(_, child)| child.is_object()))
}

#[test]
fn what_is_right_passes_the_rules() {
    for fixture in fixtures("accepted") {
        for said in complaints(&fixture) {
            assert_eq!(said, Vec::<String>::new(), "{}", fixture.file);
        }
    }
}

#[test]
fn what_is_wrong_is_told_what_to_write() {
    let messages = messages();
    for fixture in fixtures("rejected") {
        let expect = fixture
            .expect
            .as_deref()
            .expect("a first line '# expect: …'");
        let mut said = complaints(&fixture);
        let last = said.pop().unwrap();
        assert!(
            said.iter().all(Vec::is_empty),
            "{}: an earlier document is refused: {said:?}",
            fixture.file
        );
        if messages.iter().any(|message| message.contains(expect)) {
            assert!(
                last.iter().any(|message| message.contains(expect)),
                "{}: {last:?}",
                fixture.file
            );
        } else {
            assert_eq!(
                last,
                Vec::<String>::new(),
                "{}: a rule speaks where the schema should",
                fixture.file
            );
        }
    }
}

#[test]
fn every_rule_refuses_something() {
    let said: BTreeSet<String> = fixtures("rejected")
        .iter()
        .flat_map(complaints)
        .flatten()
        .collect();
    let silent: Vec<_> = messages()
        .into_iter()
        .filter(|message| !said.contains(message))
        .collect();
    assert!(silent.is_empty(), "no file in rejected/ meets {silent:#?}");
}

/// Decoded and encoded again.
fn through<K: Serialize + DeserializeOwned>(object: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<K>(object.clone()).unwrap()).unwrap()
}

fn through_its_type(object: &Value) -> Value {
    match object["kind"].as_str().unwrap() {
        "LanguageAgent" => through::<LanguageAgent>(object),
        "LanguageClient" => through::<LanguageClient>(object),
        "LanguageCluster" => through::<LanguageCluster>(object),
        "LanguageModel" => through::<LanguageModel>(object),
        "LanguagePersona" => through::<LanguagePersona>(object),
        "LanguageTool" => through::<LanguageTool>(object),
        other => panic!("{other}"),
    }
}

/// Numbers as users write them, and empty collections, are the same to us and to the server; they
/// differ only in JSON.
fn normalised(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), normalised(value)))
            .filter(|(_, value)| !value.is_null() && *value != Value::Array(Vec::new()))
            .collect(),
        Value::Array(items) => items.iter().map(normalised).collect(),
        Value::Number(number) => Value::String(number.to_string()),
        other => other.clone(),
    }
}

#[test]
fn types_and_schemas_agree_on_fields_and_defaults() {
    for fixture in fixtures("accepted") {
        for document in &fixture.documents {
            let stored = apply_defaults(schema_for(document), document);
            let typed = through_its_type(document);
            assert_eq!(
                normalised(&typed["spec"]),
                normalised(&stored["spec"]),
                "{}",
                fixture.file
            );
        }
    }
}

#[test]
fn every_field_of_every_spec_is_in_some_accepted_object() {
    fn check(path: &str, schema: &Value, samples: &[&Value], missing: &mut Vec<String>) {
        if samples.is_empty() {
            missing.push(path.to_owned());
            return;
        }
        for (name, child) in children(schema) {
            let below: Vec<&Value> = samples
                .iter()
                .flat_map(|sample| below(sample, name))
                .collect();
            check(&format!("{path}.{name}"), child, &below, missing);
        }
    }
    fn below<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
        match (name, value) {
            ("[]", Value::Array(items)) => items.iter().collect(),
            ("{}", Value::Object(map)) => map.values().collect(),
            (_, Value::Object(map)) => map.get(name).into_iter().collect(),
            _ => Vec::new(),
        }
    }
    let fixtures = fixtures("accepted");
    let mut missing = Vec::new();
    for (kind, schema) in SCHEMAS.iter() {
        let documents = fixtures.iter().flat_map(|fixture| &fixture.documents);
        let specs: Vec<_> = documents
            .filter(|document| document["kind"] == kind.as_str())
            .map(|document| &document["spec"])
            .collect();
        check(kind, &schema["properties"]["spec"], &specs, &mut missing);
    }
    assert!(missing.is_empty(), "no file in accepted/ uses {missing:#?}");
}

#[test]
fn samples_show_every_kind_and_keep_to_the_rules() {
    let mut kinds = BTreeSet::new();
    for sample in files("deploy/samples") {
        for document in sample.documents {
            if document["apiVersion"] != "langop.io/v1alpha1" {
                continue;
            }
            let said = Validator::new().validate(schema_for(&document), &document, None);
            assert!(said.is_ok(), "{}: {said:?}", sample.file);
            let stored = apply_defaults(schema_for(&document), &document);
            let typed = through_its_type(&document);
            assert_eq!(
                normalised(&typed["spec"]),
                normalised(&stored["spec"]),
                "{}",
                sample.file
            );
            kinds.insert(document["kind"].as_str().unwrap().to_owned());
        }
    }
    assert!(kinds.iter().eq(SCHEMAS.keys()), "{kinds:?}");
}
