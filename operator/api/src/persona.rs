//! LanguagePersona: who an agent is. Only its controller has it distilled; agents read the snapshot
//! in its status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who an agent is: description, behaviour, tone and language.
#[derive(CustomResource, Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "langop.io",
    version = "v1alpha1",
    kind = "LanguagePersona",
    plural = "languagepersonas",
    shortname = "lpersona",
    category = "langop",
    namespaced,
    status = "LanguagePersonaStatus",
    derive = "PartialEq",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Tone", type_ = "string", json_path = ".spec.tone"),
    printcolumn(name = "Language", type_ = "string", json_path = ".spec.language"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(crate::names::NAME_RULE).message(crate::names::NAME_MESSAGE),
)]
#[serde(rename_all = "camelCase")]
// The size is a rule of the whole spec: one of the field would have the answer quote all of the
// prompt.
#[x_kube(
    validation = Rule::new("has(self.description) || has(self.systemPrompt)").message("say who the persona is: set description or systemPrompt, or both"),
    validation = Rule::new("!has(self.systemPrompt) || bytes(self.systemPrompt).size() <= 16384").message("systemPrompt is limited to 16384 bytes (16 KiB): keep what decides behaviour and drop the rest").field_path(".systemPrompt")
)]
pub struct LanguagePersonaSpec {
    /// One sentence about the persona.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub description: Option<String>,
    /// How the persona behaves; at most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32768))]
    pub system_prompt: Option<String>,
    /// For example `friendly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub tone: Option<String>,
    /// The language the persona speaks, for example `en`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub language: Option<String>,
}

/// What is known of a persona.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct LanguagePersonaStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Derived from the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PersonaPhase>,
    /// What agents read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distilled: Option<Distilled>,
    /// Failed attempts in a row for the present spec; the back-off counts from here, across
    /// restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// When the last attempt failed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_failure_time: Option<String>,
    /// Hash of the spec the attempts were for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub attempted_hash: Option<String>,
    /// With no more tokens than that it could not be asked, for the spec of that hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_few_tokens: Option<i64>,
    /// Ready, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<crate::condition::Bounded>", length(max = crate::condition::MAX_CONDITIONS))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where a persona stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PersonaPhase {
    /// Not distilled yet.
    Pending,
    /// Distilled.
    Ready,
    /// Could not be distilled.
    Failed,
}

/// The snapshot of a persona that agents use: an edit reaches pods once, when it is complete.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Distilled {
    /// As in the spec it was distilled from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// As in the spec it was distilled from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub system_prompt: Option<String>,
    /// As in the spec it was distilled from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub tone: Option<String>,
    /// As in the spec it was distilled from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub language: Option<String>,
    /// The condensed text; with synthesis disabled, the system prompt.
    #[schemars(length(max = 32768))]
    pub prompt: String,
    /// SHA-256 of the four fields it was distilled from.
    #[schemars(length(max = 128))]
    pub hash: String,
}
