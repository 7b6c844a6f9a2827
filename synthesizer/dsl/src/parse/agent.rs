//! Reads the file and the agent's statements, and puts the definition together.

use std::collections::BTreeMap;

use ruby_prism::{CallNode, Node, ProgramNode};

use super::call::{Part, Shape, name_of, name_span};
use super::steps::StepDraft;
use super::{Reader, graph, words};
use crate::definition::{AgentDefinition, Constraints, MAX_ITERATIONS, Mode, Schedule};
use crate::diagnostic::DiagnosticCode;
use crate::names::agent_name;
use crate::rename::plain_name_span;
use crate::source::Span;

const LIBRARY: &str = "language_operator";

const REQUIRE: Shape = Shape {
    usage: "`require 'language_operator'`",
    positional: Part::Needed,
    keywords: &[],
    block: Part::None,
};
const AGENT: Shape = Shape {
    usage: "`agent 'my-agent' do … end`",
    positional: Part::Needed,
    keywords: &[],
    block: Part::Needed,
};
const DESCRIPTION: Shape = Shape {
    usage: "`description 'What it is for'`",
    positional: Part::Needed,
    keywords: &[],
    block: Part::None,
};
const MODE: Shape = Shape {
    usage: "`mode :scheduled` or `mode :autonomous`",
    positional: Part::Needed,
    keywords: &[],
    block: Part::None,
};
const OBJECTIVES: Shape = Shape {
    usage: "`objectives ['First', 'Second']`",
    positional: Part::Needed,
    keywords: &[],
    block: Part::None,
};
const WORKFLOW: Shape = Shape {
    usage: "`workflow do … end` with steps",
    positional: Part::None,
    keywords: &[],
    block: Part::Needed,
};
const CONSTRAINTS: Shape = Shape {
    usage: "`constraints max_iterations: 10, timeout: '10m'`",
    positional: Part::None,
    keywords: &["max_iterations", "timeout"],
    block: Part::None,
};

const STATEMENTS: [&str; 6] = [
    "description",
    "schedule",
    "mode",
    "objectives",
    "workflow",
    "constraints",
];

/// What the agent's block said so far.
#[derive(Default)]
struct Draft {
    /// Where each statement was first given; present even where its content is wrong.
    seen: BTreeMap<String, Span>,
    description: Option<String>,
    mode: Option<Mode>,
    schedule: Option<Schedule>,
    objectives: Vec<String>,
    steps: Vec<StepDraft>,
    constraints: Constraints,
}

