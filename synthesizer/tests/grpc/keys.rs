//! The cache key against the prompt: whatever changes the prompt changes the key, and the agent's
//! name changes neither, nor the routing key, which equal requests share.

use langop_proto::{
    routing::routing_key,
    v1::{
        AgentRef, Model, Persona, PreviousCode, SynthesizeOptions, SynthesizeRequest, Tool,
        ToolOperation,
    },
};
use langop_synthesizer::{
    key::RequestKey,
    prompt,
    providers::{Identity, ProviderKind},
    request,
};
use proptest::{collection::vec, option, prelude::*};

fn identity() -> Identity {
    Identity {
        provider: ProviderKind::Openai,
        model: "m".to_owned(),
    }
}

fn key_and_prompt(request: &SynthesizeRequest) -> (RequestKey, String) {
    let mut request = request.clone();
    let agent = request.agent.take().unwrap_or_default();
    request::check_synthesize(&agent, &request, langop_proto::limits::MESSAGE)
        .expect("a request that can succeed");
    let request = prompt::normalise(request);
    (
        RequestKey::of_synthesis(&request, &identity()),
        prompt::user(&request),
    )
}

/// Few letters, so that equal texts are common, and the marks that could end a fence or a line.
fn text() -> impl Strategy<Value = String> {
    "[ab`#\r\n\"]{1,6}".prop_map(|text| format!("t{text}"))
}

fn tools() -> impl Strategy<Value = Vec<Tool>> {
    let schema = prop::sample::select(vec![
        "",
        "{}",
        r#"{"type":"object"}"#,
        r#"{ "type": "object" }"#,
    ]);
    let operation = (text(), schema).prop_map(|(description, input_schema)| ToolOperation {
        name: "op".to_owned(),
        description,
        input_schema: input_schema.to_owned(),
    });
    let tool = (text(), option::of(operation));
    vec(tool, 0..3).prop_map(|tools| {
        let named =
            |(index, (description, operation)): (usize, (String, Option<ToolOperation>))| Tool {
                name: format!("tool{index}"),
                description,
                operations: operation.into_iter().collect(),
            };
        tools.into_iter().enumerate().map(named).collect()
    })
}

fn requests() -> impl Strategy<Value = SynthesizeRequest> {
    let models = vec(text(), 0..2).prop_map(|models| {
        models
            .into_iter()
            .enumerate()
            .map(|(index, model)| Model {
                name: format!("model{index}"),
                model,
            })
            .collect()
    });
    let persona = (text(), text(), text(), text(), text()).prop_map(
        |(name, description, system_prompt, tone, language)| Persona {
            name,
            description,
            system_prompt,
            tone,
            language,
        },
    );
    let previous = ("[ab]{1,2}", text()).prop_map(|(objective, instructions)| {
        let code = format!(
            "require 'language_operator'\nagent 'zq7-zq7' do\n  objectives ['{objective}']\nend\n"
        );
        PreviousCode { code, instructions }
    });
    let options =
        ("[ab]{0,2}", option::of(0..3_u32)).prop_map(|(variant, max_repairs)| SynthesizeOptions {
            max_tokens: None,
            variant,
            max_repairs,
        });
    (
        text(),
        tools(),
        models,
        option::of(persona),
        option::of(previous),
        option::of(options),
    )
        .prop_map(
            |(instructions, tools, models, persona, previous, options)| SynthesizeRequest {
                agent: Some(AgentRef {
                    name: "zq7-zq7".to_owned(),
                    namespace: "zq8".to_owned(),
                }),
                instructions,
                tools,
                models,
                persona,
                previous,
                options,
            },
        )
}

/// `request` with the field `index` of `other`.
fn mixed(
    request: &SynthesizeRequest,
    other: &SynthesizeRequest,
    index: usize,
) -> SynthesizeRequest {
    let (mut mixed, other) = (request.clone(), other.clone());
    match index {
        0 => mixed.instructions = other.instructions,
        1 => mixed.tools = other.tools,
        2 => mixed.models = other.models,
        3 => mixed.persona = other.persona,
        4 => mixed.previous = other.previous,
        5 => mixed.options = other.options,
        _ => {
            mixed.tools.reverse();
            mixed.models.reverse();
        }
    }
    mixed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn another_prompt_has_another_key(request in requests(), other in requests(), index in 0..7_usize) {
        let (key, prompt) = key_and_prompt(&request);
        let edited = mixed(&request, &other, index);
        let (edited_key, edited_prompt) = key_and_prompt(&edited);
        prop_assert!(key != edited_key || routing_key(&request) == routing_key(&edited), "equal requests meet");
        prop_assert!(key != edited_key || prompt == edited_prompt, "{prompt}\n---\n{edited_prompt}");
    }

    #[test]
    fn name_and_namespace_change_neither(request in requests()) {
        let (key, prompt) = key_and_prompt(&request);
        prop_assert!(!prompt.contains("zq7-zq7") && !prompt.contains("zq8"), "{prompt}");
        let mut renamed = request.clone();
        renamed.agent = Some(AgentRef { name: "other".to_owned(), namespace: "elsewhere".to_owned() });
        if let Some(previous) = &mut renamed.previous {
            previous.code = previous.code.replace("zq7-zq7", "other");
        }
        prop_assert_eq!(routing_key(&renamed), routing_key(&request));
        prop_assert_eq!(key_and_prompt(&renamed), (key, prompt));
    }
}

#[test]
fn provider_and_model_are_in_the_key() {
    let request = prompt::normalise(crate::harness::request("a", "x"));
    let key = |provider, model: &str| {
        RequestKey::of_synthesis(
            &request,
            &Identity {
                provider,
                model: model.to_owned(),
            },
        )
    };
    assert_ne!(
        key(ProviderKind::Openai, "m"),
        key(ProviderKind::Ollama, "m")
    );
    assert_ne!(
        key(ProviderKind::Openai, "m"),
        key(ProviderKind::Openai, "n")
    );
}
