//! The request's own part of the cache key, and the routing key by which clients choose a replica.
//! Requests that are equal under the first are so under the second, so they meet in one cache.
//! Neither holds the agent's name or namespace.

use langop_dsl::hash::canonical_json;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::v1::{DistillPersonaRequest, Model, Persona, PreviousCode, SynthesizeRequest, Tool};

/// SHA-256 over the canonical JSON of what [`canonical`] keeps, without the code that ran before:
/// that holds the agent's name, which only a parser can take out, and what is asked for tells
/// requests apart well enough to spread them.
pub fn routing_key(request: &SynthesizeRequest) -> [u8; 32] {
    let mut canonical = canonical(request);
    canonical["previous"] = Value::Null;
    Sha256::digest(canonical_json(&canonical)).into()
}

/// What of a request reaches the prompt, in one canonical form: tools and models by name, line ends
/// as LF. The code that ran before is as it came; the synthesizer gives it a placeholder's name
/// first.
pub fn canonical(request: &SynthesizeRequest) -> Value {
    let mut tools: Vec<&Tool> = request.tools.iter().collect();
    tools.sort_by(|a, b| a.name.cmp(&b.name));
    let mut models: Vec<&Model> = request.models.iter().collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    let options = request.options.clone().unwrap_or_default();
    json!({
        "instructions": normalise(&request.instructions),
        "tools": tools.into_iter().map(tool).collect::<Vec<_>>(),
        "models": models.into_iter().map(|m| json!([m.name, m.model])).collect::<Vec<_>>(),
        "persona": request.persona.as_ref().map(persona),
        "previous": request.previous.as_ref().map(previous),
        "variant": options.variant,
        // Not in the first prompt, but it decides how many follow, and so the answer.
        "maxRepairs": options.max_repairs.unwrap_or(crate::limits::REPAIRS),
    })
}

/// The same for a persona to condense: SHA-256 over the canonical JSON of its fields.
pub fn persona_key(request: &DistillPersonaRequest) -> [u8; 32] {
    let canonical = json!(request.persona.as_ref().map(persona));
    Sha256::digest(canonical_json(&canonical)).into()
}

/// Line ends as LF, so that the same text saved on another system is the same text.
pub fn normalise(text: &str) -> String {
    langop_dsl::instructions::normalise(text)
}

fn tool(tool: &Tool) -> Value {
    let operations: Vec<Value> = tool
        .operations
        .iter()
        .map(|o| json!([o.name, o.description, o.input_schema]))
        .collect();
    json!([tool.name, tool.description, operations])
}

fn persona(p: &Persona) -> Value {
    json!([p.name, p.description, p.system_prompt, p.tone, p.language])
}

fn previous(p: &PreviousCode) -> Value {
    json!([p.code, normalise(&p.instructions)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{AgentRef, SynthesizeOptions, ToolOperation};

    fn request() -> SynthesizeRequest {
        SynthesizeRequest {
            agent: Some(AgentRef {
                name: "a".into(),
                namespace: "n".into(),
            }),
            instructions: "watch\nthe door".into(),
            tools: vec![
                Tool {
                    name: "email".into(),
                    description: "sends".into(),
                    operations: vec![ToolOperation {
                        name: "send".into(),
                        description: "d".into(),
                        input_schema: "{}".into(),
                    }],
                },
                Tool {
                    name: "door".into(),
                    ..Tool::default()
                },
            ],
            models: vec![Model {
                name: "claude".into(),
                model: "m".into(),
            }],
            persona: Some(Persona {
                name: "p".into(),
                ..Persona::default()
            }),
            previous: Some(PreviousCode {
                code: "c".into(),
                instructions: "i".into(),
            }),
            options: Some(SynthesizeOptions {
                variant: "v".into(),
                max_repairs: None,
                max_tokens: None,
            }),
        }
    }

    #[test]
    fn name_namespace_order_and_line_ends_do_not_matter() {
        let mut other = request();
        other.agent = Some(AgentRef {
            name: "b".into(),
            namespace: "m".into(),
        });
        other.tools.reverse();
        other.instructions = "watch\r\nthe door".into();
        other.options = Some(SynthesizeOptions {
            variant: "v".into(),
            max_repairs: Some(2),
            max_tokens: None,
        });
        assert_eq!(routing_key(&request()), routing_key(&other));
    }

    #[test]
    fn the_code_that_ran_before_does_not_matter_as_it_holds_the_name() {
        let key = routing_key(&request());
        for code in ["agent 'a' do\nend\n", "agent 'b' do\nend\n", "no code"] {
            let mut other = request();
            other.previous.as_mut().unwrap().code = code.into();
            assert_eq!(routing_key(&other), key, "{code}");
            assert_ne!(canonical(&other), canonical(&request()), "{code}");
        }
        let without = SynthesizeRequest {
            previous: None,
            ..request()
        };
        assert_eq!(
            routing_key(&without),
            key,
            "code without a name is left out of the prompt"
        );
    }

    #[test]
    fn every_field_that_reaches_the_prompt_matters() {
        let edits: [(&str, fn(&mut SynthesizeRequest)); 16] = [
            ("instructions", |r| r.instructions.push('!')),
            ("tool name", |r| r.tools[0].name.push('x')),
            ("tool description", |r| r.tools[0].description.push('x')),
            ("tool removed", |r| r.tools.truncate(1)),
            ("operation name", |r| {
                r.tools[0].operations[0].name.push('x');
            }),
            ("operation description", |r| {
                r.tools[0].operations[0].description.push('x');
            }),
            ("operation schema", |r| {
                r.tools[0].operations[0].input_schema.push('x');
            }),
            ("model name", |r| r.models[0].name.push('x')),
            ("model id", |r| r.models[0].model.push('x')),
            ("persona", |r| r.persona = None),
            ("persona tone", |r| {
                r.persona.as_mut().unwrap().tone.push('x');
            }),
            ("persona language", |r| {
                r.persona.as_mut().unwrap().language.push('x');
            }),
            ("previous code", |r| {
                r.previous.as_mut().unwrap().code.push('x');
            }),
            ("previous instructions", |r| {
                r.previous.as_mut().unwrap().instructions.push('x');
            }),
            ("variant", |r| r.options.as_mut().unwrap().variant.push('x')),
            ("repairs", |r| {
                r.options.as_mut().unwrap().max_repairs = Some(0);
            }),
        ];
        for (what, edit) in edits {
            let mut edited = request();
            edit(&mut edited);
            assert_ne!(canonical(&request()), canonical(&edited), "{what}");
            let is_routed_alike = routing_key(&request()) == routing_key(&edited);
            assert_eq!(is_routed_alike, what.starts_with("previous"), "{what}");
        }
    }
}
