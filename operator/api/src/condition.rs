//! Condition types and reasons. Reasons are part of the API: people alert on them, `GitOps` tools
//! show them.
//!
//! Source of the rules: Kubernetes API conventions, "Typical status properties"; kstatus for Ready,
//! Reconciling, Stalled.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;

/// The longest message, in bytes. Kubernetes' own conditions may have 32 KiB; people read the first
/// line.
pub const MAX_MESSAGE: usize = 1024;
/// The most conditions of an object.
pub(crate) const MAX_CONDITIONS: usize = 16;

/// `metav1.Condition`, whose schema in k8s-openapi has no bounds, with bounds.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct Bounded {
    /// What is judged, in `CamelCase`.
    #[serde(rename = "type")]
    #[schemars(length(max = 64))]
    type_: String,
    /// True, False or Unknown.
    #[schemars(length(max = 7))]
    status: String,
    /// The generation that was judged.
    observed_generation: Option<i64>,
    /// When the status last became another one.
    last_transition_time: Time,
    /// Why, for programs, in `CamelCase`.
    #[schemars(length(max = 64))]
    reason: String,
    /// Why, for people.
    #[schemars(length(max = MAX_MESSAGE))]
    message: String,
}

/// Condition types.
pub mod types {
    /// The resource does what its spec says.
    pub const READY: &str = "Ready";
    /// kstatus: work is under way.
    pub const RECONCILING: &str = "Reconciling";
    /// kstatus: nothing will happen until a person changes something.
    pub const STALLED: &str = "Stalled";
    /// LanguageAgent: the active code was synthesized from the instructions now in spec.
    pub const SYNTHESIZED: &str = "Synthesized";
    /// LanguageAgent, LanguageClient: every reference exists and can be used.
    pub const REFERENCES_RESOLVED: &str = "ReferencesResolved";
    /// LanguageAgent: the references changed after the code was synthesized.
    pub const CODE_STALE: &str = "CodeStale";
    /// LanguageAgent, only where approval is in use: nothing waits for a person.
    pub const APPROVED: &str = "Approved";
    /// LanguageAgent, LanguagePersona: no tokens are left for the synthesis that is due; there only
    /// while True.
    pub const BUDGET_EXHAUSTED: &str = "BudgetExhausted";
    /// LanguageAgent, only where the operator has public keys of the synthesizer: its code carries a
    /// statement of where it comes from that one of them has signed.
    pub const PROVENANCE: &str = "Provenance";
    /// LanguageTool, only while False: everything that it says of its operations is offered to the
    /// LLM.
    pub const OPERATIONS_OFFERED: &str = "OperationsOffered";
    /// LanguageCluster, only where another manager owns the namespace's Pod Security labels: its
    /// level is at least the one asked for.
    pub const POD_SECURITY: &str = "PodSecurity";
    /// LanguageModel: the provider may refuse what the configuration says; there only while True.
    pub const CONFIGURATION_DOUBTFUL: &str = "ConfigurationDoubtful";
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// Why a condition is what it is; also the reason of events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name),+ }

