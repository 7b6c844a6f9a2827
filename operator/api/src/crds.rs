//! The `CustomResourceDefinition`s of all kinds, as the server takes them without warnings.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

/// All six, in a stable order.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        crate::LanguageAgent::crd(),
        crate::LanguageClient::crd(),
        crate::LanguageCluster::crd(),
        crate::LanguageModel::crd(),
        crate::LanguagePersona::crd(),
        crate::LanguageTool::crd(),
    ]
}

/// What the definitions are made of, with all that they leave out: names of types, and what each
/// value of an enum means.
#[derive(Clone, Debug, PartialEq)]
pub struct Types {
    /// Schemas of the types that others refer to, as `#/$defs/NAME`.
    pub referred: Map<String, Value>,
    /// Name and schema of each kind's spec and of its status, in the order of [`all`].
    pub kinds: [[(String, Value); 2]; 6],
}

/// For documentation: the types of the six kinds.
pub fn types() -> Types {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let all = &mut generator;
    let kinds = [
        kind::<crate::LanguageAgentSpec, crate::LanguageAgentStatus>(all),
        kind::<crate::LanguageClientSpec, crate::LanguageClientStatus>(all),
        kind::<crate::LanguageClusterSpec, crate::LanguageClusterStatus>(all),
        kind::<crate::LanguageModelSpec, crate::LanguageModelStatus>(all),
        kind::<crate::LanguagePersonaSpec, crate::LanguagePersonaStatus>(all),
        kind::<crate::LanguageToolSpec, crate::LanguageToolStatus>(all),
    ];
    Types {
        referred: generator.take_definitions(true),
        kinds,
    }
}

fn kind<Spec: JsonSchema, Status: JsonSchema>(all: &mut SchemaGenerator) -> [(String, Value); 2] {
    [part::<Spec>(all), part::<Status>(all)]
}

