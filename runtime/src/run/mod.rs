//! One run: the orders of the engine carried out, and a report of how it ended. `workflow` drives
//! steps, `objectives` the loop of a model with tools, [`conversation`] the same loop where somebody
//! asks, and `state` is what they share.

mod call;
pub mod conversation;
mod objectives;
mod state;
mod workflow;

use tokio::time::Instant;
use tracing::Instrument as _;

pub use self::state::{Agent, Conversation, Finished, GRACE, Request};
use self::state::{Ended, Run};
use crate::{
    code,
    outcome::{Failure, Reason},
    trace,
};

/// Runs the agent once.
pub async fn run(agent: &Agent, request: &Request) -> Finished {
    let began = Instant::now();
    let run = Run::new(agent, request);
    let name = &agent.environment.name;
    let span = tracing::info_span!(
        "invoke_agent",
        otel.name = format!("invoke_agent {name}"),
        otel.status_code = tracing::field::Empty,
        gen_ai.operation.name = "invoke_agent",
        gen_ai.agent.name = %name,
        langop.run = %run.id,
        langop.code_hash = %agent.code.hash,
        langop.outcome = tracing::field::Empty,
        langop.reason = tracing::field::Empty,
        langop.tokens.input = tracing::field::Empty,
        langop.tokens.output = tracing::field::Empty,
    );
    let parent = request.traceparent.as_ref();
    trace::set_parent(&span, parent.map(String::as_str));
    trace::link(&span, agent.environment.synthesis_traceparent.as_deref());
    async {
        tracing::info!(run = %run.id, resumed = request.resumed.is_some(), "the run begins");
        let ended = carry_out(&run).await;
        let finished = run.finish(ended, began);
        let report = &finished.report;
        let span = tracing::Span::current();
        span.record("langop.outcome", report.outcome.as_str());
        span.record("langop.tokens.input", report.tokens.input);
        span.record("langop.tokens.output", report.tokens.output);
        if let Some(reason) = report.reason {
            span.record("langop.reason", reason.as_str());
            span.record("otel.status_code", "ERROR");
        }
        finished
    }
    .instrument(span)
    .await
}

async fn carry_out(run: &Run<'_>) -> Ended {
    let definition = &run.agent.code.definition;
    if let Err(failure) = code::check_offered(definition, &run.agent.environment) {
        return Ended::failed(failure);
    }
    if let Some(saved) = &run.request.resumed
        && let Some((which, intent)) = saved.intents.first_key_value()
    {
        let message = format!(
            "the process ended while '{}' of the tool '{}' was being called: it may or may not have happened, and is not done twice",
            intent.operation, intent.tool
        );
        let mut ended = Ended::failed(Failure::new(Reason::OutcomeUnknown, message));
        ended.step = Some(which.clone());
        ended.iterations = saved.iterations;
        return ended;
    }
    run.begin();
    if let Some(conversation) = &run.request.conversation {
        return conversation::drive(run, conversation).await;
    }
    if definition.steps.is_empty() {
        objectives::drive(run).await
    } else {
        workflow::drive(run).await
    }
}
