//! The counts of agents in a LanguageCluster's status: true in the end, and written at a pace of
//! their own.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use kube::{Api, Client, api::DeleteParams};
use langop_api::{LanguageAgent, LanguageCluster};
use langop_integration_tests::{AuditEvent, ControlPlane, Mark, Operator, audit, wait};

use crate::{SOON, alone, apply, control_plane, until_ready};

/// Between two writes of the counts.
const PACE: SignedDuration = SignedDuration::from_secs(10);
/// Writes to be seen: with two pauses between them.
const WRITES: usize = 3;

#[tokio::test]
async fn agents_that_come_and_go_are_counted_at_most_every_ten_seconds_and_in_the_end() {
    let _alone = alone().await;
    let cp = control_plane().await;
    let client = cp.client().await.unwrap();
    let operator = Operator::builder(cp).cluster_wide().start().await.unwrap();
    apply(
        &client,
        "{apiVersion: langop.io/v1alpha1, kind: LanguageCluster, metadata: {name: census}, spec: {}}",
    )
    .await;
    until_ready(&client, "census").await;

    let mark = cp.audit().unwrap().mark().unwrap();
    let seen = || counts_since(cp, &operator, mark);
    let mut visits = 0;
    let come_and_go = async {
        while seen().len() < WRITES {
            visit(&client).await;
            visits += 1;
        }
    };
    let long_enough = Duration::from_mins(2);
    tokio::time::timeout(long_enough, come_and_go)
        .await
        .expect("counts to be written while agents come and go");
    let writes = seen();
    assert!(visits > 2 * writes.len(), "{visits} visits are too few");
    for pair in writes.windows(2) {
        assert!(
            pair[1].at.duration_since(pair[0].at) >= PACE,
            "{visits} visits:\n{}",
            audit::pretty(&writes)
        );
    }

    apply(&client, RESIDENT).await;
    let is_true = |cluster: &LanguageCluster| {
        let counts = cluster.status.as_ref().and_then(|status| status.agents);
        counts.is_some_and(|counts| (counts.total, counts.failed) == (1, 1))
    };
    wait::object(Api::all(client), "census", SOON, is_true)
        .await
        .unwrap();
}

/// Without anything to run, it fails at once and costs no pod.
const RESIDENT: &str = "{apiVersion: langop.io/v1alpha1, kind: LanguageAgent, metadata: {name: guest, namespace: census}, spec: {}}";

/// An agent comes, is seen by the operator, and goes.
async fn visit(client: &Client) {
    apply(client, RESIDENT).await;
    let agents = Api::<LanguageAgent>::namespaced(client.clone(), "census");
    let is_seen = |agent: &LanguageAgent| agent.status.is_some();
    wait::object(agents.clone(), "guest", SOON, is_seen)
        .await
        .unwrap();
    agents
        .delete("guest", &DeleteParams::default())
        .await
        .unwrap();
    wait::gone(agents, "guest", SOON).await.unwrap();
}

/// The writes of the cluster's status. Nothing in it but the counts changes here.
fn counts_since(cp: &ControlPlane, operator: &Operator, mark: Mark) -> Vec<AuditEvent> {
    let mut writes = cp
        .audit()
        .unwrap()
        .writes_since(mark, &operator.writes())
        .unwrap();
    writes.retain(|write| {
        write.name == "census" && write.resource == "languageclusters" && write.code == 200
    });
    writes
}
