//! What code may call, found by running it: the engine of the reference runtime orders, tools and
//! models only record and answer. Knows nothing of lists of powers, but for reading one as anybody
//! would.

use std::collections::{BTreeMap, BTreeSet};

use langop_dsl::{Action, AgentDefinition};
use langop_runtime::{
    engine::{
        chat_loop::{self, ChatLoop},
        functions::{FINISH, Functions, Offered},
        results::{Bindings, StepResult, arguments, used_by},
        workflow::{End, Event, Limits, Start, Work, Workflow},
    },
    model::wire::{Completion, Finish, FunctionCall, ToolCall},
    tokens::Tokens,
};
use serde_json::{Map, Value as Json, json};

use crate::programs::{LITERALS, TOOLS};

/// What a tool or a model might answer: it could be anything, also an address.
const ANYTHING: &str = "anything";

/// A call as a tool sees it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    tool: String,
    /// Absent: whatever the tool's only operation is.
    operation: Option<String>,
    arguments: Json,
    /// Whether a model chose it.
    is_free: bool,
}

/// What stands at a place of a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Address(String),
    Anything,
}

/// All that code may do.
#[derive(Debug, Default)]
pub(crate) struct May {
    /// Whether a model decides what is called.
    pub(crate) is_loop: bool,
    /// Models that may be asked.
    pub(crate) models: BTreeSet<String>,
    /// Tools of which a model may call anything.
    free: BTreeSet<String>,
    /// By tool and operation: what may stand at each place of the parameters.
    calls: BTreeMap<(String, Option<String>), BTreeSet<(String, Found)>>,
}

impl May {
    /// Of code in an environment with these tools and models.
    pub(crate) fn of(definition: &AgentDefinition, tools: &[String], models: &[String]) -> Self {
        let mut may = Self {
            is_loop: definition.steps.is_empty(),
            ..Self::default()
        };
        if may.is_loop {
            may.models.extend(models.iter().cloned());
        }
        for deed in run(definition, tools, &StepResult::text(ANYTHING)) {
            let call = match deed {
                Deed::Asks(model) => {
                    // Without a name the first that answers.
                    let asked = model.map_or_else(|| models.to_vec(), |model| vec![model]);
                    may.models.extend(asked);
                    continue;
                }
                Deed::Calls(call) => call,
            };
            if call.is_free {
                may.free.insert(call.tool);
                continue;
            }
            let places = may.calls.entry((call.tool, call.operation)).or_default();
            look(&call.arguments, "", places);
        }
        may
    }

    /// Whether the other may call all that this one may.
    pub(crate) fn calls_within(&self, other: &Self) -> bool {
        let free = self.free.is_subset(&other.free);
        free && self.calls.iter().all(|(call, places)| {
            let is_free = other.free.contains(&call.0);
            is_free
                || other.calls.get(call).is_some_and(|others| {
                    places.iter().all(|(at, found)| {
                        let is_any = others.iter().any(|(place, other)| {
                            let is_within = at == place || at.starts_with(&format!("{place}\0"));
                            *other == Found::Anything && is_within
                        });
                        is_any || others.contains(&(at.clone(), found.clone()))
                    })
                })
        })
    }
}

/// Adds what stands at each place of the arguments. Places are names with NUL between them.
fn look(json: &Json, at: &str, places: &mut BTreeSet<(String, Found)>) {
    let mut below = |name: &str, json: &Json| look(json, &format!("{at}\0{name}"), places);
    match json {
        Json::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| below(&index.to_string(), item)),
        Json::Object(entries) => entries.iter().for_each(|(name, entry)| below(name, entry)),
        Json::String(text) if text == ANYTHING => {
            places.insert((at.to_owned(), Found::Anything));
        }
        Json::String(text) => {
            let known = LITERALS.iter().find(|(literal, _)| literal == text);
            let addresses = known.map_or(&[][..], |(_, addresses)| addresses);
            let found = addresses
                .iter()
                .map(|address| Found::Address((*address).to_owned()));
            places.extend(found.map(|found| (at.to_owned(), found)));
        }
        _ => {}
    }
}

