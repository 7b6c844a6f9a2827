//! What to do, by the reasons of conditions and by what pods say. One place, so that equal causes
//! get equal advice.

use langop_api::condition::Reason;

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

/// Of a spec that cannot be carried out, whose message says what to write.
pub(crate) fn of_spec(reason: Reason, subject: &Subject) -> Vec<Advice> {
    let edit = |text: &str| vec![edit(text, subject)];
    match reason {
        Reason::NameConflict => {
            edit("Delete the other object, or make this one under another name")
        }
        Reason::PodNotAllowed => {
            edit("Leave out what the message names, or have an administrator allow it")
        }
        Reason::Rejected => edit("Ask for less, by other instructions or another spec"),
        Reason::EgressDenied => vec![
            Advice::say(
                "Have an administrator add it to allowedEgress of the namespace's LanguageCluster",
            ),
            self::edit("Or leave it out", subject),
        ],
        Reason::WorkspaceConflict | Reason::WorkspaceKept => vec![Advice::run(
            "Look at the claim, and delete or label it as the message says",
            subject.kubectl(&format!("describe pvc {}-workspace", subject.name)),
        )],
        _ => edit("Correct it as the message says"),
    }
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

/// Ends the suspension of a whole namespace.
pub(crate) fn resume_all(subject: &Subject) -> Advice {
    Advice::run(
        "Let every agent of the namespace go on",
        format!("kubectl langop -n {} resume --all", subject.namespace),
    )
}

/// Of a pod that does not work, by the operator's words for why.
pub(crate) fn of_pod(problem: &str, pod: &str, subject: &Subject) -> Vec<Advice> {
    let describe = Advice::run(
        "See what the kubelet says",
        subject.kubectl(&format!("describe pod {pod}")),
    );
    if problem.contains("cannot be pulled") {
        vec![
            edit("Correct the image's name and tag", subject),
            Advice::say("A private registry needs imagePullSecrets"),
            describe,
        ]
    } else if ["CreateContainerConfigError", "FailedMount", "MountVolume"]
        .iter()
        .any(|word| problem.contains(word))
    {
        vec![
            Advice::run(
                "Make the Secret or ConfigMap that it names, with the key that it names",
                subject.kubectl("get secrets,configmaps"),
            ),
            edit("Or correct the name and key", subject),
        ]
    } else if problem.contains("cannot be scheduled") {
        vec![
            edit(
                "Correct nodeSelector, tolerations or resources, or make room on a node",
                subject,
            ),
            Advice::run("See the nodes", "kubectl get nodes --show-labels"),
        ]
    } else if problem.contains("OOMKilled") {
        vec![edit(
            "Give it more memory: resources.limits.memory",
            subject,
        )]
    } else if problem.contains("nothing answers at port") {
        vec![edit(
            "Have its server listen at all addresses of its port, or set port or probe",
            subject,
        )]
    } else {
        vec![
            Advice::run(
                "Read its last words",
                subject.kubectl(&format!("logs {pod} --all-containers --previous")),
            ),
            describe,
        ]
    }
}

/// Of objects that the API server or a quota refuses.
pub(crate) fn of_refusal(message: &str, subject: &Subject) -> Vec<Advice> {
    if message.contains("exceeded quota") || message.contains("failed quota") {
        vec![
            Advice::run(
                "See what the quota leaves",
                subject.kubectl("describe resourcequota"),
            ),
            Advice::say(
                "Have an administrator raise resourceQuotas of the namespace's LanguageCluster",
            ),
            edit("Or ask for less: resources, replicas", subject),
        ]
    } else {
        vec![edit(
            "Correct what the message names, or have an administrator allow it",
            subject,
        )]
    }
}

/// Of a synthesizer that gives no code.
pub(crate) fn of_synthesis(message: &str, subject: &Subject) -> Vec<Advice> {
    let mut advice = of_distillation(message);
    advice.push(again("Or ask again at once", subject));
    advice
}

/// Of a synthesizer that gives no answer.
pub(crate) fn of_distillation(message: &str) -> Vec<Advice> {
    let wait = Advice::say("It is tried again by itself, with growing pauses");
    if message.contains("cannot be reached") {
        vec![
            Advice::run(
                "See whether the synthesizer runs",
                "kubectl get deployments -A -l app.kubernetes.io/name=langop-synthesizer",
            ),
            Advice::say(
                "The operator looks for it at its setting LANGOP_SYNTHESIZER_ENDPOINT; with TLS, the certificate must be of that name",
            ),
            wait,
        ]
    } else {
        vec![
            wait,
            Advice::run(
                "See which pods the synthesizer has, and read their logs",
                "kubectl get pods -A -l app.kubernetes.io/name=langop-synthesizer",
            ),
        ]
    }
}

/// Of a synthesizer that is switched off or that the provider refuses.
pub(crate) fn of_disabled(subject: &Subject) -> Vec<Advice> {
    let mut advice = of_no_synthesizer();
    advice.push(edit(
        "Or give it an image of its own, which needs no code",
        subject,
    ));
    advice
}

/// What only an administrator can set.
pub(crate) fn of_no_synthesizer() -> Vec<Advice> {
    vec![Advice::say(
        "Have an administrator set SYNTHESIS_PROVIDER, SYNTHESIS_MODEL and SYNTHESIS_API_KEY of the synthesizer, and LANGOP_SYNTHESIZER_ENDPOINT of the operator",
    )]
}

/// Code is written anew.
pub(crate) fn again(text: &str, subject: &Subject) -> Advice {
    Advice::run(
        text,
        subject.kubectl(&format!(
            "annotate --overwrite {} {} langop.io/resynthesize=\"$(date +%s)\"",
            subject.kind.short(),
            subject.name
        )),
    )
}
