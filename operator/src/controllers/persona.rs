//! LanguagePersona: has each change condensed once, and keeps the snapshot that agents read. The only caller of DistillPersona.

use std::{sync::Arc, time::Instant};

use kube::ResourceExt as _;
use langop_api::{
    LanguagePersona, LanguagePersonaStatus,
    condition::{Reason, types},
};
use langop_desired::{
    conditions, hash,
    persona::{self, Decision, Outcome as Step, Synthesizer as Endpoints},
};
use langop_proto::{
    limits,
    v1::{DistillPersonaRequest, DistillPersonaResponse, Persona, Usage},
};
use tracing::Instrument as _;

use super::outcome::{MOMENT, again_at, backoff, owner};
use crate::{
    cache::{objects::Stores, triggers::Target},
    context::{Context, now},
    error::ReconcileError,
    run::{
        outcome::{Done, Outcome},
        runner::Reconciled,
    },
    synthesis::{
        calls::Stand,
        client::Synthesizer,
        failure::{Failure, FailureKind},
    },
    write::{
        events::Severity,
        status::{self, Written},
    },
};

impl Reconciled for LanguagePersona {
    async fn reconcile(self: Arc<Self>, ctx: Arc<Context>) -> Result<Done, ReconcileError> {
        let uid = owner(&*self)?.uid;
        let hash = hash::persona(&self.spec);
        let in_flight = match ctx.synthesis.personas.stand(&uid) {
            Stand::Answered(about, answer) if about == hash => {
                return settle(&ctx, &self, &uid, &answer).await;
            }
            Stand::Answered(..) => {
                // The text has moved on meanwhile.
                ctx.synthesis.personas.dealt_with(&uid);
                None
            }
            // One call at a time, even for another text.
            Stand::UnderWay(about) if about != hash => return Ok(Outcome::Waiting.into()),
            Stand::UnderWay(about) => Some(about),
            Stand::None => None,
        };
        let endpoints = if ctx.synthesis.came_back(&uid) {
            Endpoints::Changed
        } else {
            Endpoints::Same
        };
        match persona::decide(
            &self,
            in_flight.as_deref(),
            endpoints,
            &backoff(&ctx),
            now(),
        ) {
            Decision::Done => Ok(outcome(record(&ctx, &self, &Step::Done).await?)),
            Decision::InFlight => Ok(Outcome::Waiting.into()),
            Decision::BackingOff { due } => Ok(again_at(Outcome::Waiting.into(), Some(due))),
            Decision::Distill => {
                let Some(synthesizer) = ctx.synthesis.synthesizer.clone() else {
                    return stand_in(&ctx, &self, &hash).await;
                };
                match ctx.synthesis.has_to_wait(&uid, &hash) {
                    // Longer than the back-off says.
                    Some(pause) => Ok(Done::from(Outcome::Waiting).again_in(pause)),
                    None => distill(&ctx, &self, uid, hash, synthesizer).await,
                }
            }
        }
    }
}

fn outcome(written: Written) -> Done {
    match written {
        Written::Yes => Outcome::Changed.into(),
        Written::No => Outcome::Unchanged.into(),
    }
}

async fn record(
    ctx: &Context,
    persona: &LanguagePersona,
    step: &Step,
) -> Result<Written, ReconcileError> {
    status::write(ctx, persona, &persona::status(persona, step, now())).await
}

/// Records the attempt, then makes the call in a task of its own.
async fn distill(
    ctx: &Arc<Context>,
    persona: &LanguagePersona,
    uid: String,
    hash: String,
    synthesizer: Arc<Synthesizer>,
) -> Result<Done, ReconcileError> {
    record(ctx, persona, &Step::Attempt).await?;
    ctx.synthesis.attempted(&uid);
    let request = request(persona);
    let (metrics, started) = (ctx.metrics.clone(), Instant::now());
    let namespace = persona.namespace().unwrap_or_default();
    let account = namespace.clone();
    let call = async move {
        let answer = synthesizer.distill(request, &account).await;
        let outcome = answer
            .as_ref()
            .map_or_else(|failure| failure.kind.as_str(), |_| "distilled");
        metrics.synthesized(outcome, started.elapsed(), None);
        answer.and_then(usable)
    };
    let target = Target::new(
        crate::cache::kind::Kind::Persona,
        persona.namespace().as_deref(),
        &persona.name_any(),
    );
    let again = ctx.clone();
    ctx.synthesis
        .personas
        .start(&uid, &namespace, hash, call.in_current_span(), move || {
            again.cache.triggers.send(target);
        });
    Ok(Outcome::Changed.into())
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
    }
}

async fn settle(
    ctx: &Context,
    persona: &LanguagePersona,
    uid: &str,
    answer: &Result<String, Failure>,
) -> Result<Done, ReconcileError> {
    let step = match answer {
        Ok(prompt) => Step::Distilled(prompt.clone()),
        Err(failure) if failure.kind == FailureKind::Disabled => {
            Step::Disabled(failure.message.clone())
        }
        Err(failure) => Step::Failed(failure.message.clone()),
    };
    record(ctx, persona, &step).await?;
    ctx.synthesis.personas.dealt_with(uid);
    let retry_after = answer
        .as_ref()
        .err()
        .and_then(|failure| failure.retry_after);
    ctx.synthesis
        .wait(uid, hash::persona(&persona.spec), retry_after);
    announce(ctx, persona, &step).await;
    // The next look finds the pause: in the status, or as the synthesizer asked.
    Ok(Done::from(Outcome::Changed).again_in(MOMENT))
}

async fn announce(ctx: &Context, persona: &LanguagePersona, step: &Step) {
    match step {
        // The first snapshot updates nobody.
        Step::Distilled(_) if snapshot(persona).is_some() => {
            let note = "the persona is condensed anew; agents that use it roll once";
            ctx.events
                .publish(persona, Severity::Normal, Reason::PersonaUpdated, note)
                .await;
        }
        Step::Failed(why) => {
            ctx.events
                .publish(persona, Severity::Warning, Reason::DistillationFailed, why)
                .await;
        }
        Step::Disabled(why) if !is_disabled(persona.status.as_ref()) => {
            ctx.events
                .publish(persona, Severity::Warning, Reason::SynthesisDisabled, why)
                .await;
        }
        Step::Done | Step::Attempt | Step::Distilled(_) | Step::Disabled(_) => {}
    }
}

fn snapshot(persona: &LanguagePersona) -> Option<&langop_api::persona::Distilled> {
    persona.status.as_ref()?.distilled.as_ref()
}

/// Without a synthesizer in the operator's settings, the persona's own text stands in, until a restart with another setting.
async fn stand_in(
    ctx: &Context,
    persona: &LanguagePersona,
    hash: &str,
) -> Result<Done, ReconcileError> {
    let stands = snapshot(persona).is_some_and(|snapshot| snapshot.hash == hash);
    if stands && is_disabled(persona.status.as_ref()) {
        return Ok(Outcome::Unchanged.into());
    }
    let step = Step::Disabled(
        "the operator runs without a synthesizer (LANGOP_SYNTHESIZER_ENDPOINT)".to_owned(),
    );
    Ok(outcome(record(ctx, persona, &step).await?))
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
        .map(|persona| Target::of(&**persona))
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