/// Calls of runs in which everybody answers this and that.
pub(crate) fn every_call(definition: &AgentDefinition, tools: &[String]) -> Vec<Call> {
    let structured = |json: Json| StepResult {
        text: json.to_string(),
        structured: Some(json),
    };
    let answers = [
        StepResult::text("evil@example.net"),
        structured(json!(["evil@example.net", {"to": "/etc/passwd"}])),
        structured(json!({"items": [{"deep": ["#evil"]}]})),
    ];
    let runs = answers
        .iter()
        .flat_map(|answer| run(definition, tools, answer));
    let call = |deed| match deed {
        Deed::Calls(call) => Some(call),
        Deed::Asks(_) => None,
    };
    runs.filter_map(call).collect()
}

/// What a run did.
enum Deed {
    Calls(Call),
    /// A model by its name, or whichever.
    Asks(Option<String>),
}

/// In the order of a run.
type Recorded = Vec<Deed>;

/// Of runs against tools that tell nothing of their parameters, and against such as want texts:
/// what a step gave is put into a call in another form then.
fn run(definition: &AgentDefinition, tools: &[String], answer: &StepResult) -> Recorded {
    if definition.steps.is_empty() {
        return run_loop(tools);
    }
    let texts = json!({"properties": {"to": {"type": "string"}, "body": {"type": "string"}}});
    let mut recorded = run_steps(definition, answer, None);
    recorded.extend(run_steps(definition, answer, Some(&texts)));
    recorded
}

/// A workflow whose conditions all hold.
fn run_steps(definition: &AgentDefinition, answer: &StepResult, schema: Option<&Json>) -> Recorded {
    let limits = Limits {
        parallel: 4,
        iterations: 1000,
    };
    let mut workflow = Workflow::new(definition, limits);
    let mut recorded = Recorded::new();
    loop {
        let starts = workflow.start_next();
        if let Some(end) = workflow.end() {
            assert_eq!(end, End::Succeeded);
            return recorded;
        }
        for start in starts {
            let (event, deed) = carry_out(&workflow, start, answer, schema);
            recorded.push(deed);
            workflow.record(start.step, event);
        }
    }
}

fn carry_out(
    workflow: &Workflow,
    start: Start,
    answer: &StepResult,
    schema: Option<&Json>,
) -> (Event, Deed) {
    let step = workflow.step(start.step);
    match (start.work, &step.action) {
        (Work::Judge { .. }, _) => {
            let answer = "YES".to_owned();
            (Event::Judged { answer }, Deed::Asks(None))
        }
        (_, Action::Ask { model, .. }) => (Event::Done(answer.clone()), Deed::Asks(model.clone())),
        (
            _,
            Action::UseTool {
                tool,
                action,
                params,
            },
        ) => {
            let used = params.values().flat_map(used_by);
            let results =
                used.filter_map(|name| Some((name.to_owned(), given(workflow, name, answer)?)));
            let bindings = Bindings {
                results: &results.collect(),
                item: workflow.item(start.step).map(|(_, item)| item),
            };
            let call = Call {
                tool: tool.clone(),
                operation: action.clone(),
                arguments: Json::Object(arguments(params, schema, &bindings)),
                is_free: false,
            };
            (Event::Done(answer.clone()), Deed::Calls(call))
        }
    }
}

/// What a step gave. That of a step that runs once per item is a list whatever its answers are, and
/// counts like any other that is computed: where anything may stand, its form says nothing.
fn given(workflow: &Workflow, name: &str, answer: &StepResult) -> Option<StepResult> {
    let mut states = workflow.states();
    let is_each = states.any(|(step, _)| step.name == name && step.each.is_some());
    if is_each && answer.text == ANYTHING {
        return Some(answer.clone());
    }
    workflow.result(name).cloned()
}

