//! The conditions that only agents have: references, code, and whether the two still fit.

use langop_api::{
    condition::{Reason, types},
    names::annotations,
};

use super::input::StatusInput;
use crate::{
    agent::{
        approval::Verdict,
        build::WorkloadAction,
        code::{self, ActiveCode},
        decide::{Cause, Decision},
        origin, stale,
        validate::ValidatedAgent,
    },
    conditions::{self, Conditions, Status},
    observed::Observed,
};

/// Whether every reference can be used.
pub(super) fn references(conditions: &mut Conditions, agent: &ValidatedAgent) {
    let references = &agent.references;
    let (status, reason, message) = if !references.unresolved.is_empty() {
        (
            Status::False,
            Reason::ReferenceNotFound,
            references.unresolved.join("; "),
        )
    } else if references.is_empty() {
        (
            Status::True,
            Reason::NoReferences,
            "nothing is referenced".to_owned(),
        )
    } else {
        (
            Status::True,
            Reason::AllResolved,
            "every reference exists".to_owned(),
        )
    };
    conditions.set(
        types::REFERENCES_RESOLVED,
        status,
        reason,
        message + &sidecar_egress(agent),
    );
}

/// A sidecar shares the agent's network: what it may reach, the agent may reach.
fn sidecar_egress(agent: &ValidatedAgent) -> String {
    if agent.sidecar_egress.is_empty() {
        return String::new();
    }
    let names: Vec<String> = agent
        .sidecar_egress
        .iter()
        .map(|name| format!("'{name}'"))
        .collect();
    format!(
        "; the agent's network policy includes the egress of the sidecar tools {}",
        names.join(", ")
    )
}

/// There only while a budget keeps code from being made.
pub(super) fn budget(conditions: &mut Conditions, input: &StatusInput<'_>) {
    if let Decision::BudgetExhausted { exhausted, .. } = input.decision {
        conditions.set(
            types::BUDGET_EXHAUSTED,
            Status::True,
            Reason::BudgetExhausted,
            exhausted.message.clone(),
        );
    }
}

/// Whether the active code was made from the instructions now in spec.
pub(super) fn synthesized(conditions: &mut Conditions, input: &StatusInput<'_>) {
    let (status, reason, message) = match input.decision {
        Decision::Invalid | Decision::ReferencesUnreadable => {
            return conditions.keep(types::SYNTHESIZED);
        }
        Decision::Run { code } | Decision::Activate { code } if input.approval.is_held() => {
            of_held(input, code)
        }
        Decision::Run { code } | Decision::Activate { code } => of_active(input, code),
        Decision::Synthesize { .. } | Decision::Waiting { .. } | Decision::BackingOff { .. } => {
            let (reason, message) = of_attempt(input);
            (Status::False, reason, message)
        }
        Decision::WaitForReferences => {
            let missing = input.agent.references.unresolved.join("; ");
            let message = format!("waits for its references: {missing}");
            (Status::False, Reason::WaitingForReferences, message)
        }
        Decision::RevisionNotFound(revision) => {
            let (reason, message) = not_found(input, *revision);
            (Status::False, reason, message)
        }
        Decision::Suspended { .. } => {
            let message = "no code is synthesized while the LanguageCluster suspends the namespace"
                .to_owned();
            (Status::False, Reason::Suspended, message)
        }
        Decision::BudgetExhausted { exhausted, .. } => {
            let message = exhausted.message.clone();
            (Status::False, Reason::BudgetExhausted, message)
        }
        Decision::RevisionRefused { code } => (
            Status::False,
            Reason::ProvenanceRefused,
            origin::refused(input.observed, code),
        ),
        Decision::NoCode | Decision::NothingToRun => {
            let message = "there are no instructions to synthesize code from".to_owned();
            (Status::False, Reason::NoInstructions, message)
        }
    };
    conditions.set(types::SYNTHESIZED, status, reason, message);
}

/// Of code that is the right one and does not run.
fn of_held(input: &StatusInput<'_>, code: &Observed) -> (Status, Reason, String) {
    let revision = input.revision_of(code);
    match input.agent.pinned {
        Some(_) => (
            Status::False,
            Reason::ApprovalRequired,
            format!("revision {revision}, pinned by spec.synthesis.revision, is not active yet"),
        ),
        None => (
            Status::True,
            Reason::SynthesisSucceeded,
            format!("revision {revision} is synthesized from these instructions"),
        ),
    }
}

fn of_active(input: &StatusInput<'_>, active: &Observed) -> (Status, Reason, String) {
    let revision = input.revision_of(active);
    let made_from = active.annotations.get(annotations::INSTRUCTIONS_HASH);
    let present = input
        .agent
        .instructions
        .as_ref()
        .map(|instructions| instructions.hash.as_str());
    if input.agent.pinned.is_some() {
        return if made_from.is_some() && made_from == present {
            (
                Status::True,
                Reason::RevisionActivated,
                format!("revision {revision} runs, as spec.synthesis.revision says"),
            )
        } else {
            let message = format!(
                "revision {revision} is active, pinned by spec.synthesis.revision; it was synthesized from other instructions"
            );
            (Status::False, Reason::RevisionActivated, message)
        };
    }
    let before = conditions::find(&input.previous.conditions, types::SYNTHESIZED);
    let same_revision = input
        .previous
        .synthesis_info
        .as_ref()
        .and_then(|info| info.revision)
        == Some(revision);
    let was_activated = same_revision
        && before.is_some_and(|before| before.reason == Reason::RevisionActivated.as_str());
    if matches!(input.decision, Decision::Activate { .. }) || was_activated {
        let message =
            format!("revision {revision} runs: stored code of these instructions, active again");
        (Status::True, Reason::RevisionActivated, message)
    } else {
        (
            Status::True,
            Reason::SynthesisSucceeded,
            format!("revision {revision} is active, synthesized from these instructions"),
        )
    }
}

