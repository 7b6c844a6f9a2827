//! The claim of a workspace.

use serde_json::json;

use langop_api::{
    condition::Reason,
    names::{annotations, labels},
};

use super::*;

#[test]
fn a_claim_is_owned_exactly_when_it_goes_with_the_agent() {
    for (policy, owned) in [("Retain", false), ("Delete", true)] {
        let world =
            World::of_spec(&json!({"image": "own", "workspace": {"deletionPolicy": policy}}));
        let claim = world.build().children.claims.remove(0);
        assert_eq!(claim.metadata.owner_references.is_some(), owned, "{policy}");
        assert_eq!(claim.metadata.name.as_deref(), Some("scout-workspace"));
    }
}

#[test]
fn a_claim_grows_when_bound_and_never_shrinks() {
    for (has, bound, wanted, asked, refused) in [
        ("1Gi", true, "2Gi", "2Gi", false),
        ("1Gi", false, "2Gi", "1Gi", false),
        ("1Gi", true, "1024Mi", "1024Mi", false),
        ("2Gi", true, "1Gi", "2Gi", true),
        ("2Gi", false, "1Gi", "2Gi", true),
    ] {
        let mut world = World::of_spec(&json!({"image": "own", "workspace": {"storage": wanted}}));
        let mut claim = child(
            ChildKind::PersistentVolumeClaim,
            "scout-workspace",
            ObservedState::Claim {
                bound,
                storage: has.into(),
            },
        );
        claim.controller = None;
        world.observed.claim = Some(Arc::new(claim));
        let built = world.build();
        let requests = built.children.claims[0]
            .spec
            .clone()
            .unwrap()
            .resources
            .unwrap()
            .requests
            .unwrap();
        assert_eq!(requests["storage"].0, asked, "{has} {bound} {wanted}");
        assert_eq!(
            built
                .report
                .warnings
                .iter()
                .any(|warning| warning.message.contains(has) && warning.message.contains(wanted)),
            refused
        );
        assert_eq!(
            built.children.deployments.len(),
            1,
            "the workload is unaffected"
        );
    }
}

#[test]
fn a_claim_on_its_way_out_is_left_alone() {
    let mut world = World::of_spec(&json!({"image": "own", "workspace": {}}));
    let mut claim = child(
        ChildKind::PersistentVolumeClaim,
        "scout-workspace",
        ObservedState::Claim {
            bound: true,
            storage: "1Gi".into(),
        },
    );
    claim.deleting = true;
    world.observed.claim = Some(Arc::new(claim));
    assert!(world.build().children.claims.is_empty());
}

/// The live claim of the scout's workspace, made by that agent, or by one of before.
fn live(kept_by: Option<&str>, created: &str) -> Observed {
    let storage = "1Gi".into();
    let state = ObservedState::Claim {
        bound: true,
        storage,
    };
    let mut claim = child(ChildKind::PersistentVolumeClaim, "scout-workspace", state);
    claim.controller = None;
    claim.created = created.into();
    claim.annotations = kept_by
        .map(|uid| (annotations::KEPT_BY, uid))
        .into_iter()
        .collect();
    claim
}

#[test]
fn what_a_former_agent_kept_is_used_and_never_owned() {
    let (before, after) = ("2025-12-31T00:00:00Z", "2026-01-02T00:00:00Z");
    for (policy, kept_by, created, owned) in [
        ("Retain", Some("uid-scout"), after, false),
        ("Retain", Some("uid-former"), before, false),
        ("Retain", None, before, false),
        ("Delete", Some("uid-scout"), after, true),
        ("Delete", Some("uid-former"), before, false),
        // One of an older release, which noted nothing: by its age.
        ("Delete", None, after, true),
        ("Delete", None, before, false),
        // Given by whoever may write it.
        ("Delete", Some("uid-scout"), before, true),
    ] {
        let mut world = World::of_spec(
            &json!({"image": "own", "workspace": {"storage": "1Gi", "deletionPolicy": policy}}),
        );
        world.observed.since = "2026-01-01T00:00:00Z".into();
        world.observed.claim = Some(Arc::new(live(kept_by, created)));
        let built = world.build();
        let claim = &built.children.claims[0].metadata;
        let row = format!("{policy} {kept_by:?} {created}");
        assert_eq!(claim.owner_references.is_some(), owned, "{row}");
        let noted = claim.annotations.as_ref().unwrap();
        let noted = noted.get(annotations::KEPT_BY).map(String::as_str);
        let own = (created == after).then_some("uid-scout");
        assert_eq!(
            noted,
            kept_by.or(own),
            "{row}: nobody's data changes hands by itself"
        );
        let told: Vec<_> = built
            .report
            .warnings
            .iter()
            .map(|told| told.reason)
            .collect();
        let is_told = policy == "Delete" && !owned;
        assert_eq!(
            told,
            if is_told {
                vec![Reason::WorkspaceKept]
            } else {
                vec![]
            },
            "{row}"
        );
        assert_eq!(built.children.deployments.len(), 1, "{row}: it is used");
    }
}

#[test]
fn what_has_no_owner_is_no_leftover_to_deployment_tools() {
    for policy in ["Retain", "Delete"] {
        let world =
            World::of_spec(&json!({"image": "own", "workspace": {"deletionPolicy": policy}}));
        let claim = world.build().children.claims.remove(0).metadata;
        let is_owned = claim.owner_references.is_some();
        let has_label = claim.labels.unwrap().contains_key(labels::INSTANCE);
        let annotations = claim.annotations.unwrap();
        let option = annotations.get("argocd.argoproj.io/sync-options");
        assert_eq!(has_label, is_owned, "{policy}");
        assert_eq!(option.is_none(), is_owned, "{policy}");
        assert!(is_owned || option.unwrap() == "Prune=false");
    }
}
