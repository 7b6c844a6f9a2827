//! What an answer of the synthesizer is to an agent: code that may run, or why there is none. Pure;
//! the answer is stored elsewhere.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use langop_api::{agent::Tokens, condition::Reason};
use langop_desired::{
    agent::{attempt::Failed, code::NewCode},
    hash,
    observed::AvailableRefs,
};
use langop_dsl::AgentDefinition;
use langop_proto::{
    limits,
    v1::{Diagnostic, Severity, SynthesisOutcome, SynthesizeResponse, Usage},
};

use crate::{
    error::{bounded, chain},
    synthesis::failure::{Failure, FailureKind},
};

/// Findings named in a condition; status.synthesisInfo.validationErrors has more.
const NAMED_FINDINGS: usize = 3;

/// Longest name of a model that is recorded, in bytes.
const MAX_MODEL_NAME: usize = 128;

/// What a call came to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Code that may run.
    Made {
        new: Box<NewCode>,
        duration: Duration,
        tokens: Tokens,
    },
    /// None. `retry_after`: the synthesizer asks to be left alone for so long.
    Failed {
        failed: Failed,
        retry_after: Option<Duration>,
        /// Whether its tokens are certainly all that it has cost.
        is_cost_known: bool,
    },
    /// The question was not asked, because a budget has too little for it. `too_few`: with so many
    /// tokens it cannot be.
    Unpaid {
        too_few: Option<i64>,
        tokens: Tokens,
    },
}

impl Answer {
    /// What it cost.
    pub(crate) fn tokens(&self) -> Tokens {
        match self {
            Self::Made { tokens, .. } | Self::Unpaid { tokens, .. } => *tokens,
            Self::Failed { failed, .. } => failed.tokens,
        }
    }

    /// What it cost in all; `None`: nobody knows.
    pub(crate) fn cost(&self) -> Option<i64> {
        let Tokens { input, output } = self.tokens();
        let is_known = match self {
            Self::Made { .. } | Self::Unpaid { .. } => true,
            Self::Failed { is_cost_known, .. } => *is_cost_known,
        };
        is_known.then(|| input.saturating_add(output))
    }
}

/// Judges what the synthesizer said; `name` is the agent's, `measured` how long the call took,
/// `now` when it ended.
pub(crate) fn judge(
    answer: Result<SynthesizeResponse, Failure>,
    name: &str,
    instructions: String,
    offered: AvailableRefs,
    measured: Duration,
    now: Timestamp,
) -> Answer {
    let response = match answer {
        Ok(response) => response,
        Err(failure) => return refused(failure),
    };
    let tokens = tokens(response.usage.unwrap_or_default());
    if response.outcome() == SynthesisOutcome::Rejected {
        return Answer::Failed {
            failed: rejected(&response.diagnostics, tokens),
            retry_after: None,
            is_cost_known: true,
        };
    }
    match definition(&response, name) {
        Ok(definition) => {
            let duration = response
                .duration
                .and_then(|duration| Duration::try_from(duration).ok())
                .unwrap_or(measured);
            let new = NewCode {
                code: response.code,
                code_hash: response.code_hash,
                definition,
                instructions,
                offered,
                model: name_of_model(&response.model),
                traceparent: traceparent(response.traceparent),
                synthesized_at: now,
            };
            Answer::Made {
                new: Box::new(new),
                duration,
                tokens,
            }
        }
        Err(why) => {
            let message = bounded(&format!("the synthesizer's answer cannot be used: {why}"));
            Answer::Failed {
                failed: failed(Reason::SynthesisFailed, message, tokens),
                retry_after: None,
                is_cost_known: true,
            }
        }
    }
}

/// As it may be in an annotation, a column, an event.
fn name_of_model(said: &str) -> String {
    let mut name: String = said.chars().filter(|c| !c.is_control()).collect();
    name.truncate(name.floor_char_boundary(MAX_MODEL_NAME));
    name
}

/// Of the form that W3C gives it; what is not connects to nothing.
fn traceparent(said: String) -> String {
    let is_one = said.len() == 55
        && said
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    if is_one { said } else { String::new() }
}

