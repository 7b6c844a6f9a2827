//! Environment variables of the containers we build.
//!
//! A text of ours reaches the container as it is: the kubelet expands `$(VAR)`, so every `$` is
//! doubled. A user's own variables are theirs, expansion included. Order is stable, because it is
//! part of the pod template.

use k8s_openapi::api::core::v1::{
    ConfigMapKeySelector, EnvVar, EnvVarSource, ObjectFieldSelector, SecretKeySelector,
};
use langop_api::{
    names::env,
    pod::{EnvVar as UserEnvVar, EnvVarSource as UserEnvVarSource},
};
use serde::Serialize;

use crate::references::{ModelView, PersonaView, References, ToolView};

/// A variable with exactly this text.
pub fn value(name: &str, text: impl AsRef<str>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(text.as_ref().replace('$', "$$")),
        value_from: None,
    }
}

/// A variable with the text of a ConfigMap's key, which Kubernetes does not expand.
pub fn from_config_map(name: &str, config_map: &str, key: &str) -> EnvVar {
    let source = EnvVarSource {
        config_map_key_ref: Some(ConfigMapKeySelector {
            name: config_map.to_owned(),
            key: key.to_owned(),
            optional: None,
        }),
        ..EnvVarSource::default()
    };
    sourced(name, source)
}

/// A variable with the text of a Secret's key, which the operator never sees.
pub fn from_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    let source = EnvVarSource {
        secret_key_ref: Some(SecretKeySelector {
            name: secret.to_owned(),
            key: key.to_owned(),
            optional: None,
        }),
        ..EnvVarSource::default()
    };
    sourced(name, source)
}

/// A variable with the text of a field of the pod.
pub fn from_field(name: &str, path: &str) -> EnvVar {
    let source = EnvVarSource {
        field_ref: Some(ObjectFieldSelector {
            field_path: path.to_owned(),
            // The API server fills it in, and as the field is one atom it would not be what we
            // applied.
            api_version: Some("v1".to_owned()),
        }),
        ..EnvVarSource::default()
    };
    sourced(name, source)
}

fn sourced(name: &str, source: EnvVarSource) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(source),
    }
}

/// A user's variables, as written. They come after ours.
pub fn user_env(variables: &[UserEnvVar]) -> Vec<EnvVar> {
    variables
        .iter()
        .map(|variable| EnvVar {
            name: variable.name.clone(),
            // The API server drops an empty value; sending none is the same, and stays equal.
            value: variable.value.clone().filter(|text| !text.is_empty()),
            value_from: variable.value_from.as_ref().map(user_source),
        })
        .collect()
}

fn user_source(source: &UserEnvVarSource) -> EnvVarSource {
    EnvVarSource {
        secret_key_ref: source
            .secret_key_ref
            .as_ref()
            .map(|selector| SecretKeySelector {
                name: selector.name.clone(),
                key: selector.key.clone(),
                optional: selector.optional,
            }),
        config_map_key_ref: source.config_map_key_ref.as_ref().map(|selector| {
            ConfigMapKeySelector {
                name: selector.name.clone(),
                key: selector.key.clone(),
                optional: selector.optional,
            }
        }),
        ..EnvVarSource::default()
    }
}

/// What an agent or client is given: its tools, its models and its persona.
pub fn given(references: &References) -> Vec<EnvVar> {
    let mut variables = vec![
        value(env::MCP_SERVERS, mcp_servers(&references.tools)),
        value(env::MODEL_ENDPOINTS, model_endpoints(&references.models)),
    ];
    if let Some(persona) = &references.persona {
        variables.extend(persona_env(persona));
    }
    variables
}

#[derive(Serialize)]
struct Server<'a> {
    name: &'a str,
    url: &'a str,
}

/// The text of `MCP_SERVERS`: compact JSON, in the order of the references.
pub fn mcp_servers(tools: &[ToolView]) -> String {
    let servers: Vec<_> = tools
        .iter()
        .map(|tool| Server {
            name: &tool.name,
            url: &tool.url,
        })
        .collect();
    json(&servers)
}

#[derive(Serialize)]
struct Endpoint<'a> {
    name: &'a str,
    url: &'a str,
    model: &'a str,
}

