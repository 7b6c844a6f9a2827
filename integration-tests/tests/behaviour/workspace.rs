//! Workspaces: a claim of somebody else is not used, a volume grows when there is one, and never
//! shrinks.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment, core::v1::PersistentVolumeClaim, networking::v1::NetworkPolicy,
};
use kube::api::DeleteParams;
use langop_api::LanguageAgent;
use langop_integration_tests::{
    env::{TestEnv, agent_yaml, condition, is_current},
    wait,
};
use serde_json::json;

type Claim = PersistentVolumeClaim;

/// An agent with this workspace, not yet Ready.
async fn agent_with(env: &TestEnv, name: &str, instructions: &str, workspace: &str) {
    let agent = agent_yaml(name, instructions);
    env.apply(&format!("{agent}  workspace: {workspace}\n"))
        .await;
}

async fn ask_for_storage(env: &TestEnv, agent: &str, storage: &str) {
    let spec = json!({"spec": {"workspace": {"storage": storage}}});
    env.patch::<LanguageAgent>(agent, spec).await;
}

async fn until_claimed(env: &TestEnv, claim: &str, storage: &str) -> Claim {
    env.until(claim, |claim: &Claim| requested(claim) == Some(storage))
        .await
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
    let env = TestEnv::new("claimed").await;
    env.with_tool_and_model().await;
    env.apply(FOREIGN).await;
    env.until("taken-workspace", is_bound).await;
    let mark = env.settled().await;
    let theirs = env.get::<Claim>("taken-workspace").await.unwrap();

    agent_with(&env, "taken", "take it", "{storage: 2Gi}").await;
    let agent = env
        .until_condition("taken", "Stalled", "True", "WorkspaceConflict")
        .await;
    let message = &condition(&agent, "Stalled").unwrap().message;
    assert!(
        message.contains("'taken-workspace'") && message.contains("langop.io/agent=taken"),
        "{message}"
    );
    env.summary_since(mark).await.assert_children(&[]);
    assert_eq!(env.new_events("taken").await, ["WorkspaceConflict"]);
    assert_eq!(env.calls().await, (0, 0), "nothing is spent on it");
    let still = env.get::<Claim>("taken-workspace").await.unwrap();
    assert_eq!(still, theirs);
}

/// Nothing announces what becomes of a foreign claim, so the operator looks again after 30 s to 1
/// min first.
const LATER: Duration = Duration::from_mins(3);

/// An agent that is stalled by a foreign claim.
async fn with_foreign_claim(prefix: &str) -> TestEnv {
    let env = TestEnv::new(prefix).await;
    env.with_tool_and_model().await;
    env.apply(FOREIGN).await;
    env.until("taken-workspace", is_bound).await;
    agent_with(&env, "taken", "take it", "{storage: 2Gi}").await;
    env.until_condition("taken", "Stalled", "True", "WorkspaceConflict")
        .await;
    env
}

async fn until_taken_has_its_claim(env: &TestEnv) -> Claim {
    let has = |claim: &Claim| requested(claim) == Some("2Gi");
    let claims = env.ns.api::<Claim>();
    let claim = wait::object(claims, "taken-workspace", LATER, has).await;
    env.until_ready("taken").await;
    claim.unwrap()
}

#[tokio::test]
async fn a_claim_that_its_owner_gives_to_the_agent_is_used_without_another_word() {
    let env = with_foreign_claim("given").await;
    let theirs = env.get::<Claim>("taken-workspace").await.unwrap();
    // As the message says.
    let given = json!({"metadata": {"labels": {"langop.io/agent": "taken"}}});
    env.patch::<Claim>("taken-workspace", given).await;
    let ours = until_taken_has_its_claim(&env).await;
    assert_eq!(ours.metadata.uid, theirs.metadata.uid);
}

#[tokio::test]
async fn when_a_foreign_claim_is_deleted_the_agent_makes_its_own_without_another_word() {
    let env = with_foreign_claim("freed").await;
    // As the message says.
    let claims = env.ns.api::<Claim>();
    let params = DeleteParams::default();
    claims.delete("taken-workspace", &params).await.unwrap();
    until_taken_has_its_claim(&env).await;
}

