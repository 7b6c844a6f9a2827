//! Drives a workflow: starts what the engine orders, hands back what came of it, and ends by signal
//! or deadline.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream::FuturesUnordered};
use langop_dsl::{Action, Value};
use serde_json::Value as Json;
use tokio::time::sleep;
use tracing::Instrument as _;

use super::state::{Ended, GRACE, Run, now_in_words};
use crate::{
    engine::{
        prompt::Speaker,
        results::{self, Bindings, StepResult},
        workflow::{End, Event, Limits, Start, StepState, Work, Workflow, question},
    },
    metrics::Purpose,
    model::wire::{Chat, Completion, Finish},
    outcome::{Failure, Reason},
};

/// What is to be done for a step, with all that it needs, so that the engine can go on meanwhile.
enum Task {
    Judge(Chat),
    Ask {
        chat: Chat,
        model: Option<String>,
    },
    Call {
        tool: String,
        action: Option<String>,
        params: BTreeMap<String, Value>,
        results: BTreeMap<String, StepResult>,
        item: Option<Json>,
    },
}

pub(super) async fn drive(run: &Run<'_>) -> Ended {
    let definition = &run.agent.code.definition;
    let settings = &run.agent.environment.settings;
    let limits = Limits {
        parallel: settings.parallel.into(),
        iterations: run.agent.environment.max_iterations,
    };
    let mut workflow = Workflow::new(definition, limits);
    if let Some(saved) = &run.request.resumed {
        workflow.resume(saved.steps.clone(), saved.iterations);
    }
    let mut under_way = FuturesUnordered::new();
    let mut is_stopping = false;
    let end = loop {
        if run.request.stopping.is_cancelled() && !is_stopping {
            is_stopping = true;
            workflow.halt(Run::stopped());
        }
        for start in workflow.start_next() {
            under_way.push(start_one(run, &workflow, start));
        }
        if let Some(end) = workflow.end() {
            break end;
        }
        tokio::select! {
            Some((step, event)) = under_way.next() => record(run, &mut workflow, step, event),
            () = run.request.stopping.cancelled(), if !is_stopping => {}
            () = sleep(GRACE), if is_stopping => {
                under_way.clear();
                workflow.abandon();
            }
            () = run.request.deadline.over() => {
                workflow.halt(Run::time_limit());
                under_way.clear();
                workflow.abandon();
            }
        }
    };
    ended(run, &workflow, end)
}

fn start_one<'r>(
    run: &'r Run<'_>,
    workflow: &Workflow,
    start: Start,
) -> impl Future<Output = (usize, Event)> + use<'r> {
    let step = workflow.step(start.step);
    let name = step.name.clone();
    let span = tracing::info_span!(
        "langop.step",
        otel.name = format!("langop.step {name}"),
        langop.step = %name,
    );
    let task = task(run, workflow, start);
    let which = which(workflow, start.step);
    async move {
        let event = run.carry(&name, &which, task).await;
        (start.step, event)
    }
    .instrument(span)
}

/// Names what a step does, in the checkpoint and to tools: the step, and of a step that runs once
/// per item the item. No step's name can hold the character between them.
fn which(workflow: &Workflow, step: usize) -> String {
    let name = &workflow.step(step).name;
    match workflow.item(step) {
        Some((number, _)) => format!("{name}\0{}", number + 1),
        None => name.clone(),
    }
}

fn task(run: &Run<'_>, workflow: &Workflow, start: Start) -> Task {
    let step = workflow.step(start.step);
    let speaker = Speaker {
        definition: &run.agent.code.definition,
        persona: &run.agent.environment.persona,
        fence: &run.fence,
    };
    let chat = |messages, is_judgement| Chat {
        messages,
        functions: Vec::new(),
        is_judgement,
    };
    let item = workflow.item(start.step).map(|(_, item)| item);
    match (start.work, &step.action) {
        (Work::Judge { strict }, _) => {
            let condition = step.only_if.as_deref().unwrap_or_default();
            let context = workflow.judging_context(start.step);
            let messages = speaker.judge(condition, &context, &now_in_words(), strict);
            Task::Judge(chat(messages, true))
        }
        (_, Action::Ask { prompt, model }) => {
            let question = question(prompt, workflow, item);
            let about = item
                .filter(|_| *prompt != Value::Item)
                .map(results::item_text);
            let context = workflow.context(start.step);
            let messages = speaker.ask(&question, about.as_deref(), &context);
            Task::Ask {
                chat: chat(messages, false),
                model: model.clone(),
            }
        }
        (
            _,
            Action::UseTool {
                tool,
                action,
                params,
            },
        ) => Task::Call {
            tool: tool.clone(),
            action: action.clone(),
            params: params.clone(),
            results: used_results(params, workflow),
            item: item.cloned(),
        },
    }
}

/// The results that these parameters use.
fn used_results(
    params: &BTreeMap<String, Value>,
    workflow: &Workflow,
) -> BTreeMap<String, StepResult> {
    let used = params.values().flat_map(results::used_by);
    used.filter_map(|name| Some((name.to_owned(), workflow.result(name)?.clone())))
        .collect()
}

