//! Whether words became code, and personas their snapshot; and whether the code is one that runs.

use langop_api::{
    LanguageAgentStatus,
    condition::{Reason, types},
};
use langop_desired::{conditions, observed::Observed};

use super::{
    advice,
    facts::AgentFacts,
    finding::{Finding, Outcome, State},
};
use crate::facts::{Read, Subject};

/// Reasons why code that there is, or that is asked for, does not run.
const OF_CODE: [Reason; 4] = [
    Reason::ProvenanceRefused,
    Reason::RevisionNotFound,
    Reason::RevisionUnknown,
    Reason::ValidationFailed,
];

/// Whether an answer came.
pub(crate) fn check(facts: &AgentFacts) -> Outcome {
    let subject = &facts.subject;
    let Some(synthesized) = subject.condition(types::SYNTHESIZED) else {
        return Outcome::fine("nothing is known of it yet");
    };
    let message = &synthesized.message;
    if synthesized.status == "True" || subject.is(types::READY) {
        return Outcome::fine(message);
    }
    let (state, reason) = match Reason::from_name(&synthesized.reason) {
        Some(
            reason @ (Reason::SynthesisStarted
            | Reason::WaitingForReferences
            | Reason::BudgetExhausted),
        ) => (State::Waiting, reason),
        Some(reason @ (Reason::SynthesisFailed | Reason::SynthesisDisabled)) => {
            (State::Failing, reason)
        }
        Some(Reason::NoInstructions) => {
            return Outcome::fine("there are no instructions: its own image does the work");
        }
        // The next check speaks of code that is there.
        _ => return Outcome::fine("the synthesizer has answered"),
    };
    Outcome::Stopped(Finding::new(
        state,
        subject.title(),
        message,
        advice::of(reason, message, subject),
    ))
}

/// Whether the code is valid, known and there.
pub(crate) fn of_code(facts: &AgentFacts) -> Outcome {
    let subject = &facts.subject;
    let status = facts.agent.as_ref().and_then(|agent| agent.status.clone());
    let status = status.unwrap_or_default();
    if let Some(finding) = unusable(subject, &status) {
        return Outcome::Stopped(finding);
    }
    let Some(revision) = status.synthesis_info.and_then(|info| info.revision) else {
        return Outcome::fine("it has none");
    };
    match &facts.children.revisions {
        Read::Denied(said) => Outcome::unknown(said),
        Read::Got(stored) if stored.iter().any(is_usable) => {
            let stale = subject
                .condition(types::CODE_STALE)
                .filter(|stale| stale.status == "True");
            Outcome::fine(match stale {
                Some(stale) => format!("revision {revision}; {}", stale.message),
                None => format!("revision {revision}"),
            })
        }
        Read::Got(_) => Outcome::Stopped(Finding::new(
            State::Waiting,
            subject.title(),
            format!("the ConfigMap of revision {revision} is gone, and is made anew"),
            Vec::new(),
        )),
    }
}

fn is_usable(code: &Observed) -> bool {
    !code.deleting
}

fn unusable(subject: &Subject, status: &LanguageAgentStatus) -> Option<Finding> {
    let synthesized = subject
        .condition(types::SYNTHESIZED)
        .filter(|synthesized| synthesized.status != "True" && !subject.is(types::READY))?;
    let reason =
        Reason::from_name(&synthesized.reason).filter(|reason| OF_CODE.contains(reason))?;
    let mut finding = Finding::new(
        State::Failing,
        subject.title(),
        &synthesized.message,
        advice::of(reason, &synthesized.message, subject),
    );
    let info = status.synthesis_info.as_ref();
    let errors = info.map(|info| info.validation_errors.clone());
    finding.also = errors.unwrap_or_default();
    finding
        .also
        .retain(|error| !synthesized.message.contains(error));
    Some(finding)
}

/// Whether a persona has its snapshot.
pub(crate) fn distillation(subject: &Subject) -> Outcome {
    let Some(ready) = conditions::find(&subject.conditions, types::READY) else {
        return Outcome::fine("nothing is known of it yet");
    };
    if ready.status == "True" {
        return Outcome::fine(&ready.message);
    }
    let (state, reason) = match Reason::from_name(&ready.reason) {
        Some(reason @ (Reason::DistillationFailed | Reason::SynthesisDisabled)) => {
            (State::Failing, reason)
        }
        Some(reason @ (Reason::Distilling | Reason::BudgetExhausted)) => (State::Waiting, reason),
        _ => return Outcome::fine("the synthesizer has answered"),
    };
    Outcome::Stopped(Finding::new(
        state,
        subject.title(),
        &ready.message,
        advice::of(reason, &ready.message, subject),
    ))
}
