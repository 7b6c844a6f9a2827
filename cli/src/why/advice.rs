//! What to do: of conditions and pods, what the API says of their reasons; of the rest, what is
//! here.

use langop_api::condition::{Reason, Remedy};

use super::finding::Advice;
use crate::facts::Subject;

/// Look whether there is an operator at all.
pub(crate) fn look_for_operator(subject: &Subject) -> Vec<Advice> {
    vec![
        Advice::run(
            "See whether the operator runs",
            "kubectl get deployments -A -l app.kubernetes.io/name=langop-operator",
        ),
        Advice::say(format!(
            "If it is limited by --namespaces, '{}' must be one of them",
            subject.namespace
        )),
    ]
}

/// Of a condition, or of what says the same.
pub(crate) fn of(reason: Reason, message: &str, subject: &Subject) -> Vec<Advice> {
    about(reason, message, subject, None)
}

/// Of a pod that does not work, by the operator's words for why.
pub(crate) fn of_pod(problem: &str, pod: &str, subject: &Subject) -> Vec<Advice> {
    about(Reason::RolloutStuck, problem, subject, Some(pod))
}

fn about(reason: Reason, message: &str, subject: &Subject, pod: Option<&str>) -> Vec<Advice> {
    let Subject {
        namespace, name, ..
    } = subject;
    let advice = |remedy: &Remedy| Advice {
        text: remedy.text.to_owned(),
        command: remedy.command_about(namespace, subject.kind.short(), name, pod),
    };
    reason.remedies(message).iter().map(advice).collect()
}

/// Opens the object in an editor.
pub(crate) fn edit(text: &str, subject: &Subject) -> Advice {
    let command = format!("edit {} {}", subject.kind.short(), subject.name);
    Advice::run(text, subject.kubectl(&command))
}

/// A command of this plugin about the object.
pub(crate) fn langop(text: &str, command: &str, subject: &Subject) -> Advice {
    Advice::run(
        text,
        format!(
            "kubectl langop -n {} {command} {}",
            subject.namespace, subject.name
        ),
    )
}
