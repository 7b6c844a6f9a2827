//! The claim of an agent's workspace: reused only if it is the agent's, grown only when it can,
//! never shrunk, never deleted from here. An agent that comes back by its name finds its data
//! again; but only the agent that a claim was made for may become its owner, and so its end.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use langop_api::{
    agent::{AccessMode, DeletionPolicy, Workspace},
    condition::Reason,
    names::{annotations, labels},
};

use super::{ObservedAgent, claim_name, validate::ValidatedAgent};
use crate::{
    conditions::Invalid,
    meta::{self, Component, Owner},
    observed::{Observed, ObservedState},
    quantity,
};

/// The claim as it should be, and what could not be done about its size or its end.
pub(super) fn build(
    agent: &ValidatedAgent,
    workspace: &Workspace,
    observed: &ObservedAgent,
) -> (PersistentVolumeClaim, Vec<Invalid>) {
    let live = observed.claim.as_deref();
    let (storage, refused) = storage(workspace, live);
    let keeper = live.map_or(Some(agent.owner.uid.as_str()), |claim| {
        made_for(claim, &agent.owner, observed)
    });
    let is_own = keeper == Some(agent.owner.uid.as_str());
    let (owner, kept) = match workspace.deletion_policy {
        DeletionPolicy::Delete if is_own => (Some(&agent.owner), None),
        DeletionPolicy::Delete => (None, Some(kept(agent))),
        DeletionPolicy::Retain => (None, None),
    };
    let access_mode = match workspace.access_mode {
        AccessMode::ReadWriteOnce => "ReadWriteOnce",
        AccessMode::ReadWriteMany => "ReadWriteMany",
    };
    let claim = PersistentVolumeClaim {
        metadata: metadata(agent, owner, keeper),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![access_mode.to_owned()]),
            storage_class_name: workspace.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(storage))].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    };
    (claim, refused.into_iter().chain(kept).collect())
}

/// What has no owner is in no repository either: to deployment tools that go by the label of the
/// instance it would be a leftover of that.
fn metadata(agent: &ValidatedAgent, owner: Option<&Owner>, keeper: Option<&str>) -> ObjectMeta {
    let mut all = meta::labels(Component::Agent, &agent.name);
    let mut notes = BTreeMap::new();
    if let Some(keeper) = keeper {
        notes.insert(annotations::KEPT_BY.to_owned(), keeper.to_owned());
    }
    if owner.is_none() {
        all.remove(labels::INSTANCE);
        notes.insert(
            annotations::ARGOCD_SYNC_OPTIONS.to_owned(),
            "Prune=false".to_owned(),
        );
    }
    ObjectMeta {
        annotations: Some(notes),
        ..meta::object_meta(&claim_name(&agent.name), Some(&agent.namespace), owner, all)
    }
}

/// The uid of the agent that a claim was made for. Of one that does not say so, and is older than
/// this agent, nobody knows.
fn made_for<'a>(
    claim: &'a Observed,
    owner: &'a Owner,
    observed: &ObservedAgent,
) -> Option<&'a str> {
    let is_controlled = claim
        .controller
        .as_ref()
        .is_some_and(|controller| controller.uid == owner.uid);
    let own = || (is_controlled || observed.is_own(claim)).then_some(owner.uid.as_str());
    claim.annotations.get(annotations::KEPT_BY).or_else(own)
}

fn kept(agent: &ValidatedAgent) -> Invalid {
    let (name, uid) = (claim_name(&agent.name), &agent.owner.uid);
    Invalid {
        reason: Reason::WorkspaceKept,
        message: format!(
            "the PersistentVolumeClaim '{name}' was kept by a former agent of this name, so it is used and does not go with this one: set spec.workspace.deletionPolicy to Retain, or give it to this agent with `kubectl annotate --overwrite pvc {name} {}={uid}`",
            annotations::KEPT_BY
        ),
    }
}

/// What to ask for: the wish, or what the live claim has, where that cannot change (now).
fn storage(workspace: &Workspace, live: Option<&Observed>) -> (String, Option<Invalid>) {
    let wanted = workspace.storage.0.clone();
    let Some(ObservedState::Claim {
        bound,
        storage: has,
    }) = live.map(|claim| &claim.state)
    else {
        return (wanted, None);
    };
    let (Ok(wanted_amount), Ok(has_amount)) = (quantity::parse(&wanted), quantity::parse(has))
    else {
        return (wanted, None);
    };
    if wanted_amount < has_amount {
        let message = format!(
            "spec.workspace.storage {wanted} is less than the {has} that the volume has, and a volume cannot shrink: write {has} or more"
        );
        return (
            has.clone(),
            Some(Invalid {
                reason: Reason::WorkspaceShrinkRefused,
                message,
            }),
        );
    }
    // The API server refuses to grow a claim that has no volume yet.
    if wanted_amount > has_amount && !bound {
        (has.clone(), None)
    } else {
        (wanted, None)
    }
}
