//! Whether a request can succeed at all: sizes, names, counts. Pure; each finding names the field
//! by its path.

use std::collections::HashSet;

use langop_proto::{
    limits,
    v1::{
        AgentRef, DistillPersonaRequest, Model, Persona, PreviousCode, SynthesizeRequest, Tool,
        ToolOperation, ValidateCodeRequest,
    },
};
use prost::Message as _;
use tonic_types::FieldViolation;

use crate::error::SynthesisError;

/// Checks a `SynthesizeRequest`, whose agent was taken out, against the limits of the .proto, and of
/// all that reaches the prompt against `longest_prompt`, in bytes.
pub fn check_synthesize(
    agent: &AgentRef,
    request: &SynthesizeRequest,
    longest_prompt: usize,
) -> Result<(), SynthesisError> {
    let mut findings = Findings::default();
    let bytes = request.encoded_len();
    if bytes > longest_prompt {
        findings.add(
            "tools",
            format!(
                "{bytes} bytes would reach the prompt and LANGOP_MAX_PROMPT_BYTES is {longest_prompt}; name fewer tools, or shorten their \
                 operations"
            ),
        );
    }
    findings.agent(agent);
    findings.required("instructions", &request.instructions);
    findings.size("instructions", &request.instructions, limits::INSTRUCTIONS);
    check_tools(&request.tools, &mut findings);
    check_models(&request.models, &mut findings);
    if let Some(persona) = &request.persona {
        check_persona(persona, &mut findings);
    }
    if let Some(previous) = &request.previous {
        check_previous(previous, &mut findings);
    }
    if let Some(options) = &request.options {
        findings.size("options.variant", &options.variant, limits::SHORT_TEXT);
        if options
            .max_repairs
            .is_some_and(|repairs| repairs > limits::REPAIRS)
        {
            findings.add(
                "options.max_repairs",
                format!("write 0 to {}", limits::REPAIRS),
            );
        }
    }
    findings.finish()
}

/// Checks a `DistillPersonaRequest` and gives its persona.
pub fn check_distill(request: DistillPersonaRequest) -> Result<Persona, SynthesisError> {
    let mut findings = Findings::default();
    let persona = request.persona.unwrap_or_default();
    check_persona(&persona, &mut findings);
    if persona.description.trim().is_empty() && persona.system_prompt.trim().is_empty() {
        findings.add(
            "persona",
            "write a description or a system prompt".to_owned(),
        );
    }
    findings.finish().map(|()| persona)
}

/// Checks what surrounds the code; the code itself, its size included, gets diagnostics.
pub fn check_validate(request: &ValidateCodeRequest) -> Result<(), SynthesisError> {
    let mut findings = Findings::default();
    check_tools(&request.tools, &mut findings);
    check_models(&request.models, &mut findings);
    findings.finish()
}

fn check_tools(tools: &[Tool], findings: &mut Findings) {
    findings.count("tools", tools.len());
    let mut seen = HashSet::new();
    for (index, tool) in tools.iter().enumerate() {
        let path = format!("tools[{index}]");
        findings.name(&format!("{path}.name"), &tool.name, &mut seen);
        findings.size(
            &format!("{path}.description"),
            &tool.description,
            limits::DESCRIPTION,
        );
        findings.count(&format!("{path}.operations"), tool.operations.len());
        check_operations(&path, &tool.operations, findings);
    }
}

fn check_operations(path: &str, operations: &[ToolOperation], findings: &mut Findings) {
    let mut seen = HashSet::new();
    for (index, operation) in operations.iter().enumerate() {
        let path = format!("{path}.operations[{index}]");
        findings.name(&format!("{path}.name"), &operation.name, &mut seen);
        findings.size(
            &format!("{path}.description"),
            &operation.description,
            limits::DESCRIPTION,
        );
        let schema = format!("{path}.input_schema");
        findings.size(&schema, &operation.input_schema, limits::INPUT_SCHEMA);
        let is_object =
            || serde_json::from_str::<serde_json::Map<_, _>>(&operation.input_schema).is_ok();
        if !operation.input_schema.is_empty() && !is_object() {
            findings.add(&schema, "write a JSON Schema: a JSON object".to_owned());
        }
    }
}

fn check_models(models: &[Model], findings: &mut Findings) {
    findings.count("models", models.len());
    let mut seen = HashSet::new();
    for (index, model) in models.iter().enumerate() {
        findings.name(&format!("models[{index}].name"), &model.name, &mut seen);
        findings.size(
            &format!("models[{index}].model"),
            &model.model,
            limits::SHORT_TEXT,
        );
    }
}

fn check_persona(persona: &Persona, findings: &mut Findings) {
    findings.size("persona.name", &persona.name, limits::SHORT_TEXT);
    findings.size(
        "persona.description",
        &persona.description,
        limits::DESCRIPTION,
    );
    findings.size(
        "persona.system_prompt",
        &persona.system_prompt,
        limits::SYSTEM_PROMPT,
    );
    findings.size("persona.tone", &persona.tone, limits::SHORT_TEXT);
    findings.size("persona.language", &persona.language, limits::SHORT_TEXT);
}

fn check_previous(previous: &PreviousCode, findings: &mut Findings) {
    findings.size("previous.code", &previous.code, limits::CODE);
    findings.size(
        "previous.instructions",
        &previous.instructions,
        limits::INSTRUCTIONS,
    );
}

