//! Code as it is stored: immutable ConfigMaps, named by their content, numbered by an annotation.
//! The highest number became active last.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use langop_api::{
    agent::SynthesisInfo,
    names::{CODE_KEY, DEFINITION_KEY, INSTRUCTIONS_KEY, annotations},
};
use langop_dsl::{AgentDefinition, clean, instructions};

use super::validate::ValidatedAgent;
use crate::{
    hash,
    meta::{self, Component},
    observed::{AvailableRefs, CodeRequirements, CodeState, Observed, ObservedState},
    references::References,
};

/// Code that the synthesizer made, and the circumstances.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCode {
    /// The code.
    pub code: String,
    /// SHA-256 of its bytes, as the synthesizer says.
    pub code_hash: String,
    /// What it says, checked.
    pub definition: AgentDefinition,
    /// The instructions it was made from.
    pub instructions: String,
    /// The names it could use.
    pub offered: AvailableRefs,
    /// Who wrote it; empty where that is not known.
    pub model: String,
    /// W3C traceparent of the synthesis; empty without tracing.
    pub traceparent: String,
    /// When.
    pub synthesized_at: Timestamp,
    /// The statement of where it comes from, as an envelope; empty where nobody signs.
    pub provenance: String,
}

/// The code that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveCode {
    /// Its ConfigMap.
    pub config_map: String,
    /// What it says of how it is to run.
    pub requirements: CodeRequirements,
    /// The names offered when it was made.
    pub offered: AvailableRefs,
    /// W3C traceparent of the synthesis.
    pub traceparent: Option<String>,
}

impl ActiveCode {
    /// From a stored revision; `None` if it cannot be read.
    pub fn of(stored: &Arc<Observed>) -> Option<Self> {
        let state: &CodeState = match &stored.state {
            ObservedState::Code(state) => state,
            _ => return None,
        };
        Some(Self {
            config_map: stored.name.clone(),
            requirements: state.requirements.clone()?,
            offered: state.offered.clone(),
            traceparent: stored
                .annotations
                .get(annotations::TRACEPARENT)
                .filter(|text| !text.is_empty())
                .map(langop_dsl::clean),
        })
    }
}

/// What code may use: the names of the references that exist, sorted.
pub fn offered(references: &References) -> AvailableRefs {
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names
    };
    AvailableRefs {
        tools: sorted(
            references
                .tools
                .iter()
                .map(|tool| tool.name.clone())
                .collect(),
        ),
        models: sorted(
            references
                .models
                .iter()
                .map(|model| model.name.clone())
                .collect(),
        ),
    }
}

/// SHA-256 of a ConfigMap's content, as it is known by.
pub fn content_of(config_map: &ConfigMap) -> String {
    hash::of_json(&config_map.data)
}

/// The ConfigMap of new code. Applying it where it already exists is right too: then only
/// annotations change.
pub fn build_code_config_map(agent: &ValidatedAgent, new: &NewCode, revision: i64) -> ConfigMap {
    let data: BTreeMap<String, String> = [
        (CODE_KEY, new.code.clone()),
        (DEFINITION_KEY, json(&new.definition)),
        (INSTRUCTIONS_KEY, instructions::normalise(&new.instructions)),
    ]
    .map(|(key, text)| (key.to_owned(), text))
    .into();
    let name = agent.name.clone() + &meta::code_name_end(&hash::of_json(&data));
    let labels = meta::labels(Component::Agent, &agent.name);
    let mut metadata = meta::object_meta(&name, Some(&agent.namespace), Some(&agent.owner), labels);
    metadata.annotations = Some(all_annotations(agent, new, revision));
    ConfigMap {
        metadata,
        data: Some(data),
        immutable: Some(true),
        binary_data: None,
    }
}

/// All annotations of new code. Code that is stored already and was made again gets them too: it
/// was offered what is offered now.
pub fn all_annotations(
    agent: &ValidatedAgent,
    new: &NewCode,
    revision: i64,
) -> BTreeMap<String, String> {
    let mut all = input_annotations(agent, revision);
    let made = [
        (
            annotations::INSTRUCTIONS_HASH,
            instructions::hash(&new.instructions),
        ),
        (annotations::CODE_HASH, new.code_hash.clone()),
        (annotations::OFFERED, json(&new.offered)),
        (annotations::SYNTHESIZED_AT, new.synthesized_at.to_string()),
        (annotations::SYNTHESIS_MODEL, clean(&new.model)),
        (annotations::TRACEPARENT, clean(&new.traceparent)),
        (annotations::PROVENANCE, new.provenance.clone()),
    ];
    all.extend(
        made.into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(key, text)| (key.to_owned(), text)),
    );
    all
}

