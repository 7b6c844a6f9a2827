//! The walk of what agents use: a tool, a model's proxy, a client, a persona.

use langop_api::condition::{Reason, types};

use super::{
    advice,
    diagnosis::diagnosis,
    event,
    facts::ServiceFacts,
    finding::{Advice, CheckFn, Diagnosis, Finding, Outcome, Stage, State, walk},
    object, pod, synthesis, workload,
};
use crate::{facts::Read, kind::Kind};

/// In this order.
const SERVICE: [(Stage, CheckFn<ServiceFacts>); 5] = [
    (Stage::Object, of_object),
    (Stage::References, of_references),
    (Stage::Workload, |facts| {
        if facts.is_sidecar {
            return Outcome::fine("it runs in the pods of its agents");
        }
        workload::check(&facts.subject, &facts.children)
    }),
    (Stage::Pod, |facts| {
        pod::check(&facts.subject, &facts.children, facts.now)
    }),
    (Stage::Event, |facts| {
        event::check(&facts.subject, &facts.children)
    }),
];

/// A persona has no pods: what it waits for is the synthesizer.
const PERSONA: [(Stage, CheckFn<ServiceFacts>); 3] = [
    (Stage::Object, of_object),
    (Stage::Synthesis, |facts| {
        synthesis::distillation(&facts.subject)
    }),
    (Stage::Event, |facts| {
        event::check(&facts.subject, &facts.children)
    }),
];

/// Walks.
pub(crate) fn diagnose(facts: &ServiceFacts) -> Diagnosis {
    let (checks, end) = match facts.subject.kind {
        Kind::Persona => walk(facts, &PERSONA),
        _ => walk(facts, &SERVICE),
    };
    diagnosis(&facts.subject, checks, end)
}

fn of_object(facts: &ServiceFacts) -> Outcome {
    match object::fault(&facts.subject, facts.now) {
        Some(finding) => Outcome::Stopped(finding),
        None => Outcome::fine("the operator has looked at it"),
    }
}

/// Secrets that are not there, and what else the operator misses. Secrets that this user may not
/// look for are no fault.
fn of_references(facts: &ServiceFacts) -> Outcome {
    let unresolved = facts
        .subject
        .condition(types::REFERENCES_RESOLVED)
        .filter(|resolved| resolved.status == "False");
    match unresolved {
        Some(unresolved) => Outcome::Stopped(Finding::new(
            State::Failing,
            facts.subject.title(),
            &unresolved.message,
            advice::of(
                Reason::ReferenceNotFound,
                &unresolved.message,
                &facts.subject,
            ),
        )),
        None => of_secrets(facts),
    }
}

fn of_secrets(facts: &ServiceFacts) -> Outcome {
    let ServiceFacts {
        subject, secrets, ..
    } = facts;
    let missing = secrets.iter().find(|need| need.exists == Read::Got(false));
    if let Some(need) = missing {
        let (name, key) = (&need.name, &need.key);
        return Outcome::Stopped(Finding::new(
            State::Failing,
            format!("Secret {}/{name}", subject.namespace),
            format!(
                "the Secret '{name}' does not exist, and {} '{}' takes its key '{key}'",
                subject.kind.word(),
                subject.name
            ),
            vec![
                Advice::run(
                    "Make it",
                    subject.kubectl(&format!(
                        "create secret generic {name} --from-literal={key}=…"
                    )),
                ),
                advice::edit("Or correct its name", subject),
            ],
        ));
    }
    match secrets.iter().find_map(|need| match &need.exists {
        Read::Denied(said) => Some(said),
        Read::Got(_) => None,
    }) {
        Some(said) => Outcome::unknown(said),
        None => Outcome::fine(match secrets.len() {
            0 => "nothing is referenced".to_owned(),
            count => format!("{count} Secret{} exist", if count == 1 { "" } else { "s" }),
        }),
    }
}
