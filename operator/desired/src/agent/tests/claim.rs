//! The claim of a workspace.

use serde_json::json;

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
            Facts::Claim {
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
                .remarks
                .iter()
                .any(|remark| remark.message.contains(has) && remark.message.contains(wanted)),
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
        Facts::Claim {
            bound: true,
            storage: "1Gi".into(),
        },
    );
    claim.deleting = true;
    world.observed.claim = Some(Arc::new(claim));
    assert!(world.build().children.claims.is_empty());
}
