//! The reasons: one table of what each means and what to do about it, from which
//! `kubectl langop why` and docs/troubleshooting.md take their words. A reason without them does not
//! compile.

use super::remedy::{Case, Remedy, remedies};

macro_rules! reasons {
    ($($group:literal {
        $($(#[doc = $doc:literal])+ $name:ident: $cases:expr,)+
    })+) => {
        /// Why a condition is what it is; also the reason of events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($($(#[doc = $doc])+ $name),+),+ }

        impl Reason {
            /// The text in `condition.reason`.
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name)),+),+ }
            }

            /// All of them, for documentation and tests.
            pub const ALL: &'static [Self] = &[$($(Self::$name),+),+];

            /// All of them, by what they are reasons of.
            pub const GROUPS: &'static [(&'static str, &'static [Self])] =
                &[$(($group, &[$(Self::$name),+])),+];

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $($(Self::$name => concat!($($doc),+).trim_start()),+),+ }
            }

            /// What to do, by what the message says; nothing where nothing is to be done.
            pub const fn cases(self) -> &'static [Case] {
                match self { $($(Self::$name => $cases),+),+ }
            }
        }
    };
}

/// Whatever the message says.
macro_rules! always {
    ($($remedy:tt)+) => { &[Case { words: &[], remedies: remedies![$($remedy)+] }] };
}

const NOTHING: &[Case] = &[];

const EDIT: &str = "kubectl -n NAMESPACE edit KIND NAME";
const EDIT_CLUSTER: &str = "kubectl edit lcluster NAME";
const SYNTHESIZE_AGAIN: &str =
    "kubectl -n NAMESPACE annotate --overwrite KIND NAME langop.io/resynthesize=\"$(date +%s)\"";
const LOGS: &str = "kubectl langop -n NAMESPACE logs NAME";
const UNPIN: &str = "kubectl langop -n NAMESPACE unpin NAME";
const REVISIONS: &str = "kubectl langop -n NAMESPACE revisions NAME";
const DESCRIBE_POD: &str = "kubectl -n NAMESPACE describe pod POD";
const DESCRIBE_CLAIM: &str = "kubectl -n NAMESPACE describe pvc NAME-workspace";
const SYNTHESIZER: &str = "kubectl get deployments -A -l app.kubernetes.io/name=langop-synthesizer";
const SYNTHESIZERS: &str = "kubectl get pods -A -l app.kubernetes.io/name=langop-synthesizer";

const CORRECT: &[Case] = always!["Correct it as the message says" => EDIT];

const CORRECT_CLUSTER: &[Case] = always!["Correct it as the message says" => EDIT_CLUSTER];

/// The API server, a policy or a quota refuses.
const REFUSED: &[Case] = &[
    Case {
        words: &["exceeded quota", "failed quota"],
        remedies: remedies![
            "See what the quota leaves" => "kubectl -n NAMESPACE describe resourcequota",
            "Have an administrator raise resourceQuotas of the namespace's LanguageCluster",
            "Or ask for less: resources, replicas" => EDIT,
        ],
    },
    Case {
        words: &[],
        remedies: remedies![
            "Correct what the message names, or have an administrator allow it" => EDIT,
        ],
    },
];

/// Pods that do not work, by what is said of them.
const PODS: &[Case] = &[
    Case {
        words: &["cannot be pulled"],
        remedies: remedies![
            "Correct the image's name and tag" => EDIT,
            "A private registry needs imagePullSecrets",
            "See what the kubelet says" => DESCRIBE_POD,
        ],
    },
    Case {
        words: &["CreateContainerConfigError", "FailedMount", "MountVolume"],
        remedies: remedies![
            "Make the Secret or ConfigMap that it names, with the key that it names" => "kubectl -n NAMESPACE get secrets,configmaps",
            "Or correct the name and key" => EDIT,
        ],
    },
    Case {
        words: &["cannot be scheduled"],
        remedies: remedies![
            "Correct nodeSelector, tolerations or resources, or make room on a node" => EDIT,
            "See the nodes" => "kubectl get nodes --show-labels",
        ],
    },
    Case {
        words: &["OOMKilled"],
        remedies: remedies!["Give it more memory: resources.limits.memory" => EDIT],
    },
    Case {
        words: &["nothing answers at port"],
        remedies: remedies![
            "Have its server listen at all addresses of its port, or set port or probe" => EDIT,
        ],
    },
    Case {
        words: &["is paused"],
        remedies: remedies!["Go on with it" => "kubectl -n NAMESPACE rollout resume deployment NAME"],
    },
    Case {
        words: &[],
        remedies: remedies![
            "Read its last words" => "kubectl -n NAMESPACE logs POD --all-containers --previous",
            "See what the kubelet says" => DESCRIBE_POD,
        ],
    },
];

