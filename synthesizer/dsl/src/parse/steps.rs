//! Reads a step and its one action, and resolves the names of tools and models. Dependencies are
//! checked in `graph`.

use std::collections::BTreeSet;

use ruby_prism::{CallNode, Node};

use super::call::{Part, Parts, Shape, name_of, name_span};
use super::offer::OfferedTool;
use super::values::{Reference, Uses};
use super::{Reader, words};
use crate::definition::{Action, Step, Value};
use crate::diagnostic::DiagnosticCode;
use crate::source::Span;

const STEP: Shape = Shape {
    usage: "`step 'Name', depends_on: 'Other', only_if: 'a condition' do … end`",
    positional: Part::Needed,
    keywords: &["depends_on", "only_if", "each"],
    block: Part::Needed,
};
const USE_TOOL: Shape = Shape {
    usage: "`use_tool 'name', action: 'operation', params: { key: 'value' }`",
    positional: Part::Needed,
    keywords: &["action", "params"],
    block: Part::None,
};
const ASK: Shape = Shape {
    usage: "`ask 'A question', model: 'name'`",
    positional: Part::Needed,
    keywords: &["model"],
    block: Part::None,
};

/// A step as read, with the places that the checks on dependencies point at.
pub(super) struct StepDraft {
    pub(super) name: String,
    pub(super) name_span: Span,
    pub(super) depends_on: Vec<Reference>,
    /// The steps whose results it uses.
    pub(super) results: Vec<Reference>,
    only_if: Option<String>,
    each: Option<String>,
    action: Option<Action>,
}

impl StepDraft {
    /// None if its action is missing or wrong, which was diagnosed.
    pub(super) fn into_step(self) -> Option<Step> {
        let mut known = BTreeSet::new();
        let given = self.depends_on.into_iter();
        Some(Step {
            name: self.name,
            // one given twice was warned of, and counts once
            depends_on: given
                .map(|reference| reference.step)
                .filter(|step| known.insert(step.clone()))
                .collect(),
            only_if: self.only_if,
            each: self.each,
            action: self.action?,
        })
    }
}

impl<'a> Reader<'a> {
    pub(super) fn step(&mut self, call: &CallNode<'_>) -> Option<StepDraft> {
        let parts = self.parts(call, &STEP);
        let depends_on = match parts.keywords.get("depends_on") {
            Some(keyword) => self.depends_on(&keyword.value),
            None => Vec::new(),
        };
        let only_if = parts
            .keywords
            .get("only_if")
            .and_then(|keyword| self.words(&keyword.value, "`only_if`"));
        let mut uses = Uses::default();
        let each = parts
            .keywords
            .get("each")
            .map(|keyword| self.each(&keyword.value, &mut uses));
        let action = self.only_action(&parts, &mut uses);
        self.item_fits(&parts, action.as_ref(), &uses);
        let name_node = parts.positional?;
        let name = self.words(&name_node, "the step's name")?;
        Some(StepDraft {
            name,
            name_span: name_node.location().into(),
            depends_on,
            results: uses.results,
            only_if,
            each: each.flatten(),
            action,
        })
    }

    fn depends_on(&mut self, node: &Node<'_>) -> Vec<Reference> {
        let Some(array) = node.as_array_node() else {
            return self.reference(node, "`depends_on`").into_iter().collect();
        };
        if array.elements().is_empty() {
            let message = "`depends_on` is empty".to_owned();
            self.findings.error(
                node.location().into(),
                DiagnosticCode::Empty,
                message,
                "name a step, or remove it".to_owned(),
            );
        }
        array
            .elements()
            .iter()
            .filter_map(|element| self.reference(&element, "an entry of `depends_on`"))
            .collect()
    }

    fn reference(&mut self, node: &Node<'_>, what: &str) -> Option<Reference> {
        let step = self.words(node, what)?;
        Some(Reference {
            step,
            span: node.location().into(),
        })
    }

    /// The step whose result is the list.
    fn each(&mut self, node: &Node<'_>, uses: &mut Uses) -> Option<String> {
        const WRITE: &str = "`each: result('List')`";
        if node.as_call_node().is_none() {
            self.wrong_type(node, "`each`", "the result of a step", WRITE);
            return None;
        }
        if let Value::Result { step } = self.value(node, uses)? {
            return Some(step);
        }
        // an item is of this step itself
        uses.items.clear();
        let message = "`each` must be the result of a step".to_owned();
        self.findings.error(
            node.location().into(),
            DiagnosticCode::WrongType,
            message,
            format!("write {WRITE}"),
        );
        None
    }

