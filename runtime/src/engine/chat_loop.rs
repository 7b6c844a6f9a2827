//! The loop of a model that pursues objectives with tools, as a state machine:
//! [`ChatLoop::start_next`] says what to start, [`ChatLoop::answered`] and [`ChatLoop::called`]
//! take what came of it. Every call of a model gets exactly one answer, whatever is wrong with it;
//! the loop itself does nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::{
    functions::{FINISH, Functions},
    results::cut,
};
use crate::{
    model::wire::{Chat, Completion, Finish, Message, ToolCall},
    outcome::{Failure, Reason},
};

/// Most calls of one message that are carried out.
pub const MAX_CALLS: usize = 16;
/// Most calls at once, all of which only read.
pub const MAX_PARALLEL: usize = 4;
/// Most bytes of a result that a model sees.
pub const MAX_RESULT_BYTES: usize = 16 * 1024;
/// So often the same call with the same result is remarked upon, and ends the run.
const REMARK: u32 = 3;
const NO_PROGRESS: u32 = 5;
/// In place of a result that is no longer shown.
const REMOVED: &str = "[removed: the result is old and the conversation is long]";

/// Bounds of a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most answers of the model.
    pub iterations: u32,
    /// Most bytes of the conversation; what is above loses its oldest results.
    pub bytes: usize,
}

/// Something to start.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// Ask the model.
    Ask(Chat),
    /// Call a tool.
    Call(Planned),
}

/// A call that a model wants and may have.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The call's id, unique in the loop.
    pub id: String,
    /// The tool's name in the environment.
    pub tool: String,
    /// The operation, as the server calls it.
    pub operation: String,
    /// Its arguments.
    pub arguments: Map<String, Json>,
    /// By the server's word it changes nothing.
    pub is_read_only: bool,
}

/// How a loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The objectives are achieved, by the model's word.
    Achieved(String),
    /// There was nothing to do.
    NothingToDo(String),
    /// It failed.
    Failed(Failure),
}

#[derive(Debug, Clone, PartialEq)]
enum CallState {
    Waiting(Planned),
    Active(Planned),
    Answered,
}

/// The loop.
#[derive(Debug, Clone)]
pub struct ChatLoop {
    messages: Vec<Message>,
    functions: Functions,
    limits: Limits,
    iterations: u32,
    is_asking: bool,
    /// The calls of the last message, in its order.
    calls: Vec<(String, CallState)>,
    /// For each call: its last result, and how often in a row it gave that.
    seen: BTreeMap<String, (String, u32)>,
    ended: Option<End>,
}

impl ChatLoop {
    /// A loop that begins with `messages`, or goes on with those of an earlier process.
    pub fn new(messages: Vec<Message>, functions: Functions, limits: Limits) -> Self {
        let mut chat = Self {
            messages,
            functions,
            limits,
            iterations: 0,
            is_asking: false,
            calls: Vec::new(),
            seen: BTreeMap::new(),
            ended: None,
        };
        chat.pick_up();
        chat
    }

    /// So many answers were used before.
    pub fn resume(&mut self, iterations: u32) {
        self.iterations = iterations;
    }

    /// The messages so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Answers of the model so far.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Whether the model is to be asked next: then functions may change and something may be said.
    pub fn is_between_turns(&self) -> bool {
        self.ended.is_none() && !self.is_asking && self.calls.is_empty()
    }

    /// Offers other functions from the next turn on.
    pub fn offer(&mut self, functions: Functions) {
        self.functions = functions;
    }

    /// The functions that are offered.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// The tool of a call that is under way.
    pub fn tool_of(&self, id: &str) -> Option<String> {
        let (_, state) = self.calls.iter().find(|(known, _)| known == id)?;
        match state {
            CallState::Active(planned) => Some(planned.tool.clone()),
            _ => None,
        }
    }

    /// Tells the model something, and goes on if the loop had ended. Only between turns.
    pub fn say(&mut self, text: impl Into<String>) {
        self.ended = None;
        self.messages.push(Message::User {
            content: text.into(),
        });
    }

    /// What to start now.
    pub fn start_next(&mut self) -> Vec<Start> {
        if self.ended.is_some() || self.is_asking {
            return Vec::new();
        }
        if !self.calls.is_empty() {
            return self.start_calls();
        }
        if self.iterations >= self.limits.iterations {
            let message = format!(
                "{} answers of models were used, as many as allowed: raise max_iterations",
                self.iterations
            );
            self.halt(Failure::new(Reason::IterationLimit, message));
            return Vec::new();
        }
        self.forget(self.limits.bytes);
        self.is_asking = true;
        vec![Start::Ask(Chat {
            messages: self.messages.clone(),
            functions: self.functions.describe(),
            is_judgement: false,
        })]
    }

