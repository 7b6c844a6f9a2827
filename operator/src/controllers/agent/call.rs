//! The call for an agent's code: a task of its own, with the spans that connect it to the reconcile
//! that started it.

use std::{sync::Arc, time::Instant};

use langop_api::{agent::Tokens, condition::Reason};
use langop_desired::{
    agent::{attempt::Failed, code, decide::InFlight, validate::ValidatedAgent},
    references::References,
};
use langop_proto::{
    limits,
    v1::{SynthesisOutcome, SynthesizeResponse},
};
use tracing::Instrument as _;

use crate::{
    cache::{kind::Kind, triggers::Target},
    context::{Context, now},
    controllers::budget::{self, Reserved},
    error::{ReconcileError, bounded, chain},
    synthesis::{
        answer::{self, Answer, Question},
        client::Synthesizer,
        failure::{Failure, FailureKind},
        request::{self, SynthesisInputs},
    },
};

/// A call to be made once its attempt is recorded.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) about: InFlight,
    pub(super) variant: Option<String>,
    /// The name of the code that runs meanwhile, and that the new one should differ little from.
    pub(super) current: Option<String>,
    /// What it may cost by the agent's own budget, which has that reserved.
    pub(super) tokens: Option<i64>,
}

/// Starts the call; its answer triggers the agent. Whether there was a synthesizer, and anything to
/// ask.
pub(super) fn start(ctx: &Arc<Context>, agent: &ValidatedAgent, call: Call) -> bool {
    let (Some(synthesizer), Some(instructions)) = (
        ctx.synthesis.synthesizer.clone(),
        agent.instructions.clone(),
    ) else {
        return false;
    };
    let uid = &agent.owner.uid;
    ctx.synthesis.record_attempt(uid);
    let span = tracing::info_span!(
        "create_agent",
        otel.name = format!("create_agent {}", agent.name),
        gen_ai.operation.name = "create_agent",
        gen_ai.agent.name = agent.name,
    );
    let inputs = SynthesisInputs {
        name: agent.name.clone(),
        namespace: agent.namespace.clone(),
        instructions: instructions.text,
        previous: None,
        variant: call.variant,
        max_tokens: None,
    };
    let asked = call.tokens.unwrap_or(ctx.settings.synthesis_max_tokens);
    let reserving = {
        let (ctx, namespace) = (ctx.clone(), agent.namespace.clone());
        async move { budget::reserve(&ctx, &namespace, asked).await }
    };
    let (asking, references, current) = (ctx.clone(), agent.references.clone(), call.current);
    let namespace = agent.namespace.clone();
    let pay = move |reserved| {
        pay(
            asking,
            namespace,
            reserved,
            call.tokens,
            async move |ctx, max_tokens| {
                let inputs = SynthesisInputs {
                    max_tokens,
                    ..inputs
                };
                make(ctx, synthesizer, inputs, references, current).await
            },
        )
        .instrument(span)
    };
    let target = Target::new(Kind::Agent, Some(&agent.namespace), &agent.name);
    let again = ctx.clone();
    ctx.synthesis.agents.start(
        uid,
        &agent.namespace,
        call.about,
        reserving,
        pay,
        move || again.cache.triggers.send(target.clone()),
    );
    true
}

/// Makes a call with what there is for it, and settles what it has cost.
async fn pay(
    ctx: Arc<Context>,
    namespace: String,
    reserved: Result<Reserved, ReconcileError>,
    own: Option<i64>,
    make: impl AsyncFnOnce(Arc<Context>, Option<u64>) -> Answer,
) -> Answer {
    let (tokens, reservation) = match reserved {
        Ok(Reserved::Unbounded) => (own, None),
        Ok(Reserved::Tokens(reservation)) => (Some(reservation.tokens), Some(reservation)),
        Ok(Reserved::Exhausted(_)) => return unpaid(None),
        Err(error) => return unwritten(&error),
    };
    let max_tokens = tokens.and_then(|tokens| u64::try_from(tokens).ok());
    let answer = if budget::is_suspended(&ctx, &namespace) {
        unpaid(None)
    } else {
        match make(ctx.clone(), max_tokens).await {
            Answer::Failed { failed, .. } if was_too_little(&failed) => unpaid(tokens),
            answer => answer,
        }
    };
    if let Some(reservation) = reservation {
        budget::settle(&ctx, reservation, answer.cost()).await;
    }
    answer
}

