//! Whether to synthesize: a chain of small pure checks, the first that answers wins. The order of
//! the checks is the table of the design; each has a test.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use langop_api::{agent::SynthesisInfo, condition::Reason};

use super::{
    build::Workload,
    code::{self, ActiveCode},
    known,
    validate::ValidatedAgent,
};
use crate::{
    backoff::{self, Backoff},
    ledger::Exhausted,
    observed::{CodeState, Observed},
};

/// A call that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Hash of the instructions it was made for.
    pub instructions_hash: String,
    /// The value of the annotation it was made for.
    pub resynthesize: Option<String>,
}

impl InFlight {
    /// A call for the agent as it is now.
    pub fn of(agent: &ValidatedAgent) -> Self {
        Self {
            instructions_hash: agent
                .instructions
                .as_ref()
                .map(|instructions| instructions.hash.clone())
                .unwrap_or_default(),
            resynthesize: agent.resynthesize.clone(),
        }
    }

    /// What it asks, in one text: another one is another question.
    pub fn question(&self) -> String {
        let resynthesize = self.resynthesize.as_deref().unwrap_or_default();
        format!("{} {resynthesize}", self.instructions_hash)
    }

    /// Whether its answer still is one to the agent's question; else it is to be dropped.
    pub fn is_wanted(&self, agent: &ValidatedAgent) -> bool {
        agent
            .instructions
            .as_ref()
            .is_some_and(|instructions| instructions.hash == self.instructions_hash)
    }
}

/// Why code is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is none yet.
    NoCode,
    /// There was, and its ConfigMap is gone.
    CodeLost,
    /// It was made from other instructions.
    InstructionsChanged,
    /// Somebody asks for it.
    Resynthesize,
}

impl Cause {
    /// Why there is no code that could run.
    pub fn of_lack(info: &SynthesisInfo) -> Self {
        match info.revision {
            Some(_) => Self::CodeLost,
            None => Self::NoCode,
        }
    }

    /// For conditions and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCode => "there is no code yet",
            Self::CodeLost => "the ConfigMap of the code is gone",
            Self::InstructionsChanged => "the instructions changed",
            Self::Resynthesize => "the annotation langop.io/resynthesize asks for it",
        }
    }
}

/// What to do about the code. `current` is the code that runs meanwhile.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields are said above or by their type")]
pub enum Decision {
    /// The spec cannot be carried out: nothing is made and nothing changes.
    Invalid,
    /// Something that the agent refers to is there and cannot be read: nothing is made and nothing
    /// changes, its policy included.
    ReferencesUnreadable,
    /// This code is the right one.
    Run { code: Arc<Observed> },
    /// This stored code was made from these instructions: it gets the next revision and runs.
    Activate { code: Arc<Observed> },
    /// Code is to be made. `variant` asks for another answer to the same question.
    Synthesize {
        cause: Cause,
        variant: Option<String>,
        current: Option<Arc<Observed>>,
    },
    /// A call is under way.
    Waiting { current: Option<Arc<Observed>> },
    /// The last attempt failed; the next is due then.
    BackingOff {
        due: Timestamp,
        current: Option<Arc<Observed>>,
    },
    /// Code is to be made, and not before the namespace goes on: a suspended one spends nothing.
    Suspended { current: Option<Arc<Observed>> },
    /// Code is to be made, and a budget has no tokens for it.
    BudgetExhausted {
        exhausted: Exhausted,
        current: Option<Arc<Observed>>,
    },
    /// No code yet, and not before every reference exists.
    WaitForReferences,
    /// The pinned revision is not stored.
    RevisionNotFound(i64),
    /// The pinned revision is stored, and it is not shown where it comes from.
    RevisionRefused { code: Arc<Observed> },
    /// No instructions: the agent's own image runs without code.
    NoCode,
    /// Neither instructions nor an image.
    NothingToRun,
}

impl Decision {
    /// The code that runs after this decision.
    pub fn code(&self) -> Option<&Arc<Observed>> {
        match self {
            Self::Run { code } | Self::Activate { code } => Some(code),
            Self::Synthesize { current, .. }
            | Self::Waiting { current }
            | Self::Suspended { current }
            | Self::BudgetExhausted { current, .. }
            | Self::BackingOff { current, .. } => current.as_ref(),
            Self::Invalid
            | Self::ReferencesUnreadable
            | Self::WaitForReferences
            | Self::RevisionNotFound(_)
            | Self::RevisionRefused { .. }
            | Self::NoCode
            | Self::NothingToRun => None,
        }
    }

