//! What waits, by the operator's own word: the agent's status says which code, and that code's
//! annotations say what it would do.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use langop_api::{
    LanguageAgent,
    approval::{ApprovalStatus, PowersRequested},
    names::annotations,
};
use langop_desired::powers::{Powers, Widening};

/// What waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) config_map: String,
    pub(crate) hash: String,
    /// Its number, if it has one.
    pub(crate) revision: Option<i64>,
    /// What the agent may not do yet.
    pub(crate) more: Vec<String>,
    /// What it may do now, and could not then.
    pub(crate) less: Vec<String>,
    /// Who rejected it.
    pub(crate) rejected_by: Option<String>,
    /// Whether stored code carries a rejection.
    pub(crate) is_marked: bool,
}

/// Which code the operator asks about.
pub(crate) fn requested(agent: &LanguageAgent) -> Option<&PowersRequested> {
    agent.status.as_ref()?.approval.as_ref()?.requested.as_ref()
}

/// What it would do.
///
/// # Errors
/// In words, if it has moved on meanwhile or cannot be read.
pub(crate) fn waiting(
    approval: &ApprovalStatus,
    requested: &PowersRequested,
    map: &ConfigMap,
) -> Result<Waiting, String> {
    let note = |key: &str| map.annotations().get(key).map(String::as_str);
    if note(annotations::POWERS_HASH) != Some(&requested.powers_hash) {
        return Err("what is asked for has just changed".to_owned());
    }
    let asked = Powers::parse(note(annotations::POWERS)).map_err(|error| error.to_string())?;
    if asked.hash() != requested.powers_hash {
        return Err("the list of powers is not the one of its hash".to_owned());
    }
    let in_force = approval.in_force.as_ref();
    let (more, less) = match in_force.map(|known| Powers::parse(Some(&known.powers))) {
        None => (asked.told(), Vec::new()),
        Some(Ok(known)) => (
            asked
                .wider_than(&known)
                .iter()
                .map(ToString::to_string)
                .collect(),
            known
                .wider_than(&asked)
                .iter()
                .map(Widening::undone)
                .collect(),
        ),
        Some(Err(unknown)) => {
            let mut more = vec![format!("everything is new, because {unknown}")];
            more.extend(asked.told());
            (more, Vec::new())
        }
    };
    let revision = note(annotations::REVISION);
    Ok(Waiting {
        config_map: requested.config_map.clone(),
        hash: requested.powers_hash.clone(),
        revision: revision.and_then(|number| number.parse().ok()),
        more,
        less,
        rejected_by: requested.rejected_by.clone(),
        is_marked: note(annotations::REJECTED_POWERS).is_some()
            || note(annotations::REJECTED_BY).is_some(),
    })
}
