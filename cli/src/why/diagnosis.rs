//! From the checks of a walk to the answer.

use super::finding::{Check, Diagnosis, Finding, State};
use crate::facts::Subject;

/// How the object is as a whole: as the walk's end says, else fine, unless something on the way
/// could not be read.
pub(crate) fn diagnosis(subject: &Subject, checks: Vec<Check>, end: Option<Finding>) -> Diagnosis {
    let state = end.as_ref().map_or(State::Fine, |finding| finding.state);
    let (cause, also, advice) = match end {
        Some(Finding {
            cause,
            also,
            advice,
            ..
        }) => (Some(cause), also, advice),
        None => (None, Vec::new(), Vec::new()),
    };
    Diagnosis {
        kind: subject.kind,
        namespace: subject.namespace.clone(),
        name: subject.name.clone(),
        state,
        phase: subject.phase.clone(),
        checks,
        cause,
        also,
        advice,
    }
}