    /// What becomes of the workload.
    pub fn workload(&self, agent: &ValidatedAgent, info: &SynthesisInfo) -> Workload {
        match self {
            Self::Invalid
            | Self::ReferencesUnreadable
            | Self::RevisionNotFound(_)
            | Self::RevisionRefused { .. }
            | Self::NothingToRun => Workload::Keep,
            Self::NoCode => Workload::Run(None),
            _ => match self.code().and_then(ActiveCode::of) {
                Some(code) => Workload::Run(Some(code)),
                // Where no code can be made, an image of the agent's own does the work alone.
                None if agent.own_image.is_some() && is_disabled(info) => Workload::Run(None),
                None => Workload::Keep,
            },
        }
    }
}

/// Whether the last attempt was refused because synthesis is disabled.
pub fn is_disabled(info: &SynthesisInfo) -> bool {
    info.last_failure_reason.as_deref() == Some(Reason::SynthesisDisabled.as_str())
}

/// Whether the last attempt was about what is asked now.
pub fn is_same_question(info: &SynthesisInfo, agent: &ValidatedAgent) -> bool {
    let instructions = agent.instructions.as_ref();
    let hash = instructions.map(|instructions| instructions.hash.as_str());
    info.instructions_hash.as_deref() == hash && info.attempted_resynthesize == agent.resynthesize
}

struct Input<'a> {
    agent: &'a ValidatedAgent,
    info: &'a SynthesisInfo,
    revisions: &'a [Arc<Observed>],
    /// The code that is active (see [`code::active`]).
    current: Option<(&'a Arc<Observed>, &'a CodeState)>,
    in_flight: Option<&'a InFlight>,
    synthesizer_changed: bool,
    backoff: &'a Backoff,
    now: Timestamp,
}

impl Input<'_> {
    fn current(&self) -> Option<Arc<Observed>> {
        self.current.map(|(code, _)| code.clone())
    }

    fn instructions_hash(&self) -> Option<&str> {
        self.agent
            .instructions
            .as_ref()
            .map(|instructions| instructions.hash.as_str())
    }

    /// Whether the last attempt was about what is asked now.
    fn is_last_question(&self) -> bool {
        is_same_question(self.info, self.agent)
    }

    /// Whether the answer to it was stored by an operator that died before it could record that:
    /// then there is code of these instructions that is newer than the record, which knows of no
    /// end of the attempt.
    fn is_answered(&self) -> bool {
        let info = self.info;
        known::is_open(info)
            && self.is_last_question()
            && self.current.is_some_and(|(_, state)| {
                Some(state.revision) > info.revision
                    && Some(state.instructions_hash.as_str()) == self.instructions_hash()
            })
    }
}

