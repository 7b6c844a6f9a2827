//! Agent code by rule, without an LLM: reads schedule, objectives and bounds out of plain English
//! and writes a plain agent that is always valid. Where the text is not clear it leaves a thing out
//! and says so in the description.
//!
//! Pure and deterministic. It must not guess: no schedule is better than a wrong one, and a step is
//! written only where the text names an offered operation that needs no parameters.

mod bounds;
mod persona;
mod schedule;
mod text;

use std::fmt::Write as _;

use jiff::Timestamp;
use langop_dsl::{Action, AgentDefinition, Offer, Step, render};

pub use persona::{Persona, distill};
use schedule::{Timing, tokens::tokens};
use text::{Role, Sentence, clip};

/// The name in the code; whoever asked writes the agent's own in its place.
const NAME: &str = "agent";
/// Most objectives, and most steps.
const MAX_OBJECTIVES: usize = 20;
/// Longest objective, in characters.
const OBJECTIVE: usize = 300;
/// Longest name of a step, in characters.
const STEP_NAME: usize = 48;
/// Longest description, in characters.
const DESCRIPTION: usize = 200;
/// The objective of instructions without any letter or digit.
const NOTHING_SAID: &str = "Follow the instructions";

/// The code for `instructions`, under the name `agent`. It uses only what `offer` has, and its
/// schedule, if it has one, fires within five years of `now`.
pub fn answer(instructions: &str, offer: &Offer, now: Timestamp) -> String {
    let sentences = text::sentences(instructions);
    let tokens: Vec<String> = sentences.iter().map(|s| tokens(&s.text)).collect();
    let timing = schedule::read(&sentences, &tokens, now);
    let objectives = objectives(&sentences);
    let definition = AgentDefinition {
        name: NAME.to_owned(),
        description: description(&sentences, &timing),
        mode: None,
        steps: steps(&objectives, offer),
        objectives,
        constraints: bounds::read(&tokens),
        schedule: match timing {
            Timing::At(schedule) => Some(schedule),
            Timing::Unsaid | Timing::Unclear(_) => None,
        },
    };
    render(&definition)
}

/// The statements without repetition; the labels, if there is nothing else.
fn objectives(sentences: &[Sentence]) -> Vec<String> {
    let has_statements = sentences
        .iter()
        .any(|sentence| sentence.role == Role::Statement);
    let mut objectives: Vec<String> = Vec::new();
    for sentence in sentences {
        let objective = clip(&sentence.text, OBJECTIVE);
        let is_meant = sentence.role == Role::Statement || !has_statements;
        if is_meant && objectives.len() < MAX_OBJECTIVES && !objectives.contains(&objective) {
            objectives.push(objective);
        }
    }
    if objectives.is_empty() {
        objectives.push(NOTHING_SAID.to_owned());
    }
    objectives
}

/// What it is for, and where the rules fall short of what the instructions say.
fn description(sentences: &[Sentence], timing: &Timing) -> Option<String> {
    let mut description = clip(&sentences.first()?.text, DESCRIPTION);
    // Writing to a String cannot fail.
    if let Timing::Unclear(why) = timing {
        let _ = write!(
            description,
            " (no schedule, so it runs continuously: {why})"
        );
    }
    if sentences.len() > MAX_OBJECTIVES {
        let _ = write!(
            description,
            " (the instructions are long: only the first {MAX_OBJECTIVES} objectives are here)"
        );
    }
    Some(description)
}

/// A step for each operation that an objective names word for word ("list the files" does not name
/// `list_files`, "list files" does) and that can be called without parameters.
fn steps(objectives: &[String], offer: &Offer) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for objective in objectives {
        let said = words(objective);
        let name = clip(objective.trim_end_matches(['.', '!', '?']), STEP_NAME);
        let operations = offer.tools.iter().flat_map(|tool| {
            let named = |name: &str| {
                let name = words(name);
                name.len() > 1 && said.windows(name.len()).any(|window| window == name)
            };
            let operations = tool
                .operations
                .iter()
                .filter(move |operation| named(&operation.name) && operation.takes(&[].into()));
            operations.map(|operation| (&tool.name, &operation.name))
        });
        let mut unused = operations.filter(|(tool, operation)| {
            let is_usable = |name: &str| {
                !name.trim().is_empty() && !name.chars().any(char::is_control)
            };
            let is_used = |step: &Step| {
                step.name == name
                    || matches!(&step.action, Action::UseTool { tool: used, action: Some(action), .. }
                        if (used, action) == (*tool, *operation))
            };
            is_usable(tool) && is_usable(operation) && !steps.iter().any(is_used)
        });
        if let Some((tool, operation)) = unused.next() {
            let action = Action::UseTool {
                tool: tool.clone(),
                action: Some(operation.clone()),
                params: [].into(),
            };
            let depends_on = steps
                .last()
                .map(|step| step.name.clone())
                .into_iter()
                .collect();
            steps.push(Step {
                name,
                depends_on,
                only_if: None,
                each: None,
                action,
            });
        }
    }
    steps
}

/// The words of a text or of a name such as `list_files`.
fn words(text: &str) -> Vec<String> {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests;