/// Of an attempt that is under way, failed or due. What went wrong last stays told while it is
/// tried again.
pub(super) fn of_attempt(input: &StatusInput<'_>) -> (Reason, String) {
    let last = input.info.last_failure_reason.as_deref();
    let Some(reason) = Reason::ALL
        .iter()
        .copied()
        .find(|reason| Some(reason.as_str()) == last)
    else {
        let cause = match input.decision {
            Decision::Synthesize { cause, .. } => *cause,
            _ => cause_again(input),
        };
        return (
            Reason::SynthesisStarted,
            format!("synthesizing: {}", cause.as_str()),
        );
    };
    let before = conditions::find(&input.previous.conditions, types::SYNTHESIZED)
        .filter(|before| before.reason == reason.as_str());
    let message = match (input.failure, before) {
        (Some(failure), _) => failure.to_owned(),
        (None, Some(before)) => before.message.clone(),
        (None, None) => "the last attempt failed; it is tried again".to_owned(),
    };
    (reason, message)
}

/// Why the call that is under way was made, so that the message does not change while it lasts.
fn cause_again(input: &StatusInput<'_>) -> Cause {
    let asked = input.agent.resynthesize.is_some()
        && input.agent.resynthesize != input.info.resynthesized_for;
    match (asked, input.decision.code()) {
        (true, _) => Cause::Resynthesize,
        (false, Some(_)) => Cause::InstructionsChanged,
        (false, None) => Cause::of_lack(input.info),
    }
}

pub(super) fn not_found(input: &StatusInput<'_>, revision: i64) -> (Reason, String) {
    if input.observed.unknown_revisions.contains(&revision) {
        let message = format!(
            "revision {revision} is claimed by a ConfigMap that this operator did not store, and is not run: correct spec.synthesis.revision or remove it"
        );
        return (Reason::RevisionUnknown, message);
    }
    let mut stored: Vec<i64> = code::usable(&input.observed.revisions)
        .map(|(_, state)| state.revision)
        .collect();
    stored.sort_unstable();
    let stored = match &stored[..] {
        [] => "none is".to_owned(),
        stored => format!(
            "stored: {}",
            stored
                .iter()
                .map(i64::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    let message = format!(
        "revision {revision} is not stored ({stored}): correct spec.synthesis.revision or remove it"
    );
    (Reason::RevisionNotFound, message)
}

/// Present exactly when there is code that could be stale. Of a workload that stays as it is,
/// nothing new is known.
pub(super) fn code_stale(conditions: &mut Conditions, input: &StatusInput<'_>) {
    let Some(code) = input.running().and_then(ActiveCode::of) else {
        if input.report.action == WorkloadAction::Keep {
            conditions.keep(types::CODE_STALE);
        }
        return;
    };
    let unchanged = "the code was synthesized with these references";
    let (status, reason, message) = stale::message(&code, &input.agent.references).map_or_else(
        || {
            (
                Status::False,
                Reason::ReferencesUnchanged,
                unchanged.to_owned(),
            )
        },
        |message| (Status::True, Reason::ReferencesChanged, message),
    );
    conditions.set(types::CODE_STALE, status, reason, message);
}

/// Whether a person has agreed; only where approval is in use.
pub(super) fn approved(conditions: &mut Conditions, input: &StatusInput<'_>) {
    let (status, reason, message) = match &input.approval.verdict {
        Verdict::NotInUse => return,
        Verdict::Nothing | Verdict::Faulty(_) => return conditions.keep(types::APPROVED),
        Verdict::Free => (
            Status::True,
            Reason::NoNewPowers,
            "nobody had to be asked: the agent may do no more than before".to_owned(),
        ),
        Verdict::Approved { by, is_doubtful } => {
            let doubt = if *is_doubtful {
                "; who wrote the instructions is not known by the name of a user, so whether it is somebody else cannot be told"
            } else {
                ""
            };
            (
                Status::True,
                Reason::Approved,
                format!("approved by '{by}'{doubt}"),
            )
        }
        Verdict::Waits { .. } | Verdict::Rejected { .. } | Verdict::Unsupported => {
            let Some((reason, message)) = waiting(input) else {
                return;
            };
            (Status::False, reason, message)
        }
    };
    conditions.set(types::APPROVED, status, reason, message);
}

/// Why what is asked for does not begin.
pub(super) fn waiting(input: &StatusInput<'_>) -> Option<(Reason, String)> {
    match &input.approval.verdict {
        Verdict::Waits { words } => Some((Reason::ApprovalRequired, words.clone())),
        Verdict::Rejected { by, words } => Some((
            Reason::Rejected,
            format!("rejected by '{by}': {words}"),
        )),
        Verdict::Unsupported => Some((
            Reason::ApprovalUnsupported,
            "approval needs Kubernetes 1.30, whose API server sees to it that only approvers approve: upgrade it, or set spec.approval to Never".to_owned(),
        )),
        _ => None,
    }
}