type Check = fn(&Input<'_>) -> Option<Decision>;

/// In this order.
const CHECKS: [Check; 9] = [
    invalid,
    unreadable,
    pinned,
    no_instructions,
    in_flight,
    backing_off,
    references_missing,
    resynthesize,
    instructions_changed,
];

/// Decides. `synthesizer_changed`: its endpoints changed since the last attempt, which ends the
/// back-off after a permanent refusal.
pub fn decide(
    agent: &ValidatedAgent,
    info: &SynthesisInfo,
    revisions: &[Arc<Observed>],
    in_flight: Option<&InFlight>,
    synthesizer_changed: bool,
    backoff: &Backoff,
    now: Timestamp,
) -> Decision {
    let current = code::active(revisions, info);
    let input = Input {
        agent,
        info,
        revisions,
        current,
        in_flight,
        synthesizer_changed,
        backoff,
        now,
    };
    let decision = CHECKS
        .iter()
        .find_map(|check| check(&input))
        .unwrap_or_else(|| otherwise(&input));
    match decision {
        Decision::Synthesize { current, .. } if agent.suspended_by.is_some() => {
            Decision::Suspended { current }
        }
        decision => decision,
    }
}

fn invalid(input: &Input<'_>) -> Option<Decision> {
    input.agent.run.is_err().then_some(Decision::Invalid)
}

fn unreadable(input: &Input<'_>) -> Option<Decision> {
    let references = &input.agent.references;
    references
        .unreadable
        .then_some(Decision::ReferencesUnreadable)
}

fn pinned(input: &Input<'_>) -> Option<Decision> {
    let revision = input.agent.pinned?;
    let stored = code::usable(input.revisions).find(|(_, state)| state.revision == revision);
    Some(match stored {
        Some((code, state)) if code::may_run(state, input.info) => {
            Decision::Run { code: code.clone() }
        }
        Some((code, _)) => Decision::RevisionRefused { code: code.clone() },
        None => Decision::RevisionNotFound(revision),
    })
}

fn no_instructions(input: &Input<'_>) -> Option<Decision> {
    match (&input.agent.instructions, &input.agent.own_image) {
        (Some(_), _) => None,
        (None, Some(_)) => Some(Decision::NoCode),
        (None, None) => Some(Decision::NothingToRun),
    }
}

fn in_flight(input: &Input<'_>) -> Option<Decision> {
    input.in_flight.map(|_| Decision::Waiting {
        current: input.current(),
    })
}

fn backing_off(input: &Input<'_>) -> Option<Decision> {
    let info = input.info;
    let attempts = info.synthesis_attempts.filter(|attempts| *attempts > 0)?;
    // Without a time of failure the operator died during the call: it is due at once.
    let failed: Timestamp = info.last_failure_time.as_deref()?.parse().ok()?;
    // A time that has not come was told by another clock, and waiting for it may take for ever.
    if !input.is_last_question() || failed > input.now {
        return None;
    }
    let uid = &input.agent.owner.uid;
    let delay = match (is_disabled(info), input.synthesizer_changed) {
        (true, true) => return None,
        (true, false) => input.backoff.longest(uid, attempts),
        (false, _) => input.backoff.delay(uid, attempts),
    };
    let due = backoff::due(failed, delay);
    // Code of these very instructions may have come from elsewhere: then there is nothing to wait
    // for.
    (input.now < due && wants_code(input)).then(|| Decision::BackingOff {
        due,
        current: input.current(),
    })
}

/// Whether, but for the back-off, code would be made.
fn wants_code(input: &Input<'_>) -> bool {
    let later: [Check; 2] = [resynthesize, instructions_changed];
    let decision = later
        .iter()
        .find_map(|check| check(input))
        .unwrap_or_else(|| otherwise(input));
    matches!(decision, Decision::Synthesize { .. })
}

fn references_missing(input: &Input<'_>) -> Option<Decision> {
    let incomplete = !input.agent.references.unresolved.is_empty();
    (incomplete && input.current.is_none()).then_some(Decision::WaitForReferences)
}

fn resynthesize(input: &Input<'_>) -> Option<Decision> {
    let value = input.agent.resynthesize.as_ref()?;
    let is_obeyed = input.info.resynthesized_for.as_ref() == Some(value) || input.is_answered();
    (!is_obeyed).then(|| Decision::Synthesize {
        cause: Cause::Resynthesize,
        variant: Some(value.clone()),
        current: input.current(),
    })
}

fn instructions_changed(input: &Input<'_>) -> Option<Decision> {
    let hash = input.instructions_hash()?;
    // Of code that is gone, the record tells. Older code of the same instructions is not what ran.
    let before = match input.current {
        Some((_, state)) => state.instructions_hash.as_str(),
        None => input.info.instructions_hash.as_deref()?,
    };
    if before == hash {
        return None;
    }
    let same = code::usable(input.revisions)
        .filter(|(_, state)| state.instructions_hash == hash && state.is_trusted());
    match (code::newest(same), input.current()) {
        (Some((code, _)), _) => Some(Decision::Activate { code: code.clone() }),
        (None, Some(current)) => Some(Decision::Synthesize {
            cause: Cause::InstructionsChanged,
            variant: None,
            current: Some(current),
        }),
        (None, None) => None,
    }
}

/// No code at all, or not what ran: make it. Else nothing: tools, models and persona change what
/// the code is given, not the code.
fn otherwise(input: &Input<'_>) -> Decision {
    match input.current() {
        Some(code) => Decision::Run { code },
        None => Decision::Synthesize {
            cause: Cause::of_lack(input.info),
            // An answer that somebody asked to have replaced is not to come back.
            variant: input.info.resynthesized_for.clone(),
            current: None,
        },
    }
}
