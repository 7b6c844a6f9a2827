//! Approval: when a person must agree before an agent may do more, and what is known of that.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a change of an agent waits for a person, from the least.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum ApprovalPolicy {
    /// It is carried out at once.
    #[default]
    Never,
    /// It waits if the agent could then do what it cannot do now.
    OnNewPowers,
    /// It waits if the code is other code or if what the agent may do changes.
    Always,
}

/// The longest text of powers, in bytes.
pub const MAX_POWERS: usize = 65_536;
/// The longest text of the rules of a network policy that is kept, in bytes.
pub const MAX_EGRESS: usize = 131_072;

/// What is known of the approval of an agent. Only the operator writes it.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// What the agent may do now: what was approved last, or ran when approval began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<PowersInForce>,
    /// What waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<PowersRequested>,
    /// Whether what runs is halted because the spec suspends it while something waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub halted: bool,
}

/// Powers that an agent has.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PowersInForce {
    /// The ConfigMap of the code that has them; none where the agent's own image runs without code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub config_map: Option<String>,
    /// They, as canonical JSON.
    #[schemars(length(max = MAX_POWERS))]
    pub powers: String,
    /// The rules of its network policy, as JSON.
    #[schemars(length(max = MAX_EGRESS))]
    pub egress: String,
}

/// Powers that wait for a person.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PowersRequested {
    /// The ConfigMap of the code that would have them, and that carries the approval.
    #[schemars(length(max = 253))]
    pub config_map: String,
    /// Their hash: the value of the annotation that approves or rejects them.
    #[schemars(length(max = 64))]
    pub powers_hash: String,
    /// Who rejected them, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub rejected_by: Option<String>,
}
