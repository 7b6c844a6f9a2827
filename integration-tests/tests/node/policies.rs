//! The engine of the node does what `NetworkPolicies` say: packets are dropped, and let through
//! once that is granted. The tests of the operator's policies rest on this.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, PostParams};
use langop_integration_tests::{ControlPlane, TestNamespace, pods::exit, wait};
use serde_json::{Value, json};

use crate::{SOON, address, assert_probe, probe, ready};

async fn create_policy(ns: &TestNamespace, name: &str, spec: Value) {
    let policy = json!({"metadata": {"name": name}, "spec": spec});
    let policy: NetworkPolicy = serde_json::from_value(policy).unwrap();
    ns.api::<NetworkPolicy>()
        .create(&PostParams::default(), &policy)
        .await
        .unwrap();
}

async fn create_service(ns: &TestNamespace, name: &str) {
    let service = json!({
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    let service: Service = serde_json::from_value(service).unwrap();
    ns.api::<Service>()
        .create(&PostParams::default(), &service)
        .await
        .unwrap();
}

/// Probes until it ends with this code: a policy needs a moment to reach the node.
async fn until_probe(cp: &ControlPlane, ns: &TestNamespace, pod: &str, words: &[&str], code: i32) {
    let command: Vec<&str> = [&["/probe"], words].concat();
    wait::until(&format!("exit code {code}"), SOON, async || {
        let executed = cp.exec(ns.name(), pod, &command).await?;
        if executed.code == code {
            Ok(())
        } else {
            Err(anyhow::anyhow!("{executed:?}"))
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn egress_that_is_denied_times_out_and_egress_that_is_granted_is_answered() {
    let Some(cp) = ControlPlane::shared_with_real_node().await else {
        return;
    };
    let ns = TestNamespace::create(cp, "egress").await.unwrap();
    let server = ready(&ns, probe("server", &["serve", "server", "8080", "9090"])).await;
    create_service(&ns, "server").await;
    ready(&ns, probe("client", &["wait"])).await;
    ready(&ns, probe("other", &["wait"])).await;
    let (open, closed) = (
        format!("{}:8080", address(&server)),
        format!("{}:9090", address(&server)),
    );

    // Without a policy all of it works: what is dropped later is dropped by the policy.
    until_probe(
        cp,
        &ns,
        "client",
        &["get", "http://server/"],
        exit::ANSWERED,
    )
    .await;
    assert_probe(cp, &ns, "client", &["dial", "tcp", &open], exit::ANSWERED).await;
    assert_probe(cp, &ns, "client", &["dial", "tcp", &closed], exit::ANSWERED).await;
    let nobody = format!("{}:1", address(&server));
    assert_probe(cp, &ns, "client", &["dial", "tcp", &nobody], exit::REFUSED).await;

    let client = json!({"matchLabels": {"app": "client"}});
    let deny = json!({"podSelector": client, "policyTypes": ["Egress"]});
    create_policy(&ns, "deny", deny).await;
    until_probe(cp, &ns, "client", &["dial", "tcp", &open], exit::TIMED_OUT).await;
    assert_probe(
        cp,
        &ns,
        "client",
        &["get", "http://server/"],
        exit::TIMED_OUT,
    )
    .await;
    assert_probe(cp, &ns, "other", &["dial", "tcp", &open], exit::ANSWERED).await;

    let dns = json!({
        "to": [{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }],
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
    });
    let to_server = json!({
        "to": [{"podSelector": {"matchLabels": {"app": "server"}}}],
        "ports": [{"port": 8080}],
    });
    let grant =
        json!({"podSelector": client, "policyTypes": ["Egress"], "egress": [dns, to_server]});
    create_policy(&ns, "grant", grant).await;
    until_probe(
        cp,
        &ns,
        "client",
        &["get", "http://server/"],
        exit::ANSWERED,
    )
    .await;
    assert_probe(
        cp,
        &ns,
        "client",
        &["dial", "tcp", &closed],
        exit::TIMED_OUT,
    )
    .await;

    ns.api::<NetworkPolicy>()
        .delete_collection(&DeleteParams::default(), &kube::api::ListParams::default())
        .await
        .unwrap();
    until_probe(cp, &ns, "client", &["dial", "tcp", &closed], exit::ANSWERED).await;
}

#[tokio::test]
async fn ingress_is_for_those_who_are_named() {
    let Some(cp) = ControlPlane::shared_with_real_node().await else {
        return;
    };
    let ns = TestNamespace::create(cp, "ingress").await.unwrap();
    let mut pod = probe("server", &["serve", "server", "8080"]);
    pod["spec"]["containers"][0]["readinessProbe"] =
        json!({"httpGet": {"port": 8080}, "periodSeconds": 1});
    // The policy is there before the pods: none of them may run a moment without it.
    let policy = json!({
        "podSelector": {"matchLabels": {"app": "server"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}],
    });
    create_policy(&ns, "friends", policy).await;
    // It becomes ready: the kubelet's own probes are exempt.
    let server = ready(&ns, pod).await;
    let address = format!("{}:8080", address(&server));
    ready(&ns, probe("friend", &["wait"])).await;
    ready(&ns, probe("stranger", &["wait"])).await;
    assert_probe(
        cp,
        &ns,
        "friend",
        &["dial", "tcp", &address],
        exit::ANSWERED,
    )
    .await;
    assert_probe(
        cp,
        &ns,
        "stranger",
        &["dial", "tcp", &address],
        exit::TIMED_OUT,
    )
    .await;
}
