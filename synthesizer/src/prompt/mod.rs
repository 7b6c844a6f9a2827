//! What the LLM is asked. Pure text; the agent's name and namespace never get in.
//!
//! The fixed part is `system.md`, the language reference. The variable part is data from the
//! request, each piece between tags that no content can close (see `fence`). A request must be in
//! the form of [`normalise`] first, so that equal keys give equal prompts.

mod fence;
pub mod persona;

use std::{borrow::Cow, fmt::Write as _, sync::LazyLock};

use langop_proto::{
    routing,
    v1::{Diagnostic, Model, Persona, PreviousCode, SynthesizeRequest, Tool},
};
use serde_json::{Value, json};

use fence::Piece;
use langop_dsl::{hash::sha256_hex, secrets};

/// The name every agent has until it leaves the pipeline.
pub const PLACEHOLDER: &str = "agent";

/// The fixed part: the language reference with worked examples.
pub const SYSTEM: &str = include_str!("system.md");

/// Raised when [`user`] or [`repair`] say the same things in another way; the text of `system.md`
/// counts by itself.
const FORMAT: &str = "2";

/// Longest code that is sent back for repair, in bytes; what is longer is no sloppy agent but no
/// agent.
const MAX_REPAIRED_CODE: usize = 32 * 1024;

/// Names this prompt in keys, spans and logs: 12 hex digits that change with its text.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| version_of(SYSTEM));
    &VERSION
}

fn version_of(fixed_part: &str) -> String {
    sha256_hex(format!("{FORMAT}\n{fixed_part}").as_bytes())[..12].to_owned()
}

/// Brings a request into the one form that prompt and key are made from: line ends as LF, tools and
/// models by name, the previous code under the placeholder, and no secret in any text.
pub fn normalise(mut request: SynthesizeRequest) -> SynthesizeRequest {
    request.instructions = masked(&routing::normalise(&request.instructions));
    for tool in &mut request.tools {
        tool.description = masked(&tool.description);
        for operation in &mut tool.operations {
            operation.description = masked(&operation.description);
            operation.input_schema = masked(&operation.input_schema);
        }
    }
    if let Some(options) = &mut request.options {
        options.variant = masked(&options.variant);
    }
    request.persona = request.persona.map(normalise_persona);
    request.tools.sort_by(|a, b| a.name.cmp(&b.name));
    request.models.sort_by(|a, b| a.name.cmp(&b.name));
    request.previous = request.previous.as_ref().and_then(normalise_previous);
    request
}

/// A persona without a secret in any of its texts.
pub fn normalise_persona(persona: Persona) -> Persona {
    Persona {
        description: masked(&persona.description),
        system_prompt: masked(&persona.system_prompt),
        ..persona
    }
}

fn masked(text: &str) -> String {
    secrets::mask(text).into_owned()
}

/// Code that cannot be renamed is no code to keep anything of, and would carry the agent's name
/// into the prompt.
fn normalise_previous(previous: &PreviousCode) -> Option<PreviousCode> {
    let code = langop_dsl::rename(&routing::normalise(&previous.code), PLACEHOLDER).ok()?;
    Some(PreviousCode {
        code: masked(&code),
        instructions: masked(&routing::normalise(&previous.instructions)),
    })
}

/// The variable part.
pub fn user(request: &SynthesizeRequest) -> String {
    let mut pieces = vec![
        Piece::new("tools", list(&request.tools, tool)),
        Piece::new("models", list(&request.models, model)),
    ];
    if let Some(persona) = &request.persona {
        pieces.push(Piece::new("persona", persona_json(persona)));
    }
    if let Some(previous) = &request.previous {
        pieces.push(Piece::new(
            "previous-instructions",
            previous.instructions.as_str(),
        ));
        pieces.push(Piece::new("previous-code", previous.code.as_str()));
    }
    pieces.push(Piece::new("instructions", request.instructions.as_str()));
    if let Some(options) = &request.options
        && !options.variant.is_empty()
    {
        // As JSON, so that a label of many lines stays one.
        pieces.push(Piece::new("variant", json!(options.variant).to_string()));
    }
    let mut prompt = fence::message(&pieces);
    prompt.push_str("Write the agent.\n");
    prompt
}

/// An answer without our own words: who repeats the fixed part does not mean its examples.
pub fn without_echo(answer: &str) -> Cow<'_, str> {
    if answer.contains(SYSTEM.trim_end()) {
        answer.replace(SYSTEM.trim_end(), "").into()
    } else {
        answer.into()
    }
}

/// What stands for an invalid answer in the conversation: its code alone, so that prose cannot grow
/// from turn to turn.
pub fn own_answer(code: Option<&str>) -> String {
    match code {
        Some(code) if code.len() <= MAX_REPAIRED_CODE => fence::markdown(code),
        Some(_) => "(code that is too long to repeat)\n".to_owned(),
        None => "(an answer without code)\n".to_owned(),
    }
}

/// Asks for a correction. Findings quote the answer, which may quote the request, so they are data,
/// too.
pub fn repair(findings: &[Diagnostic]) -> String {
    let mut text = String::new();
    for Diagnostic {
        line,
        column,
        message,
        hint,
        ..
    } in findings
    {
        text.push_str("- ");
        if *line > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "line {line}, column {column}: ");
        }
        text.push_str(message);
        if !hint.is_empty() {
            let _ = write!(text, " ({hint})");
        }
        text.push('\n');
    }
    let mut prompt = fence::message(&[Piece::new("findings", text)]);
    prompt.push_str(
        "The checker refuses this agent. Answer with the whole corrected agent in one ```ruby fence and nothing else.\n",
    );
    prompt
}

/// One entry per line: easy to read, and stable.
fn list<T>(items: &[T], entry: impl Fn(&T) -> Value) -> String {
    let lines: Vec<String> = items.iter().map(|item| entry(item).to_string()).collect();
    format!("[{}]", lines.join(",\n "))
}

fn tool(tool: &Tool) -> Value {
    let operations: Vec<Value> = tool
        .operations
        .iter()
        .map(|operation| {
            let schema: Value = serde_json::from_str(&operation.input_schema).unwrap_or(Value::Null);
            json!({"name": operation.name, "description": operation.description, "inputSchema": schema})
        })
        .collect();
    json!({"name": tool.name, "description": tool.description, "operations": operations})
}

fn model(model: &Model) -> Value {
    json!({"name": model.name, "model": model.model})
}

fn persona_json(persona: &Persona) -> String {
    json!({
        "name": persona.name,
        "description": persona.description,
        "systemPrompt": persona.system_prompt,
        "tone": persona.tone,
        "language": persona.language,
    })
    .to_string()
}

#[cfg(test)]
mod tests;
