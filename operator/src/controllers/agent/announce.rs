//! Events about agents: one for each thing that happened.

use langop_api::{
    LanguageAgent,
    approval::PowersRequested,
    condition::{Reason, types},
};
use langop_desired::{
    agent::{
        approval::{Approval, Verdict},
        code,
        decide::Decision,
        timing,
        validate::ValidatedAgent,
    },
    conditions,
    observed::{ChildKind, ObservedState},
};
use langop_dsl::secrets;

use super::{
    plan::Plan,
    record::{Recorded, SynthesisEvent},
};
use crate::{
    cache::child,
    context::Context,
    write::{
        effects::Effects,
        events::{Event, Severity},
        item::{AppliedChild, Verb},
    },
};

/// What came of the code, now that it is in the status; `annotated`: it got other annotations than
/// it had. It comes before what was done with it.
pub(super) fn all(
    ctx: &Context,
    agent: &LanguageAgent,
    recorded: &Recorded,
    plan: &Plan,
    annotated: bool,
    effects: &mut Effects,
) {
    let uid = agent.metadata.uid.as_deref().unwrap_or_default();
    let is_lasting = recorded.in_flight.is_some() && ctx.synthesis.agents.take_news(uid);
    let started = is_lasting.then(|| Event {
        severity: Severity::Normal,
        reason: Reason::SynthesisStarted,
        note: "synthesizing code from the instructions".to_owned(),
    });
    let synthesis = recorded.event.as_ref().and_then(synthesis);
    let disabled = plan
        .failure
        .as_ref()
        .map(|message| failure(Reason::SynthesisDisabled, message));
    let is_held = plan.approval.is_held();
    let is_activated = matches!(plan.decision, Decision::Activate { .. }) && annotated;
    let activated =
        is_activated.then(|| "activated stored code of these instructions again".to_owned());
    let is_new = matches!(recorded.event, Some(SynthesisEvent::Stored { .. }));
    let switched = switched(agent, &plan.decision).filter(|_| !is_new && !is_held);
    let revisions = [activated, switched].into_iter().flatten();
    let revisions = revisions.map(|note| Event {
        severity: Severity::Normal,
        reason: Reason::RevisionActivated,
        note,
    });
    let code = started
        .into_iter()
        .chain(synthesis)
        .chain(disabled)
        .chain(exhausted(agent, &plan.decision))
        .chain(revisions)
        .chain(approval(agent, &plan.approval));
    let mut code: Vec<Event> = code.collect();
    // What waits is new, and not what was done.
    if !is_held {
        join_workloads(&mut code, &mut effects.events);
    }
    effects.events.splice(0..0, code);
}

/// Where workloads were made or changed for new code, that is one event with it.
fn join_workloads(code: &mut [Event], events: &mut Vec<Event>) {
    let is_new = |event: &&mut Event| {
        matches!(
            event.reason,
            Reason::SynthesisSucceeded | Reason::RevisionActivated
        )
    };
    let Some(code) = code.iter_mut().find(is_new) else {
        return;
    };
    let is_of_workload = |event: &mut Event| {
        matches!(
            event.reason,
            Reason::DeploymentCreated
                | Reason::DeploymentUpdated
                | Reason::CronJobCreated
                | Reason::CronJobUpdated
        )
    };
    for workload in events.extract_if(.., is_of_workload) {
        code.note.push_str("; ");
        code.note.push_str(&workload.note);
    }
}

/// That something waits for a person, or that the person agreed. That one refused is told as every
/// stall.
fn approval(agent: &LanguageAgent, approval: &Approval) -> Option<Event> {
    let status = agent.status.as_ref();
    let before = status.and_then(|status| status.approval.clone());
    let before = before.unwrap_or_default();
    let now = approval.record.as_ref()?;
    let is_same = |one: &PowersRequested, other: &PowersRequested| {
        one.config_map == other.config_map && one.powers_hash == other.powers_hash
    };
    let is_known = match (&before.requested, &now.requested) {
        (Some(before), Some(now)) => is_same(before, now),
        (None, Some(_)) => false,
        // Without code nothing is noted but the condition.
        (_, None) => status
            .and_then(|status| conditions::find(&status.conditions, types::APPROVED))
            .is_some_and(|known| known.reason == Reason::ApprovalRequired.as_str()),
    };
    let event = |reason, note| Event {
        severity: Severity::Normal,
        reason,
        note,
    };
    match &approval.verdict {
        Verdict::Waits { words } => {
            (!is_known).then(|| event(Reason::ApprovalRequested, words.clone()))
        }
        Verdict::Approved { by, .. } => (before.in_force != now.in_force).then(|| {
            let note = format!("approved by '{by}'");
            event(Reason::Approved, note)
        }),
        _ => None,
    }
}

/// That a budget is used up, once.
pub(super) fn exhausted(agent: &LanguageAgent, decision: &Decision) -> Option<Event> {
    let Decision::BudgetExhausted { exhausted, .. } = decision else {
        return None;
    };
    let status = agent.status.as_ref();
    let is_told = status
        .is_some_and(|status| conditions::is_true(&status.conditions, types::BUDGET_EXHAUSTED));
    (!is_told).then(|| Event {
        severity: Severity::Warning,
        reason: Reason::BudgetExhausted,
        note: exhausted.message.clone(),
    })
}

