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

use jiff::Timestamp;
use langop_dsl::{Action, AgentDefinition, Offer, Step, render};

pub use persona::{Persona, distill};
use schedule::{Timing, grammar};
use text::{Sentence, clip};

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
        schedule: timing.unwrap_or_default(),
    };
    render(&definition)
}

/// The statements without repetition; the labels, if there is nothing else.
fn objectives(sentences: &[Sentence]) -> Vec<String> {
    let are_all_labels = sentences.iter().all(|sentence| sentence.is_label);
    let mut objectives: Vec<String> = Vec::new();
    for sentence in sentences {
        let objective = clip(&sentence.text, OBJECTIVE);
        let is_meant = are_all_labels || !sentence.is_label;
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
    let description = clip(&sentences.first()?.text, DESCRIPTION);
    let no_schedule = timing.as_ref().err().map_or_else(String::new, |why| {
        format!(" (no schedule, so it runs continuously: {why})")
    });
    let mut too_long = String::new();
    if sentences.len() > MAX_OBJECTIVES {
        too_long = format!(
            " (the instructions are long: only the first {MAX_OBJECTIVES} objectives are here)"
        );
    }
    Some(description + &no_schedule + &too_long)
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
        let mut actions = named_actions(clause.main, offer);
        let is_new = |step: &Step, action: &Action| step.name != name && step.action != *action;
        let action = actions.find(|action| steps.iter().all(|step| is_new(step, action)));
        if let Some(action) = action {
            let before = steps.last().map(|step| step.name.clone());
            steps.push(Step {
                name,
                depends_on: before.into_iter().collect(),
                only_if: clause.only_if,
                each: None,
                action,
            });
        }
    }
    steps
}

/// Calls of the operations that a text names and that can be called without parameters.
fn named_actions(text: &str, offer: &Offer) -> impl Iterator<Item = Action> {
    let said = words(text);
    let is_usable = |name: &str| !name.trim().is_empty() && !name.chars().any(char::is_control);
    let operations = offer.tools.iter().flat_map(|tool| {
        let operations = tool.operations.iter();
        operations.map(move |operation| (tool, operation))
    });
    operations
        .filter(move |(tool, operation)| {
            let name = words(&operation.name);
            let is_named = name.trim().contains(' ') && said.contains(&name);
            let are_usable = is_usable(&tool.name) && is_usable(&operation.name);
            is_named && are_usable && operation.takes(&[].into())
        })
        .map(|(tool, operation)| Action::UseTool {
            tool: tool.name.clone(),
            action: Some(operation.name.clone()),
            params: [].into(),
        })
}

/// The words of a text or of a name such as `list_files`, each between blanks.
fn words(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words.fold(" ".to_owned(), |words, word| {
        words + &word.to_lowercase() + " "
    })
}

#[cfg(test)]
mod tests;
