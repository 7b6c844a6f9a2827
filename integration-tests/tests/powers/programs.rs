//! Random programs of the agent language, small enough that two of them are often alike. Each is
//! rendered and parsed again, so that only what validates is tried.

use std::collections::BTreeMap;

use langop_dsl::{
    Action, AgentDefinition, Constraints, Offer, OfferedOperation, OfferedTool, Schedule, Severity,
    Step, Value, parse, render,
};
use langop_integration_tests::fault_proxy::faults::Random;

/// Tools and the operations that they tell of; the last tells none.
pub(crate) const TOOLS: [(&str, &[&str]); 3] = [
    ("mail", &["send", "list"]),
    ("files", &["read", "write"]),
    ("quiet", &[]),
];
pub(crate) const MODELS: [&str; 2] = ["claude", "gpt"];
const PARAMS: [&str; 2] = ["to", "body"];

/// Literals, and which addresses are in them.
pub(crate) const LITERALS: [(&str, &[&str]); 10] = [
    ("ops@example.com", &["ops@example.com"]),
    ("boss@example.com", &["boss@example.com"]),
    ("https://example.com/x", &["https://example.com/x"]),
    ("example.org", &["example.org"]),
    ("/workspace", &["/workspace"]),
    ("#alerts", &["#alerts"]),
    ("@bob", &["@bob"]),
    (
        "Ops <ops@example.com>, boss@example.com",
        &["ops@example.com", "boss@example.com"],
    ),
    ("News", &[]),
    ("Good morning", &[]),
];

/// A program, without what is about time and bounds.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// None: a loop of its own.
    pub(crate) steps: Vec<Step>,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) constraints: Constraints,
}

fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap()
}

fn pick<T: Clone>(random: &mut Random, choices: &[T]) -> T {
    choices[below(random, choices.len())].clone()
}

impl Program {
    pub(crate) fn any(random: &mut Random) -> Self {
        let mut program = Self {
            steps: Vec::new(),
            schedule: None,
            constraints: Constraints::default(),
        };
        if random.chance(850) {
            for _ in 0..=below(random, 3) {
                program.add_step(random);
            }
        }
        program
    }

    /// Another one that is much the same.
    pub(crate) fn change(&mut self, random: &mut Random) {
        match random.below(8) {
            0 => drop(self.steps.pop()),
            1 => self.add_step(random),
            2 => self.steps.clear(),
            3 => self.change_model(random),
            _ => self.change_call(random),
        }
    }

    /// A call that is made once per item has the item in it, or is no program of the language.
    pub(crate) fn tidy(&mut self) {
        for step in &mut self.steps {
            if let Action::UseTool { params, .. } = &step.action
                && !params.values().any(has_item)
            {
                step.each = None;
            }
        }
    }

    /// Each step depends on the one before it, so that it may use the result of any before.
    fn add_step(&mut self, random: &mut Random) {
        let number = self.steps.len();
        let before: Vec<String> = self.steps.iter().map(|step| step.name.clone()).collect();
        let list = before.last().filter(|_| random.chance(200)).cloned();
        let action = if random.chance(300) {
            Action::Ask {
                prompt: Value::String("What now?".to_owned()),
                model: random.chance(700).then(|| pick(random, &MODELS).to_owned()),
            }
        } else {
            any_call(random, &before, list.is_some())
        };
        self.steps.push(Step {
            name: format!("Step {number}"),
            depends_on: before.last().cloned().into_iter().collect(),
            only_if: random.chance(100).then(|| "it is worth it".to_owned()),
            each: list,
            action,
        });
    }

    fn change_model(&mut self, random: &mut Random) {
        for step in &mut self.steps {
            if let Action::Ask { model, .. } = &mut step.action {
                *model = random.chance(600).then(|| pick(random, &MODELS).to_owned());
            }
        }
    }

    /// Another value for one parameter, or another call in the place of one.
    fn change_call(&mut self, random: &mut Random) {
        let Some(last) = self.steps.len().checked_sub(1) else {
            return;
        };
        let at = below(random, last + 1);
        let before: Vec<String> = self.steps[..at]
            .iter()
            .map(|step| step.name.clone())
            .collect();
        let has_item = self.steps[at].each.is_some();
        match &mut self.steps[at].action {
            Action::UseTool { params, .. } if random.chance(800) => {
                let name = pick(random, &PARAMS).to_owned();
                if random.chance(200) {
                    params.remove(&name);
                } else {
                    params.insert(name, any_value(random, &before, has_item));
                }
            }
            action => *action = any_call(random, &before, has_item),
        }
    }

    /// The names of the tools that it calls.
    pub(crate) fn tools(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::UseTool { tool, .. } => Some(&**tool),
            Action::Ask { .. } => None,
        })
    }

    /// The names of the models that it asks.
    pub(crate) fn models(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Ask { model, .. } => model.as_deref(),
            Action::UseTool { .. } => None,
        })
    }
}

fn has_item(value: &Value) -> bool {
    match value {
        Value::Item => true,
        Value::Array(items) => items.iter().any(has_item),
        Value::Object(entries) => entries.values().any(has_item),
        _ => false,
    }
}

fn any_call(random: &mut Random, before: &[String], has_item: bool) -> Action {
    let (tool, operations) = pick(random, &TOOLS);
    let action = match operations {
        [] => random.chance(500).then(|| "whisper".to_owned()),
        operations => Some(pick(random, operations).to_owned()),
    };
    let mut params = BTreeMap::new();
    for name in PARAMS {
        if random.chance(600) {
            params.insert(name.to_owned(), any_value(random, before, has_item));
        }
    }
    Action::UseTool {
        tool: tool.to_owned(),
        action,
        params,
    }
}

fn any_value(random: &mut Random, before: &[String], has_item: bool) -> Value {
    match random.below(10) {
        0 => Value::Array(
            (0..=below(random, 2))
                .map(|_| any_leaf(random, before, has_item))
                .collect(),
        ),
        1 => Value::Object([("deep/er".to_owned(), any_leaf(random, before, has_item))].into()),
        _ => any_leaf(random, before, has_item),
    }
}

fn any_leaf(random: &mut Random, before: &[String], has_item: bool) -> Value {
    match random.below(10) {
        0 => Value::Bool(true),
        1 => Value::Number(3.into()),
        2 if has_item => Value::Item,
        2..=4 if !before.is_empty() => Value::Result {
            step: pick(random, before),
        },
        _ => Value::String(pick(random, &LITERALS).0.to_owned()),
    }
}

/// What the synthesizer makes of the program's text.
pub(crate) fn checked(program: &Program) -> AgentDefinition {
    let definition = AgentDefinition {
        name: "scout".to_owned(),
        description: None,
        mode: None,
        schedule: program.schedule.clone(),
        objectives: vec!["Do it".to_owned()],
        steps: program.steps.clone(),
        constraints: program.constraints.clone(),
    };
    let operation = |name: &&str| OfferedOperation {
        name: (*name).to_owned(),
        ..OfferedOperation::default()
    };
    let offer = Offer {
        tools: TOOLS
            .iter()
            .map(|(name, operations)| OfferedTool {
                name: (*name).to_owned(),
                operations: operations.iter().map(operation).collect(),
            })
            .collect(),
        models: MODELS.map(str::to_owned).into(),
    };
    let text = render(&definition);
    let parsed = parse(&text, &offer, "2026-03-01T12:00:00Z".parse().unwrap());
    let errors = parsed.diagnostics.iter();
    let errors: Vec<_> = errors
        .filter(|found| found.severity == Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{errors:?}\n{text}");
    parsed.definition.unwrap()
}