    /// Takes the model's answer.
    pub fn answered(&mut self, completion: Completion) {
        self.is_asking = false;
        self.iterations += 1;
        if let Some(failure) = refusal(&completion) {
            self.halt(failure);
            return;
        }
        let calls = self.with_good_ids(completion.calls);
        let text = completion.text.trim().to_owned();
        self.messages.push(Message::Assistant {
            content: Some(completion.text).filter(|text| !text.is_empty()),
            tool_calls: calls.clone(),
        });
        if calls.is_empty() {
            self.ended.get_or_insert(End::Achieved(text));
            return;
        }
        self.plan(&calls);
    }

    /// The messages are longer than the model can read: asks once more with fewer results. False if
    /// there are none to leave out.
    pub fn shorten(&mut self) -> bool {
        self.is_asking = false;
        let bytes: usize = self.messages.iter().map(Message::size).sum();
        self.forget(bytes / 2)
    }

    /// Takes what came of a call, as the text that the model sees. Progress is judged by it. Returns
    /// the message that the model gets; none if there is no such call.
    pub fn called(&mut self, id: &str, text: &str) -> Option<Message> {
        let call = self.calls.iter_mut().find(|(known, _)| known == id);
        let Some((_, state @ CallState::Active(_))) = call else {
            return None;
        };
        let CallState::Active(planned) = std::mem::replace(state, CallState::Answered) else {
            return None;
        };
        let mut text = cut(text, MAX_RESULT_BYTES);
        let call = format!(
            "{}\0{}\0{}",
            planned.tool,
            planned.operation,
            Json::Object(planned.arguments)
        );
        let (last, count) = self.seen.entry(call).or_default();
        *count = if *last == text { *count + 1 } else { 1 };
        last.clone_from(&text);
        let count = *count;
        if count >= NO_PROGRESS {
            let message = format!(
                "the same call of '{}' gave the same result {count} times",
                planned.operation
            );
            self.halt(Failure::new(Reason::NoProgress, message));
        } else if count >= REMARK {
            text.push_str(
                "\n[This call gave the same result before. Do something else, or finish.]",
            );
        }
        self.tell(id, text);
        let told = self.messages.last().cloned();
        self.close_turn();
        told
    }

    /// Ends the loop for a reason of no call: nothing new starts. The first reason counts.
    pub fn halt(&mut self, failure: Failure) {
        self.ended.get_or_insert(End::Failed(failure));
    }

    /// How many works are under way.
    pub fn active(&self) -> usize {
        let is_active = |(_, state): &&(String, CallState)| matches!(state, CallState::Active(_));
        usize::from(self.is_asking) + self.calls.iter().filter(is_active).count()
    }

    /// What is under way will never be recorded.
    pub fn abandon(&mut self) {
        self.is_asking = false;
        self.calls.clear();
    }

    /// How it ended, once nothing is under way any more.
    pub fn end(&self) -> Option<&End> {
        self.ended.as_ref().filter(|_| self.active() == 0)
    }

    /// Calls that only read run together; any other waits for those before it and holds up those
    /// after it.
    fn start_calls(&mut self) -> Vec<Start> {
        let mut starts = Vec::new();
        let mut active = 0;
        let mut writes = false;
        for (_, state) in &mut self.calls {
            match state {
                CallState::Answered => {}
                CallState::Active(planned) => {
                    active += 1;
                    writes |= !planned.is_read_only;
                }
                CallState::Waiting(planned) => {
                    let may = if planned.is_read_only {
                        !writes && active < MAX_PARALLEL
                    } else {
                        active == 0
                    };
                    if !may {
                        break;
                    }
                    active += 1;
                    writes |= !planned.is_read_only;
                    starts.push(Start::Call(planned.clone()));
                    *state = CallState::Active(planned.clone());
                }
            }
        }
        starts
    }

    /// Ids that are missing or were there before are replaced.
    fn with_good_ids(&self, calls: Vec<ToolCall>) -> Vec<ToolCall> {
        let mut known: BTreeSet<String> = self
            .messages
            .iter()
            .filter_map(|message| match message {
                Message::Tool { tool_call_id, .. } => Some(tool_call_id.clone()),
                _ => None,
            })
            .collect();
        let good = |(number, mut call): (usize, ToolCall)| {
            if call.id.is_empty() || known.contains(&call.id) {
                call.id = format!("call_{}_{number}", self.iterations);
            }
            known.insert(call.id.clone());
            call
        };
        calls.into_iter().enumerate().map(good).collect()
    }

    /// Decides for each call whether it is carried out, and answers those that are not.
    fn plan(&mut self, calls: &[ToolCall]) {
        let finish = calls
            .iter()
            .filter(|call| call.function.name == FINISH)
            .find_map(|call| Some((call.id.clone(), Finishing::read(call)?)));
        self.calls = calls
            .iter()
            .map(|call| (call.id.clone(), CallState::Answered))
            .collect();
        if let Some((id, finishing)) = finish {
            for call in calls {
                let text = if call.id == id {
                    "finished"
                } else {
                    "not run: the run is finished"
                };
                self.tell(&call.id, text.to_owned());
            }
            self.calls.clear();
            self.ended.get_or_insert(finishing.end());
            return;
        }
        for (number, call) in calls.iter().enumerate() {
            match self.planned(number, call) {
                Ok(planned) => self.calls[number].1 = CallState::Waiting(planned),
                Err(problem) => self.tell(&call.id, problem),
            }
        }
        self.close_turn();
    }

