//! What an answer of the synthesizer is to an agent: code that may run, or why there is none. Pure;
//! the answer is stored elsewhere.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use langop_api::{agent::Tokens, condition::Reason};
use langop_desired::{
    agent::{attempt::Failed, code::NewCode},
    hash,
    observed::AvailableRefs,
};
use langop_dsl::{AgentDefinition, instructions};
use langop_proto::{
    limits,
    v1::{Diagnostic, Severity, SynthesisOutcome, SynthesizeResponse, Usage},
};
use langop_provenance::{Claim, Keyring, verify};

use crate::{
    error::{bounded, chain},
    synthesis::{
        failure::{Failure, FailureKind},
        provenance::told,
    },
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

/// What an answer is judged by.
pub(crate) struct Question<'a> {
    /// The agent's name.
    pub(crate) name: &'a str,
    pub(crate) instructions: String,
    pub(crate) offered: AvailableRefs,
    /// The keys one of which must have signed it, if there are any.
    pub(crate) keys: Option<Arc<Keyring>>,
}

/// Judges what the synthesizer said; `measured` is how long the call took, `now` when it ended.
pub(crate) fn judge(
    answer: Result<SynthesizeResponse, Failure>,
    question: Question<'_>,
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
    if let Err(why) = comes_from_the_synthesizer(&response, &question) {
        let message = bounded(&format!(
            "it is not shown that the answer comes from the synthesizer: {why}; the running code is unchanged"
        ));
        return Answer::Failed {
            failed: failed(Reason::ProvenanceRefused, message, tokens),
            retry_after: None,
            is_cost_known: true,
        };
    }
    match definition(&response, question.name) {
        Ok(definition) => {
            let duration = response
                .duration
                .and_then(|duration| Duration::try_from(duration).ok())
                .unwrap_or(measured);
            let new = NewCode {
                code: response.code,
                code_hash: response.code_hash,
                definition,
                instructions: question.instructions,
                offered: question.offered,
                model: name_of_model(&response.model),
                traceparent: traceparent(response.traceparent),
                synthesized_at: now,
                provenance: statement(response.provenance),
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

/// Whether one of the keys has signed that this code is for these instructions.
fn comes_from_the_synthesizer(
    response: &SynthesizeResponse,
    question: &Question<'_>,
) -> Result<(), String> {
    let Some(keys) = &question.keys else {
        return Ok(());
    };
    if response.provenance.is_empty() {
        return Err("it carries no statement: give the synthesizer LANGOP_SIGNING_KEY_FILE".into());
    }
    let claim = Claim {
        agent: question.name,
        code_hash: &hash::sha256_hex(response.code.as_bytes()),
        instructions_hash: &instructions::hash(&question.instructions),
    };
    match verify(&response.provenance, keys, &claim) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(told(&refusal)),
    }
}

/// As it may be in an annotation; what is no statement is none, whoever asks for it later.
fn statement(said: String) -> String {
    let is_one = langop_provenance::read(&said).is_ok();
    if is_one { said } else { String::new() }
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
    use langop_provenance::{Outcome, Predicate, SigningKey, Statement};

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
            Question {
                name: "a",
                instructions: "do it".into(),
                offered: AvailableRefs::default(),
                keys: None,
            },
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

    /// An Ed25519 key of 32 bytes 1, and one of 32 bytes 2, as PKCS#8 in PEM has them.
    const KEYS: [&str; 2] = [
        "MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
        "MC4CAQAwBQYDK2VwBCIEIAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC",
    ];

    fn key(number: usize) -> SigningKey {
        let label = "PRIVATE KEY";
        let pem = format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            KEYS[number]
        );
        SigningKey::from_pem(pem.as_bytes()).unwrap()
    }

    /// What the synthesizer states of code for agent 'a'.
    fn statement(code: &str, instructions: &str) -> Statement {
        let predicate = Predicate {
            agent: "a".into(),
            instructions_hash: hash::sha256_hex(instructions.as_bytes()),
            request_hash: String::new(),
            prompt_version: "1".into(),
            provider: "template".into(),
            model: "template".into(),
            outcome: Outcome::Generated,
            attempts: 1,
            validator_version: "0.1.0".into(),
            previous_code_hash: None,
            synthesized_at: Timestamp::UNIX_EPOCH,
        };
        Statement::new(&hash::sha256_hex(code.as_bytes()), "", predicate)
    }

    /// Of an answer with this statement, where the first key counts.
    fn judged_by_key(provenance: String) -> Answer {
        let pem = key(0).public_pem();
        let answer = SynthesizeResponse {
            provenance,
            ..response(CODE)
        };
        let question = Question {
            name: "a",
            instructions: "do it".into(),
            offered: AvailableRefs::default(),
            keys: Some(Arc::new(Keyring::from_pem(pem.as_bytes()).unwrap())),
        };
        judge(Ok(answer), question, Duration::ZERO, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn where_keys_count_only_signed_answers_are_code() {
        let envelope = key(0).sign(&statement(CODE, "do it"));
        let Answer::Made { new, .. } = judged_by_key(envelope.clone()) else {
            panic!("refused")
        };
        assert_eq!(new.provenance, envelope);
        for (provenance, expected) in [
            (String::new(), "LANGOP_SIGNING_KEY_FILE"),
            ("{}".into(), "not a DSSE envelope"),
            (
                key(1).sign(&statement(CODE, "do it")),
                "not among the public keys",
            ),
            (key(0).sign(&statement("older code", "do it")), "other code"),
            (
                key(0).sign(&statement(CODE, "do less")),
                "other instructions",
            ),
        ] {
            let failed = failure_of(judged_by_key(provenance));
            assert_eq!(failed.reason, Reason::ProvenanceRefused);
            assert!(failed.message.contains(expected), "{}", failed.message);
            assert_eq!((failed.tokens.input, failed.tokens.output), (7, 3));
        }
    }

    #[test]
    fn where_no_keys_count_a_statement_is_kept_and_what_is_none_is_not() {
        let envelope = key(1).sign(&statement("whatever", ""));
        for (said, kept) in [
            (envelope.as_str(), envelope.as_str()),
            ("{\u{1b}", ""),
            (&"x".repeat(1 << 20), ""),
        ] {
            let answer = SynthesizeResponse {
                provenance: said.into(),
                ..response(CODE)
            };
            match judged(Ok(answer)) {
                Answer::Made { new, .. } => assert_eq!(new.provenance, kept),
                other => panic!("{other:?}"),
            }
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
                allowed: None,
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