const NO_CODE: &[Case] = &[
    Case {
        words: &["cannot be reached"],
        remedies: remedies![
            "See whether the synthesizer runs" => SYNTHESIZER,
            "The operator looks for it at its setting LANGOP_SYNTHESIZER_ENDPOINT; with TLS, the certificate must be of that name",
            "It is tried again by itself, with growing pauses",
            "Or ask again at once" => SYNTHESIZE_AGAIN,
        ],
    },
    Case {
        words: &[],
        remedies: remedies![
            "It is tried again by itself, with growing pauses",
            "See which pods the synthesizer has, and read their logs" => SYNTHESIZERS,
            "Or ask again at once" => SYNTHESIZE_AGAIN,
        ],
    },
];

reasons! {
    "Ready, Reconciling and Stalled" {
        /// Everything is as the spec says.
        AsDesired: NOTHING,
        /// The workload exists but its pods are not ready yet.
        RolloutInProgress: PODS,
        /// Pods cannot be created: the message repeats the controller's cause (for example an
        /// exceeded quota).
        PodsRefused: REFUSED,
        /// The rollout does not get on: the message says what its pods lack.
        RolloutStuck: PODS,
        /// A run takes so long that later ones were skipped.
        RunsSkipped: always![
            "Let limits.timeout end a run that takes too long" => EDIT,
            "See what the run does" => LOGS,
        ],
        /// The agent is suspended by its spec, or by its namespace's LanguageCluster.
        Suspended: &[
            Case {
                words: &["of the LanguageCluster"],
                remedies: remedies![
                    "Let every agent of the namespace go on" => "kubectl langop -n NAMESPACE resume --all",
                ],
            },
            Case {
                words: &[],
                remedies: remedies!["Let it run" => "kubectl langop -n NAMESPACE resume NAME"],
            },
        ],
        /// The workload of the other mode is ending.
        ModeSwitching: NOTHING,
        /// An object of a needed name has another owner; it is not changed.
        NameConflict: always![
            "Delete the other object, or make this one under another name" => EDIT,
        ],
        /// The spec goes beyond what an administrator allows to pods; the message names the
        /// LanguageCluster's field or the setting.
        PodNotAllowed: always![
            "Leave out what the message names, or have an administrator allow it" => EDIT,
        ],
        /// Two listeners of one pod want the same port.
        PortConflict: CORRECT,
        /// The spec cannot be carried out; the message says what to write instead.
        InvalidSpec: CORRECT,
        /// The resource cannot be read; the message says which field.
        Undecodable: CORRECT,
        /// The API server refused a child, or could not be reached for a while; the message says
        /// why.
        ApplyFailed: REFUSED,
        /// Egress that is asked for stays closed: the LanguageCluster, or the setting for namespaces
        /// without one, does not allow it, or the endpoint of a model is no public address.
        EgressDenied: always![
            "Have an administrator add it to allowedEgress of the namespace's LanguageCluster",
            "Or leave it out" => EDIT,
        ],
        /// A workspace cannot shrink.
        WorkspaceShrinkRefused: CORRECT,
        /// A workspace that a former agent of the name kept does not go with this one, although its
        /// spec says so.
        WorkspaceKept: always![
            "Look at the claim, and delete or label it as the message says" => DESCRIBE_CLAIM,
        ],
        /// A kept claim of the workspace's name cannot be reused.
        WorkspaceConflict: always![
            "Look at the claim, and delete or label it as the message says" => DESCRIBE_CLAIM,
        ],
        /// Something is larger than what is held of it; the message says what to shorten.
        TooLarge: CORRECT,
        /// There are neither instructions nor an image: there is nothing to run.
        NothingToRun: CORRECT,
    }
    "ReferencesResolved" {
        /// Every reference exists and can be used.
        AllResolved: NOTHING,
        /// Nothing is referenced.
        NoReferences: NOTHING,
        /// A reference names something that does not exist or cannot be used yet.
        ReferenceNotFound: always!["Make what is missing, or correct the references" => EDIT],
    }
    "Synthesized, BudgetExhausted and CodeStale" {
        /// New code is being synthesized.
        SynthesisStarted: NOTHING,
        /// The code was synthesized.
        SynthesisSucceeded: NOTHING,
        /// The instructions hold what looks like a secret; models and code do not get it.
        SecretInInstructions: always![
            "Revoke it, and take it out of the instructions" => EDIT,
            "Put a new one into a Secret that the tool which needs it reads",
        ],
        /// The synthesizer could not be reached or refused; it is tried again.
        SynthesisFailed: NO_CODE,
        /// The synthesizer is disabled or its key is refused; an administrator must act.
        SynthesisDisabled: always![
            "Have an administrator set SYNTHESIS_PROVIDER, SYNTHESIS_MODEL and SYNTHESIS_API_KEY of the synthesizer, and LANGOP_SYNTHESIZER_ENDPOINT of the operator",
            "An agent with an image of its own, which does the work, needs no code",
        ],
        /// The LLM's code was invalid after the repairs; the message has line and column.
        ValidationFailed: always![
            "Say it in other words, or more exactly" => EDIT,
            "Or have it written anew" => SYNTHESIZE_AGAIN,
        ],
        /// A budget of synthesis is used up; the message says when it opens again.
        BudgetExhausted: always![
            "It goes on by itself at 00:00 UTC",
            "Or raise the budget that the message names: spec.synthesis.tokensPerDay of the agent, or spec.budget of the namespace's LanguageCluster",
        ],
        /// Waiting for references before the first synthesis.
        WaitingForReferences: always!["Make what is missing, or correct the references" => EDIT],
        /// No instructions and no code: the agent's own image does the work.
        NoInstructions: NOTHING,
        /// A stored revision runs.
        RevisionActivated: NOTHING,
        /// The revision pinned in spec is not stored.
        RevisionNotFound: always![
            "See which revisions there are" => REVISIONS,
            "Or go back to the newest" => UNPIN,
        ],
        /// The revision pinned in spec is claimed by a ConfigMap that the operator did not store.
        RevisionUnknown: always![
            "See which revisions there are" => REVISIONS,
            "Or go back to the newest" => UNPIN,
        ],
        /// The references are those that the code was synthesized with.
        ReferencesUnchanged: NOTHING,
        /// References were added or removed after the code was synthesized.
        ReferencesChanged: always![
            "If the code should use them, have it written anew" => SYNTHESIZE_AGAIN,
        ],
    }
    "Approved" {
        /// A change waits for a person; the message says what is new.
        ApprovalRequired: always![
            "See what would change" => "kubectl langop -n NAMESPACE preview NAME",
            "Agree to it, if you may" => "kubectl langop -n NAMESPACE approve NAME",
        ],
        /// A person may approve or reject the change.
        ApprovalRequested: NOTHING,
        /// A person approved what runs.
        Approved: NOTHING,
        /// What runs may do no more than before, so nobody had to approve it.
        NoNewPowers: NOTHING,
        /// A person rejected the change.
        Rejected: always!["Ask for less, by other instructions or another spec" => EDIT],
        /// The API server is older than 1.30 and cannot see to it that only approvers approve.
        ApprovalUnsupported: CORRECT,
    }
    "Provenance" {
        /// A signed statement names the code and its instructions.
        ProvenanceVerified: NOTHING,
        /// The code carries no statement of where it comes from; it ran before the operator had
        /// keys.
        ProvenanceMissing: always!["Have it written anew, and signed" => SYNTHESIZE_AGAIN],
        /// The statement of where the code comes from does not hold; the message says why.
        ProvenanceRefused: always![
            "If a revision is pinned, go back to the newest" => UNPIN,
            "Else have an administrator compare the key of the synthesizer (LANGOP_SIGNING_KEY_FILE) with those of the operator (LANGOP_PROVENANCE_KEYS)",
        ],
    }
    "ConfigurationDoubtful of models" {
        /// Anthropic's newer models refuse a request with both.
        TemperatureBesideTopP: CORRECT,
    }
    "Personas" {
        /// The persona is being condensed.
        Distilling: NOTHING,
        /// The persona is condensed.
        Distilled: NOTHING,
        /// The persona could not be condensed; it is tried again.
        DistillationFailed: &[
            Case {
                words: &["cannot be reached"],
                remedies: remedies![
                    "See whether the synthesizer runs" => SYNTHESIZER,
                    "The operator looks for it at its setting LANGOP_SYNTHESIZER_ENDPOINT; with TLS, the certificate must be of that name",
                    "It is tried again by itself, with growing pauses",
                ],
            },
            Case {
                words: &[],
                remedies: remedies![
                    "It is tried again by itself, with growing pauses",
                    "See which pods the synthesizer has, and read their logs" => SYNTHESIZERS,
                ],
            },
        ],
        /// The persona changed, and agents that use it roll.
        PersonaUpdated: NOTHING,
    }
    "LanguageClusters" {
        /// The namespace belongs to another owner.
        NamespaceNotAdoptable: CORRECT_CLUSTER,
        /// Another LanguageCluster names the same namespace.
        NamespaceConflict: always![
            "See which one came first" => "kubectl get lcluster",
            "Delete one of the two, or have it use another namespace",
        ],
        /// The namespace must not be used.
        NamespaceRefused: CORRECT_CLUSTER,
        /// The namespace is going away.
        NamespaceTerminating: always![
            "Where it takes long, see what holds it" => "kubectl get namespace NAMESPACE -o yaml",
        ],
        /// The namespace's Pod Security level is what the spec asks for, or higher.
        PodSecurityAsAsked: NOTHING,
        /// The namespace's Pod Security level is lower than the spec asks for, and another
        /// manager's.
        PodSecurityLower: CORRECT_CLUSTER,
    }
    "Events of what was made" {
        /// A Deployment was created.
        DeploymentCreated: NOTHING,
        /// A Deployment was changed.
        DeploymentUpdated: NOTHING,
        /// A CronJob was created.
        CronJobCreated: NOTHING,
        /// A CronJob was changed.
        CronJobUpdated: NOTHING,
        /// A run that never started was ended, because the spec has changed since.
        RunEnded: NOTHING,
    }
}

impl Reason {
    /// The reason of that text; `None` for one that is not of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == name)
    }

    /// What to do where a condition of this reason has this message.
    pub fn remedies(self, message: &str) -> &'static [Remedy] {
        let case = self.cases().iter().find(|case| case.fits(message));
        case.map_or(&[], |case| case.remedies)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_the_api_conventions() {
        for reason in Reason::ALL {
            let text = reason.as_str();
            assert!(
                text.chars().all(|c| c.is_ascii_alphanumeric())
                    && text.starts_with(|c: char| c.is_ascii_uppercase()),
                "{text}"
            );
        }
    }

    #[test]
    fn every_message_of_a_reason_with_cases_has_one() {
        for reason in Reason::ALL {
            let cases = reason.cases();
            let of_any = cases.iter().position(|case| case.words.is_empty());
            assert_eq!(of_any, cases.len().checked_sub(1), "{reason}");
        }
        let of_quota = Reason::PodsRefused.remedies("pods \"a\": exceeded quota: few");
        assert_eq!(of_quota.len(), 3);
        assert_eq!(Reason::PodsRefused.remedies("no").len(), 1);
    }
}
