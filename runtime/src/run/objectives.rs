//! Drives the loop of a model with tools: keeps the functions fresh, starts what the engine orders,
//! hands back what came of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep};

use super::state::{Agent, Ended, GRACE, Run, now_in_words};
use crate::{
    engine::{
        chat_loop::{ChatLoop, End, Limits, Planned, Start},
        functions::{Functions, Offered},
        prompt::{Circumstances, Speaker},
    },
    mcp::operation::Operation,
    metrics::Purpose,
    model::{
        client::ModelError,
        wire::{Chat, Completion, Message},
    },
    outcome::{Failure, Reason},
};

/// How long a tool that does not answer is left alone.
const AGAIN: Duration = Duration::from_secs(30);
/// Longest time to look whether a tool that did not answer does so now; a tenth of it is waited for
/// a connection.
const LOOK: Duration = Duration::from_secs(20);
/// Bytes of a token, roughly.
const TOKEN_BYTES: usize = 4;

/// Which tools have functions, and which do not answer.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// When to look again.
    away: BTreeMap<String, Instant>,
    /// Those that want a person: left out for good.
    left_out: BTreeSet<String>,
}

enum Happened {
    Answered(Completion),
    Unanswered(ModelError),
    Called { id: String, text: String },
}

pub(super) async fn drive(run: &Run<'_>) -> Ended {
    let environment = &run.agent.environment;
    let mut reach = Reach::default();
    let functions = reach.functions(run).await;
    let limits = limits(run.agent);
    let saved = run.request.resumed.as_ref();
    let messages = saved
        .map(|saved| saved.messages.clone())
        .filter(|messages| !messages.is_empty())
        .unwrap_or_else(|| begin(run));
    let mut chat = ChatLoop::new(messages, functions, limits);
    chat.resume(saved.map_or(0, |saved| saved.iterations));
    let end = converse(run, &mut chat, &mut reach).await;
    tracing::debug!(agent = environment.name, "the loop ended");
    ended(end, chat.iterations())
}

/// A run of a loop that ended so.
pub(super) fn ended(end: End, iterations: u32) -> Ended {
    let (result, has_nothing_to_do) = match end {
        End::Achieved(summary) => (Ok(summary), false),
        End::NothingToDo(summary) => (Ok(format!("nothing to do: {summary}")), true),
        End::Failed(failure) => (Err(failure), false),
    };
    Ended {
        result,
        has_nothing_to_do,
        step: None,
        iterations,
        skipped: Vec::new(),
    }
}

/// The bounds of a loop of this agent.
pub(super) fn limits(agent: &Agent) -> Limits {
    let context = agent.environment.settings.context_tokens as usize;
    Limits {
        iterations: agent.environment.max_iterations,
        bytes: context * TOKEN_BYTES / 10 * 7,
    }
}

/// How a loop begins.
fn begin(run: &Run<'_>) -> Vec<Message> {
    let workspace = workspace(run);
    let mut messages = speaker(run).begin(Circumstances {
        workspace: workspace.as_deref(),
        time: &now_in_words(),
        previous: run.request.previous.as_deref(),
    });
    if let (Some(asked), Some(Message::User { content })) =
        (&run.request.message, messages.last_mut())
    {
        content.clone_from(asked);
    }
    messages
}

/// How a conversation begins; `caller`: what whoever asks adds.
pub(super) fn instructions(run: &Run<'_>, caller: Option<&str>) -> Message {
    let workspace = workspace(run);
    let circumstances = Circumstances {
        workspace: workspace.as_deref(),
        time: &now_in_words(),
        previous: None,
    };
    speaker(run).converse(circumstances, caller)
}

fn speaker<'a>(run: &'a Run<'_>) -> Speaker<'a> {
    Speaker {
        definition: &run.agent.code.definition,
        persona: &run.agent.environment.persona,
        fence: &run.fence,
    }
}

