//! Hashes: of content, whatever the order of a map's keys; each field that is content changes them,
//! nothing else does.

use langop_api::{LanguagePersonaSpec, persona::Distilled, tool::DeploymentMode};
use proptest::{collection::vec, prelude::*, sample::select};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use super::for_all;
use crate::{
    hash,
    references::{ModelView, ToolView},
};

/// A JSON value that writes the keys of its maps backwards.
struct Backwards<'a>(&'a Value);

impl Serialize for Backwards<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields.iter().collect::<Vec<_>>().into_iter().rev() {
                    map.serialize_entry(key, &Backwards(value))?;
                }
                map.end()
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Backwards)),
            other => other.serialize(serializer),
        }
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_i64..3).prop_map(Value::from),
        "[ab\"\\\\\n]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let map = prop::collection::btree_map("[abc\"]{0,2}", inner.clone(), 0..3);
        prop_oneof![
            vec(inner, 0..3).prop_map(Value::Array),
            map.prop_map(|map| map.into_iter().collect()),
        ]
    })
}

#[test]
fn equal_content_has_equal_hashes_and_other_content_others() {
    for_all(&(json(), json()), |(one, other)| {
        assert_eq!(hash::of_json(&one), hash::of_json(&Backwards(&one)));
        assert_eq!(
            one == other,
            hash::of_json(&one) == hash::of_json(&other),
            "{one} {other}"
        );
    });
}

fn texts<const N: usize>() -> impl Strategy<Value = [String; N]> {
    vec(select(vec!["", "a", "b", "ab", "\",\""]), N).prop_map(|texts| {
        let mut texts = texts.into_iter().map(str::to_owned);
        std::array::from_fn(|_| texts.next().unwrap())
    })
}

/// What of a tool is content, and a view with that and with other things that are not.
fn tool() -> impl Strategy<Value = ((String, String, bool), ToolView)> {
    (texts::<4>(), any::<bool>(), any::<u16>()).prop_map(
        |([name, url, image, about], is_sidecar, port)| {
            let mode = if is_sidecar {
                DeploymentMode::Sidecar
            } else {
                DeploymentMode::Service
            };
            let spec = serde_json::from_value(serde_json::json!({"image": image})).unwrap();
            let view = ToolView {
                name: name.clone(),
                mode,
                url: url.clone(),
                port: port.into(),
                egress: vec![],
                description: Some(about),
                operations: langop_api::shared::Shared::default(),
                spec: std::sync::Arc::new(spec),
            };
            ((name, url, is_sidecar), view)
        },
    )
}

/// What of a model is content, and a view with that and a port of any number.
fn model() -> impl Strategy<Value = ([String; 3], ModelView)> {
    (texts::<3>(), any::<u16>()).prop_map(|(content, port)| {
        let [name, url, model] = content.clone();
        let port = port.into();
        (
            content,
            ModelView {
                name,
                url,
                model,
                port,
            },
        )
    })
}

#[test]
fn tools_and_models_are_hashed_by_what_agents_are_given() {
    let tools = || vec(tool(), 0..3);
    for_all(&(tools(), tools()), |(one, other)| {
        let (one, ones): (Vec<_>, Vec<_>) = one.into_iter().unzip();
        let (other, others): (Vec<_>, Vec<_>) = other.into_iter().unzip();
        assert_eq!(
            one == other,
            hash::tools(&ones) == hash::tools(&others),
            "{ones:?} {others:?}"
        );
    });
    let models = || vec(model(), 0..3);
    for_all(&(models(), models()), |(one, other)| {
        let (one, ones): (Vec<_>, Vec<_>) = one.into_iter().unzip();
        let (other, others): (Vec<_>, Vec<_>) = other.into_iter().unzip();
        assert_eq!(
            one == other,
            hash::models(&ones) == hash::models(&others),
            "{ones:?} {others:?}"
        );
    });
}

/// The four fields, each absent where its text is empty.
fn persona([description, system_prompt, tone, language]: [String; 4]) -> LanguagePersonaSpec {
    let present = |text: String| Some(text).filter(|text| !text.is_empty());
    LanguagePersonaSpec {
        description: present(description),
        system_prompt: present(system_prompt),
        tone: present(tone),
        language: present(language),
    }
}

#[test]
fn personas_are_hashed_by_their_four_fields() {
    for_all(
        &(texts::<4>(), texts::<4>(), "\\PC{0,5}"),
        |(one, other, prompt)| {
            let spec = persona(one.clone());
            let snapshot = Distilled {
                description: spec.description.clone(),
                system_prompt: spec.system_prompt.clone(),
                tone: spec.tone.clone(),
                language: spec.language.clone(),
                prompt,
                hash: String::new(),
            };
            assert_eq!(
                hash::persona(&spec),
                hash::persona(&snapshot),
                "what was distilled from it is not content"
            );
            let others = hash::persona(&persona(other.clone()));
            assert_eq!(
                one == other,
                hash::persona(&spec) == others,
                "{one:?} {other:?}"
            );
        },
    );
}

#[test]
fn a_change_of_any_field_is_a_change() {
    // Equal texts in random pairs are rare for long lists; here each field alone is changed.
    for_all(&(tool(), model()), |((_, tool), (_, model))| {
        let was = hash::tools(std::slice::from_ref(&tool));
        let changes: [fn(&mut ToolView); 3] = [
            |tool| tool.name.push('x'),
            |tool| tool.url.push('x'),
            |tool| {
                tool.mode = match tool.mode {
                    DeploymentMode::Service => DeploymentMode::Sidecar,
                    DeploymentMode::Sidecar => DeploymentMode::Service,
                }
            },
        ];
        for change in changes {
            let mut other = tool.clone();
            change(&mut other);
            assert_ne!(hash::tools(&[other]), was);
        }
        let was = hash::models(std::slice::from_ref(&model));
        let changes: [fn(&mut ModelView); 3] = [
            |model| model.name.push('x'),
            |model| model.url.push('x'),
            |model| model.model.push('x'),
        ];
        for change in changes {
            let mut other = model.clone();
            change(&mut other);
            assert_ne!(hash::models(&[other]), was);
        }
    });
}