impl Run<'_> {
    async fn carry(&self, name: &str, which: &str, task: Task) -> Event {
        match task {
            Task::Judge(chat) => self.judge(name, &chat).await,
            Task::Ask { chat, model } => self.ask(name, &chat, model.as_deref()).await,
            Task::Call {
                tool,
                action,
                params,
                results,
                item,
            } => {
                let bindings = Bindings {
                    results: &results,
                    item: item.as_ref(),
                };
                let called = self
                    .use_tool(which, &tool, action.as_deref(), &params, &bindings)
                    .await;
                called.map_or_else(failed, Event::Done)
            }
        }
    }

    async fn judge(&self, name: &str, chat: &Chat) -> Event {
        let asked = self
            .agent
            .models
            .ask(None, chat, self.asking(Purpose::Judge))
            .await;
        match asked {
            Ok(completion) => {
                tracing::info!(
                    run = %self.id, step = name, input_tokens = completion.tokens.input,
                    output_tokens = completion.tokens.output,
                    verdict = ?crate::engine::verdict::read(&completion.text), "judged"
                );
                Event::Judged {
                    answer: completion.text,
                }
            }
            Err(error) => failed(error.into()),
        }
    }

    async fn ask(&self, name: &str, chat: &Chat, model: Option<&str>) -> Event {
        let asked = self
            .agent
            .models
            .ask(model, chat, self.asking(Purpose::Ask))
            .await;
        let completion = match asked {
            Ok(completion) => completion,
            Err(error) => return failed(error.into()),
        };
        if completion.finish == Finish::Length {
            tracing::warn!(run = %self.id, step = name, "the answer was cut at the model's limit");
        }
        match answer(&completion) {
            Ok(text) => {
                let text = results::cut(text, results::MAX_TEXT_BYTES);
                Event::Done(StepResult::text(text))
            }
            Err(failure) => Event::Failed {
                failure,
                answered: true,
            },
        }
    }

    async fn use_tool(
        &self,
        which: &str,
        tool: &str,
        action: Option<&str>,
        params: &BTreeMap<String, Value>,
        bindings: &Bindings<'_>,
    ) -> Result<StepResult, Failure> {
        let deadline = self.request.deadline;
        let operation = self.agent.tools.operation(tool, action, deadline).await?;
        let arguments = results::arguments(params, operation.schema.as_ref(), bindings);
        let output = self.call(which, tool, &operation, arguments).await?;
        if output.is_error {
            let message = format!("the tool '{tool}' says: {}", output.result.text);
            return Err(Failure::new(Reason::ToolError, message));
        }
        Ok(output.result)
    }
}

/// The text of an answer, or why there is none.
fn answer(completion: &Completion) -> Result<&str, Failure> {
    let refused = |message: String| Err(Failure::new(Reason::ModelRefused, message));
    let text = completion.text.trim();
    if completion.finish == Finish::Filtered {
        return refused("a filter of the model's provider kept the answer".to_owned());
    }
    if let Some(refusal) = &completion.refusal {
        return refused(format!("the model refuses: {refusal}"));
    }
    if text.is_empty() {
        return refused("the model answered nothing".to_owned());
    }
    Ok(text)
}

fn failed(failure: Failure) -> Event {
    Event::Failed {
        failure,
        answered: false,
    }
}

/// Takes what came of a step, and remembers it.
fn record(run: &Run<'_>, workflow: &mut Workflow, step: usize, event: Event) {
    let name = workflow.step(step).name.clone();
    let which = which(workflow, step);
    let event = match event {
        // Whatever else is wrong, without time nothing could go well.
        Event::Failed { answered, .. } if run.request.deadline.is_over() => Event::Failed {
            failure: Run::time_limit(),
            answered,
        },
        other => other,
    };
    // Of a call whose outcome is not known the intent stays.
    let is_known = !matches!(
        &event,
        Event::Failed { failure, .. }
            if matches!(failure.reason, Reason::OutcomeUnknown | Reason::TimeLimit)
    );
    let (word, bytes) = match &event {
        Event::Judged { .. } => ("judged", 0),
        Event::Done(result) => ("done", result.text.len()),
        Event::Failed { failure, .. } => (failure.reason.as_str(), 0),
    };
    tracing::info!(run = %run.id, step = name, bytes, "step: {word}");
    workflow.record(step, event);
    let tool_calls = run.tool_calls.load(std::sync::atomic::Ordering::Relaxed);
    run.remember(|saved| {
        if is_known {
            saved.intents.remove(&which);
        }
        saved.steps = workflow.records();
        saved.iterations = workflow.iterations();
        saved.tokens = run.usage.tokens();
        saved.tool_calls = tool_calls;
    });
}

fn ended(run: &Run<'_>, workflow: &Workflow, end: End) -> Ended {
    let mut skipped = Vec::new();
    let mut done = 0;
    for (step, state) in workflow.states() {
        let word = match state {
            StepState::Done { .. } => {
                done += 1;
                "done"
            }
            StepState::Skipped { .. } => {
                skipped.push(step.name.clone());
                "skipped"
            }
            StepState::Failed => "failed",
            StepState::Pending | StepState::Active(_) | StepState::NotRun => "not-run",
        };
        run.agent.metrics.step(word);
    }
    let (result, step) = match end {
        End::Succeeded if skipped.is_empty() => (Ok(steps(done)), None),
        End::Succeeded => (
            Ok(format!("{}, {} skipped", steps(done), skipped.len())),
            None,
        ),
        End::Failed { step, failure } => (
            Err(failure),
            step.map(|step| workflow.step(step).name.clone()),
        ),
    };
    Ended {
        has_nothing_to_do: result.is_ok() && workflow.had_nothing_to_do(),
        result,
        step,
        iterations: workflow.iterations(),
        skipped,
    }
}

/// How many were done, in words.
fn steps(done: usize) -> String {
    let s = if done == 1 { "" } else { "s" };
    format!("{done} step{s} done")
}
