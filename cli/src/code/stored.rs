//! The stored revisions of an agent, as the operator counts them: a ConfigMap is one exactly if the
//! agent's status has its hash.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use langop_api::{
    LanguageAgent,
    names::{CODE_KEY, DEFINITION_KEY, annotations},
};
use langop_desired::{agent::code::content_of, observed::AvailableRefs};
use langop_dsl::AgentDefinition;
use serde::Serialize;

use crate::{schedule, ui::time};

/// One revision.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Revision {
    /// `None`: the operator did not store it, and does not run it.
    pub(crate) number: Option<i64>,
    pub(crate) is_active: bool,
    pub(crate) is_pinned: bool,
    pub(crate) config_map: String,
    pub(crate) synthesized_at: Option<Timestamp>,
    pub(crate) model: Option<String>,
    pub(crate) instructions_hash: Option<String>,
    /// When it runs, by its own word.
    pub(crate) runs: Option<String>,
    #[serde(skip)]
    pub(crate) code: String,
    #[serde(skip)]
    pub(crate) definition: Option<AgentDefinition>,
    #[serde(skip)]
    pub(crate) offered: AvailableRefs,
}

/// All of them, the newest first; what the operator does not know comes last.
pub(crate) fn revisions(agent: &LanguageAgent, stored: &[ConfigMap]) -> Vec<Revision> {
    let mut revisions: Vec<Revision> = stored
        .iter()
        .filter(|map| {
            map.data
                .as_ref()
                .is_some_and(|data| data.contains_key(CODE_KEY))
        })
        .map(|map| revision(agent, map))
        .collect();
    revisions.sort_by(|a, b| (b.number, &b.config_map).cmp(&(a.number, &a.config_map)));
    revisions
}

fn revision(agent: &LanguageAgent, map: &ConfigMap) -> Revision {
    let info = agent
        .status
        .as_ref()
        .and_then(|status| status.synthesis_info.as_ref());
    let synthesis = agent.spec.synthesis.as_ref();
    let pinned = synthesis.and_then(|synthesis| synthesis.revision);
    let hash = content_of(map);
    let known = info.map_or(&[][..], |info| &info.revisions);
    let number = known.iter().find(|known| known.hash == hash);
    let number = number.map(|known| known.revision);
    let data = |key: &str| map.data.as_ref()?.get(key).cloned();
    let note = |key: &str| {
        map.annotations()
            .get(key)
            .filter(|text| !text.is_empty())
            .cloned()
    };
    let definition: Option<AgentDefinition> =
        data(DEFINITION_KEY).and_then(|text| serde_json::from_str(&text).ok());
    let offered = note(annotations::OFFERED).and_then(|text| serde_json::from_str(&text).ok());
    Revision {
        number,
        is_active: number.is_some() && number == info.and_then(|info| info.revision),
        is_pinned: number.is_some() && number == pinned,
        config_map: map.name_any(),
        synthesized_at: time::parse(note(annotations::SYNTHESIZED_AT).as_deref()),
        model: note(annotations::SYNTHESIS_MODEL),
        instructions_hash: note(annotations::INSTRUCTIONS_HASH),
        runs: definition
            .as_ref()
            .map(|definition| schedule::in_words(definition.schedule.as_ref())),
        code: data(CODE_KEY).unwrap_or_default(),
        definition,
        offered: offered.unwrap_or_default(),
    }
}