fn workspace(run: &Run<'_>) -> Option<String> {
    let workspace = run.agent.environment.workspace.as_ref();
    workspace.map(|path| path.display().to_string())
}

/// Goes on until the loop ends, by the model, a bound, a signal or the deadline.
pub(super) async fn converse(run: &Run<'_>, chat: &mut ChatLoop, reach: &mut Reach) -> End {
    let mut under_way = FuturesUnordered::new();
    let mut is_stopping = false;
    loop {
        if run.request.stopping.is_cancelled() && !is_stopping {
            is_stopping = true;
            chat.halt(Run::stopped());
        }
        if chat.is_between_turns() {
            reach.refresh(run, chat).await;
        }
        for start in chat.start_next() {
            under_way.push(start_one(run, start));
        }
        if let Some(end) = chat.end() {
            return end.clone();
        }
        tokio::select! {
            Some(happened) = under_way.next() => record(run, chat, reach, happened),
            () = run.request.stopping.cancelled(), if !is_stopping => {}
            () = sleep(GRACE), if is_stopping => {
                under_way.clear();
                chat.abandon();
            }
            () = run.request.deadline.over() => {
                chat.halt(Run::time_limit());
                under_way.clear();
                chat.abandon();
            }
        }
    }
}

async fn start_one(run: &Run<'_>, start: Start) -> (Happened, Option<Failure>) {
    match start {
        Start::Ask(chat) => match run.turn(&chat).await {
            Ok(completion) => (Happened::Answered(completion), None),
            Err(error) => (Happened::Unanswered(error), None),
        },
        Start::Call(planned) => {
            let (text, failure) = run.planned_call(&planned).await;
            let id = planned.id;
            (Happened::Called { id, text }, failure)
        }
    }
}

impl Run<'_> {
    async fn turn(&self, chat: &Chat) -> Result<Completion, ModelError> {
        let conversation = self.request.conversation.as_ref();
        let model = conversation.and_then(|conversation| conversation.model.as_deref());
        self.agent
            .models
            .ask(model, chat, self.asking(Purpose::Turn))
            .await
    }

    /// What the model sees of a call, and why it failed if it did.
    async fn planned_call(&self, planned: &Planned) -> (String, Option<Failure>) {
        let called = self.carry_out_call(planned).await;
        match called {
            Ok(text) => (text, None),
            Err(failure) => (format!("error: {failure}"), Some(failure)),
        }
    }

    async fn carry_out_call(&self, planned: &Planned) -> Result<String, Failure> {
        let deadline = self.request.deadline;
        let found = self
            .agent
            .tools
            .operation(&planned.tool, Some(&planned.operation), deadline)
            .await;
        // What was listed a moment ago and is gone now is told by the server.
        let operation = found.unwrap_or_else(|_| {
            Arc::new(Operation {
                name: planned.operation.clone(),
                is_read_only: planned.is_read_only,
                is_harmless: planned.is_read_only,
                ..Operation::default()
            })
        });
        let output = self
            .call(
                &planned.id,
                &planned.tool,
                &operation,
                planned.arguments.clone(),
            )
            .await?;
        Ok(if output.is_error {
            format!("error: {}", output.result.text)
        } else {
            output.result.text
        })
    }
}