    fn planned(&self, number: usize, call: &ToolCall) -> Result<Planned, String> {
        let name = &call.function.name;
        if number >= MAX_CALLS {
            return Err(format!(
                "refused: at most {MAX_CALLS} calls in one message; call it again in the next"
            ));
        }
        if name == FINISH {
            return Err(
                "finish needs an outcome (achieved, nothing_to_do or impossible) and a summary"
                    .to_owned(),
            );
        }
        let Some(offered) = self.functions.get(name) else {
            return Err(format!("there is no function '{}'", cut(name, 100)));
        };
        let text = call.function.arguments.trim();
        let arguments =
            match serde_json::from_str::<Json>(if text.is_empty() { "{}" } else { text }) {
                Ok(Json::Object(arguments)) => arguments,
                Ok(_) => return Err("the arguments must be a JSON object".to_owned()),
                Err(error) => return Err(format!("the arguments are no JSON: {error}")),
            };
        Ok(Planned {
            id: call.id.clone(),
            tool: offered.tool.clone(),
            operation: offered.operation.clone(),
            arguments,
            is_read_only: offered.is_read_only,
        })
    }

    fn tell(&mut self, id: &str, content: String) {
        self.messages.push(Message::Tool {
            tool_call_id: id.to_owned(),
            content,
        });
    }

    /// Once every call is answered: the answers in the order of the calls, so that equal turns are
    /// equal.
    fn close_turn(&mut self) {
        let is_answered = |(_, state): &(String, CallState)| *state == CallState::Answered;
        if !self.calls.iter().all(is_answered) {
            return;
        }
        let order: Vec<String> = self.calls.drain(..).map(|(id, _)| id).collect();
        let begin = self.messages.len() - order.len();
        self.messages[begin..].sort_by_key(|message| match message {
            Message::Tool { tool_call_id, .. } => order.iter().position(|id| id == tool_call_id),
            _ => None,
        });
    }

    /// The calls of an earlier process's last message that have no answer yet.
    fn pick_up(&mut self) {
        let last = self.messages.iter().rposition(|message| {
            matches!(message, Message::Assistant { tool_calls, .. } if !tool_calls.is_empty())
        });
        let Some(last) = last else { return };
        let Message::Assistant { tool_calls, .. } = self.messages[last].clone() else {
            return;
        };
        let answered = self.messages.split_off(last + 1);
        if answered.len() >= tool_calls.len() {
            self.messages.extend(answered);
            return;
        }
        self.plan(&tool_calls);
        for message in answered {
            let Message::Tool { tool_call_id, .. } = &message else {
                continue;
            };
            let call = self.calls.iter_mut().find(|(id, _)| id == tool_call_id);
            if let Some((_, state @ CallState::Waiting(_))) = call {
                *state = CallState::Answered;
                self.messages.push(message);
            }
        }
    }

    /// Leaves out the oldest results until the conversation is no longer than `bytes`. Whether any
    /// was left out.
    fn forget(&mut self, bytes: usize) -> bool {
        let mut size: usize = self.messages.iter().map(Message::size).sum();
        let mut has_forgotten = false;
        for message in &mut self.messages {
            if size <= bytes {
                break;
            }
            if let Message::Tool { content, .. } = message
                && content.len() > REMOVED.len()
            {
                size -= content.len() - REMOVED.len();
                REMOVED.clone_into(content);
                has_forgotten = true;
            }
        }
        has_forgotten
    }
}

#[derive(Debug, Deserialize)]
struct Finishing {
    outcome: FinishOutcome,
    #[serde(default)]
    summary: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FinishOutcome {
    Achieved,
    NothingToDo,
    Impossible,
}

impl Finishing {
    fn read(call: &ToolCall) -> Option<Self> {
        serde_json::from_str(&call.function.arguments).ok()
    }

    fn end(self) -> End {
        match self.outcome {
            FinishOutcome::Achieved => End::Achieved(self.summary),
            FinishOutcome::NothingToDo => End::NothingToDo(self.summary),
            FinishOutcome::Impossible => {
                End::Failed(Failure::new(Reason::Impossible, self.summary))
            }
        }
    }
}

/// Why an answer is none.
fn refusal(completion: &Completion) -> Option<Failure> {
    let message = match completion {
        Completion {
            finish: Finish::Filtered,
            ..
        } => "a filter of the model's provider kept the answer".to_owned(),
        Completion {
            refusal: Some(refusal),
            calls,
            ..
        } if calls.is_empty() => format!("the model refuses: {refusal}"),
        Completion { text, calls, .. } if calls.is_empty() && text.trim().is_empty() => {
            "the model answered nothing".to_owned()
        }
        _ => return None,
    };
    Some(Failure::new(Reason::ModelRefused, message))
}

#[cfg(test)]
mod tests;
