//! What is told of where stored code comes from. What the operator's keys say of it was asked when
//! it was observed.

use langop_api::condition::Reason;

use super::ObservedAgent;
use crate::observed::{CodeState, Observed, ObservedState, Verdict};

/// What the keys say of stored code, by the same ConfigMap as it is observed now; `None`: there are
/// no keys.
pub(super) fn verdict(observed: &ObservedAgent, code: &Observed) -> Option<Verdict> {
    let mut revisions = observed.revisions.iter();
    let now = revisions.find(|stored| stored.uid == code.uid);
    let state: &CodeState = match &now.map_or(code, |now| &**now).state {
        ObservedState::Code(state) => state,
        _ => return None,
    };
    Some(state.origin.as_ref()?.verdict.clone())
}

/// Why a statement does not count.
pub(super) fn fault(verdict: &Verdict) -> (Reason, String) {
    match verdict {
        Verdict::Refused { why } => (Reason::ProvenanceRefused, why.to_string()),
        Verdict::Missing | Verdict::Signed { .. } => (
            Reason::ProvenanceMissing,
            "it carries no statement of where it comes from".to_owned(),
        ),
    }
}

/// Why a pinned revision is not run.
pub(super) fn refused(observed: &ObservedAgent, code: &Observed) -> String {
    let revision = super::code::revision(code);
    let why = match verdict(observed, code) {
        Some(verdict) => fault(&verdict).1,
        None => "it is not known where it comes from".to_owned(),
    };
    format!(
        "revision {revision} is not run: {why}; correct spec.synthesis.revision or remove it, or give the operator the key that signed it"
    )
}