#[tokio::test]
async fn a_workspace_grows_under_its_pods_and_does_not_shrink_again() {
    let env = TestEnv::new("grown").await;
    env.with_tool_and_model().await;
    agent_with(&env, "big", "keep much", "{storage: 1Gi}").await;
    env.until_ready("big").await;
    env.until("big-workspace", is_bound).await;

    let mark = env.settled().await;
    ask_for_storage(&env, "big", "3Gi").await;
    until_claimed(&env, "big-workspace", "3Gi").await;
    let did = env.summary_since(mark).await;
    did.assert_children(&["patch persistentvolumeclaims big-workspace"]);
    env.until_ready("big").await;

    let mark = env.mark();
    ask_for_storage(&env, "big", "2Gi").await;
    let agent = env
        .until_condition("big", "Stalled", "True", "WorkspaceShrinkRefused")
        .await;
    let message = &condition(&agent, "Stalled").unwrap().message;
    assert!(
        message.contains("2Gi is less than the 3Gi") && message.contains("write 3Gi or more"),
        "{message}"
    );
    env.summary_since(mark).await.assert_children(&[]);

    ask_for_storage(&env, "big", "3Gi").await;
    env.until_ready("big").await;
    let claim = env.get::<Claim>("big-workspace").await.unwrap();
    assert_eq!(requested(&claim), Some("3Gi"));
}

#[tokio::test]
async fn a_workspace_without_a_volume_grows_when_it_has_one() {
    let env = TestEnv::new("unbound").await;
    env.with_tool_and_model().await;
    // Nobody makes volumes of this class but the test.
    let class = env.ns.name();
    env.apply(&format!(
        "
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: {class}}}
provisioner: langop.test/by-hand
allowVolumeExpansion: true
"
    ))
    .await;
    let workspace = format!("{{storage: 1Gi, storageClassName: {class}}}");
    agent_with(&env, "tenant", "wait for a room", &workspace).await;
    let claim = until_claimed(&env, "tenant-workspace", "1Gi").await;
    assert!(!is_bound(&claim));

    let mark = env.settled().await;
    ask_for_storage(&env, "tenant", "2Gi").await;
    env.until("tenant", is_current).await;
    // The API server would refuse it, again and again.
    env.summary_since(mark).await.assert_children(&[]);

    env.apply(&volume(class, "tenant-workspace")).await;
    let claim = until_claimed(&env, "tenant-workspace", "2Gi").await;
    assert!(is_bound(&claim));
    env.until_ready("tenant").await;
    let did = env.summary_since(mark).await;
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

#[tokio::test]
async fn a_claim_that_the_api_server_refuses_holds_nothing_else_back() {
    let env = TestEnv::new("refused").await;
    env.with_agent("held", "hold on").await;
    let opened = |policy: &NetworkPolicy| format!("{policy:?}").contains("203.0.113.0/24");
    let egress = json!([{"cidr": "203.0.113.0/24", "ports": [{"port": 443}]}]);
    let first = json!({"spec": {"workspace": {"storage": "1Gi"}, "egress": egress}});
    env.patch::<LanguageAgent>("held", first).await;
    let _: Claim = env.until("held-workspace", |_| true).await;
    env.until("held", opened).await;

    // What a claim cannot become: a class cannot be changed, but removed with its workspace and
    // given anew.
    let without = json!({"spec": {"workspace": null}});
    env.patch::<LanguageAgent>("held", without).await;
    let refused = json!({"spec": {
        "workspace": {"storage": "1Gi", "storageClassName": "another"}, "egress": null, "suspend": true,
    }});
    env.patch::<LanguageAgent>("held", refused).await;
    env.until("held", |policy: &NetworkPolicy| !opened(policy))
        .await;
    env.until("held", |deployment: &Deployment| {
        deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(0)
    })
    .await;
    let agent = env
        .until_condition("held", "Ready", "False", "ApplyFailed")
        .await;
    let told = &condition(&agent, "Ready").unwrap().message;
    assert!(
        told.contains("PersistentVolumeClaim held-workspace"),
        "{told}"
    );
}