fn part<T: JsonSchema>(all: &mut SchemaGenerator) -> (String, Value) {
    (
        T::schema_name().into_owned(),
        all.subschema_for::<T>().to_value(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formats an API server knows; it warns about others.
    const FORMATS: [&str; 4] = ["int32", "int64", "double", "date-time"];

    fn spec_and_status(crd: &CustomResourceDefinition) -> (Value, Value) {
        let schema = crd.spec.versions[0]
            .schema
            .as_ref()
            .unwrap()
            .open_api_v3_schema
            .as_ref()
            .unwrap();
        let properties = &serde_json::to_value(schema).unwrap()["properties"];
        (properties["spec"].clone(), properties["status"].clone())
    }

    fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
        visit(path, schema);
        for (name, child) in schema["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), child, visit);
        }
        for (name, child) in [
            ("[]", &schema["items"]),
            ("{}", &schema["additionalProperties"]),
        ] {
            if child.is_object() {
                walk(&format!("{path}{name}"), child, visit);
            }
        }
    }

    /// The bound that a schema of this sort must have, if it lacks it. A time is as long as its
    /// format.
    fn missing_bound(schema: &Value) -> Option<&'static str> {
        let lacks = |key: &str| schema.get(key).is_none();
        let is_text = schema["type"] == "string" || schema["x-kubernetes-int-or-string"] == true;
        let is_map = !lacks("additionalProperties")
            || schema["x-kubernetes-preserve-unknown-fields"] == true;
        if is_text && lacks("enum") && lacks("maxLength") && schema["format"] != "date-time" {
            Some("maxLength")
        } else if schema["type"] == "array" && lacks("maxItems") {
            Some("maxItems")
        } else if is_map && lacks("maxProperties") {
            Some("maxProperties")
        } else {
            None
        }
    }

    /// What users write, for the CEL budget and for the memory of those who hold it; what the
    /// operator writes, because a status that grows past what the API server stores could not be
    /// written any more. What is below a free-form object no schema can bound: reading does.
    #[test]
    fn every_field_is_bounded() {
        for crd in all() {
            let kind = &crd.spec.names.kind;
            let (spec, status) = spec_and_status(&crd);
            for (part, schema) in [("spec", spec), ("status", status)] {
                walk(&format!("{kind}.{part}"), &schema, &mut |path, schema| {
                    assert_eq!(missing_bound(schema), None, "{path}");
                });
            }
        }
    }

    /// The API server adds a default to the stored object. In a field that is there for whoever
    /// compares it with a manifest; below `items` it is a difference in an element that the
    /// manifest has whole.
    #[test]
    fn no_default_is_below_a_list() {
        for crd in all() {
            let kind = &crd.spec.names.kind;
            let (spec, status) = spec_and_status(&crd);
            for (part, schema) in [("spec", spec), ("status", status)] {
                walk(&format!("{kind}.{part}"), &schema, &mut |path, schema| {
                    assert!(
                        schema.get("default").is_none() || !path.contains("[]"),
                        "{path}"
                    );
                });
            }
        }
    }

    #[test]
    fn every_field_is_described_and_of_a_known_format() {
        for crd in all() {
            let kind = &crd.spec.names.kind;
            let (spec, status) = spec_and_status(&crd);
            for (part, schema) in [("spec", spec), ("status", status)] {
                walk(&format!("{kind}.{part}"), &schema, &mut |path, schema| {
                    assert!(
                        schema["format"]
                            .as_str()
                            .is_none_or(|format| FORMATS.contains(&format)),
                        "{path}"
                    );
                    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                        assert!(
                            field["description"].is_string(),
                            "{path}.{name} says nothing to kubectl explain"
                        );
                    }
                });
            }
        }
    }

    #[test]
    fn names_are_those_people_type() {
        let expected = [
            ("languageagents", "lagent"),
            ("languageclients", "lclient"),
            ("languageclusters", "lcluster"),
            ("languagemodels", "lmodel"),
            ("languagepersonas", "lpersona"),
            ("languagetools", "ltool"),
        ];
        for (crd, (plural, short)) in all().iter().zip(expected) {
            assert_eq!(crd.spec.names.plural, plural);
            assert_eq!(
                crd.spec.names.short_names.as_deref(),
                Some(&[short.to_owned()][..])
            );
            assert_eq!(
                crd.spec.names.categories.as_deref(),
                Some(&["langop".to_owned()][..])
            );
            assert_eq!(
                crd.spec.scope,
                if short == "lcluster" {
                    "Cluster"
                } else {
                    "Namespaced"
                }
            );
            assert!(
                crd.spec.versions[0]
                    .subresources
                    .as_ref()
                    .is_some_and(|sub| sub.status.is_some()),
                "{plural}"
            );
        }
    }

    /// Larger ones do not fit the annotation of a client-side `kubectl apply` comfortably, and
    /// every discovery reads them.
    #[test]
    fn each_is_under_100_kilobytes() {
        for crd in all() {
            let size = serde_json::to_vec(&crd).unwrap().len();
            assert!(size < 100_000, "{}: {size}", crd.spec.names.kind);
        }
    }

    /// The server does not check the paths of printer columns: a wrong one is always an empty
    /// column.
    #[test]
    fn printer_columns_point_at_fields() {
        for crd in all() {
            let (spec, status) = spec_and_status(&crd);
            for column in crd.spec.versions[0]
                .additional_printer_columns
                .iter()
                .flatten()
            {
                let mut steps = column.json_path.trim_start_matches('.').split('.');
                let mut schema = match steps.next().unwrap() {
                    "metadata" => continue,
                    "spec" => &spec,
                    _ => &status,
                };
                for step in steps {
                    let field = step.split('[').next().unwrap();
                    schema = &schema["properties"][field];
                    assert!(
                        schema.is_object(),
                        "{}: {}",
                        crd.spec.names.kind,
                        column.json_path
                    );
                    if step.contains('[') {
                        break;
                    }
                }
            }
        }
    }
}
