//! Budgets of synthesis: how many tokens may be spent in a day, and the ledger of what is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many calls of one ledger may be under way at once.
pub const MAX_RESERVATIONS: usize = 64;

/// What a namespace may spend.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Tokens, sent and received, that synthesis for the agents and personas of the namespace may
    /// cost in a day (UTC). A call begins only if the most it can cost is left. What runs goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub synthesis_tokens_per_day: Option<i64>,
}

/// The ledger of a budget for one day. It is written before a call begins, so no restart and no
/// second operator forgets what may be spent.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SynthesisDay {
    /// The day, in UTC: `2026-11-30`.
    #[schemars(length(max = 10))]
    pub date: String,
    /// Tokens spent: what calls have cost, and all that was reserved for calls whose end nobody
    /// knows.
    pub used: i64,
    /// Of calls under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_RESERVATIONS))]
    pub reserved: Vec<Reservation>,
}

/// The most that a call under way can cost.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Which call it is for.
    #[schemars(length(max = 64))]
    pub id: String,
    /// Tokens.
    pub tokens: i64,
}
