//! LanguagePersona: has each change condensed once, and keeps the snapshot that agents read. The
//! only caller of DistillPersona.

use std::{sync::Arc, time::Instant};

use kube::ResourceExt as _;
use langop_api::{
    LanguagePersona, LanguagePersonaStatus,
    condition::{Reason, types},
};
use langop_desired::{
    conditions, hash,
    persona::{self, Decision, Outcome as Distillation, Synthesizer as Endpoints},
};
use langop_proto::{
    limits,
    v1::{DistillPersonaRequest, DistillPersonaResponse, Persona, Usage},
};
use tracing::Instrument as _;

use super::{
    budget::{self, Reserved},
    namespace::NamespaceView,
    publish,
};
use crate::{
    cache::{kind::Kind, objects::Stores, triggers::Target},
    context::{Context, now},
    error::{ReconcileError, Stopped, bounded, chain},
    run::{
        outcome::{Done, MIN_REQUEUE, Outcome},
        runner::Reconciled,
        steps::{Step, Steps},
    },
    synthesis::{
        calls::CallState,
        client::Synthesizer,
        failure::{Failure, FailureKind},
    },
    write::{effects::Effects, ownership::owner},
};

impl Reconciled for LanguagePersona {
    async fn reconcile(
        self: Arc<Self>,
        ctx: &Arc<Context>,
        steps: &Steps,
        effects: &mut Effects,
    ) -> Result<Done, Stopped> {
        let uid = owner(&*self)?.uid;
        let hash = hash::persona(&self.spec);
        let call = steps.compute(Step::Record, || take_answer(ctx, &uid, &hash));
        let plan = steps.compute(Step::Decide, || plan(ctx, &self, &uid, &hash, &call));
        let Some(outcome) = plan.outcome else {
            return Ok(plan.done);
        };
        let next = persona::status(&self, &outcome, now());
        let writing = ctx.writer.write_status(&*self, &next, effects);
        steps.run(Step::UpdateStatus, writing).await?;
        if let Call::Answered(answer) = &call {
            acknowledge(ctx, &uid, hash.clone(), answer);
            announce(&self, &outcome, effects);
        } else if matches!(outcome, Distillation::Held(..)) {
            announce(&self, &outcome, effects);
        }
        publish(ctx, steps, &*self, effects).await;
        if let Some(synthesizer) = plan.ask {
            steps.compute(Step::FollowUp, || {
                start_call(ctx, &self, &uid, hash, synthesizer);
            });
        }
        Ok(match plan.done.outcome {
            Outcome::Unchanged => Done::of(effects.changed, None),
            _ => plan.done,
        })
    }
}

/// The call for this persona.
enum Call {
    None,
    /// For its text, or, `false`, for another one.
    Running(bool),
    Answered(Arc<Result<String, Failure>>),
}

/// The state of the call. An answer about another text is dropped: the text has moved on meanwhile.
fn take_answer(ctx: &Context, uid: &str, hash: &str) -> Call {
    match ctx.synthesis.personas.state(uid) {
        CallState::Idle => Call::None,
        CallState::Running(about) => Call::Running(about == hash),
        CallState::Done(about, answer) if about == hash => Call::Answered(answer),
        CallState::Done(..) => {
            ctx.synthesis.personas.acknowledge(uid);
            Call::None
        }
    }
}

/// What is to be done.
struct Plan {
    /// What the status is to say has happened; `None`: it stays as it is.
    outcome: Option<Distillation>,
    /// Whom to ask, once that is in the status.
    ask: Option<Arc<Synthesizer>>,
    /// How the reconcile ends; if unchanged, the status may still be written.
    done: Done,
}

impl Plan {
    fn wait(done: Done) -> Self {
        Self {
            outcome: None,
            ask: None,
            done,
        }
    }

    fn tell(outcome: Distillation, done: impl Into<Done>) -> Self {
        Self {
            outcome: Some(outcome),
            ask: None,
            done: done.into(),
        }
    }
}

