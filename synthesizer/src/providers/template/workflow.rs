//! Steps from sentences: one for each that clearly speaks of an offered tool, and questions about what came of those.
//!
//! A tool is called only where every parameter it needs can be read from the text; else a model is asked to do it, if there is
//! one. Pure; uses nothing that the request does not offer.

use std::collections::{BTreeMap, BTreeSet};

use super::params::params;
use super::text::{clip, says_something};
use super::words::{Words, stems};
use crate::offer;
use langop_dsl::{Action, Step, Value};
use langop_proto::v1::{Model, SynthesizeRequest, Tool, ToolOperation};

/// Most steps.
const MAX_STEPS: usize = 20;
/// Longest name of a step, in characters.
const STEP_NAME: usize = 48;
/// Longest question or text parameter, in characters.
pub(super) const TEXT: usize = 300;

/// The steps for `sentences`; none if no sentence speaks of an offered tool.
pub(super) fn steps(sentences: &[String], request: &SynthesizeRequest) -> Vec<Step> {
    let tools: Vec<Candidate<'_>> = request
        .tools
        .iter()
        .filter(|tool| is_usable(&tool.name))
        .map(Candidate::new)
        .collect();
    let model = request.models.iter().find(|model| is_usable(&model.name));
    let mut plan = Plan {
        model,
        steps: Vec::new(),
        used: BTreeSet::new(),
    };
    for sentence in sentences {
        if plan.steps.len() < MAX_STEPS {
            plan.add(sentence, &tools);
        }
    }
    plan.steps
}

/// Whether code can name it.
pub(super) fn is_usable(name: &str) -> bool {
    !name.trim().is_empty() && !name.chars().any(char::is_control)
}

struct Plan<'a> {
    model: Option<&'a Model>,
    steps: Vec<Step>,
    /// Tools with the operation they were already used for.
    used: BTreeSet<(&'a str, Option<&'a str>)>,
}

impl<'a> Plan<'a> {
    fn add(&mut self, sentence: &str, tools: &[Candidate<'a>]) {
        let words = Words::of(
            sentence,
            split_condition(sentence).map_or(sentence, |(_, rest)| rest),
        );
        // the first of equals, so that the order of the request decides
        let best = tools
            .iter()
            .filter_map(|tool| Some((tool.mention(&words)?, tool)))
            .rev()
            .max_by_key(|(mention, _)| mention.score);
        let previous = self.steps.last().map(|step| step.name.clone());
        let action = match best {
            Some((mention, tool))
                if self.used.insert((
                    &tool.tool.name,
                    mention.operation.map(|operation| operation.name.as_str()),
                )) =>
            {
                self.tool_action(tool.tool, mention.operation, sentence, previous.as_deref())
            }
            _ => self
                .model
                .filter(|_| previous.is_some())
                .map(|model| ask(clip(sentence, TEXT), model)),
        };
        if let Some(action) = action {
            let name = self.unused_name(sentence);
            let depends_on = previous.into_iter().collect();
            self.steps.push(Step {
                name,
                depends_on,
                only_if: condition(sentence),
                action,
            });
        }
    }

    fn tool_action(
        &self,
        tool: &Tool,
        operation: Option<&ToolOperation>,
        sentence: &str,
        previous: Option<&str>,
    ) -> Option<Action> {
        let takes = |params: &BTreeMap<String, Value>| match operation {
            Some(operation) => offer::operation(operation).takes(params),
            None => tool.operations.is_empty(),
        };
        let params =
            operation.and_then(|operation| params(&operation.input_schema, sentence, previous));
        match (params.filter(takes), self.model) {
            (None, Some(model)) => {
                let request = request_for(tool, operation, sentence);
                Some(ask(clip(&request, TEXT), model))
            }
            // without a model, only what can be called without parameters
            (params, _) => {
                let params = params.or_else(|| Some(BTreeMap::new()).filter(takes))?;
                Some(Action::UseTool {
                    tool: tool.name.clone(),
                    action: operation.map(|operation| operation.name.clone()),
                    params,
                })
            }
        }
    }

    fn unused_name(&self, sentence: &str) -> String {
        let name = clip(sentence.trim_end_matches(['.', '!', '?']), STEP_NAME);
        let taken = |name: &String| self.steps.iter().any(|step| step.name == *name);
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        std::iter::once(name.clone())
            .chain(numbered)
            .find(|name| !taken(name))
            .unwrap_or(name)
    }
}

fn ask(question: String, model: &Model) -> Action {
    Action::Ask {
        prompt: Value::String(question),
        model: Some(model.name.clone()),
    }
}

fn request_for(tool: &Tool, operation: Option<&ToolOperation>, sentence: &str) -> String {
    match operation {
        Some(operation) => format!(
            "With {}, operation {}: {sentence}",
            tool.name, operation.name
        ),
        None => format!("With {}: {sentence}", tool.name),
    }
}

/// "If it is down, tell me" runs only if it is down.
fn condition(sentence: &str) -> Option<String> {
    let (condition, _) = split_condition(sentence)?;
    let condition = clip(condition, TEXT);
    says_something(&condition).then_some(condition)
}

/// The condition and what is to be done then.
fn split_condition(sentence: &str) -> Option<(&str, &str)> {
    let (first, rest) = sentence.split_once(' ')?;
    let is_condition = ["if", "when", "whenever"].contains(&first.to_lowercase().as_str());
    rest.split_once(',').filter(|_| is_condition)
}

/// A tool with what a sentence must hold to speak of it.
struct Candidate<'a> {
    tool: &'a Tool,
    name: Vec<String>,
    purpose: BTreeSet<String>,
    operations: Vec<Known<'a>>,
}

