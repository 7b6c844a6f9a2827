//! A workflow as a state machine: [`Workflow::start_next`] says what to start, [`Workflow::record`]
//! takes what came of it. Bounded: at most so many works at once, and so many answers of models.
//! Does nothing itself.

use langop_dsl::{Action, AgentDefinition, Step, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    items,
    order::Order,
    results::{StepResult, item_text, used_by},
    verdict,
};
use crate::outcome::{Failure, Reason};

/// Bounds of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most works at once.
    pub parallel: usize,
    /// Most answers of models.
    pub iterations: u32,
}

/// Something to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The step, by its index.
    pub step: usize,
    /// What to do for it.
    pub work: Work,
}

/// What to do for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Ask a model whether its condition holds.
    Judge {
        /// Whether the first answer was neither YES nor NO.
        strict: bool,
    },
    /// Ask a model its question.
    Ask,
    /// Call its tool.
    Call,
}

impl Work {
    fn asks_model(self) -> bool {
        !matches!(self, Self::Call)
    }
}

/// What came of something that was started.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A model answered whether the condition holds.
    Judged {
        /// Its words.
        answer: String,
    },
    /// The step did what it is for.
    Done(StepResult),
    /// It did not.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether a model answered all the same.
        answered: bool,
    },
}

/// Why a step was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// Its condition does not hold.
    Condition,
    /// It uses the result of a skipped step.
    NeedsSkipped,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum StepState {
    /// Not begun, or its condition is known and nothing more.
    Pending,
    /// Something of it was started and has not ended.
    #[serde(skip)]
    Active(ActiveWork),
    /// It did what it is for.
    Done {
        /// What it gave.
        result: StepResult,
    },
    /// It was left out.
    Skipped {
        /// Why.
        why: Skip,
    },
    /// It failed.
    Failed,
    /// The run ended before it.
    NotRun,
}

/// Wrapper of what is under way; it is in no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveWork(Work);

/// How a run of the workflow ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every step is done or skipped.
    Succeeded,
    /// Something failed first.
    Failed {
        /// The step, by its index; none if the run as a whole was ended.
        step: Option<usize>,
        /// Why.
        failure: Failure,
    },
}

/// What is remembered of a step from one process to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its name.
    pub name: String,
    /// How far it is.
    #[serde(flatten)]
    pub state: StepState,
    /// Whether its condition holds, if that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<bool>,
    /// What it gave for its first items, of a step that runs once per item and is not done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<StepResult>,
}

#[derive(Debug, Clone)]
struct Node {
    state: StepState,
    verdict: Option<bool>,
    /// Whether the first answer on the condition decided nothing.
    is_strict: bool,
    /// The steps whose results it uses.
    uses: Vec<usize>,
    /// The step whose result is its list, of a step that runs once per item.
    list: Option<usize>,
    /// The items, once it runs.
    items: Option<Vec<Json>>,
    /// What it gave for the first of them, in order.
    done: Vec<StepResult>,
}

/// A run of a workflow.
#[derive(Debug, Clone)]
pub struct Workflow {
    steps: Vec<Step>,
    order: Order,
    nodes: Vec<Node>,
    limits: Limits,
    iterations: u32,
    ended: Option<(Option<usize>, Failure)>,
}

impl Workflow {
    /// A run from the beginning.
    pub fn new(definition: &AgentDefinition, limits: Limits) -> Self {
        let steps = definition.steps.clone();
        let index = |name: &str| steps.iter().position(|step| step.name == name);
        let node = |step: &Step| Node {
            state: StepState::Pending,
            verdict: None,
            is_strict: false,
            uses: used(step).into_iter().filter_map(index).collect(),
            list: step.each.as_deref().and_then(index),
            items: None,
            done: Vec::new(),
        };
        Self {
            order: Order::of(&steps),
            nodes: steps.iter().map(node).collect(),
            steps,
            limits,
            iterations: 0,
            ended: None,
        }
    }

