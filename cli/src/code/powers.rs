//! What code may do, as a list of lines that can be compared: tools with their operations and the
//! addresses written into them, models, times and bounds. From the checked definition, never from
//! the code.

use std::collections::BTreeSet;

use langop_dsl::{Action, AgentDefinition, Value, format_duration};

use super::stored::Revision;
use crate::schedule;

/// The lines; `None` where the definition cannot be read.
pub(crate) fn powers(revision: &Revision) -> Option<BTreeSet<String>> {
    let definition = revision.definition.as_ref()?;
    let mut powers = BTreeSet::from([format!(
        "runs {}",
        schedule::in_words(definition.schedule.as_ref())
    )]);
    powers.extend(bounds(definition));
    for step in &definition.steps {
        of_action(&step.action, &mut powers);
    }
    if definition.steps.is_empty() {
        // A loop of model and tools may call whatever is offered.
        let tools = revision.offered.tools.iter();
        powers.extend(tools.map(|tool| format!("tool {tool}: every operation")));
    }
    if definition.models().is_empty() {
        let models = revision.offered.models.iter();
        powers.extend(models.map(|model| format!("model {model}")));
    }
    Some(powers)
}

fn bounds(definition: &AgentDefinition) -> [String; 2] {
    let constraints = &definition.constraints;
    [
        match constraints.max_iterations {
            Some(most) => format!("iterations: at most {most}"),
            None => "iterations: no bound of its own".to_owned(),
        },
        match constraints.timeout_seconds {
            Some(most) => format!("time of a run: at most {}", format_duration(most)),
            None => "time of a run: no bound of its own".to_owned(),
        },
    ]
}

fn of_action(action: &Action, powers: &mut BTreeSet<String>) {
    match action {
        Action::UseTool {
            tool,
            action,
            params,
        } => {
            let call = format!(
                "tool {tool}: {}",
                action.as_deref().unwrap_or("its only operation")
            );
            for (name, value) in params {
                addresses(&format!("{call}, {name}"), value, powers);
            }
            powers.insert(call);
        }
        Action::Ask { model, .. } => {
            powers.extend(model.iter().map(|model| format!("model {model}")));
        }
    }
}

/// Literal addresses: mails, URLs, absolute paths, channels. What is computed has no address yet,
/// and that is a power, too.
fn addresses(at: &str, value: &Value, powers: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if is_address(text) => {
            powers.insert(format!("{at} = {text}"));
        }
        Value::Result { .. } | Value::Item => {
            powers.insert(format!("{at} = computed"));
        }
        Value::Array(items) => {
            for item in items {
                addresses(at, item, powers);
            }
        }
        Value::Object(entries) => {
            for (name, value) in entries {
                addresses(&format!("{at}.{name}"), value, powers);
            }
        }
        _ => {}
    }
}

fn is_address(text: &str) -> bool {
    let is_one_word = !text.contains(char::is_whitespace);
    is_one_word && (text.contains('@') || text.contains("://") || text.starts_with(['/', '#']))
}