#[derive(Default)]
struct Findings(Vec<FieldViolation>);

impl Findings {
    fn add(&mut self, field: &str, description: String) {
        self.0.push(FieldViolation::new(field, description));
    }

    fn agent(&mut self, agent: &AgentRef) {
        if let Err(error) = langop_dsl::agent_name(&agent.name) {
            self.add("agent.name", error.to_string());
        }
        self.size("agent.namespace", &agent.namespace, limits::SHORT_TEXT);
    }

    fn required(&mut self, field: &str, text: &str) {
        if text.trim().is_empty() {
            self.add(field, "is required and must not be empty".to_owned());
        }
    }

    fn size(&mut self, field: &str, text: &str, limit: usize) {
        if text.len() > limit {
            self.add(
                field,
                format!("has {} bytes; write at most {limit}", text.len()),
            );
        }
    }

    fn count(&mut self, field: &str, count: usize) {
        if count > limits::ITEMS {
            self.add(
                field,
                format!("has {count} entries; write at most {}", limits::ITEMS),
            );
        }
    }

    fn name<'a>(&mut self, field: &str, name: &'a str, seen: &mut HashSet<&'a str>) {
        self.required(field, name);
        self.size(field, name, limits::SHORT_TEXT);
        if name.chars().any(char::is_control) {
            self.add(field, "must not hold control characters".to_owned());
        }
        if !name.is_empty() && !seen.insert(name) {
            self.add(field, "appears twice; names are unique".to_owned());
        }
    }

    fn finish(self) -> Result<(), SynthesisError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(SynthesisError::Invalid(self.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use langop_proto::v1::SynthesizeOptions;

    fn request() -> SynthesizeRequest {
        SynthesizeRequest {
            agent: Some(AgentRef {
                name: "a".to_owned(),
                namespace: String::new(),
            }),
            instructions: "x".repeat(limits::INSTRUCTIONS),
            tools: vec![Tool {
                name: "email".to_owned(),
                operations: vec![ToolOperation {
                    name: "send".to_owned(),
                    input_schema: "{}".to_owned(),
                    ..ToolOperation::default()
                }],
                ..Tool::default()
            }],
            models: vec![Model {
                name: "claude".to_owned(),
                model: String::new(),
            }],
            ..SynthesizeRequest::default()
        }
    }

    #[test]
    fn each_finding_names_its_field() {
        let check = |mut request: SynthesizeRequest, longest| {
            let agent = request.agent.take().unwrap_or_default();
            check_synthesize(&agent, &request, longest)
        };
        assert!(check(request(), limits::MESSAGE).is_ok());
        let Err(SynthesisError::Invalid(violations)) = check(request(), 1000) else {
            panic!("a long prompt accepted")
        };
        assert_eq!(violations[0].field, "tools");
        let edits: [(&str, fn(&mut SynthesizeRequest)); 14] = [
            ("agent.name", |r| r.agent = None),
            ("agent.name", |r| {
                r.agent.as_mut().unwrap().name = "a'; system('x')".to_owned();
            }),
            ("agent.namespace", |r| {
                r.agent.as_mut().unwrap().namespace = "n".repeat(257);
            }),
            ("instructions", |r| r.instructions = " \n".to_owned()),
            ("instructions", |r| r.instructions.push('x')),
            ("tools", |r| {
                r.tools = (0..65)
                    .map(|i| Tool {
                        name: format!("t{i}"),
                        ..Tool::default()
                    })
                    .collect();
            }),
            ("tools[1].name", |r| r.tools.push(r.tools[0].clone())),
            ("tools[0].name", |r| r.tools[0].name = "a\nb".to_owned()),
            ("tools[0].operations[0].input_schema", |r| {
                r.tools[0].operations[0].input_schema = "[]".to_owned();
            }),
            ("tools[0].description", |r| {
                r.tools[0].description = "x".repeat(limits::DESCRIPTION + 1);
            }),
            ("models[0].name", |r| r.models[0].name = String::new()),
            ("persona.system_prompt", |r| {
                r.persona = Some(Persona {
                    system_prompt: "x".repeat(limits::SYSTEM_PROMPT + 1),
                    ..Persona::default()
                });
            }),
            ("previous.code", |r| {
                r.previous = Some(PreviousCode {
                    code: "x".repeat(limits::CODE + 1),
                    instructions: String::new(),
                });
            }),
            ("options.max_repairs", |r| {
                r.options = Some(SynthesizeOptions {
                    variant: String::new(),
                    max_repairs: Some(3),
                    max_tokens: None,
                });
            }),
        ];
        for (field, edit) in edits {
            let mut edited = request();
            edit(&mut edited);
            let Err(SynthesisError::Invalid(violations)) = check(edited, limits::MESSAGE) else {
                panic!("{field} accepted")
            };
            assert_eq!(violations[0].field, field);
        }
    }

    #[test]
    fn a_persona_without_text_cannot_be_distilled() {
        let persona = Persona {
            name: "p".to_owned(),
            tone: "dry".to_owned(),
            ..Persona::default()
        };
        assert!(
            check_distill(DistillPersonaRequest {
                persona: Some(persona.clone()),
                max_tokens: None,
            })
            .is_err()
        );
        let described = Persona {
            description: "d".to_owned(),
            ..persona
        };
        assert!(
            check_distill(DistillPersonaRequest {
                persona: Some(described),
                max_tokens: None,
            })
            .is_ok()
        );
    }
}
