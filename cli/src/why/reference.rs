//! What an agent refers to: whether it exists, and if so, whether it works.

use langop_api::{
    LanguageAgent,
    condition::{Reason, types},
};

use super::{
    advice,
    facts::AgentFacts,
    finding::{Advice, Diagnosis, Finding, Outcome, State},
    service,
};
use crate::{facts::Read, kind::Kind};

/// Most names that are offered in place of a missing one.
const OFFERED: usize = 6;

/// One name in the agent's spec.
#[derive(Clone, Copy)]
pub(crate) struct Reference<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
}

impl Reference<'_> {
    const fn field(self) -> &'static str {
        match self.kind {
            Kind::Model => "spec.modelRefs",
            Kind::Persona => "spec.personaRef",
            _ => "spec.toolRefs",
        }
    }
}

/// Looks at all of them; what is missing comes before what does not work.
pub(crate) fn check(facts: &AgentFacts) -> Outcome {
    let Some(agent) = &facts.agent else {
        return Outcome::fine("");
    };
    let references = references(agent);
    if references.is_empty() {
        return Outcome::fine("nothing is referenced");
    }
    let mut findings: Vec<Finding> = references
        .iter()
        .filter_map(|reference| fault(facts, *reference))
        .collect();
    // The sort is stable: failing before waiting, else in the order of the spec.
    findings.sort_by_key(|finding| finding.state != State::Failing);
    let is_ready = facts.subject.is(types::READY);
    let mut findings = findings
        .into_iter()
        .filter(|finding| !is_ready || finding.state == State::Failing);
    if let Some(mut first) = findings.next() {
        first.also = findings.map(|other| other.cause.message).collect();
        return Outcome::Stopped(first);
    }
    unseen(facts).unwrap_or_else(|| all_well(facts, &references))
}

/// All names in the agent's spec, in its order.
pub(crate) fn references(agent: &LanguageAgent) -> Vec<Reference<'_>> {
    let spec = &agent.spec;
    let tools = spec.tool_refs.iter().map(|tool| (Kind::Tool, tool));
    let models = spec.model_refs.iter().map(|model| (Kind::Model, model));
    let persona = spec
        .persona_ref
        .iter()
        .map(|persona| (Kind::Persona, persona));
    tools
        .chain(models)
        .chain(persona)
        .map(|(kind, reference)| Reference {
            kind,
            name: &reference.name,
        })
        .collect()
}

fn fault(facts: &AgentFacts, reference: Reference<'_>) -> Option<Finding> {
    let known = facts.neighbours.get(&reference.kind)?.got()?;
    let found = known
        .iter()
        .find(|other| other.subject.name == reference.name);
    match found {
        None => {
            let names = known.iter().map(|other| other.subject.name.as_str());
            Some(missing(facts, reference, &names.collect::<Vec<_>>()))
        }
        Some(other) => not_working(reference, service::diagnose(other)),
    }
}

fn missing(facts: &AgentFacts, reference: Reference<'_>, names: &[&str]) -> Finding {
    let Reference { kind, name } = reference;
    let subject = &facts.subject;
    let word = kind.word();
    let there_is = match names.len() {
        0 => format!("namespace '{}' has no {word}", subject.namespace),
        _ => format!(
            "namespace '{}' has {}{}",
            subject.namespace,
            names[..names.len().min(OFFERED)].join(", "),
            if names.len() > OFFERED { ", …" } else { "" }
        ),
    };
    Finding::new(
        State::Failing,
        format!("{} {}/{name}", kind.name(), subject.namespace),
        format!("{word} '{name}' does not exist"),
        vec![
            Advice::say(format!("Make a {} of that name ({there_is})", kind.name())),
            advice::edit(&format!("Or correct {}", reference.field()), subject),
        ],
    )
}

/// It is there; if it does not work, that is the deeper cause.
fn not_working(reference: Reference<'_>, found: Diagnosis) -> Option<Finding> {
    let Diagnosis {
        state,
        cause,
        advice,
        ..
    } = found;
    let cause = cause.filter(|_| matches!(state, State::Failing | State::Waiting))?;
    let message = format!(
        "{} '{}' is not ready: {}",
        reference.kind.word(),
        reference.name,
        cause.message
    );
    Some(Finding::new(state, cause.object, message, advice))
}

/// The operator's own word, where this user may not read the references, or where they are there
/// since a moment ago.
fn unseen(facts: &AgentFacts) -> Option<Outcome> {
    let resolved = facts
        .subject
        .condition(types::REFERENCES_RESOLVED)
        .filter(|resolved| resolved.status == "False")?;
    let may_read = facts.neighbours.values().all(|known| known.got().is_some());
    let (state, advice) = if may_read {
        (State::Waiting, Vec::new())
    } else {
        let advice = advice::of(Reason::ReferenceNotFound, &resolved.message, &facts.subject);
        (State::Failing, advice)
    };
    Some(Outcome::Stopped(Finding::new(
        state,
        facts.subject.title(),
        &resolved.message,
        advice,
    )))
}

fn all_well(facts: &AgentFacts, references: &[Reference<'_>]) -> Outcome {
    let denied = facts.neighbours.values().find_map(|known| match known {
        Read::Denied(said) => Some(said),
        Read::Got(_) => None,
    });
    if let Some(said) = denied {
        return Outcome::unknown(said);
    }
    let names: Vec<String> = references
        .iter()
        .map(|reference| format!("{} {}", reference.kind.word(), reference.name))
        .collect();
    Outcome::fine(names.join(", "))
}
