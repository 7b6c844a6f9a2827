//! Personas: when to have one condensed, and what its status says. Agents read only the snapshot in
//! that status, so it changes once, when it is complete; a failure leaves it as it was.
//!
//! With synthesis disabled the persona's own text stands in for the condensed one, and is replaced
//! when synthesis is there.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use langop_api::{
    LanguagePersona, LanguagePersonaSpec, LanguagePersonaStatus,
    condition::{Reason, types},
    persona::{Distilled, PersonaPhase},
};

use crate::{
    backoff::{self, Backoff},
    conditions::{self, Conditions, Status, Summary},
    hash,
};

/// What to do about a persona.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The snapshot is that of the spec.
    Done,
    /// Have it condensed, with a status that records the attempt before the call.
    Distill,
    /// A call for this spec is under way.
    InFlight,
    /// Wait until then.
    BackingOff {
        /// When it is tried again.
        due: Timestamp,
    },
}

/// Whether the synthesizer's endpoints have changed since the last call for this persona.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synthesizer {
    /// As it was.
    Same,
    /// Others, which may do what the former refused.
    Changed,
}

/// Decides; `in_flight` is the hash of the persona that a call under way is for.
pub fn decide(
    persona: &LanguagePersona,
    in_flight: Option<&str>,
    synthesizer: Synthesizer,
    backoff: &Backoff,
    now: Timestamp,
) -> Decision {
    let hash = hash::persona(&persona.spec);
    let status = persona.status.clone().unwrap_or_default();
    let attempts = attempts_for(&status, &hash);
    if in_flight == Some(hash.as_str()) {
        return Decision::InFlight;
    }
    if attempts == 0 {
        let done = status
            .distilled
            .as_ref()
            .is_some_and(|distilled| distilled.hash == hash);
        return if done {
            Decision::Done
        } else {
            Decision::Distill
        };
    }
    match due(persona, &status, attempts, synthesizer, backoff, now) {
        Some(due) if due > now => Decision::BackingOff { due },
        _ => Decision::Distill,
    }
}

/// Failed attempts for the spec of this hash.
fn attempts_for(status: &LanguagePersonaStatus, hash: &str) -> i32 {
    let same = status.attempted_hash.as_deref() == Some(hash);
    status.attempts.filter(|_| same).unwrap_or_default()
}

/// The tokens with which the spec of this hash could not be asked, if that was found out.
pub fn too_few_tokens(status: &LanguagePersonaStatus, hash: &str) -> Option<i64> {
    let same = status.attempted_hash.as_deref() == Some(hash);
    status.too_few_tokens.filter(|_| same)
}

/// When the next attempt is due; `None`: at once. An attempt without a recorded end was cut off,
/// say by a restart.
fn due(
    persona: &LanguagePersona,
    status: &LanguagePersonaStatus,
    attempts: i32,
    synthesizer: Synthesizer,
    backoff: &Backoff,
    now: Timestamp,
) -> Option<Timestamp> {
    let failed: Timestamp = status.last_failure_time.as_deref()?.parse().ok()?;
    // A time that has not come was told by another clock, and waiting for it may take for ever.
    if failed > now {
        return None;
    }
    let uid = persona.metadata.uid.as_deref().unwrap_or_default();
    let delay = match (is_disabled(status), synthesizer) {
        (true, Synthesizer::Changed) => return None,
        (true, Synthesizer::Same) => backoff.longest(uid, attempts),
        (false, _) => backoff.delay(uid, attempts),
    };
    Some(backoff::due(failed, delay))
}

/// Whether the last attempt found synthesis disabled.
fn is_disabled(status: &LanguagePersonaStatus) -> bool {
    let ready = conditions::find(&status.conditions, types::READY);
    ready.is_some_and(|ready| ready.reason == Reason::SynthesisDisabled.as_str())
}

/// What happened to a persona.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, and its snapshot is that of the spec.
    Done,
    /// A call begins.
    Attempt,
    /// It was condensed to this text.
    Distilled(String),
    /// The synthesizer is disabled or its key is refused; the text says which.
    Disabled(String),
    /// The call failed; the text says why.
    Failed(String),
    /// It is not made: the namespace is suspended, or a budget has no tokens for it.
    Held(Reason, String),
    /// It could not be asked, because what it might cost is more than these tokens, which was what a
    /// budget had for it; the text says when it has more.
    TooFewTokens(i64, String),
}