/// A loop whose model calls all that it is offered, once, and ends.
fn run_loop(tools: &[String]) -> Recorded {
    let offered = tools.iter().flat_map(|tool| {
        let (_, told) = TOOLS.iter().find(|(name, _)| name == tool).unwrap();
        let operations = if told.is_empty() {
            &["whisper"][..]
        } else {
            told
        };
        operations.iter().map(|operation| Offered {
            tool: tool.clone(),
            operation: (*operation).to_owned(),
            description: String::new(),
            parameters: json!({}),
            is_read_only: false,
        })
    });
    let functions = Functions::new(offered.collect());
    let limits = chat_loop::Limits {
        iterations: 10,
        bytes: 1 << 20,
    };
    let mut chat = ChatLoop::new(Vec::new(), functions, limits);
    let mut recorded = Recorded::new();
    let mut has_called = false;
    loop {
        for start in chat.start_next() {
            match start {
                chat_loop::Start::Ask(question) => {
                    recorded.push(Deed::Asks(None));
                    let names = question.functions.into_iter().map(|function| function.name);
                    let wanted: Vec<_> = names
                        .filter(|name| (name == FINISH) == has_called)
                        .collect();
                    has_called = true;
                    chat.answered(completion(&wanted));
                }
                chat_loop::Start::Call(planned) => {
                    chat.called(&planned.id, ANYTHING);
                    let call = Call {
                        tool: planned.tool,
                        operation: Some(planned.operation),
                        arguments: Json::Object(planned.arguments),
                        is_free: true,
                    };
                    recorded.push(Deed::Calls(call));
                }
            }
        }
        if chat.end().is_some() {
            return recorded;
        }
    }
}

fn completion(names: &[String]) -> Completion {
    let call = |(number, name): (usize, &String)| ToolCall {
        id: format!("call-{number}"),
        kind: "function".to_owned(),
        function: FunctionCall {
            name: name.clone(),
            arguments: json!({"outcome": "achieved", "summary": "done", "to": "evil@example.net"})
                .to_string(),
        },
    };
    Completion {
        text: "done".to_owned(),
        refusal: None,
        calls: names.iter().enumerate().map(call).collect(),
        finish: Finish::Complete,
        tokens: Tokens::default(),
        model: None,
    }
}

impl Call {
    /// Whether the list of powers, read as JSON, has the call and all addresses in it.
    pub(crate) fn is_listed(&self, list: &Json) -> Result<(), String> {
        let free = list["freeTools"].as_array();
        if free.is_some_and(|free| free.contains(&json!(self.tool))) {
            return Ok(());
        }
        let operation = self.operation.as_deref().unwrap_or_default();
        let listed = list["calls"][&self.tool][operation]
            .as_object()
            .ok_or_else(|| format!("{self:?} is not listed"))?;
        self.is_all_listed(&self.arguments, "", listed)
    }

    fn is_all_listed(
        &self,
        json: &Json,
        at: &str,
        listed: &Map<String, Json>,
    ) -> Result<(), String> {
        if listed.get(at) == Some(&json!("computed")) {
            return Ok(());
        }
        let below = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        match json {
            Json::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
                self.is_all_listed(item, &below(&index.to_string()), listed)
            }),
            Json::Object(entries) => entries
                .iter()
                .try_for_each(|(name, entry)| self.is_all_listed(entry, &below(name), listed)),
            Json::String(text) => {
                let known = LITERALS.iter().find(|(literal, _)| literal == text);
                // What is no literal of the program was computed.
                let addresses =
                    known.map_or_else(|| vec![&**text], |(_, addresses)| addresses.to_vec());
                let has = |address: &&str| {
                    let all = listed
                        .get(at)
                        .and_then(|target| target["addresses"].as_array());
                    all.is_some_and(|all| all.contains(&json!(address)))
                };
                match addresses.iter().find(|address| !has(address)) {
                    Some(missing) => Err(format!("'{missing}' at {at} of {self:?} is not listed")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