struct Known<'a> {
    operation: &'a ToolOperation,
    name: Vec<String>,
    purpose: BTreeSet<String>,
}

/// How clearly a sentence speaks of a tool.
struct Mention<'a> {
    score: usize,
    /// The one that is meant, if that is clear.
    operation: Option<&'a ToolOperation>,
}

/// From this score on, a sentence speaks of the tool.
const CLEAR: usize = 2;
/// Verbs that say what an operation "send…" does.
const SENDING: &[&str] = &["email", "mail", "message", "notify", "text"];

impl<'a> Candidate<'a> {
    fn new(tool: &'a Tool) -> Self {
        let operations = tool
            .operations
            .iter()
            .filter(|operation| is_usable(&operation.name));
        let operations = operations.map(|operation| Known {
            operation,
            name: stems(&operation.name).collect(),
            purpose: stems(&operation.description).collect(),
        });
        let generic = ["tool", "mcp", "server", "service"];
        let name = stems(&tool.name)
            .filter(|word| !generic.contains(&word.as_str()))
            .collect();
        Self {
            tool,
            name,
            purpose: stems(&tool.description).collect(),
            operations: operations.collect(),
        }
    }

    fn mention(&self, words: &Words) -> Option<Mention<'a>> {
        let by_name = if words.hold_in_a_row(&self.name) {
            4
        } else {
            0
        };
        let by_purpose = words.count(&self.purpose).min(3);
        let best = self
            .operations
            .iter()
            .rev()
            .max_by_key(|known| known.score(words));
        let by_operation = best.map_or(0, |known| known.score(words));
        let is_clear = by_name > 0 || by_purpose >= CLEAR || by_operation >= 2 * CLEAR;
        let only = self
            .operations
            .first()
            .filter(|_| self.operations.len() == 1);
        let operation = best
            .filter(|_| by_operation > 0)
            .or(only)
            .map(|known| known.operation);
        is_clear.then_some(Mention {
            score: by_name + by_purpose + by_operation,
            operation,
        })
    }
}

