//! The last resort: what the operator or others say of an object that is not Ready, where no check
//! before it has found why.

use langop_api::condition::types;

use super::{
    facts::Children,
    finding::{Finding, Outcome, State},
};
use crate::facts::{Read, Subject};

/// Never lets an object pass that is not Ready.
pub(crate) fn check(subject: &Subject, children: &Children) -> Outcome {
    let newest = children.warnings.got().and_then(|warnings| warnings.last());
    let Some(ready) = subject.condition(types::READY) else {
        return Outcome::Stopped(Finding::new(
            State::Waiting,
            subject.title(),
            "nothing is known of it yet",
            Vec::new(),
        ));
    };
    if ready.status == "True" {
        return match &children.warnings {
            Read::Denied(said) => Outcome::unknown(said),
            Read::Got(_) => Outcome::fine("nothing is left to explain"),
        };
    }
    let state = if subject.is(types::STALLED) {
        State::Failing
    } else {
        State::Waiting
    };
    let mut finding = Finding::new(state, subject.title(), &ready.message, Vec::new());
    if let Some(warning) = newest.filter(|warning| warning.message != ready.message) {
        finding.also.push(format!(
            "event {} of {} '{}': {}",
            warning.reason, warning.kind, warning.name, warning.message
        ));
    }
    Outcome::Stopped(finding)
}