fn unpaid(too_few: Option<i64>) -> Answer {
    Answer::Unpaid {
        too_few,
        tokens: Tokens::default(),
    }
}

/// Whether the question was not even asked, because what it might cost does not suffice.
fn was_too_little(failed: &Failed) -> bool {
    failed.reason == Reason::BudgetExhausted && failed.tokens == Tokens::default()
}

/// What is not written down is not spent either.
fn unwritten(error: &ReconcileError) -> Answer {
    let message = format!(
        "the budget of the namespace cannot be written, so nothing is asked: {}",
        chain(error)
    );
    Answer::Failed {
        failed: answer::failed(
            Reason::SynthesisFailed,
            bounded(&message),
            Tokens::default(),
        ),
        retry_after: None,
        is_cost_known: true,
    }
}

async fn make(
    ctx: Arc<Context>,
    synthesizer: Arc<Synthesizer>,
    mut inputs: SynthesisInputs,
    references: References,
    current: Option<String>,
) -> Answer {
    let started = Instant::now();
    let (name, instructions, offered) = (
        inputs.name.clone(),
        inputs.instructions.clone(),
        code::offered(&references),
    );
    let bytes = request::size(&inputs, &references);
    let room = ctx.synthesis.room_for(bytes).await;
    let response = match fits(bytes).and(previous(&ctx, &inputs.namespace, current).await) {
        Ok(previous) => {
            inputs.previous = previous;
            synthesizer
                .synthesize(request::synthesize(inputs, &references))
                .await
        }
        Err(failure) => Err(failure),
    };
    drop(room);
    let took = started.elapsed();
    let traceparent = langop_program::trace::current_traceparent();
    ctx.metrics
        .synthesized(outcome(&response), took, traceparent.as_deref());
    let question = Question {
        name: &name,
        instructions,
        offered,
        keys: ctx.cache.keys.get(),
    };
    answer::judge(response, question, took, now())
}

/// A question that is too long for one message is not even made.
fn fits(bytes: usize) -> Result<(), Failure> {
    if bytes <= limits::MESSAGE {
        return Ok(());
    }
    Err(Failure {
        kind: FailureKind::Invalid,
        message: format!(
            "the tools' descriptions for the LLM have {bytes} bytes, more than the {} that a request may have: reference fewer tools, or shorten the descriptions and inputSchemas of their operations",
            limits::MESSAGE
        ),
        retry_after: None,
        tokens: (0, 0),
        is_cost_known: true,
        allowed: None,
    })
}

/// The code that runs, for a small difference.
async fn previous(
    ctx: &Context,
    namespace: &str,
    current: Option<String>,
) -> Result<Option<(String, String)>, Failure> {
    let Some(current) = current else {
        return Ok(None);
    };
    ctx.writer
        .read_revision(namespace, &current)
        .await
        .map_err(|error| Failure {
            kind: FailureKind::Retryable,
            message: format!("the code that runs cannot be read: {}", chain(&error)),
            retry_after: None,
            tokens: (0, 0),
            is_cost_known: true,
            allowed: None,
        })
}

fn outcome(response: &Result<SynthesizeResponse, Failure>) -> &'static str {
    match response {
        Err(failure) => failure.kind.as_str(),
        Ok(response) => match response.outcome() {
            SynthesisOutcome::Generated | SynthesisOutcome::Unspecified => "generated",
            SynthesisOutcome::Repaired => "repaired",
            SynthesisOutcome::Cached => "cached",
            SynthesisOutcome::Coalesced => "coalesced",
            SynthesisOutcome::Rejected => "rejected",
        },
    }
}

/// What is recorded where the operator has no synthesizer.
pub(super) fn without_synthesizer() -> Failed {
    Failed {
        reason: Reason::SynthesisDisabled,
        message: "synthesis is disabled: set LANGOP_SYNTHESIZER_ENDPOINT on the operator, or give the agent an image of its own".to_owned(),
        validation_errors: Vec::new(),
        tokens: Tokens::default(),
    }
}