fn plan(ctx: &Context, persona: &LanguagePersona, uid: &str, hash: &str, call: &Call) -> Plan {
    let in_flight = match call {
        Call::Answered(answer) => {
            // The next look finds the pause: in the status, or as the synthesizer asked.
            let done = Done::from(Outcome::Changed).requeue_after(MIN_REQUEUE);
            return Plan::tell(outcome_of(ctx, persona, answer), done);
        }
        // One call at a time, even for another text.
        Call::Running(false) => return Plan::wait(Outcome::Waiting.into()),
        Call::Running(true) => Some(hash),
        Call::None => None,
    };
    let endpoints = if ctx.synthesis.reconnected_since(uid) {
        Endpoints::Changed
    } else {
        Endpoints::Same
    };
    let backoff = ctx.synthesis_backoff();
    match persona::decide(persona, in_flight, endpoints, &backoff, now()) {
        Decision::Done => Plan::tell(Distillation::Done, Outcome::Unchanged),
        Decision::InFlight => Plan::wait(Outcome::Waiting.into()),
        Decision::BackingOff { due } => {
            Plan::wait(Done::from(Outcome::Waiting).requeue_at(Some(due)))
        }
        Decision::Distill => {
            let Some(synthesizer) = ctx.synthesis.synthesizer.clone() else {
                return stand_in(persona, hash);
            };
            if let Some(held) = held(ctx, persona, hash) {
                return held;
            }
            match ctx.synthesis.retry_after(uid, hash) {
                // Longer than the back-off says.
                Some(pause) => Plan::wait(Done::from(Outcome::Waiting).requeue_after(pause)),
                None => Plan {
                    ask: Some(synthesizer),
                    ..Plan::tell(Distillation::Attempt, Outcome::Changed)
                },
            }
        }
    }
}

/// Why nothing is asked although it is due: the namespace is suspended, or its budget has too little
/// left.
fn held(ctx: &Context, persona: &LanguagePersona, hash: &str) -> Option<Plan> {
    let namespace = persona.namespace().unwrap_or_default();
    let cluster = NamespaceView::new(ctx, &namespace).managing_cluster();
    if let Some(cluster) = cluster.filter(|cluster| cluster.suspended) {
        let why = format!(
            "not distilled while the LanguageCluster '{}' suspends the namespace",
            cluster.name
        );
        let held = Distillation::Held(Reason::Suspended, why);
        return Some(Plan::tell(held, Outcome::Waiting));
    }
    let most = ctx.settings.synthesis_max_tokens;
    let exhausted = match budget::prospect(ctx, &namespace, most) {
        Err(exhausted) => exhausted,
        Ok(prospect) => {
            let (tokens, bound) = prospect?;
            let too_few = persona::too_few_tokens(persona.status.as_ref()?, hash)?;
            if tokens > too_few {
                return None;
            }
            budget::too_little(&bound, too_few, most, QUESTION)
        }
    };
    let held = Distillation::Held(Reason::BudgetExhausted, exhausted.message);
    let done = Done::from(Outcome::Waiting).requeue_at(Some(exhausted.opens));
    Some(Plan::tell(held, done))
}

/// What costs too much, for people.
const QUESTION: &str = "the persona's text";

/// When there is more than the tokens with which it could not be asked.
fn more_tokens(ctx: &Context, persona: &LanguagePersona, too_few: i64) -> String {
    let namespace = persona.namespace().unwrap_or_default();
    let most = ctx.settings.synthesis_max_tokens;
    match budget::prospect(ctx, &namespace, most) {
        Err(exhausted) => exhausted.message,
        Ok(Some((_, bound))) => budget::too_little(&bound, too_few, most, QUESTION).message,
        Ok(None) => "the budget was lifted, so it is asked again".to_owned(),
    }
}

fn outcome_of(
    ctx: &Context,
    persona: &LanguagePersona,
    answer: &Result<String, Failure>,
) -> Distillation {
    match answer {
        Err(Failure {
            kind: FailureKind::TooFewTokens,
            allowed: Some(tokens),
            ..
        }) => Distillation::TooFewTokens(*tokens, more_tokens(ctx, persona, *tokens)),
        Ok(prompt) => Distillation::Distilled(prompt.clone()),
        Err(failure) if failure.kind == FailureKind::Disabled => {
            Distillation::Disabled(failure.message.clone())
        }
        Err(failure) if failure.kind == FailureKind::Suspended => {
            Distillation::Held(Reason::Suspended, failure.message.clone())
        }
        Err(failure) if failure.kind == FailureKind::Exhausted => {
            Distillation::Held(Reason::BudgetExhausted, failure.message.clone())
        }
        Err(failure) => Distillation::Failed(failure.message.clone()),
    }
}

