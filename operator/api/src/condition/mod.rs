//! Condition types and reasons. Reasons are part of the API: people alert on them, `GitOps` tools
//! show them.
//!
//! Source of the rules: Kubernetes API conventions, "Typical status properties"; kstatus for Ready,
//! Reconciling, Stalled.

mod reason;
mod remedy;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;

pub use self::{
    reason::Reason,
    remedy::{Case, Remedy},
};

/// The longest message, in bytes. Kubernetes' own conditions may have 32 KiB; people read the first
/// line.
pub const MAX_MESSAGE: usize = 1024;
/// The most conditions of an object.
pub(crate) const MAX_CONDITIONS: usize = 16;

/// `metav1.Condition`, whose schema in k8s-openapi has no bounds, with bounds.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Condition")]
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

macro_rules! types {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Condition types.
        pub mod types {
            $($(#[doc = $doc])+ pub const $name: &str = $text;)+

            /// All of them, each with what is said of it, for documentation.
            pub const ALL: &[(&str, &str)] = &[$(($text, concat!($($doc),+))),+];
        }
    };
}

types! {
    /// The resource does what its spec says.
    READY = "Ready",
    /// kstatus: work is under way.
    RECONCILING = "Reconciling",
    /// kstatus: nothing will happen until a person changes something.
    STALLED = "Stalled",
    /// LanguageAgent: the active code was synthesized from the instructions now in spec.
    SYNTHESIZED = "Synthesized",
    /// LanguageAgent, LanguageClient: every reference exists and can be used.
    REFERENCES_RESOLVED = "ReferencesResolved",
    /// LanguageAgent: the references changed after the code was synthesized.
    CODE_STALE = "CodeStale",
    /// LanguageAgent, only where approval is in use: nothing waits for a person.
    APPROVED = "Approved",
    /// LanguageAgent, LanguagePersona: no tokens are left for the synthesis that is due; there only
    /// while True.
    BUDGET_EXHAUSTED = "BudgetExhausted",
    /// LanguageAgent, only where the operator has public keys of the synthesizer: its code carries a
    /// statement of where it comes from that one of them has signed.
    PROVENANCE = "Provenance",
    /// LanguageTool, only while False: everything that it says of its operations is offered to the
    /// LLM.
    OPERATIONS_OFFERED = "OperationsOffered",
    /// LanguageCluster, only where another manager owns the namespace's Pod Security labels: its
    /// level is at least the one asked for.
    POD_SECURITY = "PodSecurity",
    /// LanguageModel: the provider may refuse what the configuration says; there only while True.
    CONFIGURATION_DOUBTFUL = "ConfigurationDoubtful",
}