impl Reader<'_> {
    pub(super) fn program(&mut self, program: &ProgramNode<'_>) -> Option<AgentDefinition> {
        let mut is_required = false;
        let mut agents: Vec<CallNode<'_>> = Vec::new();
        for node in &program.statements().body() {
            match self.statement(&node, "a file", &["require", "agent"]) {
                Some(call) if name_of(&call) == "require" => self.require(&call, &mut is_required),
                Some(call) => agents.push(call),
                None => {}
            }
        }
        self.exactly_one(&agents)
    }

    /// It means nothing, but Ruby needs it, so most write it.
    fn require(&mut self, call: &CallNode<'_>, is_required: &mut bool) {
        let parts = self.parts(call, &REQUIRE);
        let Some(node) = parts.positional else { return };
        let Some(library) = self.text(&node, "the name of the library") else {
            return;
        };
        let span = Span::from(node.location());
        if library != LIBRARY {
            let message = format!("{} cannot be required", words::code(&library));
            let hint = "remove it: only `require 'language_operator'` is allowed".to_owned();
            self.findings
                .error(span, DiagnosticCode::OtherRequire, message, hint);
        } else if *is_required {
            let message = "`require 'language_operator'` is given twice".to_owned();
            self.findings.error(
                parts.name_span,
                DiagnosticCode::Duplicate,
                message,
                "keep the first".to_owned(),
            );
        } else {
            *is_required = true;
        }
    }

    fn exactly_one(&mut self, agents: &[CallNode<'_>]) -> Option<AgentDefinition> {
        let Some((agent, others)) = agents.split_first() else {
            let message = "the code holds no agent".to_owned();
            let hint = "write `agent 'my-agent' do … end`".to_owned();
            self.findings
                .error(Span::START, DiagnosticCode::MissingAgent, message, hint);
            return None;
        };
        for other in others {
            let message = "the code holds more than one agent".to_owned();
            self.findings.error(
                name_span(other),
                DiagnosticCode::SeveralAgents,
                message,
                "keep one".to_owned(),
            );
        }
        self.agent(agent)
    }

    fn agent(&mut self, call: &CallNode<'_>) -> Option<AgentDefinition> {
        let parts = self.parts(call, &AGENT);
        let name = parts.positional.and_then(|node| self.agent_name(&node));
        let mut draft = Draft::default();
        for node in parts.body.iter().flatten() {
            if let Some(call) = self.statement(node, "an agent", &STATEMENTS) {
                self.agent_statement(&call, &mut draft);
            }
        }
        let works = draft.seen.contains_key("objectives") || draft.seen.contains_key("workflow");
        if parts.body.is_some() && !works {
            let message = "the agent has nothing to do".to_owned();
            let hint = "write `objectives ['…']`, or a `workflow` with steps".to_owned();
            self.findings
                .error(parts.name_span, DiagnosticCode::NothingToDo, message, hint);
        }
        self.mode_fits_schedule(&draft);
        draft.into_definition(name?)
    }

    fn agent_name(&mut self, node: &Node<'_>) -> Option<String> {
        let name = self.text(node, "the agent's name")?;
        let span = Span::from(node.location());
        if plain_name_span(node).is_none() {
            let message = "the agent's name is not a plain string".to_owned();
            self.findings.error(
                span,
                DiagnosticCode::BadName,
                message,
                format!("write {}", AGENT.usage),
            );
            return None;
        }
        match agent_name(&name) {
            Ok(()) => Some(name),
            Err(error) => {
                let message = format!("the agent's name {} is illegal", words::code(&name));
                self.findings
                    .error(span, DiagnosticCode::BadName, message, error.to_string());
                None
            }
        }
    }

    fn agent_statement(&mut self, call: &CallNode<'_>, draft: &mut Draft) {
        let name = name_of(call);
        if let Some(first) = draft.seen.get(&name) {
            let message = format!(
                "`{name}` is given twice, first on line {}",
                self.source.line(first.start)
            );
            return self.findings.error(
                name_span(call),
                DiagnosticCode::Duplicate,
                message,
                "keep one of them".to_owned(),
            );
        }
        match name.as_str() {
            "description" => draft.description = self.description(call),
            "schedule" => draft.schedule = self.schedule(call),
            "mode" => draft.mode = self.mode(call),
            "objectives" => draft.objectives = self.objectives(call),
            "workflow" => draft.steps = self.workflow(call),
            _ => draft.constraints = self.constraints(call),
        }
        draft.seen.insert(name, name_span(call));
    }

    fn description(&mut self, call: &CallNode<'_>) -> Option<String> {
        let parts = self.parts(call, &DESCRIPTION);
        parts
            .positional
            .and_then(|node| self.words(&node, "the description"))
    }

    fn mode(&mut self, call: &CallNode<'_>) -> Option<Mode> {
        let node = self.parts(call, &MODE).positional?;
        let word = self.symbol(&node, "the mode")?;
        let mode = word.parse().ok();
        if mode.is_none() {
            let message = format!("the mode {} is unknown", words::code(&word));
            self.findings.error(
                node.location().into(),
                DiagnosticCode::BadMode,
                message,
                format!("write {}", MODE.usage),
            );
        }
        mode
    }

    fn objectives(&mut self, call: &CallNode<'_>) -> Vec<String> {
        let parts = self.parts(call, &OBJECTIVES);
        let Some(node) = parts.positional else {
            return Vec::new();
        };
        let Some(array) = node.as_array_node() else {
            self.wrong_type(&node, "objectives", "an array of strings", OBJECTIVES.usage);
            return Vec::new();
        };
        if array.elements().is_empty() {
            let message = "the list of objectives is empty".to_owned();
            self.findings.error(
                node.location().into(),
                DiagnosticCode::Empty,
                message,
                format!("write {}", OBJECTIVES.usage),
            );
        }
        array
            .elements()
            .iter()
            .filter_map(|element| self.words(&element, "an objective"))
            .collect()
    }

    fn workflow(&mut self, call: &CallNode<'_>) -> Vec<StepDraft> {
        let parts = self.parts(call, &WORKFLOW);
        if parts.body.as_ref().is_some_and(Vec::is_empty) {
            let message = "the workflow has no step".to_owned();
            let hint = "write `step 'Name' do … end`, or remove the workflow".to_owned();
            self.findings
                .error(parts.name_span, DiagnosticCode::Empty, message, hint);
        }
        let mut steps: Vec<StepDraft> = Vec::new();
        for node in parts.body.iter().flatten() {
            if let Some(step) = self.statement(node, "a workflow", &["step"]) {
                steps.extend(self.step(&step));
            }
        }
        graph::check(&steps, &mut self.findings);
        steps
    }

    fn constraints(&mut self, call: &CallNode<'_>) -> Constraints {
        let parts = self.parts(call, &CONSTRAINTS);
        if parts.keywords.is_empty() && call.arguments().is_none() {
            let message = "`constraints` says nothing".to_owned();
            self.findings.error(
                parts.name_span,
                DiagnosticCode::MissingArgument,
                message,
                format!("write {}", CONSTRAINTS.usage),
            );
        }
        let iterations = parts
            .keywords
            .get("max_iterations")
            .map(|keyword| &keyword.value);
        let timeout = parts.keywords.get("timeout").map(|keyword| &keyword.value);
        Constraints {
            max_iterations: iterations.and_then(|node| self.max_iterations(node)),
            timeout_seconds: timeout.and_then(|node| self.duration(node, "`timeout`")),
        }
    }

    fn max_iterations(&mut self, node: &Node<'_>) -> Option<u32> {
        let Some(integer) = node.as_integer_node() else {
            self.wrong_type(node, "`max_iterations`", "an integer", CONSTRAINTS.usage);
            return None;
        };
        let number =
            super::values::to_i64(&integer.value()).and_then(|number| u32::try_from(number).ok());
        let legal = number.filter(|number| (1..=MAX_ITERATIONS).contains(number));
        if legal.is_none() {
            let message = format!("`max_iterations` is not between 1 and {MAX_ITERATIONS}");
            let hint = "write for example `max_iterations: 10`".to_owned();
            self.findings.error(
                node.location().into(),
                DiagnosticCode::OutOfRange,
                message,
                hint,
            );
        }
        legal
    }

    fn mode_fits_schedule(&mut self, draft: &Draft) {
        let Some(span) = draft.seen.get("mode") else {
            return;
        };
        let (message, hint) = match (draft.mode, draft.seen.contains_key("schedule")) {
            (Some(Mode::Scheduled), false) => (
                "`mode :scheduled` needs a schedule",
                "write `schedule cron: '0 9 * * *'` or `schedule every: '5m'`, or remove the mode",
            ),
            (Some(Mode::Autonomous), true) => (
                "`mode :autonomous` contradicts the schedule",
                "remove one of the two",
            ),
            _ => return,
        };
        self.findings.error(
            *span,
            DiagnosticCode::Conflict,
            message.to_owned(),
            hint.to_owned(),
        );
    }
}

impl Draft {
    /// None if a step is incomplete; that was diagnosed where it was read.
    fn into_definition(self, name: String) -> Option<AgentDefinition> {
        Some(AgentDefinition {
            name,
            description: self.description,
            mode: self.mode,
            schedule: self.schedule,
            objectives: self.objectives,
            steps: self
                .steps
                .into_iter()
                .map(StepDraft::into_step)
                .collect::<Option<_>>()?,
            constraints: self.constraints,
        })
    }
}
