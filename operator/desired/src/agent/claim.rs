//! The claim of an agent's workspace: reused only if it is the agent's, grown only when it can, never shrunk, never deleted from here.

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use langop_api::{
    agent::{AccessMode, DeletionPolicy, Workspace},
    condition::Reason,
    names::labels,
};

use super::{claim_name, validate::ValidatedAgent};
use crate::{
    conditions::Invalid,
    meta::{self, Component, Owner},
    observed::{Facts, Observed},
    quantity,
};

/// Whether the live claim of the workspace's name is the agent's: its own, or one that it, or one of its name, kept.
pub(super) fn usable(claim: &Observed, owner: &Owner) -> Result<(), Invalid> {
    let kept = claim.labels.get(labels::AGENT) == Some(owner.name.as_str());
    let why = match &claim.controller {
        Some(controller) if controller.uid == owner.uid => return Ok(()),
        None if kept => return Ok(()),
        Some(controller) => format!(
            "is controlled by another {} '{}'",
            controller.kind, controller.name
        ),
        None => format!("does not carry the label {}={}", labels::AGENT, owner.name),
    };
    Err(Invalid {
        reason: Reason::WorkspaceConflict,
        message: format!(
            "the PersistentVolumeClaim '{}' {why}, so it is not used: delete it, label it if its data is this agent's, or give this agent another name",
            claim.name
        ),
    })
}

/// The claim as it should be, and what could not be done about its size.
pub(super) fn build(
    agent: &ValidatedAgent,
    workspace: &Workspace,
    live: Option<&Observed>,
) -> (PersistentVolumeClaim, Option<Invalid>) {
    let (storage, refused) = storage(workspace, live);
    let owner = match workspace.deletion_policy {
        DeletionPolicy::Delete => Some(&agent.owner),
        DeletionPolicy::Retain => None,
    };
    let access_mode = match workspace.access_mode {
        AccessMode::ReadWriteOnce => "ReadWriteOnce",
        AccessMode::ReadWriteMany => "ReadWriteMany",
    };
    let claim = PersistentVolumeClaim {
        metadata: meta::object_meta(
            &claim_name(&agent.name),
            Some(&agent.namespace),
            owner,
            meta::labels(Component::Agent, &agent.name),
        ),
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
    (claim, refused)
}

/// What to ask for: the wish, or what the live claim has, where that cannot change (now).
fn storage(workspace: &Workspace, live: Option<&Observed>) -> (String, Option<Invalid>) {
    let wanted = workspace.storage.0.clone();
    let Some(Facts::Claim {
        bound,
        storage: has,
    }) = live.map(|claim| &claim.facts)
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