    /// Goes on where `records` ended, with so many answers of models used. Records of other steps
    /// are of no use.
    pub fn resume(&mut self, records: Vec<StepRecord>, iterations: u32) {
        self.iterations = iterations;
        for record in records {
            let index = self.steps.iter().position(|step| step.name == record.name);
            let Some(node) = index.and_then(|index| self.nodes.get_mut(index)) else {
                continue;
            };
            node.verdict = record.verdict;
            node.done = record.items;
            if matches!(
                record.state,
                StepState::Done { .. } | StepState::Skipped { .. }
            ) {
                node.state = record.state;
            }
        }
    }

    /// What to remember.
    pub fn records(&self) -> Vec<StepRecord> {
        let record = |(step, node): (&Step, &Node)| StepRecord {
            name: step.name.clone(),
            state: match &node.state {
                StepState::Active(_) => StepState::Pending,
                other => other.clone(),
            },
            verdict: node.verdict,
            items: if node.is_settled() {
                Vec::new()
            } else {
                node.done.clone()
            },
        };
        self.steps.iter().zip(&self.nodes).map(record).collect()
    }

    /// What to start now, in textual order. Each is under way until [`Workflow::record`] takes what
    /// came of it.
    pub fn start_next(&mut self) -> Vec<Start> {
        let mut orders = Vec::new();
        // A step without items is done by looking at it, and others may wait for that.
        while self.start_round(&mut orders) {}
        orders
    }

    /// Whether a step was settled without starting anything.
    fn start_round(&mut self, orders: &mut Vec<Start>) -> bool {
        let mut has_settled = false;
        self.skip_needy();
        for step in 0..self.steps.len() {
            if self.ended.is_some() {
                break;
            }
            let Some(work) = self.startable(step) else {
                continue;
            };
            if !matches!(work, Work::Judge { .. }) && !self.has_item(step) {
                has_settled = true;
                continue;
            }
            if work.asks_model() && self.iterations_left() == 0 {
                if !self.asks_any() {
                    let message = format!(
                        "{} answers of models were used, as many as allowed: raise max_iterations or shorten the workflow",
                        self.iterations
                    );
                    self.halt(Failure::new(Reason::IterationLimit, message));
                }
                continue;
            }
            self.nodes[step].state = StepState::Active(ActiveWork(work));
            orders.push(Start { step, work });
        }
        has_settled
    }

    /// Whether there is something to do for a step that can run: not for one that runs once per
    /// item and has no item left, or whose list is none. Such a step is settled, or fails, by this.
    fn has_item(&mut self, step: usize) -> bool {
        let Some(list) = self.nodes[step].list else {
            return true;
        };
        if self.nodes[step].items.is_none() {
            match self.items_of(list) {
                Ok(items) => self.nodes[step].items = Some(items),
                Err(failure) => {
                    self.fail(step, failure);
                    return false;
                }
            }
        }
        self.nodes[step].settle_items();
        !self.nodes[step].is_settled()
    }

    fn items_of(&self, list: usize) -> Result<Vec<Json>, Failure> {
        let limit = usize::try_from(self.limits.iterations).unwrap_or(usize::MAX);
        match self.nodes[list].result() {
            Some(result) => items::of(&self.steps[list].name, result, limit),
            None => Ok(Vec::new()),
        }
    }

    /// Takes what came of something started for `step`. What was never started is of no interest.
    pub fn record(&mut self, step: usize, event: Event) {
        let Some(work) = self.nodes.get(step).and_then(Node::active) else {
            return;
        };
        let answered = match &event {
            Event::Failed { answered, .. } => *answered,
            Event::Judged { .. } | Event::Done(_) => work.asks_model(),
        };
        self.iterations += u32::from(answered);
        let node = &mut self.nodes[step];
        match event {
            Event::Judged { answer } => self.judged(step, &answer),
            Event::Done(result) => node.take(result),
            Event::Failed { failure, .. } => self.fail(step, failure),
        }
    }

    /// Ends the run for a reason of no step: nothing new starts. The first reason counts.
    pub fn halt(&mut self, failure: Failure) {
        self.ended.get_or_insert((None, failure));
    }

    /// What is under way will never be recorded: nobody waits for it any more.
    pub fn abandon(&mut self) {
        for node in &mut self.nodes {
            if node.active().is_some() {
                node.state = StepState::Failed;
            }
        }
    }

