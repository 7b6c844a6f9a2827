//! Agent code by rule, without an LLM: reads schedule, objectives and bounds out of plain English
//! and writes a plain agent that is always valid. Where the text is not clear it leaves a thing out
//! and says so in the description.
//!
//! Pure and deterministic. It must not guess: no schedule is better than a wrong one, and a step is
//! written only where the text names an offered operation that needs no parameters, with the
//! condition under which the text names it. Everything else is an objective, which the agent
//! pursues with all its tools.

mod bounds;
mod condition;
mod persona;
mod schedule;
mod text;

use std::fmt::Write as _;

use jiff::Timestamp;
use langop_dsl::{Action, AgentDefinition, Offer, Step, render};

pub use persona::{Persona, distill};
use schedule::{Timing, grammar};
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
    let atoms: Vec<_> = sentences.iter().map(|s| grammar::atoms(&s.text)).collect();
    let timing = schedule::read(&sentences, &atoms, now);
    let objectives = objectives(&sentences);
    let definition = AgentDefinition {
        name: NAME.to_owned(),
        description: description(&sentences, &timing),
        mode: None,
        steps: steps(&objectives, offer),
        objectives,
        constraints: bounds::read(&atoms),
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
/// `list_files`, "list files" does) and that can be called without parameters. None of an objective
/// whose condition is not clear: without it the step would do what was not asked for.
fn steps(objectives: &[String], offer: &Offer) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for objective in objectives {
        let Some(clause) = condition::split(objective) else {
            continue;
        };
        let name = clip(objective.trim_end_matches(['.', '!', '?']), STEP_NAME);
        let mut unused = named_operations(clause.main, offer).filter(|(tool, operation)| {
            let is_used = |step: &Step| {
                step.name == name
                    || matches!(&step.action, Action::UseTool { tool: used, action: Some(action), .. }
                        if (used.as_str(), action.as_str()) == (*tool, *operation))
            };
            !steps.iter().any(is_used)
        });
        if let Some((tool, operation)) = unused.next() {
            let action = Action::UseTool {
                tool: tool.to_owned(),
                action: Some(operation.to_owned()),
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
                only_if: clause.only_if,
                each: None,
                action,
            });
        }
    }
    steps
}

/// The tools and operations that a text names and that can be called without parameters.
fn named_operations<'o>(
    text: &str,
    offer: &'o Offer,
) -> impl Iterator<Item = (&'o str, &'o str)> + use<'o> {
    let said = words(text);
    let is_usable = |name: &str| !name.trim().is_empty() && !name.chars().any(char::is_control);
    let all = offer.tools.iter().flat_map(|tool| {
        let operations = tool.operations.iter();
        operations.map(move |operation| (&*tool.name, operation))
    });
    all.filter(move |(tool, operation)| {
        let name = words(&operation.name);
        let is_named = name.len() > 1 && said.windows(name.len()).any(|window| window == name);
        is_named && operation.takes(&[].into()) && is_usable(tool) && is_usable(&operation.name)
    })
    .map(|(tool, operation)| (tool, &*operation.name))
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