/// The checked definition, if the answer is whole.
fn definition(response: &SynthesizeResponse, name: &str) -> Result<AgentDefinition, String> {
    let code_hash = hash::sha256_hex(response.code.as_bytes());
    if response.code.is_empty() || response.code.len() > limits::CODE {
        return Err(format!(
            "its code has {} bytes, not 1 to {}",
            response.code.len(),
            limits::CODE
        ));
    }
    if code_hash != response.code_hash {
        return Err("its code does not have the hash it names".to_owned());
    }
    let definition = response.definition.clone().ok_or("it has no definition")?;
    let definition = AgentDefinition::try_from(definition).map_err(|error| chain(&error))?;
    if definition.name != name {
        return Err(format!("it is for an agent '{}'", definition.name));
    }
    // The definition is what is trusted; code that says exactly it, and nothing that only others
    // would read in it, is its rendering.
    if langop_dsl::render(&definition) != response.code {
        return Err(
            "its code is not what its definition says; run a synthesizer of the operator's version"
                .to_owned(),
        );
    }
    Ok(definition)
}

fn refused(failure: Failure) -> Answer {
    let reason = match failure.kind {
        FailureKind::Disabled => Reason::SynthesisDisabled,
        FailureKind::TooFewTokens | FailureKind::Exhausted => Reason::BudgetExhausted,
        FailureKind::Suspended => Reason::Suspended,
        FailureKind::Retryable | FailureKind::Invalid => Reason::SynthesisFailed,
    };
    let (input, output) = failure.tokens;
    Answer::Failed {
        failed: failed(reason, failure.message, Tokens { input, output }),
        retry_after: failure.retry_after,
        is_cost_known: failure.is_cost_known,
    }
}

fn rejected(diagnostics: &[Diagnostic], tokens: Tokens) -> Failed {
    let errors: Vec<String> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity() == Severity::Error)
        .map(|diagnostic| bounded(&line(diagnostic)))
        .collect();
    let told = match errors.len() {
        0 => "the synthesizer gives no reason".to_owned(),
        number if number > NAMED_FINDINGS => {
            format!(
                "{}; and {} more",
                errors[..NAMED_FINDINGS].join("; "),
                number - NAMED_FINDINGS
            )
        }
        _ => errors.join("; "),
    };
    let message = bounded(&format!(
        "the generated code is invalid; the running code is unchanged: {told}"
    ));
    Failed {
        validation_errors: errors,
        ..failed(Reason::ValidationFailed, message, tokens)
    }
}

/// `line:column: message (hint)`.
fn line(diagnostic: &Diagnostic) -> String {
    let Diagnostic {
        line,
        column,
        message,
        hint,
        ..
    } = diagnostic;
    let hint = if hint.is_empty() {
        String::new()
    } else {
        format!(" ({hint})")
    };
    format!("{line}:{column}: {message}{hint}")
}

pub(crate) fn failed(reason: Reason, message: String, tokens: Tokens) -> Failed {
    Failed {
        reason,
        message,
        validation_errors: Vec::new(),
        tokens,
    }
}

fn tokens(usage: Usage) -> Tokens {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Tokens {
        input: number(usage.input_tokens),
        output: number(usage.output_tokens),
    }
}

#[cfg(test)]
mod tests {
    use langop_proto::v1;

    use super::*;

    const CODE: &str = "require 'language_operator'\n\nagent 'a' do\nend\n";

    fn response(code: &str) -> SynthesizeResponse {
        let code_hash = hash::sha256_hex(code.as_bytes());
        SynthesizeResponse {
            code: code.into(),
            code_hash,
            outcome: SynthesisOutcome::Generated.into(),
            definition: Some(v1::AgentDefinition {
                name: "a".into(),
                ..v1::AgentDefinition::default()
            }),
            usage: Some(Usage {
                input_tokens: 7,
                output_tokens: 3,
                ..Usage::default()
            }),
            ..SynthesizeResponse::default()
        }
    }

    fn judged(answer: Result<SynthesizeResponse, Failure>) -> Answer {
        judge(
            answer,
            "a",
            "do it".into(),
            AvailableRefs::default(),
            Duration::from_secs(2),
            Timestamp::UNIX_EPOCH,
        )
    }

    fn failure_of(answer: Answer) -> Failed {
        match answer {
            Answer::Failed { failed, .. } => failed,
            Answer::Made { .. } | Answer::Unpaid { .. } => {
                panic!("code was made, or not asked for")
            }
        }
    }