/// The status after that.
pub fn status(
    persona: &LanguagePersona,
    outcome: &Outcome,
    now: Timestamp,
) -> LanguagePersonaStatus {
    let previous = persona.status.clone().unwrap_or_default();
    let generation = persona.metadata.generation.unwrap_or_default();
    let hash = hash::persona(&persona.spec);
    let attempts = attempts_for(&previous, &hash);
    let mut next = LanguagePersonaStatus {
        observed_generation: Some(generation),
        ..previous.clone()
    };
    match outcome {
        Outcome::Done | Outcome::Distilled(_) => forget_attempts(&mut next),
        Outcome::Attempt => {
            next.too_few_tokens = too_few_tokens(&previous, &hash);
            next.attempts = Some(attempts.saturating_add(1));
            next.attempted_hash = Some(hash.clone());
            next.last_failure_time = None;
        }
        Outcome::Held(..) => next.attempts = without_one_begun(&previous, attempts),
        Outcome::TooFewTokens(tokens, _) => {
            next.attempts = without_one_begun(&previous, attempts);
            next.too_few_tokens = Some(*tokens);
        }
        Outcome::Disabled(_) | Outcome::Failed(_) => {
            next.too_few_tokens = too_few_tokens(&previous, &hash);
            next.attempts = Some(attempts.max(1));
            next.attempted_hash = Some(hash.clone());
            next.last_failure_time = Some(now.to_string());
        }
    }
    let prompt = match outcome {
        Outcome::Distilled(prompt) => Some(prompt.clone()),
        Outcome::Disabled(_) => Some(stand_in(&persona.spec)),
        Outcome::Done
        | Outcome::Attempt
        | Outcome::Failed(_)
        | Outcome::Held(..)
        | Outcome::TooFewTokens(..) => None,
    };
    if let Some(prompt) = prompt {
        next.distilled = Some(snapshot(&persona.spec, hash, prompt));
    }
    next.conditions = conditions(
        &previous,
        &next,
        outcome,
        Conditions::new(&previous.conditions, generation, now),
    );
    next.phase = Some(phase(&next.conditions));
    next
}

/// An attempt that was begun was none.
fn without_one_begun(previous: &LanguagePersonaStatus, attempts: i32) -> Option<i32> {
    match previous.last_failure_time {
        None if attempts > 0 => Some(attempts - 1).filter(|attempts| *attempts > 0),
        _ => previous.attempts,
    }
}

fn forget_attempts(status: &mut LanguagePersonaStatus) {
    status.too_few_tokens = None;
    status.attempts = None;
    status.attempted_hash = None;
    status.last_failure_time = None;
}

fn conditions(
    previous: &LanguagePersonaStatus,
    next: &LanguagePersonaStatus,
    outcome: &Outcome,
    mut conditions: Conditions,
) -> Vec<Condition> {
    let summary = match outcome {
        Outcome::Done | Outcome::Distilled(_) => {
            Summary::Ready(Reason::Distilled, "the persona is distilled".into())
        }
        // What stood in still does while it is tried again.
        Outcome::Attempt if is_disabled(previous) && stands(next) => {
            conditions.keep(types::READY);
            return conditions.finish();
        }
        Outcome::Attempt => {
            Summary::Progressing(Reason::Distilling, "the persona is being distilled".into())
        }
        Outcome::Disabled(why) => Summary::Ready(
            Reason::SynthesisDisabled,
            format!(
                "the persona's own text is used unchanged, because it cannot be distilled: {why}"
            ),
        ),
        Outcome::TooFewTokens(_, why) => {
            let reason = Reason::BudgetExhausted;
            conditions.set(types::BUDGET_EXHAUSTED, Status::True, reason, why.clone());
            Summary::Progressing(reason, why.clone())
        }
        Outcome::Held(reason, why) => {
            if *reason == Reason::BudgetExhausted {
                conditions.set(types::BUDGET_EXHAUSTED, Status::True, *reason, why.clone());
            }
            Summary::Progressing(*reason, why.clone())
        }
        Outcome::Failed(why) => Summary::Failed(
            Reason::DistillationFailed,
            format!("tried again later: {why}"),
        ),
    };
    conditions.summary(summary);
    conditions.finish()
}

