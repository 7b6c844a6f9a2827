//! The condition Provenance: whether it is shown where the code comes from. Present exactly where
//! the operator has keys and there is code, or an answer that was refused.

use langop_api::condition::{Reason, types};

use super::{condition::of_attempt, input::StatusInput};
use crate::{
    agent::{decide::Decision, origin},
    conditions::{Conditions, Status},
    observed::{Observed, Verdict},
};

/// Characters of a key's id that are told.
const SHORT: usize = 12;

type Told = (Status, Reason, String);

/// Whether the code that runs, or the code that should, is shown to come from the synthesizer.
pub(super) fn provenance(conditions: &mut Conditions, input: &StatusInput<'_>) {
    let told = match input.decision {
        Decision::Invalid | Decision::ReferencesUnreadable => {
            return conditions.keep(types::PROVENANCE);
        }
        Decision::RevisionRefused { code } => {
            let message = origin::refused(input.observed, code);
            Some((Status::False, Reason::ProvenanceRefused, message))
        }
        _ => answer_refused(input).or_else(|| of_active(input, input.running()?)),
    };
    if let Some((status, reason, message)) = told {
        conditions.set(types::PROVENANCE, status, reason, message);
    }
}

/// The last answer was refused for where it comes from, and is asked for again.
fn answer_refused(input: &StatusInput<'_>) -> Option<Told> {
    let is_awaited = matches!(
        input.decision,
        Decision::Synthesize { .. } | Decision::Waiting { .. } | Decision::BackingOff { .. }
    );
    let last = input.info.last_failure_reason.as_deref();
    let is_refused = last == Some(Reason::ProvenanceRefused.as_str());
    (is_awaited && is_refused).then(|| {
        let (reason, message) = of_attempt(input);
        (Status::False, reason, message)
    })
}

fn of_active(input: &StatusInput<'_>, code: &Observed) -> Option<Told> {
    let revision = input.revision_of(code);
    let verdict = origin::verdict(input.observed, code)?;
    if let Verdict::Signed { key_id } = &verdict {
        let key: String = key_id.chars().take(SHORT).collect();
        let message = format!(
            "revision {revision} is as the synthesizer made it from its instructions, signed by key {key}"
        );
        return Some((Status::True, Reason::ProvenanceVerified, message));
    }
    let (reason, why) = origin::fault(&verdict);
    let message = format!(
        "revision {revision} was active already, and runs on: {why}; a new value of the annotation langop.io/resynthesize asks for code that is signed"
    );
    Some((Status::False, reason, message))
}