    #[test]
    fn whole_answers_become_code() {
        let Answer::Made {
            new,
            duration,
            tokens,
        } = judged(Ok(response(CODE)))
        else {
            panic!("no code")
        };
        assert_eq!(
            (new.code.as_str(), new.instructions.as_str()),
            (CODE, "do it")
        );
        assert_eq!(
            (duration, tokens),
            (
                Duration::from_secs(2),
                Tokens {
                    input: 7,
                    output: 3
                }
            )
        );
    }

    #[test]
    fn answers_that_are_not_whole_are_refused() {
        let edits: [(&str, fn(&mut SynthesizeResponse)); 8] = [
            ("hash", |r| r.code_hash.push('0')),
            ("definition", |r| r.definition = None),
            ("'b'", |r| r.definition.as_mut().unwrap().name = "b".into()),
            ("0 bytes", |r| r.code.clear()),
            ("bytes", |r| r.code = "x".repeat(limits::CODE + 1)),
            ("is not what its definition says", |r| {
                *r = response(&format!("# said beside it\n{CODE}"));
            }),
            ("is not what its definition says", |r| {
                r.definition.as_mut().unwrap().objectives = vec!["x".into()];
            }),
            ("is not what its definition says", |r| {
                *r = response(&CODE.replace('\'', "\""));
            }),
        ];
        for (expected, edit) in edits {
            let mut broken = response(CODE);
            edit(&mut broken);
            let failed = failure_of(judged(Ok(broken)));
            assert_eq!(failed.reason, Reason::SynthesisFailed);
            assert!(failed.message.contains(expected), "{}", failed.message);
        }
    }

    #[test]
    fn what_is_recorded_beside_the_code_is_short_and_clean() {
        let made = |model: &str, traceparent: &str| {
            let answer = SynthesizeResponse {
                model: model.into(),
                traceparent: traceparent.into(),
                ..response(CODE)
            };
            match judged(Ok(answer)) {
                Answer::Made { new, .. } => (new.model, new.traceparent),
                other => panic!("{other:?}"),
            }
        };
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(made("gpt-5", parent), ("gpt-5".into(), parent.into()));
        assert_eq!(made("a\u{1b}\nb", "x"), ("ab".into(), String::new()));
        let long = "m".repeat(1 << 20);
        assert_eq!(made(&long, &long), ("m".repeat(128), String::new()));
    }

    #[test]
    fn refused_code_is_told_with_line_and_column() {
        let error = |line, message: &str| Diagnostic {
            severity: Severity::Error.into(),
            line,
            column: 3,
            message: message.into(),
            hint: "use a step".into(),
            ..Diagnostic::default()
        };
        let warning = Diagnostic {
            severity: Severity::Warning.into(),
            ..Diagnostic::default()
        };
        let answer = SynthesizeResponse {
            outcome: SynthesisOutcome::Rejected.into(),
            diagnostics: vec![
                warning,
                error(2, "unknown method"),
                error(3, "b"),
                error(4, "c"),
                error(5, "d"),
            ],
            ..SynthesizeResponse::default()
        };
        let failed = failure_of(judged(Ok(answer)));
        assert_eq!(failed.reason, Reason::ValidationFailed);
        assert!(
            failed
                .message
                .contains("2:3: unknown method (use a step); 3:3: b"),
            "{}",
            failed.message
        );
        assert!(failed.message.ends_with("and 1 more"), "{}", failed.message);
        assert_eq!(failed.validation_errors.len(), 4);
    }

    #[test]
    fn failures_keep_their_kind() {
        for (kind, reason) in [
            (FailureKind::Retryable, Reason::SynthesisFailed),
            (FailureKind::Invalid, Reason::SynthesisFailed),
            (FailureKind::Disabled, Reason::SynthesisDisabled),
        ] {
            let failure = Failure {
                kind,
                message: "why".into(),
                retry_after: None,
                tokens: (1, 2),
                is_cost_known: true,
            };
            let failed = failure_of(judged(Err(failure)));
            assert_eq!(
                (failed.reason, failed.tokens),
                (
                    reason,
                    Tokens {
                        input: 1,
                        output: 2
                    }
                )
            );
        }
    }
}
