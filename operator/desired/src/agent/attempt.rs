//! Attempts to synthesize, as the status records them: before the call, and after it. The back-off
//! lives from this, so it survives restarts.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use langop_api::{
    agent::{MAX_VALIDATION_ERRORS, SynthesisInfo, Tokens},
    condition::Reason,
};

use super::{
    decide::{is_disabled, is_same_question},
    validate::ValidatedAgent,
};

/// An attempt that gave no code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// [`Reason::SynthesisFailed`], [`Reason::SynthesisDisabled`] or [`Reason::ValidationFailed`].
    pub reason: Reason,
    /// For the condition: what went wrong, and for refused code the first finding with line and
    /// column.
    pub message: String,
    /// Why the code was refused: `line:column: message`.
    pub validation_errors: Vec<String>,
    /// What it cost.
    pub tokens: Tokens,
}

/// To be recorded before the call; `key` is the one by which its code will be known.
pub fn started(info: &SynthesisInfo, agent: &ValidatedAgent, key: Option<&str>) -> SynthesisInfo {
    let again = is_same_question(info, agent);
    let attempts = if again {
        info.synthesis_attempts.unwrap_or(0)
    } else {
        0
    };
    let mut next = SynthesisInfo {
        instructions_hash: agent
            .instructions
            .as_ref()
            .map(|instructions| instructions.hash.clone()),
        attempted_resynthesize: agent.resynthesize.clone(),
        synthesis_attempts: Some(attempts.saturating_add(1)),
        // Without it, an operator that dies during the call tries again at once.
        last_failure_time: None,
        attempt_key: key.map(str::to_owned),
        ..info.clone()
    };
    if !again {
        next.too_few_tokens = None;
        next.validation_errors.clear();
        // That synthesis is disabled is not about one question: an image that runs for want of code
        // goes on.
        next.last_failure_reason = info
            .last_failure_reason
            .clone()
            .filter(|_| is_disabled(info));
    }
    next
}

/// To be recorded of an attempt that no budget had tokens for: it was none. `too_few`: with so many
/// the question could not be asked.
pub fn unpaid(info: &SynthesisInfo, too_few: Option<i64>) -> SynthesisInfo {
    let attempts = info.synthesis_attempts.unwrap_or(0).saturating_sub(1);
    SynthesisInfo {
        synthesis_attempts: Some(attempts).filter(|attempts| *attempts > 0),
        attempt_key: None,
        too_few_tokens: too_few.or(info.too_few_tokens),
        ..info.clone()
    }
}

/// To be recorded after a call without code.
pub fn failed(info: &SynthesisInfo, failure: &Failed, now: Timestamp) -> SynthesisInfo {
    SynthesisInfo {
        synthesis_attempts: Some(info.synthesis_attempts.unwrap_or(0).max(1)),
        last_failure_time: Some(now.to_string()),
        last_failure_reason: Some(failure.reason.to_string()),
        validation_errors: failure
            .validation_errors
            .iter()
            .take(MAX_VALIDATION_ERRORS)
            .cloned()
            .collect(),
        tokens: sum(info.tokens, failure.tokens),
        ..info.clone()
    }
}

/// To be recorded after a call that gave code; `code_hash` is the code's.
pub fn succeeded(
    info: &SynthesisInfo,
    code_hash: &str,
    duration: Duration,
    tokens: Tokens,
) -> SynthesisInfo {
    let asked_for = info.attempted_resynthesize.clone();
    SynthesisInfo {
        code_hash: Some(code_hash.to_owned()),
        synthesis_duration: Some(format!("{:.1}s", duration.as_secs_f64())),
        resynthesized_for: asked_for.or_else(|| info.resynthesized_for.clone()),
        tokens: sum(info.tokens, tokens),
        ..settled(info)
    }
}

/// To be recorded of an answer to a question that nobody asks any more.
pub fn dropped(info: &SynthesisInfo, tokens: Tokens) -> SynthesisInfo {
    SynthesisInfo {
        tokens: sum(info.tokens, tokens),
        ..info.clone()
    }
}

/// No attempt is pending.
pub(super) fn settled(info: &SynthesisInfo) -> SynthesisInfo {
    SynthesisInfo {
        synthesis_attempts: None,
        last_failure_time: None,
        last_failure_reason: None,
        validation_errors: Vec::new(),
        attempt_key: None,
        too_few_tokens: None,
        ..info.clone()
    }
}

fn sum(before: Option<Tokens>, more: Tokens) -> Option<Tokens> {
    let before = before.unwrap_or_default();
    let sum = Tokens {
        input: before.input.saturating_add(more.input),
        output: before.output.saturating_add(more.output),
    };
    Some(sum).filter(|sum| *sum != Tokens::default())
}