/// Without a synthesizer in the operator's settings, the persona's own text stands in, until a
/// restart with another setting.
fn stand_in(persona: &LanguagePersona, hash: &str) -> Plan {
    let stands = snapshot(persona).is_some_and(|snapshot| snapshot.hash == hash);
    if stands && is_disabled(persona.status.as_ref()) {
        return Plan::wait(Outcome::Unchanged.into());
    }
    let why = "the operator runs without a synthesizer (LANGOP_SYNTHESIZER_ENDPOINT)";
    Plan::tell(Distillation::Disabled(why.to_owned()), Outcome::Unchanged)
}

/// The answer is in the status, and is never taken again.
fn acknowledge(ctx: &Context, uid: &str, hash: String, answer: &Result<String, Failure>) {
    ctx.synthesis.personas.acknowledge(uid);
    let retry_after = answer
        .as_ref()
        .err()
        .and_then(|failure| failure.retry_after);
    ctx.synthesis.set_retry_after(uid, hash, retry_after);
}

/// Makes the call, whose attempt is recorded, in a task of its own.
fn start_call(
    ctx: &Arc<Context>,
    persona: &LanguagePersona,
    uid: &str,
    hash: String,
    synthesizer: Arc<Synthesizer>,
) {
    ctx.synthesis.record_attempt(uid);
    let namespace = persona.namespace().unwrap_or_default();
    let reserving = {
        let (ctx, namespace) = (ctx.clone(), namespace.clone());
        let most = ctx.settings.synthesis_max_tokens;
        async move { budget::reserve(&ctx, &namespace, most).await }
    };
    let (request, asking, account) = (request(persona), ctx.clone(), namespace.clone());
    let span = tracing::Span::current();
    let call =
        move |reserved| pay(asking, reserved, synthesizer, request, account).instrument(span);
    let target = Target::new(
        Kind::Persona,
        persona.namespace().as_deref(),
        &persona.name_any(),
    );
    let cache = ctx.cache.clone();
    let personas = &ctx.synthesis.personas;
    personas.start(uid, &namespace, hash, reserving, call, move || {
        cache.triggers.send(target.clone());
    });
}

/// Makes the call with what there is for it, and settles what it has cost.
async fn pay(
    ctx: Arc<Context>,
    reserved: Result<Reserved, ReconcileError>,
    synthesizer: Arc<Synthesizer>,
    mut request: DistillPersonaRequest,
    account: String,
) -> Result<String, Failure> {
    let reservation = match reserved {
        Ok(Reserved::Unbounded) => None,
        Ok(Reserved::Tokens(reservation)) => Some(reservation),
        Ok(Reserved::Exhausted(exhausted)) => {
            return Err(unasked(FailureKind::Exhausted, exhausted.message));
        }
        Err(error) => {
            let message = format!(
                "the budget of the namespace cannot be written, so nothing is asked: {}",
                chain(&error)
            );
            return Err(unasked(FailureKind::Retryable, bounded(&message)));
        }
    };
    if budget::is_suspended(&ctx, &account) {
        if let Some(reservation) = reservation {
            budget::settle(&ctx, reservation, Some(0)).await;
        }
        let message = "not distilled while the LanguageCluster suspends the namespace";
        return Err(unasked(FailureKind::Suspended, message.to_owned()));
    }
    let tokens = reservation.as_ref().map(|reservation| reservation.tokens);
    request.max_tokens = tokens.and_then(|tokens| u64::try_from(tokens).ok());
    let started = Instant::now();
    let answer = synthesizer.distill(request, &account).await;
    let outcome = answer
        .as_ref()
        .map_or_else(|failure| failure.kind.as_str(), |_| "distilled");
    ctx.metrics.synthesized(outcome, started.elapsed(), None);
    if let Some(reservation) = reservation {
        budget::settle(&ctx, reservation, cost(&answer)).await;
    }
    let answer = answer.map_err(|failure| Failure {
        allowed: tokens,
        ..failure
    });
    answer.and_then(usable)
}

fn cost(answer: &Result<DistillPersonaResponse, Failure>) -> Option<i64> {
    let (input, output) = match answer {
        Ok(answer) => tokens(answer.usage),
        Err(failure) if failure.is_cost_known => failure.tokens,
        Err(_) => return None,
    };
    Some(input.saturating_add(output))
}

