//! Which stored code is the agent's: that which the operator itself has stored. Whoever may write
//! ConfigMaps could else have any code run.
//!
//! A ConfigMap says of itself what it is, and anybody may write that; the status only the operator
//! writes. So it keeps the hash and the number of each revision, and what is not among them is
//! nobody's code.
//!
//! Between the storing of code and its recording an operator may die, and what was paid for must
//! not be paid for again. Therefore the record of the attempt, which is written before the call,
//! names a key that the process made for itself, and stored code carries a signature by it: who
//! takes over finds the key in the status and knows the code as that attempt's. The key that signs
//! is never written anywhere, so it signs nothing else, and it counts for as long as the attempt is
//! open only.
//!
//! An agent of before there was a record gets one once, of all that has the right form.

use std::sync::Arc;

use langop_api::agent::{MAX_STORED_REVISIONS, StoredRevision, SynthesisInfo};

use super::{ObservedAgent, code::next_revision};
use crate::observed::{CodeState, Observed, ObservedState};

/// Revisions that stay known although their ConfigMaps are gone: they may be put back from a
/// backup.
const KEPT: usize = 16;

/// Leaves of the observed code only what is known, with its number, and puts what is known from now
/// on into the record. `is_attested` says whether the open attempt stored that code.
pub fn recognise(
    observed: &mut ObservedAgent,
    info: &mut SynthesisInfo,
    is_attested: impl Fn(&Observed, &str) -> bool,
) {
    let adopts = info.revisions.is_empty() && info.revision.is_some();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for stored in std::mem::take(&mut observed.revisions) {
        let Some(state) = state(&stored) else {
            continue;
        };
        let number = state.content.as_deref().and_then(|content| {
            if let Some(number) = number_of(info, content) {
                Some(number)
            } else if adopts {
                Some(state.revision)
            } else if is_open(info) && is_attested(&stored, content) {
                Some(next_revision(&known, info))
            } else {
                None
            }
        });
        match number {
            Some(number) => known.push(numbered(stored, number)),
            None => unknown.push(state.revision),
        }
    }
    for stored in &known {
        let is_new = content(stored).is_some_and(|content| number_of(info, content).is_none());
        if is_new {
            record(info, &known, stored, super::code::revision(stored));
        }
    }
    observed.revisions = known;
    observed.unknown_revisions = unknown;
}

/// Whether an attempt is under way, or was when the operator died.
pub(super) fn is_open(info: &SynthesisInfo) -> bool {
    info.synthesis_attempts > Some(0) && info.last_failure_time.is_none()
}

/// Records that stored code has this number from now on. `revisions` is what is stored.
pub fn record(
    info: &mut SynthesisInfo,
    revisions: &[Arc<Observed>],
    stored: &Observed,
    revision: i64,
) {
    if let Some(content) = content(stored) {
        record_content(info, revisions, content, revision);
    }
}

/// The same by the hash of the content.
pub fn record_content(
    info: &mut SynthesisInfo,
    revisions: &[Arc<Observed>],
    hash: &str,
    revision: i64,
) {
    let hash = hash.to_owned();
    info.revisions.retain(|known| known.hash != hash);
    info.revisions.push(StoredRevision { revision, hash });
    info.revisions
        .sort_by_key(|known| std::cmp::Reverse(known.revision));
    let is_stored = |hash: &str| revisions.iter().any(|code| content(code) == Some(hash));
    let mut nth = 0;
    info.revisions.retain(|known| {
        nth += 1;
        nth <= KEPT || is_stored(&known.hash)
    });
    info.revisions.truncate(MAX_STORED_REVISIONS);
}

/// The number that the record has for stored code.
pub fn recorded(info: &SynthesisInfo, stored: &Observed) -> Option<i64> {
    number_of(info, content(stored)?)
}

fn number_of(info: &SynthesisInfo, content: &str) -> Option<i64> {
    let known = info.revisions.iter().find(|known| known.hash == content)?;
    Some(known.revision)
}

fn state(stored: &Observed) -> Option<&CodeState> {
    match &stored.state {
        ObservedState::Code(state) => Some(state),
        _ => None,
    }
}

fn content(stored: &Observed) -> Option<&str> {
    state(stored)?.content.as_deref()
}

/// With the number of the record, whatever its annotation says.
fn numbered(stored: Arc<Observed>, revision: i64) -> Arc<Observed> {
    match &stored.state {
        ObservedState::Code(state) if state.revision != revision => Arc::new(Observed {
            state: ObservedState::Code(Box::new(CodeState {
                revision,
                ..(**state).clone()
            })),
            ..(*stored).clone()
        }),
        _ => stored,
    }
}
