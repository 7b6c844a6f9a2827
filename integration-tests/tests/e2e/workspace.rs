//! Workspaces: a claim of somebody else is not used, a volume grows when there is one, and never shrinks.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use langop_api::LanguageAgent;
use serde_json::json;

use crate::world::{World, agent_yaml, condition, is_current};

type Claim = PersistentVolumeClaim;

impl World {
    async fn ask_for_storage(&self, agent: &str, storage: &str) {
        let spec = json!({"spec": {"workspace": {"storage": storage}}});
        self.patch::<LanguageAgent>(agent, spec).await;
    }

    async fn until_claimed(&self, claim: &str, storage: &str) -> Claim {
        self.until(claim, |claim: &Claim| requested(claim) == Some(storage))
            .await
    }
}

fn requested(claim: &Claim) -> Option<&str> {
    let resources = claim.spec.as_ref()?.resources.as_ref()?;
    let storage = resources.requests.as_ref()?.get("storage")?;
    Some(&storage.0)
}

fn is_bound(claim: &Claim) -> bool {
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase == Some("Bound")
}

const FOREIGN: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: taken-workspace}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
";

#[tokio::test]
async fn a_foreign_claim_of_the_workspaces_name_is_a_conflict_and_untouched() {
    let world = World::new("claimed").await;
    world.with_tool_and_model().await;
    world.apply(FOREIGN).await;
    world.until("taken-workspace", is_bound).await;
    let mark = world.settled().await;
    let theirs = world.get::<Claim>("taken-workspace").await.unwrap();

    let workspace = "  workspace: {storage: 2Gi}\n";
    world
        .apply(&(agent_yaml("taken", "take it") + workspace))
        .await;
    let agent = world
        .until_condition("taken", "Stalled", "True", "WorkspaceConflict")
        .await;
    let message = &condition(&agent, "Stalled").unwrap().message;
    assert!(
        message.contains("'taken-workspace'") && message.contains("langop.io/agent=taken"),
        "{message}"
    );
    world.done_since(mark).await.assert_children(&[]);
    assert_eq!(world.news("taken").await, ["WorkspaceConflict"]);
    assert_eq!(world.calls().await, (0, 0), "nothing is spent on it");
    let still = world.get::<Claim>("taken-workspace").await.unwrap();
    assert_eq!(still, theirs);
}

#[tokio::test]
async fn a_workspace_grows_under_its_pods_and_does_not_shrink_again() {
    let world = World::new("grown").await;
    world.with_tool_and_model().await;
    let workspace = "  workspace: {storage: 1Gi}\n";
    world
        .apply(&(agent_yaml("big", "keep much") + workspace))
        .await;
    world.until_ready("big").await;
    world.until("big-workspace", is_bound).await;

    let mark = world.settled().await;
    world.ask_for_storage("big", "3Gi").await;
    world.until_claimed("big-workspace", "3Gi").await;
    let did = world.done_since(mark).await;
    did.assert_children(&["patch persistentvolumeclaims big-workspace"]);
    world.until_ready("big").await;

    let mark = world.mark();
    world.ask_for_storage("big", "2Gi").await;
    let agent = world
        .until_condition("big", "Stalled", "True", "WorkspaceShrinkRefused")
        .await;
    let message = &condition(&agent, "Stalled").unwrap().message;
    assert!(
        message.contains("2Gi is less than the 3Gi") && message.contains("write 3Gi or more"),
        "{message}"
    );
    world.done_since(mark).await.assert_children(&[]);

    world.ask_for_storage("big", "3Gi").await;
    world.until_ready("big").await;
    let claim = world.get::<Claim>("big-workspace").await.unwrap();
    assert_eq!(requested(&claim), Some("3Gi"));
}

#[tokio::test]
async fn a_workspace_without_a_volume_grows_when_it_has_one() {
    let world = World::new("unbound").await;
    world.with_tool_and_model().await;
    // Nobody makes volumes of this class but the test.
    let class = world.ns.name();
    world
        .apply(&format!(
            "
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: {class}}}
provisioner: langop.test/by-hand
allowVolumeExpansion: true
"
        ))
        .await;
    let workspace = format!("  workspace: {{storage: 1Gi, storageClassName: {class}}}\n");
    world
        .apply(&(agent_yaml("tenant", "wait for a room") + &workspace))
        .await;
    let claim = world.until_claimed("tenant-workspace", "1Gi").await;
    assert!(!is_bound(&claim));

    let mark = world.settled().await;
    world.ask_for_storage("tenant", "2Gi").await;
    world.until("tenant", is_current).await;
    // The API server would refuse it, again and again.
    world.done_since(mark).await.assert_children(&[]);

    world.apply(&volume(class, "tenant-workspace")).await;
    let claim = world.until_claimed("tenant-workspace", "2Gi").await;
    assert!(is_bound(&claim));
    world.until_ready("tenant").await;
    let did = world.done_since(mark).await;
    did.assert_children(&["patch persistentvolumeclaims tenant-workspace"]);
}

/// A volume of this class for a claim in the namespace of the same name.
fn volume(class: &str, claim: &str) -> String {
    format!(
        "
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {class}}}
spec:
  storageClassName: {class}
  capacity: {{storage: 5Gi}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {{apiVersion: v1, kind: PersistentVolumeClaim, namespace: {class}, name: {claim}}}
  hostPath: {{path: /nowhere}}
"
    )
}