/// The text of `MODEL_ENDPOINTS`: compact JSON, in the order of the references.
pub fn model_endpoints(models: &[ModelView]) -> String {
    let endpoints: Vec<_> = models
        .iter()
        .map(|model| Endpoint {
            name: &model.name,
            url: &model.url,
            model: &model.model,
        })
        .collect();
    json(&endpoints)
}

#[expect(clippy::expect_used, reason = "structs of strings are always JSON")]
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("structs of strings are always JSON")
}

/// A field that the persona does not have is not set.
fn persona_env(persona: &PersonaView) -> Vec<EnvVar> {
    let distilled = &persona.distilled;
    [
        (env::PERSONA_NAME, Some(&persona.name)),
        (env::PERSONA_DESCRIPTION, distilled.description.as_ref()),
        (env::PERSONA_SYSTEM_PROMPT, distilled.system_prompt.as_ref()),
        (env::PERSONA_TONE, distilled.tone.as_ref()),
        (env::PERSONA_LANGUAGE, distilled.language.as_ref()),
        (env::PERSONA_DISTILLED_PROMPT, Some(&distilled.prompt)),
    ]
    .into_iter()
    .filter_map(|(name, text)| Some(value(name, text.filter(|text| !text.is_empty())?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use langop_api::{persona::Distilled, tool::DeploymentMode};

    #[test]
    fn our_texts_are_not_expanded() {
        for (text, sent) in [
            ("It costs $(TOTAL).", "It costs $$(TOTAL)."),
            ("$$", "$$$$"),
            ("plain", "plain"),
        ] {
            assert_eq!(value("X", text).value.as_deref(), Some(sent));
        }
    }

    #[test]
    fn a_users_texts_are_theirs() {
        let variables: Vec<UserEnvVar> = serde_json::from_str(
            r#"[{"name": "A", "value": "$(B)"}, {"name": "E", "value": ""},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}}]"#,
        )
        .unwrap();
        insta::assert_yaml_snapshot!(user_env(&variables), @"
        - name: A
          value: $(B)
        - name: E
        - name: S
          valueFrom:
            secretKeyRef:
              key: k
              name: s
              optional: true
        ");
    }

    #[test]
    fn json_is_compact_and_in_the_order_of_the_references() {
        let spec: std::sync::Arc<langop_api::LanguageToolSpec> =
            std::sync::Arc::new(serde_json::from_value(serde_json::json!({"image": "i"})).unwrap());
        let tool = |name: &str| ToolView {
            name: name.into(),
            mode: DeploymentMode::Service,
            url: format!("http://{name}:1"),
            port: 1,
            egress: vec![],
            description: None,
            operations: langop_api::shared::Shared::default(),
            spec: spec.clone(),
        };
        assert_eq!(
            mcp_servers(&[tool("z"), tool("a")]),
            r#"[{"name":"z","url":"http://z:1"},{"name":"a","url":"http://a:1"}]"#
        );
        let model = ModelView {
            name: "m".into(),
            url: "u".into(),
            model: "id".into(),
            port: 8000,
        };
        assert_eq!(
            model_endpoints(&[model]),
            r#"[{"name":"m","url":"u","model":"id"}]"#
        );
        assert_eq!(
            (mcp_servers(&[]), model_endpoints(&[])),
            ("[]".into(), "[]".into())
        );
    }

    #[test]
    fn a_persona_sets_what_it_has() {
        let names = |persona: Option<PersonaView>| -> Vec<String> {
            let references = References {
                persona,
                ..References::default()
            };
            given(&references)
                .into_iter()
                .map(|variable| variable.name)
                .collect()
        };
        assert_eq!(names(None), ["MCP_SERVERS", "MODEL_ENDPOINTS"]);
        let distilled = Distilled {
            tone: Some("dry".into()),
            prompt: "p".into(),
            ..Distilled::default()
        };
        assert_eq!(
            names(Some(PersonaView {
                name: "clerk".into(),
                distilled
            }))[2..],
            ["PERSONA_NAME", "PERSONA_TONE", "PERSONA_DISTILLED_PROMPT"]
        );
    }
}