/// Whether the snapshot is that of the spec the attempts are for.
fn stands(status: &LanguagePersonaStatus) -> bool {
    status.distilled.as_ref().map(|distilled| &distilled.hash) == status.attempted_hash.as_ref()
}

fn snapshot(spec: &LanguagePersonaSpec, hash: String, prompt: String) -> Distilled {
    Distilled {
        description: spec.description.clone(),
        system_prompt: spec.system_prompt.clone(),
        tone: spec.tone.clone(),
        language: spec.language.clone(),
        prompt,
        hash,
    }
}

/// What is used where nothing condenses: the system prompt, else the description.
fn stand_in(spec: &LanguagePersonaSpec) -> String {
    spec.system_prompt
        .clone()
        .or_else(|| spec.description.clone())
        .unwrap_or_default()
}

/// Where the persona stands, by its conditions.
pub fn phase(conditions: &[Condition]) -> PersonaPhase {
    let ready = conditions::find(conditions, types::READY);
    if conditions::is_true(conditions, types::READY) {
        PersonaPhase::Ready
    } else if ready.is_some_and(|ready| ready.reason == Reason::DistillationFailed.as_str()) {
        PersonaPhase::Failed
    } else {
        PersonaPhase::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BACKOFF: Backoff = Backoff {
        initial: Duration::from_secs(30),
        max: Duration::from_hours(1),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn persona(prompt: &str) -> LanguagePersona {
        let mut persona = LanguagePersona::new(
            "clerk",
            LanguagePersonaSpec {
                description: Some("a clerk".into()),
                system_prompt: Some(prompt.into()),
                tone: None,
                language: None,
            },
        );
        persona.metadata.uid = Some("uid".into());
        persona.metadata.generation = Some(1);
        persona
    }

    fn after(persona: &LanguagePersona, outcome: &Outcome, second: i64) -> LanguagePersona {
        let mut next = persona.clone();
        next.status = Some(status(persona, outcome, at(second)));
        next
    }

    fn edited(persona: &LanguagePersona, prompt: &str) -> LanguagePersona {
        let mut next = persona.clone();
        next.spec.system_prompt = Some(prompt.into());
        next.metadata.generation = persona.metadata.generation.map(|generation| generation + 1);
        next
    }

    fn decision(persona: &LanguagePersona, second: i64) -> Decision {
        decide(persona, None, Synthesizer::Same, &BACKOFF, at(second))
    }

    fn shape(persona: &LanguagePersona) -> (PersonaPhase, Option<i32>, Option<String>) {
        let status = persona.status.clone().unwrap();
        (
            status.phase.unwrap(),
            status.attempts,
            status.distilled.map(|distilled| distilled.prompt),
        )
    }

    #[test]
    fn it_is_condensed_once_for_each_change() {
        let new = persona("be kind");
        assert_eq!(decision(&new, 0), Decision::Distill);
        let begun = after(&new, &Outcome::Attempt, 0);
        assert_eq!(shape(&begun), (PersonaPhase::Pending, Some(1), None));
        let hash = hash::persona(&begun.spec);
        assert_eq!(
            decide(&begun, Some(&hash), Synthesizer::Same, &BACKOFF, at(1)),
            Decision::InFlight
        );
        // The operator died during the call.
        assert_eq!(decision(&begun, 1), Decision::Distill);
        let done = after(&begun, &Outcome::Distilled("kind".into()), 2);
        assert_eq!(
            shape(&done),
            (PersonaPhase::Ready, None, Some("kind".into()))
        );
        assert_eq!(decision(&done, 3), Decision::Done);
        assert_eq!(after(&done, &Outcome::Done, 4), done);
        let other = edited(&done, "be brief");
        assert_eq!(decision(&other, 5), Decision::Distill);
        assert_eq!(
            decide(&other, Some(&hash), Synthesizer::Same, &BACKOFF, at(5)),
            Decision::Distill,
            "a call for the old text"
        );
        assert_eq!(
            decision(&edited(&other, "be kind"), 6),
            Decision::Done,
            "back to what is condensed"
        );
    }

    #[test]
    fn what_could_not_be_asked_was_no_attempt_and_is_remembered_for_that_text() {
        let begun = after(&persona("be kind"), &Outcome::Attempt, 0);
        let too_few = Outcome::TooFewTokens(100, "it opens again at midnight".into());
        let held = after(&begun, &too_few, 1);
        assert_eq!(shape(&held), (PersonaPhase::Pending, None, None));
        let known = |persona: &LanguagePersona| {
            let status = persona.status.as_ref().unwrap();
            too_few_tokens(status, &hash::persona(&persona.spec))
        };
        assert_eq!(known(&held), Some(100));
        let conditions = &held.status.as_ref().unwrap().conditions;
        assert!(conditions::is_true(conditions, types::BUDGET_EXHAUSTED));
        assert_eq!(decision(&held, 2), Decision::Distill, "without a pause");
        // Tried again with more.
        let again = after(&held, &Outcome::Attempt, 3);
        assert_eq!(known(&again), Some(100));
        assert_eq!(shape(&after(&again, &too_few, 4)).1, None);
        let done = after(&again, &Outcome::Distilled("kind".into()), 5);
        assert_eq!(known(&done), None);
        // Another text may be shorter.
        let other = edited(&held, "be");
        assert_eq!(known(&other), None);
        assert_eq!(known(&after(&other, &Outcome::Attempt, 6)), None);
        let failed = after(&other, &Outcome::Failed("no".into()), 6);
        assert_eq!(known(&failed), None);
    }

    #[test]
    fn failures_back_off_across_restarts_and_change_no_pod() {
        let good = after(
            &after(&persona("one"), &Outcome::Attempt, 0),
            &Outcome::Distilled("1".into()),
            0,
        );
        let first = after(
            &after(&edited(&good, "two"), &Outcome::Attempt, 0),
            &Outcome::Failed("no answer".into()),
            100,
        );
        assert_eq!(
            shape(&first),
            (PersonaPhase::Failed, Some(1), Some("1".into()))
        );
        let Decision::BackingOff { due } = decision(&first, 101) else {
            panic!("{:?}", decision(&first, 101))
        };
        assert!((124..=136).contains(&due.as_second()), "{due}");
        assert_eq!(decision(&first, 140), Decision::Distill);
        assert_eq!(
            decision(&first, 50),
            Decision::Distill,
            "another clock's failure"
        );
        let second = after(
            &after(&first, &Outcome::Attempt, 140),
            &Outcome::Failed("no answer".into()),
            200,
        );
        assert_eq!(
            shape(&second),
            (PersonaPhase::Failed, Some(2), Some("1".into()))
        );
        assert!(
            matches!(decision(&second, 240), Decision::BackingOff { due } if due.as_second() >= 248)
        );
        // Another text is another matter.
        assert_eq!(decision(&edited(&second, "three"), 201), Decision::Distill);
        assert_eq!(
            shape(&after(&edited(&second, "three"), &Outcome::Attempt, 201)).1,
            Some(1)
        );
        assert_eq!(decision(&edited(&second, "one"), 201), Decision::Done);
    }

    #[test]
    fn without_synthesis_its_own_text_stands_in_until_there_is_one() {
        let begun = after(&persona("be kind"), &Outcome::Attempt, 0);
        let disabled = after(&begun, &Outcome::Disabled("no model is set".into()), 0);
        assert_eq!(
            shape(&disabled),
            (PersonaPhase::Ready, Some(1), Some("be kind".into()))
        );
        assert!(
            matches!(decision(&disabled, 60), Decision::BackingOff { due } if due.as_second() >= 2880)
        );
        assert_eq!(
            decide(&disabled, None, Synthesizer::Changed, &BACKOFF, at(60)),
            Decision::Distill
        );
        let retried = after(&disabled, &Outcome::Attempt, 60);
        assert_eq!(
            retried.status.as_ref().unwrap().conditions,
            disabled.status.as_ref().unwrap().conditions
        );
        assert_eq!(
            shape(&after(&retried, &Outcome::Distilled("kind".into()), 61))
                .2
                .as_deref(),
            Some("kind")
        );
        let mut plain = persona("x");
        plain.spec.system_prompt = None;
        assert_eq!(
            shape(&after(&plain, &Outcome::Disabled(String::new()), 0))
                .2
                .as_deref(),
            Some("a clerk")
        );
    }

    #[test]
    fn the_status_in_full() {
        let failed = after(
            &after(&persona("one"), &Outcome::Attempt, 0),
            &Outcome::Failed("no answer".into()),
            100,
        );
        insta::assert_yaml_snapshot!(failed.status);
    }
}
