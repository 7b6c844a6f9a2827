//! The built-in rules: no LLM. Reads schedule, objectives, bounds and tools out of the text and writes a plain agent that is
//! always valid; where the text is not clear it leaves a thing out and says so in a comment. Pure and deterministic.

mod params;
mod persona;
mod schedule;
mod text;
mod words;
mod workflow;

use std::fmt::Write as _;

use jiff::Timestamp;
use langop_dsl::{AgentDefinition, render};
use langop_proto::v1::{Persona, SynthesizeRequest};

use schedule::Timing;
use text::{Role, Sentence, clip};

/// The name in the code; the pipeline writes the agent's own in its place.
const NAME: &str = "agent";
/// Most objectives.
const MAX_OBJECTIVES: usize = 20;
/// Longest objective, in characters.
const OBJECTIVE: usize = 300;
/// Longest description, in characters.
const DESCRIPTION: usize = 200;
/// The objective of instructions without any letter or digit.
const NOTHING_SAID: &str = "Follow the instructions";

/// The built-in rules.
#[derive(Debug, Clone, Copy)]
pub struct Template;

impl Template {
    /// The code for `request`, under the name `agent`. It uses only tools and models of the request, and its schedule, if it
    /// has one, fires within five years of `now`. Persona, previous code and variant change nothing.
    pub fn answer(request: &SynthesizeRequest, now: Timestamp) -> String {
        let sentences = text::sentences(&request.instructions);
        let timing = schedule::read(&sentences, now);
        let objectives = objectives(&sentences);
        let description = description(&sentences, &timing);
        let work: Vec<String> = work(&sentences, now).collect();
        let definition = AgentDefinition {
            name: NAME.to_owned(),
            description,
            mode: None,
            schedule: match timing {
                Timing::At(schedule) => Some(schedule),
                Timing::Unsaid | Timing::Unclear(_) => None,
            },
            objectives,
            steps: workflow::steps(&work, request),
            constraints: schedule::bounds::read(&sentences),
        };
        render(&definition)
    }

    /// `persona` as a short text, at most [`langop_proto::limits::DISTILLED_PROMPT`] bytes.
    pub fn distill(persona: &Persona) -> String {
        persona::distill(persona)
    }
}

fn statements(sentences: &[Sentence]) -> impl Iterator<Item = &str> {
    sentences
        .iter()
        .filter(|sentence| sentence.role == Role::Statement)
        .map(|sentence| sentence.text.as_str())
}

/// What the statements say is to be done, without when.
fn work(sentences: &[Sentence], now: Timestamp) -> impl Iterator<Item = String> {
    let statements = statements(sentences);
    let work = statements.filter(move |text| !schedule::is_about_running(text, now));
    work.map(move |text| capitalised(schedule::without_timing(text, now)))
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}

/// The statements without repetition; the labels, if there is nothing else.
fn objectives(sentences: &[Sentence]) -> Vec<String> {
    let mut objectives: Vec<String> = Vec::new();
    let labels = sentences.iter().map(|sentence| sentence.text.as_str());
    let said: Vec<&str> = statements(sentences).collect();
    for text in if said.is_empty() {
        labels.collect()
    } else {
        said
    } {
        let objective = clip(text, OBJECTIVE);
        if objectives.len() < MAX_OBJECTIVES && !objectives.contains(&objective) {
            objectives.push(objective);
        }
    }
    if objectives.is_empty() {
        vec![NOTHING_SAID.to_owned()]
    } else {
        objectives
    }
}

/// What it is for, and where the rules fall short of what the instructions say.
fn description(sentences: &[Sentence], timing: &Timing) -> Option<String> {
    let mut description = clip(&sentences.first()?.text, DESCRIPTION);
    if let Timing::Unclear(why) = timing {
        // Writing to a String cannot fail.
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

#[cfg(test)]
mod tests;
