//! Takes in the answer of a call that has ended: the code is stored, or why there is none is
//! recorded.

use std::collections::BTreeMap;

use langop_api::{LanguageAgent, agent::SynthesisInfo, condition::Reason, names::annotations};
use langop_desired::{
    agent::{
        ObservedAgent,
        attempt::{self, Failed},
        code::{self, NewCode},
        decide::InFlight,
        known,
        validate::ValidatedAgent,
    },
    conditions::Summary,
    observed::{ChildKind, ObservedState},
    powers::{CodePowers, Powers, as_annotations},
};

use super::{
    afford,
    dereference::{previous, recognised},
};
use crate::{
    context::{Context, now},
    error::ReconcileError,
    synthesis::{
        answer::{Answer, failed},
        calls::CallState,
    },
    write::revisions::StoreError,
};

/// What is known of the agent's code once the answer, if one was there, is taken in.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) info: SynthesisInfo,
    /// The live children, of the stored code only what the record knows.
    pub(super) observed: ObservedAgent,
    pub(super) in_flight: Option<InFlight>,
    pub(super) event: Option<SynthesisEvent>,
    /// The code is there and cannot be stored: how the agent stands by that. The answer is kept,
    /// and what runs goes on.
    pub(super) refused: Option<Summary>,
    /// Whether what runs was halted though something waits.
    pub(super) was_halted: bool,
}

impl Recorded {
    pub(super) fn failure(&self) -> Option<&str> {
        match &self.event {
            Some(SynthesisEvent::Failed(failed)) => Some(&failed.message),
            Some(
                SynthesisEvent::Stored { .. } | SynthesisEvent::Dropped | SynthesisEvent::Unpaid,
            )
            | None => None,
        }
    }
}

/// How a call ended. It is acknowledged once it is in the status.
#[derive(Debug)]
pub(super) enum SynthesisEvent {
    Stored {
        revision: i64,
        model: String,
    },
    Failed(Failed),
    /// The question has changed meanwhile. What it cost counts.
    Dropped,
    /// No budget had the tokens to ask it.
    Unpaid,
}

/// What an answer changes.
struct Taken {
    info: SynthesisInfo,
    in_flight: Option<InFlight>,
    event: Option<SynthesisEvent>,
    refused: Option<Summary>,
}

impl Taken {
    fn unchanged(info: SynthesisInfo) -> Self {
        Self {
            info,
            in_flight: None,
            event: None,
            refused: None,
        }
    }

    fn waiting(info: SynthesisInfo, about: InFlight) -> Self {
        Self {
            in_flight: Some(about),
            ..Self::unchanged(info)
        }
    }

    fn with(info: SynthesisInfo, event: SynthesisEvent) -> Self {
        Self {
            event: Some(event),
            ..Self::unchanged(info)
        }
    }
}

/// Stores the code of an answer that is still wanted, or records why there is none. The answer
/// itself is kept until that is in the status: a reconcile that is interrupted is repeated with it.
/// The one look at the calls in a reconcile: an answer that comes during it waits for the next.
pub(super) async fn record_answer(
    ctx: &Context,
    object: &LanguageAgent,
    agent: &ValidatedAgent,
) -> Result<Recorded, ReconcileError> {
    let (info, observed) = known_code(ctx, object, agent).await?;
    let mut taken = take_answer(ctx, agent, info, &observed).await?;
    if agent.tokens_per_day.is_none() {
        taken.info.budget = None;
    }
    let (info, observed) = recognised(ctx, object, taken.info);
    Ok(Recorded {
        info,
        observed,
        in_flight: taken.in_flight,
        event: taken.event,
        refused: taken.refused,
        was_halted: previous(object)
            .approval
            .is_some_and(|record| record.halted),
    })
}

/// The stored code that the record knows. Where it knows of code that the index does not have, and
/// where other keys have judged it than count now, the API server is asked.
async fn known_code(
    ctx: &Context,
    object: &LanguageAgent,
    agent: &ValidatedAgent,
) -> Result<(SynthesisInfo, ObservedAgent), ReconcileError> {
    let recorded = previous(object).synthesis_info.unwrap_or_default();
    let (info, observed) = recognised(ctx, object, recorded);
    let is_judged = !ctx.cache.keys.are_newer(&observed.revisions);
    if is_judged && !code::is_lost(&observed.revisions, &info) {
        return Ok((info, observed));
    }
    ctx.writer.list_revisions(agent).await?;
    Ok(recognised(ctx, object, info))
}

