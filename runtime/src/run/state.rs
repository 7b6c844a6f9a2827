//! A run under way: what it is asked for, what its drivers share, and the report that it ends with.
//! Drives nothing itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jiff::{Timestamp, Zoned};
use tokio::{sync::mpsc::UnboundedSender, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::{Checkpoint, Saved},
    code::Code,
    deadline::Deadline,
    env::Environment,
    mcp::tools::Tools,
    metrics::{Metrics, Purpose},
    model::{
        client::{Asking, Models, Usage},
        wire::Message,
    },
    outcome::{Failure, Outcome, Reason},
    process, random,
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

impl Agent {
    /// With tools and models of the environment.
    ///
    /// # Errors
    /// If there is no HTTP client.
    pub fn new(
        environment: Environment,
        code: Code,
        metrics: Arc<Metrics>,
        checkpoint: Checkpoint,
    ) -> Result<Self, Failure> {
        let tools = environment.tools.iter().map(|tool| &tool.url);
        let models = environment.models.iter().map(|model| &model.url);
        let client = process::http_client(tools.chain(models))?;
        let max_tokens = environment.settings.max_tokens;
        Ok(Self {
            tools: Tools::new(client.clone(), environment.tools.clone()),
            models: Models::new(client, environment.models.clone(), max_tokens),
            environment,
            code,
            metrics,
            checkpoint,
        })
    }
}

/// What a run is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// By which the run is known; without one it gets its own.
    pub id: Option<String>,
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
    /// A conversation whose last message is to be answered; instead of objectives and steps.
    pub conversation: Option<Conversation>,
    /// A run to go on with.
    pub resumed: Option<Saved>,
    /// Whether it is the run that the checkpoint is of; runs that somebody asks for may be several
    /// at once.
    pub is_remembered: bool,
}

/// A conversation between a person and the agent.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// What was said; every call in it has its result, and the last message is not the
    /// model's.
    pub messages: Vec<Message>,
    /// What the caller adds to the instructions.
    pub system: Option<String>,
    /// The model that is asked; without one the first, or its stand-ins.
    pub model: Option<String>,
    /// Gets what the model wants to call, and each result, as they come. Bounded by the bounds of a
    /// loop.
    pub progress: Option<UnboundedSender<Message>>,
}

impl Request {
    /// A run from the beginning, for nobody in particular.
    pub fn new(deadline: Deadline, stopping: CancellationToken) -> Self {
        Self {
            id: None,
            deadline,
            stopping,
            traceparent: None,
            path: Vec::new(),
            previous: None,
            message: None,
            conversation: None,
            resumed: None,
            is_remembered: true,
        }
    }
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) agent: &'a Agent,
    pub(super) request: &'a Request,
    pub(super) id: String,
    pub(super) fence: String,
    pub(super) usage: Usage,
    pub(super) tool_calls: AtomicU32,
    /// Agents through which tools are called: those of the request and this one.
    pub(super) path: Vec<String>,
}

/// How a run ended.
pub(super) struct Ended {
    /// What was achieved, or what is wrong.
    pub(super) result: Result<String, Failure>,
    pub(super) has_nothing_to_do: bool,
    pub(super) step: Option<String>,
    pub(super) iterations: u32,
    pub(super) skipped: Vec<String>,
}

/// How a run ended, and whether there was nothing to do.
#[derive(Debug, Clone)]
pub struct Finished {
    /// For the termination message.
    pub report: Report,
    /// Whether the next run can wait longer.
    pub has_nothing_to_do: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(agent: &'a Agent, request: &'a Request) -> Self {
        let saved = request.resumed.as_ref();
        let resumed = saved.map(|saved| saved.run.clone());
        let id = request.id.clone().or(resumed).filter(|id| !id.is_empty());
        let mut path = request.path.clone();
        path.push(agent.environment.path_name());
        Self {
            agent,
            request,
            id: id.unwrap_or_else(random::identity),
            fence: random::fence(),
            usage: Usage::from(saved.map(|saved| saved.tokens).unwrap_or_default()),
            tool_calls: AtomicU32::new(saved.map_or(0, |saved| saved.tool_calls)),
            path,
        }
    }

    pub(super) fn begin(&self) {
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
    pub(super) fn remember(&self, change: impl FnOnce(&mut Saved)) {
        if self.request.is_remembered {
            self.agent.checkpoint.update(change);
        }
    }

    pub(super) fn finish(&self, ended: Ended, began: Instant) -> Finished {
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
        // What a person is told is not the log's business.
        let is_private = outcome == Outcome::Succeeded && self.request.conversation.is_some();
        let words = if is_private {
            String::new()
        } else {
            format!(": {}", report.line())
        };
        tracing::info!(
            run = %report.run, outcome = outcome.as_str(), reason = word, step = report.step,
            iterations = report.iterations, tool_calls = report.tool_calls,
            input_tokens = report.tokens.input, output_tokens = report.tokens.output,
            duration_ms = report.duration_ms, "the run ended{words}"
        );
        Finished {
            report,
            has_nothing_to_do: ended.has_nothing_to_do,
        }
    }

    /// Tells whoever follows a conversation what was said in it.
    pub(super) fn tell(&self, messages: &[Message]) {
        let conversation = self.request.conversation.as_ref();
        if let Some(progress) = conversation.and_then(|conversation| conversation.progress.as_ref())
        {
            for message in messages {
                // Who has gone is noticed elsewhere.
                let _ = progress.send(message.clone());
            }
        }
    }

    pub(super) fn asking(&self, purpose: Purpose) -> Asking<'_> {
        Asking {
            deadline: self.request.deadline,
            usage: &self.usage,
            metrics: &self.agent.metrics,
            purpose,
        }
    }

    pub(super) fn time_limit() -> Failure {
        Failure::new(
            Reason::TimeLimit,
            "the time of the run is over: raise the timeout or do less in a run",
        )
    }

    pub(super) fn stopped() -> Failure {
        Failure::new(Reason::Stopped, "a signal ended the run")
    }
}

impl Ended {
    pub(super) fn failed(failure: Failure) -> Self {
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
pub(super) fn now_in_words() -> String {
    Zoned::now()
        .strftime("%A, %Y-%m-%d %H:%M %Z (%:z)")
        .to_string()
}