    /// How many works are under way.
    pub fn active(&self) -> usize {
        self.nodes
            .iter()
            .filter(|node| node.active().is_some())
            .count()
    }

    /// How the run ended, once nothing is under way and nothing can start any more.
    pub fn end(&mut self) -> Option<End> {
        if self.active() > 0 {
            return None;
        }
        if let Some((step, failure)) = self.ended.clone() {
            for node in &mut self.nodes {
                if node.state == StepState::Pending {
                    node.state = StepState::NotRun;
                }
            }
            return Some(End::Failed { step, failure });
        }
        let is_settled = self.nodes.iter().all(Node::is_settled);
        is_settled.then_some(End::Succeeded)
    }

    /// The step of an index.
    pub fn step(&self, index: usize) -> &Step {
        &self.steps[index]
    }

    /// How far each step is, in textual order.
    pub fn states(&self) -> impl Iterator<Item = (&Step, &StepState)> {
        self.steps
            .iter()
            .zip(self.nodes.iter().map(|node| &node.state))
    }

    /// What the named step gave.
    pub fn result(&self, name: &str) -> Option<&StepResult> {
        let index = self.steps.iter().position(|step| step.name == name)?;
        self.nodes[index].result()
    }

    /// The item that a step under way runs for, and its number from 0.
    pub fn item(&self, step: usize) -> Option<(usize, &Json)> {
        let node = self.nodes.get(step)?;
        let number = node.done.len();
        Some((number, node.items.as_ref()?.get(number)?))
    }

    /// What a model sees for a question: name and result of each ancestor that has one, in textual
    /// order.
    pub fn context(&self, step: usize) -> Vec<(&str, &StepResult)> {
        self.results_of(self.order.ancestors[step].iter().copied())
    }

    /// What a model sees for a condition: as for a question; for a step without dependency the
    /// results of all finished steps.
    pub fn judging_context(&self, step: usize) -> Vec<(&str, &StepResult)> {
        if self.steps[step].depends_on.is_empty() {
            self.results_of(0..self.steps.len())
        } else {
            self.context(step)
        }
    }

    /// Answers of models so far.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Whether there were conditions and none of them held.
    pub fn had_nothing_to_do(&self) -> bool {
        let mut conditions = self
            .steps
            .iter()
            .zip(&self.nodes)
            .filter(|(step, _)| step.only_if.is_some())
            .peekable();
        conditions.peek().is_some()
            && conditions.all(|(_, node)| matches!(node.state, StepState::Skipped { .. }))
    }

    fn results_of(&self, steps: impl Iterator<Item = usize>) -> Vec<(&str, &StepResult)> {
        steps
            .filter_map(|step| Some((&*self.steps[step].name, self.nodes[step].result()?)))
            .collect()
    }

    /// Skips what needs the result of a skipped step, until there is no more of it. Each in its turn:
    /// what waits for it waits for all that it waits for.
    fn skip_needy(&mut self) {
        loop {
            let needy = (0..self.nodes.len()).find(|step| {
                self.nodes[*step].state == StepState::Pending
                    && self.is_needy(*step)
                    && self.is_due(*step)
            });
            let Some(needy) = needy else { return };
            let why = Skip::NeedsSkipped;
            self.nodes[needy].state = StepState::Skipped { why };
        }
    }

    /// Whether it needs the result of a skipped step.
    fn is_needy(&self, step: usize) -> bool {
        let is_skipped =
            |step: &usize| matches!(self.nodes[*step].state, StepState::Skipped { .. });
        self.nodes[step].uses.iter().any(is_skipped)
    }

    /// Whether all that it waits for is settled.
    fn is_due(&self, step: usize) -> bool {
        let mut earlier = self.order.waits_for[step].iter();
        earlier.all(|earlier| self.nodes[*earlier].is_settled())
    }

