//! The object itself: whether it can be read, whether an operator has looked at it, and whether its
//! spec can be carried out.

use jiff::Timestamp;
use langop_api::condition::{Reason, types};

use super::{
    advice,
    finding::{Finding, State},
};
use crate::facts::Subject;

/// An operator that runs has looked at an object by then, in seconds.
const SOON: i64 = 30;

/// Reasons that only a change of the spec, or of what an administrator allows, ends.
const OF_SPEC: [Reason; 14] = [
    Reason::ApprovalUnsupported,
    Reason::EgressDenied,
    Reason::InvalidSpec,
    Reason::NameConflict,
    Reason::NothingToRun,
    Reason::PodNotAllowed,
    Reason::PortConflict,
    Reason::Rejected,
    Reason::TemperatureBesideTopP,
    Reason::TooLarge,
    Reason::Undecodable,
    Reason::WorkspaceConflict,
    Reason::WorkspaceKept,
    Reason::WorkspaceShrinkRefused,
];

/// What is wrong with it, if anything.
pub(crate) fn fault(subject: &Subject, now: Timestamp) -> Option<Finding> {
    deleting(subject)
        .or_else(|| undecodable(subject))
        .or_else(|| unseen(subject, now))
        .or_else(|| invalid(subject))
}

fn deleting(subject: &Subject) -> Option<Finding> {
    if !subject.is_deleting {
        return None;
    }
    let message = match &subject.finalizers[..] {
        [] => "it is being deleted".to_owned(),
        finalizers => format!(
            "it is being deleted, and waits for {}",
            finalizers.join(", ")
        ),
    };
    Some(Finding::new(
        State::Waiting,
        subject.title(),
        message,
        Vec::new(),
    ))
}

fn undecodable(subject: &Subject) -> Option<Finding> {
    let why = subject.unreadable.as_ref()?;
    Some(Finding::new(
        State::Failing,
        subject.title(),
        format!("it cannot be read: {why}"),
        advice::of(Reason::Undecodable, why, subject),
    ))
}

fn unseen(subject: &Subject, now: Timestamp) -> Option<Finding> {
    let age = subject
        .created
        .map(|created| now.as_second() - created.as_second());
    let (state, message) = match subject.observed_generation {
        Some(seen) if subject.generation.is_none_or(|latest| seen >= latest) => return None,
        Some(_) => (
            State::Waiting,
            "the operator has not looked at its latest change yet",
        ),
        None if age.is_some_and(|age| age < SOON) => {
            (State::Waiting, "no operator has looked at it yet")
        }
        None => (State::Failing, "no operator has looked at it yet"),
    };
    Some(Finding::new(
        state,
        subject.title(),
        message,
        advice::look_for_operator(subject),
    ))
}

fn invalid(subject: &Subject) -> Option<Finding> {
    let ready = subject
        .condition(types::READY)
        .filter(|ready| ready.status != "True")?;
    let reason = Reason::from_name(&ready.reason).filter(|reason| OF_SPEC.contains(reason))?;
    Some(Finding::new(
        State::Failing,
        subject.title(),
        ready.message.clone(),
        advice::of(reason, &ready.message, subject),
    ))
}
