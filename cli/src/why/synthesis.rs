//! Whether words became code, and personas their snapshot; and whether the code is one that runs.

use langop_api::{
    LanguageAgentStatus,
    condition::{Reason, types},
};
use langop_desired::{conditions, observed::Observed};

use super::{
    advice,
    facts::AgentFacts,
    finding::{Advice, Finding, Outcome, State},
};
use crate::facts::{Read, Subject};

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
    let stop =
        |state, advice| Outcome::Stopped(Finding::new(state, subject.title(), message, advice));
    match Reason::from_name(&synthesized.reason) {
        Some(Reason::SynthesisStarted | Reason::WaitingForReferences) => {
            stop(State::Waiting, Vec::new())
        }
        Some(Reason::SynthesisFailed) => {
            stop(State::Failing, advice::of_synthesis(message, subject))
        }
        Some(Reason::SynthesisDisabled) => stop(State::Failing, advice::of_disabled(subject)),
        Some(Reason::NoInstructions) => {
            Outcome::fine("there are no instructions: its own image does the work")
        }
        // The next check speaks of code that is there.
        _ => Outcome::fine("the synthesizer has answered"),
    }
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
    let advice = match Reason::from_name(&synthesized.reason)? {
        Reason::ValidationFailed => vec![
            advice::edit("Say it in other words, or more exactly", subject),
            advice::again("Or have it written anew", subject),
        ],
        Reason::RevisionNotFound | Reason::RevisionUnknown => vec![
            advice::langop("See which revisions there are", "revisions", subject),
            advice::langop("Or go back to the newest", "unpin", subject),
        ],
        Reason::ProvenanceRefused => vec![
            advice::langop(
                "If a revision is pinned, go back to the newest",
                "unpin",
                subject,
            ),
            Advice::say(
                "Else have an administrator compare the key of the synthesizer (LANGOP_SIGNING_KEY_FILE) with those of the operator (LANGOP_PROVENANCE_KEYS)",
            ),
        ],
        _ => return None,
    };
    let mut finding = Finding::new(
        State::Failing,
        subject.title(),
        &synthesized.message,
        advice,
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
    let (state, advice) = match Reason::from_name(&ready.reason) {
        Some(Reason::DistillationFailed) => {
            (State::Failing, advice::of_distillation(&ready.message))
        }
        Some(Reason::SynthesisDisabled) => (State::Failing, advice::of_no_synthesizer()),
        Some(Reason::Distilling) => (State::Waiting, Vec::new()),
        _ => return Outcome::fine("the synthesizer has answered"),
    };
    Outcome::Stopped(Finding::new(state, subject.title(), &ready.message, advice))
}