/// The annotations of the active code that follow the observed inputs, and its revision.
pub fn input_annotations(agent: &ValidatedAgent, revision: i64) -> BTreeMap<String, String> {
    let references = &agent.references;
    let persona = references
        .persona
        .as_ref()
        .map(|persona| persona.distilled.hash.clone());
    [
        (
            annotations::TOOLS_HASH,
            Some(hash::tools(&references.tools)),
        ),
        (
            annotations::MODELS_HASH,
            Some(hash::models(&references.models)),
        ),
        (annotations::PERSONA_HASH, persona),
        (annotations::REVISION, Some(revision.to_string())),
    ]
    .into_iter()
    .filter_map(|(key, text)| Some((key.to_owned(), text?)))
    .collect()
}

/// The keys of [`input_annotations`]; one that is not among its results is to be removed.
pub const INPUT_ANNOTATIONS: [&str; 4] = [
    annotations::TOOLS_HASH,
    annotations::MODELS_HASH,
    annotations::PERSONA_HASH,
    annotations::REVISION,
];

/// Whether stored code already carries these annotations, and no [`INPUT_ANNOTATIONS`] beside them.
pub fn carries(stored: &Observed, wanted: &BTreeMap<String, String>) -> bool {
    let has = |(key, text): (&String, &String)| match &stored.state {
        // Kept only in its typed form, and by its hash.
        ObservedState::Code(state) if key == annotations::OFFERED => json(&state.offered) == *text,
        // Kept only by its hash, which is looked at, too.
        ObservedState::Code(_) if key == annotations::POWERS => true,
        ObservedState::Code(state) if key == annotations::PROVENANCE => {
            state.statement.as_deref() == Some(hash::sha256_hex(text.as_bytes()).as_str())
        }
        _ => stored.annotations.get(key) == Some(text.as_str()),
    };
    let outdated = |key: &&str| stored.annotations.get(key).is_some() && !wanted.contains_key(*key);
    wanted.iter().all(has) && !INPUT_ANNOTATIONS.iter().any(outdated)
}

#[expect(
    clippy::expect_used,
    reason = "neither type has a map whose keys are no text"
)]
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a definition is always JSON")
}

/// The revision that code gets which becomes active now: above all that are stored, and above the
/// one that was active, also where its ConfigMap is gone.
pub fn next_revision(revisions: &[Arc<Observed>], info: &SynthesisInfo) -> i64 {
    let stored = revisions.iter().map(|code| revision(code));
    let known = info.revisions.iter().map(|known| known.revision);
    stored.chain(known).chain(info.revision).max().unwrap_or(0) + 1
}

/// The revision of new code that is `stored` by now; `revisions` are those of before. The same
/// content may have been there already: then it becomes the newest, unless its number is the one
/// that the agent is pinned to.
pub fn revision_of_new(
    stored: &Observed,
    revisions: &[Arc<Observed>],
    info: &SynthesisInfo,
    pinned: Option<i64>,
) -> i64 {
    let before = revisions.iter().find(|code| code.uid == stored.uid);
    let is_active = active(revisions, info).is_some_and(|(active, _)| active.uid == stored.uid);
    match before.map(|code| revision(code)) {
        Some(before) if is_active || pinned == Some(before) => before,
        _ => next_revision(revisions, info),
    }
}

/// The number of stored code that its agent knows; 0 if it has none.
pub fn revision(code: &Observed) -> i64 {
    match &code.state {
        ObservedState::Code(state) => state.revision,
        _ => 0,
    }
}

/// Stored code that can be run: its definition is readable and it is not going away.
pub fn usable(revisions: &[Arc<Observed>]) -> impl Iterator<Item = (&Arc<Observed>, &CodeState)> {
    revisions.iter().filter_map(|code| match &code.state {
        ObservedState::Code(state) if state.requirements.is_some() && !code.deleting => {
            Some((code, &**state))
        }
        _ => None,
    })
}

/// The usable code that became active last; `None` also where that is gone and only older code is
/// left, which must not take its place by itself. Code newer than the status says was stored a
/// moment ago.
pub fn active<'a>(
    revisions: &'a [Arc<Observed>],
    info: &SynthesisInfo,
) -> Option<(&'a Arc<Observed>, &'a CodeState)> {
    newest(usable(revisions).filter(|(_, state)| may_run(state, info)))
        .filter(|(_, state)| info.revision.is_none_or(|known| state.revision >= known))
}

/// Whether code may run by where it comes from. What is active already goes on, whatever keys there
/// are now.
pub(super) fn may_run(state: &CodeState, info: &SynthesisInfo) -> bool {
    state.is_trusted() || info.revision == Some(state.revision)
}

/// Whether there was active code and there is none now.
pub fn is_lost(revisions: &[Arc<Observed>], info: &SynthesisInfo) -> bool {
    info.revision.is_some() && active(revisions, info).is_none()
}

pub(super) fn newest<'a>(
    revisions: impl Iterator<Item = (&'a Arc<Observed>, &'a CodeState)>,
) -> Option<(&'a Arc<Observed>, &'a CodeState)> {
    revisions.max_by_key(|(code, state)| (state.revision, &code.created, &code.name))
}
