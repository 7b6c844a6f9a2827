//! Answers as JSON: the fields of the .proto in camelCase, none left out; durations in seconds,
//! enums by their short names, the definition as the language crate writes it. Pure.

use langop_dsl::AgentDefinition;
use langop_proto::v1::{
    self, Diagnostic, DistillPersonaResponse, Severity, SynthesisOutcome, SynthesizeResponse,
    Usage, ValidateCodeResponse,
};
use serde_json::{Value, json};

/// An answer to `synthesize`.
pub(crate) fn synthesized(response: &SynthesizeResponse) -> Value {
    json!({
        "code": response.code,
        "codeHash": response.code_hash,
        "instructionsHash": response.instructions_hash,
        "requestHash": response.request_hash,
        "outcome": outcome(response.outcome()),
        "definition": definition(response.definition.as_ref()),
        "diagnostics": response.diagnostics.iter().map(diagnostic).collect::<Vec<_>>(),
        "usage": usage(response.usage),
        "model": response.model,
        "provider": response.provider,
        "attempts": response.attempts,
        "durationSeconds": response.duration.and_then(|duration| std::time::Duration::try_from(duration).ok()).map(|duration| duration.as_secs_f64()),
        "traceparent": response.traceparent,
        "refusedCode": response.refused_code,
        "provenance": response.provenance,
    })
}

/// An answer to `validate`.
pub(crate) fn validated(response: &ValidateCodeResponse) -> Value {
    json!({
        "valid": response.valid,
        "diagnostics": response.diagnostics.iter().map(diagnostic).collect::<Vec<_>>(),
        "definition": definition(response.definition.as_ref()),
    })
}

/// An answer to `distill`.
pub(crate) fn distilled(response: &DistillPersonaResponse) -> Value {
    json!({
        "distilledPrompt": response.distilled_prompt,
        "hash": response.hash,
        "usage": usage(response.usage),
        "model": response.model,
        "provider": response.provider,
        "outcome": outcome(response.outcome()),
    })
}

/// `null` where there is none, or one that this version cannot read.
fn definition(definition: Option<&v1::AgentDefinition>) -> Option<AgentDefinition> {
    definition.and_then(|definition| AgentDefinition::try_from(definition.clone()).ok())
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    json!({
        "severity": short(diagnostic.severity().as_str_name(), Severity::Unspecified.as_str_name()),
        "code": diagnostic.code,
        "message": diagnostic.message,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "length": diagnostic.length,
        "hint": diagnostic.hint,
    })
}

fn usage(usage: Option<Usage>) -> Value {
    let usage = usage.unwrap_or_default();
    json!({
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "cacheReadInputTokens": usage.cache_read_input_tokens,
        "cacheCreationInputTokens": usage.cache_creation_input_tokens,
    })
}

fn outcome(outcome: SynthesisOutcome) -> &'static str {
    short(
        outcome.as_str_name(),
        SynthesisOutcome::Unspecified.as_str_name(),
    )
}

/// An enum's name without the prefix that all of its names share, which ends where `unspecified`
/// does.
fn short(name: &'static str, unspecified: &'static str) -> &'static str {
    let prefix = unspecified.trim_end_matches("UNSPECIFIED");
    name.strip_prefix(prefix).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_there_under_its_name() {
        let response = SynthesizeResponse {
            outcome: SynthesisOutcome::Rejected.into(),
            diagnostics: vec![Diagnostic {
                severity: Severity::Warning.into(),
                line: 3,
                ..Diagnostic::default()
            }],
            duration: Some(prost_types::Duration {
                seconds: 1,
                nanos: 500_000_000,
            }),
            ..SynthesizeResponse::default()
        };
        let json = synthesized(&response);
        assert_eq!(
            (&json["outcome"], &json["durationSeconds"]),
            (&json!("REJECTED"), &json!(1.5))
        );
        assert_eq!(
            (
                &json["diagnostics"][0]["severity"],
                &json["diagnostics"][0]["line"]
            ),
            (&json!("WARNING"), &json!(3))
        );
        assert_eq!(
            (&json["definition"], &json["usage"]["inputTokens"]),
            (&Value::Null, &json!(0))
        );
    }

    #[test]
    fn the_definition_is_the_stored_one() {
        let definition = v1::AgentDefinition {
            name: "x".into(),
            objectives: vec!["one".into()],
            ..v1::AgentDefinition::default()
        };
        let json = validated(&ValidateCodeResponse {
            valid: true,
            diagnostics: vec![],
            definition: Some(definition),
        });
        assert_eq!(json["definition"]["objectives"], json!(["one"]));
    }
}
