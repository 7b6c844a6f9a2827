//! Whether the references changed since the code was made. The workload stays: only a person knows
//! whether the code should change.

use langop_api::names::annotations;

use super::code::ActiveCode;
use crate::references::References;

/// What changed, and what to do about it; `None` if nothing did.
pub fn message(code: &ActiveCode, references: &References) -> Option<String> {
    let tools: Vec<&str> = references
        .tools
        .iter()
        .map(|tool| tool.name.as_str())
        .collect();
    let models: Vec<&str> = references
        .models
        .iter()
        .map(|model| model.name.as_str())
        .collect();
    let mut changes = Vec::new();
    for (what, now, offered, used) in [
        (
            "tool",
            &tools,
            &code.offered.tools,
            &code.requirements.tools,
        ),
        (
            "model",
            &models,
            &code.offered.models,
            &code.requirements.models,
        ),
    ] {
        let added = now
            .iter()
            .filter(|name| !offered.iter().any(|known| known == *name));
        changes.extend(
            added.map(|name| {
                format!("the {what} '{name}' was added after the code was synthesized")
            }),
        );
        let gone = used.iter().filter(|name| !now.contains(&name.as_str()));
        changes.extend(gone.map(|name| {
            format!("the code uses the {what} '{name}', which the agent no longer has")
        }));
    }
    changes.sort_unstable();
    (!changes.is_empty()).then(|| {
        format!(
            "{}: set the annotation {} to a new value to synthesize again",
            changes.join("; "),
            annotations::RESYNTHESIZE
        )
    })
}