        impl Reason {
            /// The text in `condition.reason`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// All of them, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The reason of that text; `None` for one that is not of ours.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == name)
            }
        }

        impl std::fmt::Display for Reason {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    // --- summary ---
    /// Everything is as the spec says.
    AsDesired,
    /// The workload exists but its pods are not ready yet.
    RolloutInProgress,
    /// Pods cannot be created: the message repeats the controller's cause (for example an exceeded
    /// quota).
    PodsRefused,
    /// The rollout does not get on: the message says what its pods lack.
    RolloutStuck,
    /// A run takes so long that later ones were skipped.
    RunsSkipped,
    /// The agent is suspended by its spec.
    Suspended,
    /// The workload of the other mode is ending.
    ModeSwitching,
    /// An object of a needed name has another owner; it is not changed.
    NameConflict,
    /// The spec goes beyond what an administrator allows to pods; the message names the
    /// LanguageCluster's field or the setting.
    PodNotAllowed,
    /// Two listeners of one pod want the same port.
    PortConflict,
    /// The spec cannot be carried out; the message says what to write instead.
    InvalidSpec,
    /// The resource cannot be read; the message says which field.
    Undecodable,
    /// The API server refused a child, or could not be reached for a while; the message says why.
    ApplyFailed,
    /// The LanguageCluster forbids agents egress of their own; those rules are left out.
    EgressDenied,
    /// A workspace cannot shrink.
    WorkspaceShrinkRefused,
    /// A workspace that a former agent of the name kept does not go with this one, although its
    /// spec says so.
    WorkspaceKept,
    /// A kept claim of the workspace's name cannot be reused.
    WorkspaceConflict,
    /// Something is larger than what is held of it; the message says what to shorten.
    TooLarge,
    // --- references ---
    /// Every reference exists and can be used.
    AllResolved,
    /// Nothing is referenced.
    NoReferences,
    /// A reference names something that does not exist or cannot be used yet.
    ReferenceNotFound,
    // --- synthesis ---
    /// New code is being synthesized.
    SynthesisStarted,
    /// The code was synthesized.
    SynthesisSucceeded,
    /// The instructions hold what looks like a secret; models and code do not get it.
    SecretInInstructions,
    /// The synthesizer could not be reached or refused; it is tried again.
    SynthesisFailed,
    /// The synthesizer is disabled or its key is refused; an administrator must act.
    SynthesisDisabled,
    /// The LLM's code was invalid after the repairs; the message has line and column.
    ValidationFailed,
    /// A budget of synthesis is used up; the message says when it opens again.
    BudgetExhausted,
    /// Waiting for references before the first synthesis.
    WaitingForReferences,
    /// No instructions and no code: the agent's own image does the work.
    NoInstructions,
    /// Neither instructions nor an image: there is nothing to run.
    NothingToRun,
    /// A stored revision runs.
    RevisionActivated,
    /// The revision pinned in spec is not stored.
    RevisionNotFound,
    /// The revision pinned in spec is claimed by a ConfigMap that the operator did not store.
    RevisionUnknown,
    /// The references are those that the code was synthesized with.
    ReferencesUnchanged,
    /// References were added or removed after the code was synthesized.
    ReferencesChanged,
    // --- approval ---
    /// A change waits for a person; the message says what is new.
    ApprovalRequired,
    /// A person may approve or reject the change.
    ApprovalRequested,
    /// A person approved what runs.
    Approved,
    /// What runs may do no more than before, so nobody had to approve it.
    NoNewPowers,
    /// A person rejected the change.
    Rejected,
    /// The API server is older than 1.30 and cannot see to it that only approvers approve.
    ApprovalUnsupported,
    // --- provenance ---
    /// A signed statement names the code and its instructions.
    ProvenanceVerified,
    /// The code carries no statement of where it comes from; it ran before the operator had keys.
    ProvenanceMissing,
    /// The statement of where the code comes from does not hold; the message says why.
    ProvenanceRefused,
    // --- model ---
    /// Anthropic's newer models refuse a request with both.
    TemperatureBesideTopP,
    // --- persona ---
    /// The persona is being condensed.
    Distilling,
    /// The persona is condensed.
    Distilled,
    /// The persona could not be condensed; it is tried again.
    DistillationFailed,
    /// The persona changed, and agents that use it roll.
    PersonaUpdated,
    // --- cluster ---
    /// The namespace belongs to another owner.
    NamespaceNotAdoptable,
    /// Another LanguageCluster names the same namespace.
    NamespaceConflict,
    /// The namespace must not be used.
    NamespaceRefused,
    /// The namespace is going away.
    NamespaceTerminating,
    /// The namespace's Pod Security level is what the spec asks for, or higher.
    PodSecurityAsAsked,
    /// The namespace's Pod Security level is lower than the spec asks for, and another manager's.
    PodSecurityLower,
    // --- children, as events ---
    /// A Deployment was created.
    DeploymentCreated,
    /// A Deployment was changed.
    DeploymentUpdated,
    /// A CronJob was created.
    CronJobCreated,
    /// A CronJob was changed.
    CronJobUpdated,
    /// A run that never started was ended, because the spec has changed since.
    RunEnded,
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
}