fn record(
    run: &Run<'_>,
    chat: &mut ChatLoop,
    reach: &mut Reach,
    (happened, failure): (Happened, Option<Failure>),
) {
    let mut settled = None;
    match happened {
        Happened::Answered(completion) => {
            tracing::info!(
                run = %run.id, iteration = chat.iterations() + 1, calls = completion.calls.len(),
                input_tokens = completion.tokens.input, output_tokens = completion.tokens.output,
                "the model answered"
            );
            let is_call = !completion.calls.is_empty();
            let before = chat.messages().len();
            chat.answered(completion);
            if is_call {
                run.tell(chat.messages().get(before..).unwrap_or_default());
            }
        }
        Happened::Unanswered(ModelError::TooLong(failure)) => {
            if chat.shorten() {
                tracing::warn!(run = %run.id, "the conversation is too long; old results are left out");
            } else {
                chat.halt(failure);
            }
        }
        Happened::Unanswered(ModelError::Failed(failure)) => {
            chat.abandon();
            chat.halt(failure);
        }
        Happened::Called { id, text } => {
            if let Some(failure) = &failure {
                reach.note(&id, failure, chat);
            }
            if let Some(result) = chat.called(&id, &text) {
                run.tell(&[result]);
            }
            // Where the outcome is not known the model was told so: it is its business now.
            settled = Some(id);
        }
    }
    let tool_calls = run.tool_calls.load(std::sync::atomic::Ordering::Relaxed);
    run.remember(|saved| {
        if let Some(id) = settled {
            saved.intents.remove(&id);
        }
        saved.messages = chat.messages().to_vec();
        saved.iterations = chat.iterations();
        saved.tokens = run.usage.tokens();
        saved.tool_calls = tool_calls;
    });
}

impl Reach {
    /// Functions of all tools that answer.
    pub(super) async fn functions(&mut self, run: &Run<'_>) -> Functions {
        let mut offered = Vec::new();
        let names: Vec<String> = run.agent.tools.names().map(str::to_owned).collect();
        for tool in names {
            let is_away = self
                .away
                .get(&tool)
                .is_some_and(|until| *until > Instant::now());
            if is_away || self.left_out.contains(&tool) {
                continue;
            }
            let deadline = run.request.deadline;
            let deadline = if self.away.contains_key(&tool) {
                deadline.within(LOOK)
            } else {
                deadline
            };
            match run.agent.tools.list(&tool, deadline).await {
                Ok(list) => {
                    self.away.remove(&tool);
                    offered.extend(list.iter().map(|operation| offer(&tool, operation)));
                }
                Err(failure) => {
                    tracing::warn!(run = %run.id, tool, "its functions are left out: {failure}");
                    self.away.insert(tool, Instant::now() + AGAIN);
                }
            }
        }
        let functions = Functions::new(offered);
        if run.request.conversation.is_some() {
            functions.of_conversation()
        } else {
            functions
        }
    }

    /// Offers what is there now, and says what went and what came.
    async fn refresh(&mut self, run: &Run<'_>, chat: &mut ChatLoop) {
        let functions = self.functions(run).await;
        let owned = |tools: BTreeSet<&str>| -> BTreeSet<String> {
            tools.into_iter().map(str::to_owned).collect()
        };
        let before = owned(chat.functions().tools());
        let now = owned(functions.tools());
        let is_first = chat.iterations() == 0;
        let all: BTreeSet<String> = run.agent.tools.names().map(str::to_owned).collect();
        let gone = if is_first { &all } else { &before };
        let gone: Vec<_> = gone.difference(&now).cloned().collect();
        let came: Vec<_> = now.difference(&before).cloned().collect();
        chat.offer(functions);
        if !gone.is_empty() {
            chat.say(format!(
                "[These tools do not answer at the moment, and their functions are left out: {}]",
                gone.join(", ")
            ));
        }
        if !came.is_empty() {
            chat.say(format!("[These tools answer again: {}]", came.join(", ")));
        }
    }

    /// What a failed call says of its tool.
    fn note(&mut self, id: &str, failure: &Failure, chat: &ChatLoop) {
        let Some(tool) = chat.tool_of(id) else { return };
        match failure.reason {
            Reason::NeedsPerson => {
                self.left_out.insert(tool);
            }
            Reason::ToolUnavailable => {
                self.away.insert(tool, Instant::now() + AGAIN);
            }
            _ => {}
        }
    }
}

fn offer(tool: &str, operation: &Operation) -> Offered {
    Offered {
        tool: tool.to_owned(),
        operation: operation.name.clone(),
        description: operation.description.clone(),
        parameters: operation.schema.clone().unwrap_or_default(),
        is_read_only: operation.is_read_only,
    }
}