fn synthesis(event: &SynthesisEvent) -> Option<Event> {
    match event {
        SynthesisEvent::Stored { revision, model } => {
            let by = if model.is_empty() {
                String::new()
            } else {
                format!(" with {model}")
            };
            Some(Event {
                severity: Severity::Normal,
                reason: Reason::SynthesisSucceeded,
                note: format!("synthesized revision {revision}{by}"),
            })
        }
        SynthesisEvent::Failed(failed) => Some(failure(failed.reason, &failed.message)),
        SynthesisEvent::Dropped | SynthesisEvent::Unpaid => None,
    }
}

fn failure(reason: Reason, message: &str) -> Event {
    // That nothing can be made and that nothing was made are one event to people; the condition
    // tells them apart.
    let reason = match reason {
        Reason::ValidationFailed | Reason::ProvenanceRefused => reason,
        _ => Reason::SynthesisFailed,
    };
    Event {
        severity: Severity::Warning,
        reason,
        note: message.to_owned(),
    }
}

/// What is said if stored code took over from what the status still names, by its number: that is a
/// pin, or the end of one. Code that is activated for its instructions gets a number of its own,
/// and is spoken of above.
fn switched(agent: &LanguageAgent, decision: &Decision) -> Option<String> {
    if matches!(decision, Decision::Activate { .. }) {
        return None;
    }
    let status = agent.status.as_ref()?;
    let before = status.synthesis_info.as_ref()?.revision?;
    let revision = code::revision(decision.code()?);
    let synthesis = agent.spec.synthesis.as_ref();
    let why = match synthesis.and_then(|synthesis| synthesis.revision) {
        Some(_) => "as spec.synthesis.revision says",
        None => "the newest that is stored",
    };
    (revision != before).then(|| format!("revision {revision} is active, {why}; it was {before}"))
}

/// That the instructions which are being synthesized hold secrets. Of what sort and where, never
/// which.
pub(super) fn secrets(agent: &ValidatedAgent, effects: &mut Effects) {
    let Some(instructions) = &agent.instructions else {
        return;
    };
    let found = secrets::find(&instructions.text);
    if let Some(first) = found.first() {
        let line = first.line(&instructions.text);
        let others = match found.len() {
            1 => String::new(),
            number => format!(" (and {} more)", number - 1),
        };
        let note = format!(
            "line {line} of the instructions holds what looks like {}{others}: models and code do not get it; revoke it, and put a new one into a Secret that the tool which needs it reads",
            first.sort
        );
        effects.warning(Reason::SecretInInstructions, note);
    }
}

/// Workloads that were made or changed.
pub(super) fn workloads(ctx: &Context, agent: &ValidatedAgent, effects: &mut Effects) {
    for AppliedChild { kind, name, verb } in effects.applied.clone() {
        let (reason, verb) = match (kind, verb) {
            (ChildKind::Deployment, Verb::Created) => (Reason::DeploymentCreated, "created"),
            (ChildKind::Deployment, Verb::Updated) => (Reason::DeploymentUpdated, "updated"),
            (ChildKind::CronJob, Verb::Created) => (Reason::CronJobCreated, "created"),
            (ChildKind::CronJob, Verb::Updated) => (Reason::CronJobUpdated, "updated"),
            _ => continue,
        };
        let when = when(ctx, agent, kind, &name).unwrap_or_default();
        let kind = child::name(kind);
        effects.normal(reason, format!("{verb} {kind} '{name}'{when}"));
    }
}

/// When a CronJob runs, as it is now.
fn when(ctx: &Context, agent: &ValidatedAgent, kind: ChildKind, name: &str) -> Option<String> {
    let live = ctx.cache.index.get(kind, &agent.namespace, name)?;
    let ObservedState::CronJob(state) = &live.state else {
        return None;
    };
    let times = timing::in_zone(&state.schedule, state.time_zone.as_deref());
    Some(format!(": it runs at {times}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: Reason, note: &str) -> Event {
        Event {
            severity: Severity::Normal,
            reason,
            note: note.to_owned(),
        }
    }

    #[test]
    fn workloads_of_new_code_are_one_event_with_it() {
        let created = || event(Reason::DeploymentCreated, "created Deployment 'a'");
        let ended = || event(Reason::RunEnded, "deleted Job 'b'");
        let joined = |code: Event| {
            let (mut code, mut events) = ([code], vec![created(), ended()]);
            join_workloads(&mut code, &mut events);
            let [code] = code;
            (code.note, events)
        };
        let (note, rest) = joined(event(Reason::SynthesisSucceeded, "synthesized revision 1"));
        assert_eq!(note, "synthesized revision 1; created Deployment 'a'");
        assert_eq!(rest, [ended()]);
        let (note, rest) = joined(event(Reason::SynthesisFailed, "no"));
        assert_eq!((note.as_str(), rest), ("no", vec![created(), ended()]));
    }
}