fn unasked(kind: FailureKind, message: String) -> Failure {
    Failure {
        kind,
        message,
        retry_after: None,
        tokens: (0, 0),
        is_cost_known: true,
        allowed: None,
    }
}

/// What an agent is given must fit where it is given.
fn usable(answer: DistillPersonaResponse) -> Result<String, Failure> {
    let (text, (input, output)) = (answer.distilled_prompt, tokens(answer.usage));
    if (1..=limits::DISTILLED_PROMPT).contains(&text.len()) {
        return Ok(text);
    }
    Err(Failure {
        kind: FailureKind::Retryable,
        message: format!(
            "the synthesizer's answer cannot be used: its text has {} bytes, not 1 to {}",
            text.len(),
            limits::DISTILLED_PROMPT
        ),
        retry_after: None,
        tokens: (input, output),
        is_cost_known: true,
        allowed: None,
    })
}

fn tokens(usage: Option<Usage>) -> (i64, i64) {
    let usage = usage.unwrap_or_default();
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    (number(usage.input_tokens), number(usage.output_tokens))
}

fn request(persona: &LanguagePersona) -> DistillPersonaRequest {
    let spec = persona.spec.clone();
    DistillPersonaRequest {
        persona: Some(Persona {
            name: persona.name_any(),
            description: spec.description.unwrap_or_default(),
            system_prompt: spec.system_prompt.unwrap_or_default(),
            tone: spec.tone.unwrap_or_default(),
            language: spec.language.unwrap_or_default(),
        }),
        max_tokens: None,
    }
}

fn announce(persona: &LanguagePersona, outcome: &Distillation, effects: &mut Effects) {
    match outcome {
        // No agent uses anything before the first snapshot.
        Distillation::Distilled(_) if snapshot(persona).is_some() => {
            let note = "distilling the persona again; agents using it will roll once";
            effects.normal(Reason::PersonaUpdated, note);
        }
        Distillation::Failed(why) => effects.warning(Reason::DistillationFailed, why),
        Distillation::Disabled(why) if !is_disabled(persona.status.as_ref()) => {
            effects.warning(Reason::SynthesisDisabled, why);
        }
        Distillation::Held(Reason::BudgetExhausted, why) | Distillation::TooFewTokens(_, why)
            if !is_told(persona, Reason::BudgetExhausted) =>
        {
            effects.warning(Reason::BudgetExhausted, why);
        }
        Distillation::Done
        | Distillation::Attempt
        | Distillation::Held(..)
        | Distillation::TooFewTokens(..)
        | Distillation::Distilled(_)
        | Distillation::Disabled(_) => {}
    }
}

fn is_told(persona: &LanguagePersona, reason: Reason) -> bool {
    let status = persona.status.as_ref();
    let ready = status.and_then(|status| conditions::find(&status.conditions, types::READY));
    ready.is_some_and(|ready| ready.reason == reason.as_str())
}

fn snapshot(persona: &LanguagePersona) -> Option<&langop_api::persona::Distilled> {
    persona.status.as_ref()?.distilled.as_ref()
}

fn is_disabled(status: Option<&LanguagePersonaStatus>) -> bool {
    let ready = status.and_then(|status| conditions::find(&status.conditions, types::READY));
    ready.is_some_and(|ready| ready.reason == Reason::SynthesisDisabled.as_str())
}

/// Those that a synthesizer which comes back may help.
pub(crate) fn waiting_for_synthesizer(stores: &Stores) -> Vec<Target> {
    let waiting = stores
        .personas
        .select(|persona| is_disabled(persona.status.as_ref()));
    waiting
        .iter()
        .map(|persona| Target::of::<LanguagePersona>(&**persona))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_nowhere_is_refused() {
        let answer = |length| DistillPersonaResponse {
            distilled_prompt: "x".repeat(length),
            ..DistillPersonaResponse::default()
        };
        for length in [1, limits::DISTILLED_PROMPT] {
            assert!(usable(answer(length)).is_ok(), "{length}");
        }
        for length in [0, limits::DISTILLED_PROMPT + 1] {
            let failure = usable(answer(length)).unwrap_err();
            assert!(
                failure.message.contains("bytes, not 1 to 8192"),
                "{failure:?}"
            );
        }
    }
}