async fn take_answer(
    ctx: &Context,
    agent: &ValidatedAgent,
    info: SynthesisInfo,
    observed: &ObservedAgent,
) -> Result<Taken, ReconcileError> {
    let uid = &agent.owner.uid;
    let (about, answer) = match ctx.synthesis.agents.state(uid) {
        CallState::Done(about, answer) => (about, answer),
        CallState::Running(about) => return Ok(Taken::waiting(info, about)),
        CallState::Idle => return Ok(Taken::unchanged(info)),
    };
    let mut info = info;
    let unsettled = info.clone();
    afford::settle(&mut info, answer.cost());
    if !about.is_wanted(agent) {
        let info = attempt::dropped(&info, answer.tokens());
        return Ok(Taken::with(info, SynthesisEvent::Dropped));
    }
    let (new, duration, tokens) = match &*answer {
        Answer::Made {
            new,
            duration,
            tokens,
        } => (new, *duration, *tokens),
        Answer::Failed {
            failed,
            retry_after,
            ..
        } => {
            let synthesis = &ctx.synthesis;
            synthesis.set_retry_after(uid, about.question(), *retry_after);
            return Ok(failure(&info, failed.clone()));
        }
        Answer::Unpaid { too_few, tokens } => {
            let info = attempt::unpaid(&attempt::dropped(&info, *tokens), *too_few);
            return Ok(Taken::with(info, SynthesisEvent::Unpaid));
        }
    };
    match store(ctx, agent, new, &info, observed).await {
        Ok((content, revision)) => {
            let mut info = attempt::succeeded(&info, &new.code_hash, duration, tokens);
            info.powers = CodePowers::from(&new.definition).told();
            known::record_content(&mut info, &observed.revisions, &content, revision);
            let model = new.model.clone();
            let stored = SynthesisEvent::Stored { revision, model };
            Ok(Taken::with(info, stored))
        }
        // It is paid for: as if the call went on, until there is room for what it gave.
        Err(StoreError::Refused(summary)) => Ok(Taken {
            refused: Some(summary),
            ..Taken::waiting(unsettled, about)
        }),
        // There never will be.
        Err(StoreError::TooLarge(why)) => {
            Ok(failure(&info, failed(Reason::SynthesisFailed, why, tokens)))
        }
        Err(StoreError::Unproven(why)) => {
            let failed = failed(Reason::ProvenanceRefused, why, tokens);
            Ok(failure(&info, failed))
        }
        Err(StoreError::Failed(error)) => Err(error),
    }
}

fn failure(info: &SynthesisInfo, failed: Failed) -> Taken {
    let info = attempt::failed(info, &failed, now());
    Taken::with(info, SynthesisEvent::Failed(failed))
}

/// Stores new code as the next revision. Code that is stored already is made the newest. Gives the
/// hash of its content, and its number.
async fn store(
    ctx: &Context,
    agent: &ValidatedAgent,
    new: &NewCode,
    info: &SynthesisInfo,
    observed: &ObservedAgent,
) -> Result<(String, i64), StoreError> {
    let next = code::next_revision(&observed.revisions, info);
    let mut config_map = code::build_code_config_map(agent, new, next);
    let content = code::content_of(&config_map);
    let beside = beside_inputs(ctx, agent, new, &content);
    config_map
        .metadata
        .annotations
        .get_or_insert_default()
        .extend(beside.clone());
    let name = config_map.metadata.name.clone().unwrap_or_default();
    let known = observed
        .revisions
        .iter()
        .find(|stored| stored.name == name)
        .cloned();
    if known.is_none() {
        let writer = &ctx.writer;
        writer.store_revision(&agent.owner, &config_map).await?;
    }
    let stored = ctx
        .cache
        .index
        .get(ChildKind::ConfigMap, &agent.namespace, &name);
    let Some(stored) = stored.or(known) else {
        return Ok((content, next));
    };
    let revision = code::revision_of_new(&stored, &observed.revisions, info, agent.pinned);
    // Of the same content as before it may still be offered more or less.
    let mut wanted = code::all_annotations(agent, new, revision);
    wanted.extend(beside);
    ctx.writer.annotate_revision(&stored, &wanted).await?;
    is_proven(ctx, agent, &name)?;
    Ok((content, revision))
}

/// Annotations of new code that do not follow its inputs: who stored it, and what its agent may do
/// with it. The latter is left out of an agent that cannot run as its spec says: nobody may take it
/// for approved.
fn beside_inputs(
    ctx: &Context,
    agent: &ValidatedAgent,
    new: &NewCode,
    content: &str,
) -> BTreeMap<String, String> {
    let signature = ctx.attestor.sign(&agent.owner.uid, content);
    let code = CodePowers::from(&new.definition);
    let powers = Powers::of(agent, Some(&code), &ctx.settings.build);
    let powers = powers.iter().flat_map(as_annotations);
    let attestation = (annotations::ATTESTATION.to_owned(), signature);
    powers.chain([attestation]).collect()
}

/// Whether stored code has kept its statement, where it needs one: else it would be made again and
/// again, and never be active.
fn is_proven(ctx: &Context, agent: &ValidatedAgent, name: &str) -> Result<(), StoreError> {
    let index = &ctx.cache.index;
    let stored = index.get(ChildKind::ConfigMap, &agent.namespace, name);
    match stored.as_deref().map(|stored| &stored.state) {
        Some(ObservedState::Code(state)) if !state.is_trusted() => {
            Err(StoreError::Unproven(format!(
                "ConfigMap {name} was stored and has not kept the annotation {}: see what changes ConfigMaps on their way, for example a webhook",
                annotations::PROVENANCE
            )))
        }
        _ => Ok(()),
    }
}