impl Known<'_> {
    /// Two for each word of its name, one for each of its description. Its whole name in two words or more is clear.
    fn score(&self, words: &Words) -> usize {
        let in_name = self.name.iter().filter(|word| words.contains(word)).count();
        let is_sending = self.name.iter().any(|word| word == "send")
            && words.verb().is_some_and(|verb| SENDING.contains(&verb));
        2 * (in_name + usize::from(is_sending)) + words.count(&self.purpose).min(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(name: &str, description: &str, required: &[&str]) -> ToolOperation {
        let input_schema = serde_json::json!({"type": "object", "required": required}).to_string();
        ToolOperation {
            name: name.into(),
            description: description.into(),
            input_schema,
        }
    }

    fn email() -> Tool {
        let send = operation("send", "Sends one message.", &["to", "subject", "body"]);
        let search = operation("search", "Finds messages, newest first.", &["query"]);
        Tool {
            name: "email-tool".into(),
            description: "Sends and searches e-mail of the team's mailbox.".into(),
            operations: vec![send, search],
        }
    }

    fn files() -> Tool {
        let list = operation(
            "list_files",
            "Lists the files below a path, with the time of the last change.",
            &["path"],
        );
        let read = operation("read_file", "Returns a text file.", &["path"]);
        Tool {
            name: "filesystem-tool".into(),
            description: "Lists and reads files in the workspace.".into(),
            operations: vec![list, read],
        }
    }

    fn request(tools: Vec<Tool>, models: &[&str]) -> SynthesizeRequest {
        let models = models
            .iter()
            .map(|name| Model {
                name: (*name).into(),
                model: String::new(),
            })
            .collect();
        SynthesizeRequest {
            tools,
            models,
            ..SynthesizeRequest::default()
        }
    }

    /// The actions in short: `tool.operation(parameters)`, `ask model`.
    fn actions(sentences: &[&str], request: &SynthesizeRequest) -> Vec<String> {
        let shown = |step: Step| match step.action {
            Action::UseTool {
                tool,
                action,
                params,
            } => {
                let keys: Vec<String> = params.into_keys().collect();
                format!("{tool}.{}({})", action.unwrap_or_default(), keys.join(" "))
            }
            Action::Ask { model, .. } => format!("ask {}", model.unwrap_or_default()),
        };
        steps(
            &sentences
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            request,
        )
        .into_iter()
        .map(shown)
        .collect()
    }

    #[test]
    fn one_step_for_each_sentence_that_speaks_of_a_tool() {
        let watcher = [
            "Keep an eye on the files in /workspace.",
            "Decide what is critical.",
            "Email ops@example.com about it.",
        ];
        let report = [
            "Search the mailbox for messages about incidents.",
            "Summarize them.",
            "Email the summary to team@example.com.",
        ];
        let cases: [(&str, &[&str], Vec<Tool>, &[&str], &[&str]); 8] = [
            (
                "with a model",
                &watcher,
                vec![email(), files()],
                &["claude"],
                &[
                    "filesystem-tool.list_files(path)",
                    "ask claude",
                    "email-tool.send(body subject to)",
                ],
            ),
            (
                "without",
                &watcher,
                vec![email(), files()],
                &[],
                &[
                    "filesystem-tool.list_files(path)",
                    "email-tool.send(body subject to)",
                ],
            ),
            (
                "a parameter is missing",
                &report,
                vec![email()],
                &["claude"],
                &[
                    "ask claude",
                    "ask claude",
                    "email-tool.send(body subject to)",
                ],
            ),
            (
                "and no model",
                &report,
                vec![email()],
                &[],
                &["email-tool.send(body subject to)"],
            ),
            (
                "no tool is meant",
                &["Tell jokes."],
                vec![email(), files()],
                &["claude"],
                &[],
            ),
            (
                "no operations",
                &["Use the web search."],
                vec![Tool {
                    name: "web-search".into(),
                    ..Tool::default()
                }],
                &[],
                &["web-search.()"],
            ),
            (
                "no operations, a model",
                &["Search the web-search."],
                vec![Tool {
                    name: "web-search".into(),
                    ..Tool::default()
                }],
                &["m"],
                &["ask m"],
            ),
            (
                "an illegal name",
                &["Use \u{0} x."],
                vec![Tool {
                    name: "\u{0}".into(),
                    ..Tool::default()
                }],
                &[],
                &[],
            ),
        ];
        for (what, sentences, tools, models, expected) in cases {
            assert_eq!(
                actions(sentences, &request(tools, models)),
                expected,
                "{what}"
            );
        }
    }

    #[test]
    fn later_steps_use_results_and_conditions() {
        let sentences = [
            "List files in /data.".to_owned(),
            "If a file is new, email me@example.com.".to_owned(),
        ];
        let steps = steps(&sentences, &request(vec![files(), email()], &[]));
        assert_eq!(steps[1].depends_on, ["List files in /data"]);
        assert_eq!(steps[1].only_if.as_deref(), Some("a file is new"));
        let Action::UseTool { params, .. } = &steps[1].action else {
            panic!("no tool")
        };
        assert_eq!(
            params["body"],
            Value::Result {
                step: "List files in /data".into()
            }
        );
        assert_eq!(params["to"], Value::String("me@example.com".into()));
    }
}
