//! What code contributes to the powers of its agent: all that its definition says of calls, models,
//! times and bounds, and nothing else of it, so that it may be held in memory.

use langop_api::agent::{MAX_TOLD_POWER, MAX_TOLD_POWERS};
use langop_dsl::{Action, AgentDefinition};

use super::{calls::Calls, widening::shown};
use crate::observed::CodeRequirements;

/// What matters of code.
#[derive(Clone, Debug, PartialEq)]
pub struct CodePowers {
    pub(super) calls: Calls,
    /// Whether it says what is called; else its model decides.
    pub(super) is_workflow: bool,
    /// Whether it asks a model without naming it: any that the agent refers to may answer.
    pub(super) asks_any: bool,
    pub(super) requirements: CodeRequirements,
}

impl From<&AgentDefinition> for CodePowers {
    fn from(definition: &AgentDefinition) -> Self {
        let asks_any = definition.steps.iter().any(|step| {
            let is_unnamed = matches!(&step.action, Action::Ask { model: None, .. });
            // A condition is judged by any.
            is_unnamed || step.only_if.is_some()
        });
        Self {
            calls: Calls::of(definition),
            is_workflow: !definition.steps.is_empty(),
            asks_any: asks_any || definition.steps.is_empty(),
            requirements: CodeRequirements::from(definition),
        }
    }
}

impl CodePowers {
    /// What it calls and asks, for people: a few short lines.
    pub fn told(&self) -> Vec<String> {
        let free = (!self.is_workflow)
            .then(|| "calls any operation of the agent's tools, as its model decides".to_owned());
        let calls = self.calls.told().map(|call| format!("calls {call}"));
        let named = self.requirements.models.iter();
        let named = named.map(|model| format!("asks {}", shown(model)));
        let any = self
            .asks_any
            .then(|| "asks any of the agent's models".to_owned());
        let mut lines: Vec<String> = free
            .into_iter()
            .chain(calls)
            .chain(named)
            .chain(any)
            .map(|line| cut(&line))
            .collect();
        if lines.len() > MAX_TOLD_POWERS {
            let more = lines.len() - (MAX_TOLD_POWERS - 1);
            lines.truncate(MAX_TOLD_POWERS - 1);
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(MAX_TOLD_POWER - 1) {
        Some((end, _)) if line.chars().count() > MAX_TOLD_POWER => format!("{}…", &line[..end]),
        _ => line.to_owned(),
    }
}
