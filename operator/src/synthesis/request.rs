//! What is asked of the synthesizer: references and instructions into messages. Pure.

use langop_api::tool::{InputSchema, Operation};
use langop_desired::references::{ModelView, PersonaView, References, ToolView};
use langop_proto::v1::{
    AgentRef, Model, Persona, PreviousCode, SynthesizeOptions, SynthesizeRequest, Tool,
    ToolOperation,
};

/// What a request is made of beside the references.
#[derive(Clone, Debug, Default)]
pub(crate) struct SynthesisInputs {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) instructions: String,
    /// The code that runs now, and the instructions it was made from.
    pub(crate) previous: Option<(String, String)>,
    /// Another value asks for another answer.
    pub(crate) variant: Option<String>,
    /// The most that it may cost, where that is bounded.
    pub(crate) max_tokens: Option<u64>,
}

/// The request for an agent's code.
pub(crate) fn synthesize(inputs: SynthesisInputs, references: &References) -> SynthesizeRequest {
    let SynthesisInputs {
        name,
        namespace,
        instructions,
        previous,
        variant,
        max_tokens,
    } = inputs;
    let has_options = variant.is_some() || max_tokens.is_some();
    SynthesizeRequest {
        agent: Some(AgentRef { name, namespace }),
        instructions,
        tools: references.tools.iter().map(tool).collect(),
        models: references.models.iter().map(model).collect(),
        persona: references.persona.as_ref().map(persona),
        previous: previous.map(|(code, instructions)| PreviousCode { code, instructions }),
        options: has_options.then(|| SynthesizeOptions {
            variant: variant.unwrap_or_default(),
            max_repairs: None,
            max_tokens,
        }),
    }
}

/// About how many bytes a request would have, without making it: of tools there may be more text
/// than anybody takes.
pub(crate) fn size(inputs: &SynthesisInputs, references: &References) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let of_operation = |operation: &Operation| {
        let schema = operation.input_schema.as_ref().and_then(InputSchema::text);
        operation.name.len() + length(&operation.description) + schema.map_or(0, str::len)
    };
    let tools = references.tools.iter().map(|tool| {
        let operations = tool.operations.iter().map(of_operation);
        tool.name.len() + length(&tool.description) + operations.sum::<usize>()
    });
    inputs.instructions.len() + tools.sum::<usize>()
}

fn tool(view: &ToolView) -> Tool {
    let operations = view.operations.iter().map(|operation| ToolOperation {
        name: operation.name.clone(),
        description: operation.description.clone().unwrap_or_default(),
        input_schema: operation
            .input_schema
            .as_ref()
            .and_then(InputSchema::text)
            .unwrap_or_default()
            .to_owned(),
    });
    Tool {
        name: view.name.clone(),
        description: view.description.clone().unwrap_or_default(),
        operations: operations.collect(),
    }
}

fn model(view: &ModelView) -> Model {
    Model {
        name: view.name.clone(),
        model: view.model.clone(),
    }
}

/// The distilled prompt stands for the persona's own.
fn persona(view: &PersonaView) -> Persona {
    let distilled = view.distilled.clone();
    Persona {
        name: view.name.clone(),
        description: distilled.description.unwrap_or_default(),
        system_prompt: distilled.prompt,
        tone: distilled.tone.unwrap_or_default(),
        language: distilled.language.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use langop_api::persona::Distilled;
    use langop_desired::settings::Settings;

    use super::*;

    #[test]
    fn everything_the_code_may_use_is_offered() {
        let mail = serde_json::from_value(serde_json::json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool", "metadata": {"name": "mail"},
            "spec": {"image": "i", "description": "sends", "operations": [{"name": "send", "inputSchema": {"type": "object"}}]},
        }))
        .unwrap();
        let references = References {
            tools: vec![ToolView::new(&mail, &Settings::default())],
            models: vec![ModelView {
                name: "brain".into(),
                url: String::new(),
                model: "m-1".into(),
                port: 8000,
            }],
            persona: Some(PersonaView {
                name: "clerk".into(),
                distilled: Distilled {
                    prompt: "Be brief.".into(),
                    tone: Some("dry".into()),
                    ..Distilled::default()
                },
            }),
            unresolved: vec![],
            unreadable: false,
        };
        let inputs = SynthesisInputs {
            name: "a".into(),
            instructions: "do it".into(),
            previous: Some(("code".into(), "did it".into())),
            variant: Some("2".into()),
            ..SynthesisInputs::default()
        };
        let about = size(&inputs, &references);
        let request = synthesize(inputs, &references);
        assert_eq!(
            request.tools[0].operations[0].input_schema,
            r#"{"type":"object"}"#
        );
        let texts = ["do it", "mail", "sends", "send", r#"{"type":"object"}"#];
        assert_eq!(about, texts.map(str::len).iter().sum::<usize>());
        assert_eq!(request.models[0].model, "m-1");
        let persona = request.persona.unwrap();
        assert_eq!(
            (persona.system_prompt.as_str(), persona.tone.as_str()),
            ("Be brief.", "dry")
        );
        assert_eq!(request.previous.unwrap().instructions, "did it");
        assert_eq!(request.options.unwrap().variant, "2");
    }

    #[test]
    fn the_kinds_and_the_contract_mean_the_same_bound() {
        use langop_api::{agent::MAX_RESYNTHESIZE, tool::MAX_INPUT_SCHEMA};
        use langop_proto::limits;
        assert_eq!(MAX_INPUT_SCHEMA, limits::INPUT_SCHEMA);
        assert_eq!(MAX_RESYNTHESIZE, limits::SHORT_TEXT);
    }
}