    /// Diagnoses `item` where there is none, and a call that is the same for every item.
    fn item_fits(&mut self, parts: &Parts<'_>, action: Option<&Action>, uses: &Uses) {
        let each = parts.keywords.get("each");
        match (each, uses.items.first(), action) {
            (None, Some(span), _) => {
                let message = "`item` is the value of `each:`, which this step does not have";
                let hint = "write `each: result('List')` on the step, or `result('step')` here";
                self.findings.error(
                    *span,
                    DiagnosticCode::ItemWithoutEach,
                    message.to_owned(),
                    hint.to_owned(),
                );
            }
            (Some(each), None, Some(Action::UseTool { .. })) => {
                let message = "the tool is called once per item, and no parameter is the item";
                let hint = "write `item` as the value of a parameter, or remove `each:`";
                self.findings.error(
                    each.span,
                    DiagnosticCode::ItemUnused,
                    message.to_owned(),
                    hint.to_owned(),
                );
            }
            _ => {}
        }
    }

    fn only_action(&mut self, parts: &Parts<'_>, uses: &mut Uses) -> Option<Action> {
        if parts.body.as_ref().is_some_and(Vec::is_empty) {
            let message = "the step does nothing".to_owned();
            let hint = "write one `use_tool` or `ask` in it".to_owned();
            self.findings.error(
                parts.name_span,
                DiagnosticCode::MissingAction,
                message,
                hint,
            );
        }
        let mut actions = Vec::new();
        for node in parts.body.iter().flatten() {
            let Some(call) = self.statement(node, "a step", &["use_tool", "ask"]) else {
                continue;
            };
            if !actions.is_empty() {
                let message = "the step does more than one thing".to_owned();
                let hint = "write a step for each".to_owned();
                self.findings.error(
                    name_span(&call),
                    DiagnosticCode::SeveralActions,
                    message,
                    hint,
                );
            }
            actions.push(self.action(&call, uses));
        }
        actions.into_iter().next().flatten()
    }

    fn action(&mut self, call: &CallNode<'_>, uses: &mut Uses) -> Option<Action> {
        if name_of(call) == "ask" {
            self.ask(call, uses)
        } else {
            self.use_tool(call, uses)
        }
    }

    fn use_tool(&mut self, call: &CallNode<'_>, uses: &mut Uses) -> Option<Action> {
        let parts = self.parts(call, &USE_TOOL);
        // a part that is given but wrong was diagnosed, so that leaving it out here reaches nobody
        let keyword = |name| parts.keywords.get(name);
        let action = keyword("action").and_then(|keyword| self.words(&keyword.value, "`action`"));
        let params = keyword("params").and_then(|keyword| self.params(&keyword.value, uses));
        let tool = self.tool(parts.positional.as_ref()?)?;
        let operation = self.operation(tool, &parts, action.as_deref());
        let is_read = params.is_some() || keyword("params").is_none();
        let params = params.unwrap_or_default();
        if let Some(operation) = operation.filter(|_| is_read) {
            self.params_fit(operation, &params, &parts);
        }
        Some(Action::UseTool {
            tool: tool.name.clone(),
            action: operation.map(|operation| operation.name.clone()).or(action),
            params,
        })
    }

    fn ask(&mut self, call: &CallNode<'_>, uses: &mut Uses) -> Option<Action> {
        let parts = self.parts(call, &ASK);
        let model = parts
            .keywords
            .get("model")
            .and_then(|keyword| self.model(&keyword.value));
        let prompt = self.prompt(&parts.positional?, uses)?;
        Some(Action::Ask { prompt, model })
    }

    fn prompt(&mut self, node: &Node<'_>, uses: &mut Uses) -> Option<Value> {
        if node.as_call_node().is_some() {
            return self.value(node, uses);
        }
        self.words(node, "the question").map(Value::String)
    }

    fn tool(&mut self, node: &Node<'_>) -> Option<&'a OfferedTool> {
        let name = self.words(node, "the tool")?;
        let tools = &self.offer.tools;
        let tool = self.offer.tool(&name);
        if tool.is_none() {
            let offered = || tools.iter().map(|tool| &*tool.name);
            self.not_offered(node, DiagnosticCode::UnknownTool, "tool", &name, offered);
        }
        tool
    }

    fn model(&mut self, node: &Node<'_>) -> Option<String> {
        let name = self.words(node, "`model`")?;
        let models = &self.offer.models;
        let model = self.offer.model(&name).map(str::to_owned);
        if model.is_none() {
            let offered = || models.iter().map(String::as_str);
            self.not_offered(node, DiagnosticCode::UnknownModel, "model", &name, offered);
        }
        model
    }

    fn not_offered<'n, N: Iterator<Item = &'n str>>(
        &mut self,
        node: &Node<'_>,
        code: DiagnosticCode,
        what: &str,
        name: &str,
        offered: impl Fn() -> N,
    ) {
        let hint = if offered().next().is_none() {
            format!("no {what} is offered: do without")
        } else {
            self.one_of(name, offered)
        };
        let message = format!("the {what} {} is not offered", words::code(name));
        self.findings
            .error(node.location().into(), code, message, hint);
    }
}