    /// What can be started for a step now, if anything.
    fn startable(&self, step: usize) -> Option<Work> {
        let node = &self.nodes[step];
        // What is under way is counted last: that looks at every step, and most are not ready.
        let is_ready = node.state == StepState::Pending
            && self.is_due(step)
            && !self.is_needy(step)
            && self.active() < self.limits.parallel.max(1);
        if !is_ready || self.is_tool_busy(step) {
            return None;
        }
        Some(match (&self.steps[step].only_if, node.verdict) {
            (Some(_), None) => Work::Judge {
                strict: node.is_strict,
            },
            _ => match self.steps[step].action {
                Action::Ask { .. } => Work::Ask,
                Action::UseTool { .. } => Work::Call,
            },
        })
    }

    fn is_tool_busy(&self, step: usize) -> bool {
        let Some(tool) = tool(&self.steps[step]) else {
            return false;
        };
        self.steps
            .iter()
            .zip(&self.nodes)
            .any(|(other, node)| node.active().is_some() && self::tool(other) == Some(tool))
    }

    fn iterations_left(&self) -> u32 {
        let asking = self.nodes.iter().filter(|node| node.asks_model()).count();
        let asking = u32::try_from(asking).unwrap_or(u32::MAX);
        self.limits
            .iterations
            .saturating_sub(self.iterations)
            .saturating_sub(asking)
    }

    fn asks_any(&self) -> bool {
        self.nodes.iter().any(Node::asks_model)
    }

    fn judged(&mut self, step: usize, answer: &str) {
        let node = &mut self.nodes[step];
        let was_strict = node.is_strict;
        node.state = StepState::Pending;
        match verdict::read(answer) {
            Some(holds) => {
                node.verdict = Some(holds);
                if !holds {
                    node.state = StepState::Skipped {
                        why: Skip::Condition,
                    };
                }
            }
            None if was_strict => {
                let message = "the model answered neither YES nor NO whether the condition holds: word only_if so that the results decide it";
                self.fail(step, Failure::new(Reason::Undecided, message));
            }
            None => node.is_strict = true,
        }
    }

    fn fail(&mut self, step: usize, failure: Failure) {
        self.nodes[step].state = StepState::Failed;
        self.ended.get_or_insert((Some(step), failure));
    }
}

impl Node {
    fn active(&self) -> Option<Work> {
        match self.state {
            StepState::Active(ActiveWork(work)) => Some(work),
            _ => None,
        }
    }

    fn asks_model(&self) -> bool {
        self.active().is_some_and(Work::asks_model)
    }

    /// Takes what it gave: the result, or that of an item, of which the next may follow.
    fn take(&mut self, result: StepResult) {
        if self.items.is_some() {
            self.done.push(result);
            self.state = StepState::Pending;
            self.settle_items();
        } else {
            self.state = StepState::Done { result };
        }
    }

    /// A step with a result for each of its items is done.
    fn settle_items(&mut self) {
        let count = self.items.as_ref().map(Vec::len);
        if count.is_some_and(|count| self.done.len() >= count) {
            self.state = StepState::Done {
                result: items::joined(&self.done),
            };
        }
    }

    /// Done or skipped: those that wait for it may go on.
    fn is_settled(&self) -> bool {
        matches!(
            self.state,
            StepState::Done { .. } | StepState::Skipped { .. }
        )
    }

    fn result(&self) -> Option<&StepResult> {
        match &self.state {
            StepState::Done { result } => Some(result),
            _ => None,
        }
    }
}

fn tool(step: &Step) -> Option<&str> {
    match &step.action {
        Action::UseTool { tool, .. } => Some(tool),
        Action::Ask { .. } => None,
    }
}

fn used(step: &Step) -> Vec<&str> {
    let by_action = match &step.action {
        Action::UseTool { params, .. } => params.values().flat_map(used_by).collect(),
        Action::Ask { prompt, .. } => used_by(prompt),
    };
    step.each.as_deref().into_iter().chain(by_action).collect()
}

/// The question of a step, if it is a literal; otherwise the text of the step it names, or the
/// item's.
pub fn question(prompt: &Value, workflow: &Workflow, item: Option<&Json>) -> String {
    match prompt {
        Value::Item => item.map_or_else(String::new, item_text),
        Value::String(text) => text.clone(),
        Value::Result { step } => workflow
            .result(step)
            .map_or_else(String::new, |result| result.text.clone()),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
