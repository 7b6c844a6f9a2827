//! One run: the orders of the engine carried out, and a report of how it ended. `workflow` drives
//! steps, `objectives` the loop of a model with tools; here is what both share.

mod call;
pub mod conversation;
mod objectives;
mod workflow;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jiff::{Timestamp, Zoned};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    checkpoint::{Checkpoint, Saved},
    code::{self, Code},
    deadline::Deadline,
    env::Environment,
    mcp::tools::Tools,
    metrics::{Metrics, Purpose},
    model::client::{Asking, Models, Usage},
    outcome::{Failure, Outcome, Reason},
    random,
    termination::Report,
    trace,
};

/// How long calls in flight may take after a signal.
pub const GRACE: Duration = Duration::from_secs(20);

/// An agent that can run.
#[derive(Debug)]
pub struct Agent {
    /// What it was given.
    pub environment: Environment,
    /// What it is to do.
    pub code: Code,
    /// Its tools.
    pub tools: Tools,
    /// Its models.
    pub models: Models,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// What survives it.
    pub checkpoint: Checkpoint,
}

/// What a run is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Until when it may work.
    pub deadline: Deadline,
    /// Cancelled when nothing new may start.
    pub stopping: CancellationToken,
    /// W3C traceparent of whoever asks.
    pub traceparent: Option<String>,
    /// The agents through which it was asked for.
    pub path: Vec<String>,
    /// What the previous run ended with.
    pub previous: Option<String>,
    /// What somebody asks; instead of beginning with the objectives alone.
    pub message: Option<String>,
    /// A run to go on with.
    pub resumed: Option<Saved>,
    /// Whether it is the run that the checkpoint is of; runs that somebody asks for may be several
    /// at once.
    pub is_remembered: bool,
}

impl Request {
    /// A run from the beginning, for nobody in particular.
    pub fn new(deadline: Deadline, stopping: CancellationToken) -> Self {
        Self {
            deadline,
            stopping,
            traceparent: None,
            path: Vec::new(),
            previous: None,
            message: None,
            resumed: None,
            is_remembered: true,
        }
    }
}

/// A run under way.
struct Run<'a> {
    agent: &'a Agent,
    request: &'a Request,
    id: String,
    fence: String,
    usage: Usage,
    tool_calls: AtomicU32,
    /// Agents through which tools are called: those of the request and this one.
    path: Vec<String>,
}

/// How a run ended.
struct Ended {
    /// What was achieved, or what is wrong.
    result: Result<String, Failure>,
    has_nothing_to_do: bool,
    step: Option<String>,
    iterations: u32,
    skipped: Vec<String>,
}

/// How a run ended, and whether there was nothing to do.
#[derive(Debug, Clone)]
pub struct Finished {
    /// For the termination message.
    pub report: Report,
    /// Whether the next run can wait longer.
    pub has_nothing_to_do: bool,
}

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
    async {
        tracing::info!(run = %run.id, resumed = request.resumed.is_some(), "the run begins");
        let ended = run.carry_out().await;
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

impl<'a> Run<'a> {
    fn new(agent: &'a Agent, request: &'a Request) -> Self {
        let saved = request.resumed.as_ref();
        let mut path = request.path.clone();
        path.push(agent.environment.path_name());
        Self {
            agent,
            request,
            id: saved.map_or_else(random::identity, |saved| saved.run.clone()),
            fence: random::fence(),
            usage: Usage::from(saved.map(|saved| saved.tokens).unwrap_or_default()),
            tool_calls: AtomicU32::new(saved.map_or(0, |saved| saved.tool_calls)),
            path,
        }
    }

    async fn carry_out(&self) -> Ended {
        let definition = &self.agent.code.definition;
        if let Err(failure) = code::check_offered(definition, &self.agent.environment) {
            return Ended::failed(failure);
        }
        if let Some(saved) = &self.request.resumed
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
        self.begin();
        if definition.steps.is_empty() {
            objectives::drive(self).await
        } else {
            workflow::drive(self).await
        }
    }

    fn begin(&self) {
        let saved = self.request.resumed.clone().unwrap_or_else(|| Saved {
            run: self.id.clone(),
            code_hash: self.agent.code.hash.clone(),
            started: Timestamp::now(),
            deadline: self.request.deadline.timestamp(),
            ..Saved::default()
        });
        if self.request.is_remembered {
            self.agent.checkpoint.begin(saved);
        }
    }

    /// Changes what survives the process.
    fn remember(&self, change: impl FnOnce(&mut Saved)) {
        if self.request.is_remembered {
            self.agent.checkpoint.update(change);
        }
    }

    fn finish(&self, ended: Ended, began: Instant) -> Finished {
        let (outcome, reason, message) = match ended.result {
            Ok(message) => (Outcome::Succeeded, None, message),
            Err(failure) => (
                failure.reason.outcome(),
                Some(failure.reason),
                failure.message,
            ),
        };
        let duration = began.elapsed();
        let report = Report {
            outcome,
            reason,
            message,
            step: ended.step,
            run: self.id.clone(),
            code_hash: self.agent.code.hash.clone(),
            iterations: ended.iterations,
            tool_calls: self.tool_calls.load(Ordering::Relaxed),
            tokens: self.usage.tokens(),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            skipped: ended.skipped,
            resumed: self.request.resumed.is_some(),
            traceparent: trace::current_traceparent()
                .or_else(|| self.request.traceparent.clone())
                .unwrap_or_default(),
        };
        let word = reason.map_or("", Reason::as_str);
        self.agent.metrics.run(outcome, word, duration);
        // A run that a signal ended goes on in the next process.
        if outcome != Outcome::Stopped {
            self.remember(|saved| saved.ended = Some(report.line()));
        }
        tracing::info!(
            run = %report.run, outcome = outcome.as_str(), reason = word, step = report.step,
            iterations = report.iterations, tool_calls = report.tool_calls,
            input_tokens = report.tokens.input, output_tokens = report.tokens.output,
            duration_ms = report.duration_ms, "the run ended: {}", report.line()
        );
        Finished {
            report,
            has_nothing_to_do: ended.has_nothing_to_do,
        }
    }

    fn asking(&self, purpose: Purpose) -> Asking<'_> {
        Asking {
            deadline: self.request.deadline,
            usage: &self.usage,
            metrics: &self.agent.metrics,
            purpose,
        }
    }

    fn time_limit() -> Failure {
        Failure::new(
            Reason::TimeLimit,
            "the time of the run is over: raise the timeout or do less in a run",
        )
    }

    fn stopped() -> Failure {
        Failure::new(Reason::Stopped, "a signal ended the run")
    }
}

impl Ended {
    fn failed(failure: Failure) -> Self {
        Self {
            result: Err(failure),
            has_nothing_to_do: false,
            step: None,
            iterations: 0,
            skipped: Vec::new(),
        }
    }
}

/// Date, time and zone of the agent, for models.
fn now_in_words() -> String {
    Zoned::now()
        .strftime("%A, %Y-%m-%d %H:%M %Z (%:z)")
        .to_string()
}
