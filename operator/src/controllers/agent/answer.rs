//! Answers of the synthesizer: what of them an agent keeps, and their storing.

use langop_api::{agent::SynthesisInfo, condition::Reason, names::annotations};
use langop_desired::{
    agent::{
        ObservedAgent,
        attempt::{self, Failed},
        code::{self, NewCode},
        decide::InFlight,
        known,
        validate::ValidatedAgent,
    },
    conditions::Standing,
    observed::ChildKind,
};

use crate::{
    context::{Context, now},
    error::ReconcileError,
    synthesis::{
        answer::{Answer, failed},
        calls::Stand,
    },
    write::revisions::Unstored,
};

/// What the last answer, if one was there, changed. The one look at the calls in a reconcile: an answer that comes during it waits for
/// the next.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) info: SynthesisInfo,
    pub(super) in_flight: Option<InFlight>,
    pub(super) news: Option<News>,
    /// The code is there and cannot be stored: how the agent stands by that. The answer is kept, and what runs goes on.
    pub(super) refused: Option<Standing>,
}

/// What is to be told of it.
#[derive(Debug)]
pub(super) enum News {
    Stored {
        revision: i64,
        model: String,
    },
    Failed(Failed),
    /// Nothing: the question has changed meanwhile. What it cost counts.
    Dropped,
}

impl Settled {
    fn unchanged(info: SynthesisInfo) -> Self {
        Self {
            info,
            in_flight: None,
            news: None,
            refused: None,
        }
    }

    pub(super) fn failure(&self) -> Option<&str> {
        match &self.news {
            Some(News::Failed(failed)) => Some(&failed.message),
            Some(News::Stored { .. } | News::Dropped) | None => None,
        }
    }
}

/// Stores the code of an answer that is still wanted, or records why there is none. The answer itself is kept until that is in the
/// status: whoever is interrupted does the same again.
pub(super) async fn settle(
    ctx: &Context,
    agent: &ValidatedAgent,
    info: SynthesisInfo,
    observed: &ObservedAgent,
) -> Result<Settled, ReconcileError> {
    let uid = &agent.owner.uid;
    let waiting = |info, about| Settled {
        in_flight: Some(about),
        ..Settled::unchanged(info)
    };
    let (about, answer) = match ctx.synthesis.agents.stand(uid) {
        Stand::Answered(about, answer) => (about, answer),
        Stand::UnderWay(about) => return Ok(waiting(info, about)),
        Stand::None => return Ok(Settled::unchanged(info)),
    };
    if !about.is_wanted(agent) {
        return Ok(Settled {
            news: Some(News::Dropped),
            ..Settled::unchanged(attempt::dropped(&info, answer.tokens()))
        });
    }
    match &*answer {
        Answer::Failed {
            failed,
            retry_after,
        } => {
            ctx.synthesis.wait(uid, about.question(), *retry_after);
            Ok(Settled {
                news: Some(News::Failed(failed.clone())),
                ..Settled::unchanged(attempt::failed(&info, failed, now()))
            })
        }
        Answer::Made {
            new,
            duration,
            tokens,
        } => match store(ctx, agent, new, &info, observed).await? {
            Ok((content, revision)) => {
                let mut info = attempt::succeeded(&info, &new.code_hash, *duration, *tokens);
                known::record_content(&mut info, &observed.codes, &content, revision);
                Ok(Settled {
                    news: Some(News::Stored {
                        revision,
                        model: new.model.clone(),
                    }),
                    ..Settled::unchanged(info)
                })
            }
            // It is paid for: as if the call went on, until there is room for what it gave.
            Err(Unstored::ForNow(standing)) => Ok(Settled {
                refused: Some(standing),
                ..waiting(info, about)
            }),
            // There never will be.
            Err(Unstored::TooLarge(why)) => {
                let failed = failed(Reason::SynthesisFailed, why, *tokens);
                let info = attempt::failed(&info, &failed, now());
                Ok(Settled {
                    news: Some(News::Failed(failed)),
                    ..Settled::unchanged(info)
                })
            }
        },
    }
}

/// Stores new code as the next revision. Code that is stored already is made the newest. Gives the hash of its content, and its number.
async fn store(
    ctx: &Context,
    agent: &ValidatedAgent,
    new: &NewCode,
    info: &SynthesisInfo,
    observed: &ObservedAgent,
) -> Result<Result<(String, i64), Unstored>, ReconcileError> {
    let next = code::next_revision(&observed.codes, info);
    let mut config_map = code::build_code_config_map(agent, new, next);
    let content = code::content_of(&config_map);
    let attestation = (
        annotations::ATTESTATION.to_owned(),
        ctx.attestor.sign(&agent.owner.uid, &content),
    );
    config_map
        .metadata
        .annotations
        .get_or_insert_default()
        .extend([attestation.clone()]);
    let name = config_map.metadata.name.clone().unwrap_or_default();
    let known = observed
        .codes
        .iter()
        .find(|stored| stored.name == name)
        .cloned();
    if known.is_none()
        && let Err(unstored) =
            crate::write::revisions::store(ctx, &agent.owner, &config_map).await?
    {
        return Ok(Err(unstored));
    }
    let stored = ctx
        .cache
        .index
        .get(ChildKind::ConfigMap, &agent.namespace, &name);
    let Some(stored) = stored.or(known) else {
        return Ok(Ok((content, next)));
    };
    let revision = code::revision_of_new(&stored, &observed.codes, info, agent.pinned);
    // Of the same content as before it may still be offered more or less.
    let mut wanted = code::all_annotations(agent, new, revision);
    wanted.extend([attestation]);
    let annotated = crate::write::revisions::annotate(ctx, &stored, &wanted).await?;
    Ok(annotated
        .map(|_| (content, revision))
        .map_err(Unstored::ForNow))
}
