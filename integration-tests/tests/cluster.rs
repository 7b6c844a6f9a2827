//! Cluster-wide things, on a control plane of their own: LanguageClusters, leader election, and objects that cannot be decoded. One
//! operator works everywhere here, so these tests cannot share a control plane with operators of single namespaces.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

use std::time::Duration;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{LimitRange, Namespace, ResourceQuota},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use langop_api::{LanguageAgent, LanguageCluster};
use langop_integration_tests::{
    ControlPlane, Operator, Synthesizer, manifests, programs::LeaderElection, wait,
};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

const SOON: Duration = Duration::from_mins(1);

/// Operators that work everywhere would fight: one test at a time.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

async fn control_plane() -> &'static ControlPlane {
    let cp = ControlPlane::shared().await;
    cp.install_crds().await.unwrap();
    cp
}

async fn apply(client: &Client, yaml: &str) {
    for object in manifests::parse(yaml).unwrap() {
        manifests::apply(client, &object, "default").await.unwrap();
    }
}

fn condition(object: &LanguageCluster, type_: &str) -> Option<(String, String, String)> {
    let status = object.status.as_ref()?;
    let found = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)?;
    Some((
        found.status.clone(),
        found.reason.clone(),
        found.message.clone(),
    ))
}

async fn until_ready(client: &Client, name: &str) -> LanguageCluster {
    let ready =
        |c: &LanguageCluster| condition(c, "Ready").is_some_and(|(status, ..)| status == "True");
    wait::object(Api::all(client.clone()), name, SOON, ready)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_cluster_makes_its_namespace_quota_bindings_and_isolation_and_deletes_no_namespace() {
    let _alone = alone().await;
    let cp = control_plane().await;
    let client = cp.client().await.unwrap();
    let synthesizer = Synthesizer::template().start().await.unwrap();
    let operator = Operator::builder(cp)
        .cluster_wide()
        .synthesizer(synthesizer.grpc_url())
        .start()
        .await
        .unwrap();
    apply(
        &client,
        "
apiVersion: langop.io/v1alpha1
kind: LanguageCluster
metadata: {name: office}
spec:
  resourceQuotas: {requests.cpu: 4, limits.memory: 8Gi, pods: 20}
  members:
    - {subject: {kind: User, name: ada}, role: edit}
    - {subject: {kind: Group, name: readers}, role: view}
    - {subject: {kind: ServiceAccount, name: robot, namespace: office}, role: admin}
  ingressFrom: [{namespaceLabels: {team: portal}}]
",
    )
    .await;
    until_ready(&client, "office").await;
    let namespace = Api::<Namespace>::all(client.clone())
        .get("office")
        .await
        .unwrap();
    assert_eq!(namespace.labels()["langop.io/cluster"], "office");
    assert_eq!(
        namespace.labels()["pod-security.kubernetes.io/enforce"],
        "restricted"
    );
    let quota = Api::<ResourceQuota>::namespaced(client.clone(), "office")
        .get("langop-quota")
        .await
        .unwrap();
    assert_eq!(quota.spec.unwrap().hard.unwrap()["pods"].0, "20");
    let range = Api::<LimitRange>::namespaced(client.clone(), "office")
        .get("langop-defaults")
        .await
        .unwrap();
    let item = &range.spec.unwrap().limits[0];
    assert!(
        item.default_request.as_ref().unwrap().contains_key("cpu")
            && item.default.as_ref().unwrap().contains_key("memory")
    );
    let bindings = Api::<RoleBinding>::namespaced(client.clone(), "office");
    let edit = bindings.get("langop-edit").await.unwrap();
    assert_eq!(edit.subjects.as_ref().unwrap()[0].name, "ada");
    assert_eq!(edit.role_ref.name, "langop-edit");
    assert!(
        Api::<NetworkPolicy>::namespaced(client.clone(), "office")
            .get_opt("langop-isolation")
            .await
            .unwrap()
            .is_some()
    );

    // Nothing changed: nothing is written.
    let audit = cp.audit().unwrap();
    let mark = audit.mark().unwrap();
    let writes = audit
        .settle(mark, &operator.writes(), Duration::from_secs(2))
        .await
        .unwrap();
    let mark = audit.mark().unwrap();
    let touch = json!({"metadata": {"labels": {"touched": "yes"}}});
    let clusters: Api<LanguageCluster> = Api::all(client.clone());
    clusters
        .patch("office", &PatchParams::default(), &Patch::Merge(touch))
        .await
        .unwrap();
    let silent = audit
        .settle(mark, &operator.writes(), Duration::from_secs(2))
        .await
        .unwrap();
    assert!(
        silent.is_empty(),
        "{silent:?} (before: {} writes)",
        writes.len()
    );

    Api::<LanguageCluster>::all(client.clone())
        .delete("office", &DeleteParams::default())
        .await
        .unwrap();
    wait::gone(
        Api::<ResourceQuota>::namespaced(client.clone(), "office"),
        "langop-quota",
        SOON,
    )
    .await
    .unwrap();
    let kept = Api::<Namespace>::all(client).get("office").await.unwrap();
    assert!(
        kept.metadata.deletion_timestamp.is_none(),
        "the namespace is never deleted"
    );
}

#[tokio::test]
async fn a_namespace_of_somebody_else_is_not_adopted_and_the_later_cluster_yields() {
    let _alone = alone().await;
    let cp = control_plane().await;
    let client = cp.client().await.unwrap();
    let synthesizer = Synthesizer::template().start().await.unwrap();
    let operator = Operator::builder(cp)
        .cluster_wide()
        .synthesizer(synthesizer.grpc_url())
        .start()
        .await
        .unwrap();
    apply(
        &client,
        "{apiVersion: v1, kind: Namespace, metadata: {name: theirs}}",
    )
    .await;
    let audit = cp.audit().unwrap();
    let mark = audit.mark().unwrap();
    apply(&client, "{apiVersion: langop.io/v1alpha1, kind: LanguageCluster, metadata: {name: theirs}, spec: {}}").await;
    let refused = |c: &LanguageCluster| {
        condition(c, "Stalled").is_some_and(|(_, reason, _)| reason == "NamespaceNotAdoptable")
    };
    let cluster = wait::object(
        Api::<LanguageCluster>::all(client.clone()),
        "theirs",
        SOON,
        refused,
    )
    .await
    .unwrap();
    let (_, _, message) = condition(&cluster, "Stalled").unwrap();
    assert!(
        message.contains("langop.io/cluster"),
        "it says which label the owner must set: {message}"
    );
    let writes = audit
        .settle(mark, &operator.writes(), Duration::from_secs(1))
        .await
        .unwrap();
    assert!(
        writes
            .iter()
            .all(|w| w.namespace != "theirs" || w.resource == "events"),
        "{writes:?}"
    );

    apply(&client, "{apiVersion: v1, kind: Namespace, metadata: {name: theirs, labels: {langop.io/cluster: theirs}}}").await;
    until_ready(&client, "theirs").await;
    apply(&client, "{apiVersion: langop.io/v1alpha1, kind: LanguageCluster, metadata: {name: second}, spec: {namespace: theirs}}").await;
    let conflict = |c: &LanguageCluster| {
        condition(c, "Stalled").is_some_and(|(_, reason, _)| reason == "NamespaceConflict")
    };
    let second = wait::object(
        Api::<LanguageCluster>::all(client.clone()),
        "second",
        SOON,
        conflict,
    )
    .await
    .unwrap();
    assert!(condition(&second, "Stalled").unwrap().2.contains("theirs"));
    until_ready(&client, "theirs").await;
}

#[tokio::test]
async fn an_undecodable_object_harms_only_itself() {
    let _alone = alone().await;
    let cp = control_plane().await;
    let client = cp.client().await.unwrap();
    let synthesizer = Synthesizer::template().start().await.unwrap();
    let _operator = Operator::builder(cp)
        .cluster_wide()
        .synthesizer(synthesizer.grpc_url())
        .start()
        .await
        .unwrap();
    apply(
        &client,
        "{apiVersion: v1, kind: Namespace, metadata: {name: broken}}",
    )
    .await;

    loosen(&client, "languageagents.langop.io").await;
    let untyped: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "broken", &resource("LanguageAgent"));
    let bad = json!({"apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent", "metadata": {"name": "bad"}, "spec": {"instructions": 42}});
    let bad: DynamicObject = serde_json::from_value(bad).unwrap();
    wait::until("the loose schema to be served", SOON, async || {
        untyped
            .create(&kube::api::PostParams::default(), &bad)
            .await
            .map(|_| ())
    })
    .await
    .unwrap();
    apply(&client, "
{apiVersion: langop.io/v1alpha1, kind: LanguageAgent, metadata: {name: good, namespace: broken}, spec: {instructions: Be good}}
").await;
    let good = wait::object(
        Api::<LanguageAgent>::namespaced(client.clone(), "broken"),
        "good",
        SOON,
        |agent| {
            agent.status.as_ref().is_some_and(|s| {
                s.conditions
                    .iter()
                    .any(|c| c.type_ == "Ready" && c.status == "True")
            })
        },
    );
    good.await.unwrap();
    let told = wait::until("a condition on the bad one", SOON, async || {
        let bad = untyped.get("bad").await.map_err(|e| e.to_string())?;
        let conditions = bad.data["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let stalled = conditions
            .into_iter()
            .find(|c| c["type"] == "Stalled" && c["reason"] == "Undecodable");
        stalled.ok_or_else(|| bad.data["status"].to_string())
    });
    assert!(
        told.await.unwrap()["message"]
            .as_str()
            .unwrap()
            .contains("instructions"),
        "it names the field"
    );
    untyped
        .delete("bad", &DeleteParams::default())
        .await
        .unwrap();
    cp.client().await.unwrap();
    langop_integration_tests::crds::install(&client)
        .await
        .unwrap();
}

/// One of our kinds, untyped.
fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("langop.io", "v1alpha1", kind))
}

/// Loosens a schema for a moment, to let in what another version may have left behind: a field of another type.
async fn loosen(client: &Client, crd: &str) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let strict = crds.get(crd).await.unwrap();
    let loose = json!({"spec": {"versions": [loosened(&strict)]}});
    crds.patch(crd, &PatchParams::default(), &Patch::Merge(&loose))
        .await
        .unwrap();
}

/// Makes a field of an object one that cannot be read, and waits until the object is told so.
async fn spoil(api: &Api<DynamicObject>, name: &str, field: &str) {
    let patch = Patch::Merge(json!({"spec": {(field): {"of": "another version"}}}));
    wait::until("the loose schema to be served", SOON, async || {
        api.patch(name, &PatchParams::default(), &patch)
            .await
            .map(|_| ())
    })
    .await
    .unwrap();
    wait::until("a condition on the spoiled object", SOON, async || {
        let object = api.get(name).await.map_err(|error| error.to_string())?;
        let status = object.data["status"].to_string();
        if status.contains("Undecodable") {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_can_no_longer_be_read_opens_nothing_and_rolls_nothing() {
    let _alone = alone().await;
    let cp = control_plane().await;
    let client = cp.client().await.unwrap();
    let synthesizer = Synthesizer::template().start().await.unwrap();
    let _operator = Operator::builder(cp)
        .cluster_wide()
        .synthesizer(synthesizer.grpc_url())
        .start()
        .await
        .unwrap();
    apply(
        &client,
        "{apiVersion: langop.io/v1alpha1, kind: LanguageCluster, metadata: {name: parish}, spec: {agentEgress: Deny}}",
    )
    .await;
    until_ready(&client, "parish").await;
    apply(
        &client,
        "
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: bell, namespace: parish}
spec: {image: registry.example/bell:1}
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: ringer, namespace: parish}
spec:
  instructions: Ring the bell
  toolRefs: [{name: bell}]
  egress: [{cidr: 203.0.113.0/24, ports: [{port: 443}]}]
",
    )
    .await;
    let agents: Api<LanguageAgent> = Api::namespaced(client.clone(), "parish");
    let until_told = async |type_: &'static str, text: &'static str| {
        let told = move |agent: &LanguageAgent| {
            let conditions = agent.status.iter().flat_map(|status| &status.conditions);
            let mut of_type = conditions.filter(|condition| condition.type_ == type_);
            of_type.any(|condition| condition.message.contains(text))
        };
        wait::object(agents.clone(), "ringer", SOON, told)
            .await
            .unwrap()
    };
    let specs = async || {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), "parish");
        let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), "parish");
        (
            deployments.get("ringer").await.unwrap().spec,
            policies.get("ringer").await.unwrap().spec,
        )
    };
    until_told("Stalled", "forbids agents egress").await;
    let before = specs().await;

    loosen(&client, "languageclusters.langop.io").await;
    let clusters: Api<DynamicObject> = Api::all_with(client.clone(), &resource("LanguageCluster"));
    spoil(&clusters, "parish", "agentEgress").await;
    until_told("Stalled", "'parish' cannot be read").await;
    assert_eq!(specs().await, before, "its namespace stays closed");

    loosen(&client, "languagetools.langop.io").await;
    let tools: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "parish", &resource("LanguageTool"));
    spoil(&tools, "bell", "port").await;
    until_told("ReferencesResolved", "'bell' cannot be read").await;
    assert_eq!(specs().await, before, "the agent keeps what it was given");

    for (api, name) in [(&tools, "bell"), (&clusters, "parish")] {
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }
    langop_integration_tests::crds::install(&client)
        .await
        .unwrap();
    until_told("ReferencesResolved", "'bell' does not exist").await;
    assert_ne!(specs().await, before, "what is gone closes its rule");
}

/// The version with a schema that takes anything.
fn loosened(crd: &CustomResourceDefinition) -> Value {
    let mut version = serde_json::to_value(&crd.spec.versions[0]).unwrap();
    version["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    version
}

#[tokio::test]
async fn two_operators_take_turns_and_the_second_goes_on_when_the_first_is_killed() {
    let _alone = alone().await;
    let cp = control_plane().await;
    let client = cp.client().await.unwrap();
    let synthesizer = Synthesizer::template().start().await.unwrap();
    let start = || {
        Operator::builder(cp)
            .cluster_wide()
            .leader_election(LeaderElection::On)
            .synthesizer(synthesizer.grpc_url())
            .start()
    };
    let mut first = start().await.unwrap();
    apply(
        &client,
        "{apiVersion: v1, kind: Namespace, metadata: {name: turns}}",
    )
    .await;
    let agent = |name: &str| {
        format!(
            "{{apiVersion: langop.io/v1alpha1, kind: LanguageAgent, metadata: {{name: {name}, namespace: turns}}, spec: {{instructions: Be {name}}}}}"
        )
    };
    let ready = |agent: &LanguageAgent| {
        agent.status.as_ref().is_some_and(|s| {
            s.conditions
                .iter()
                .any(|c| c.type_ == "Ready" && c.status == "True")
        })
    };
    apply(&client, &agent("one")).await;
    wait::object(Api::namespaced(client.clone(), "turns"), "one", SOON, ready)
        .await
        .unwrap();
    let second = start().await.unwrap();
    let reconciles = |text: &str| {
        text.lines()
            .filter(|l| l.starts_with("langop_reconcile_duration_seconds_count"))
            .count()
    };
    assert_eq!(
        reconciles(&second.metrics().await.unwrap()),
        0,
        "a standby reconciles nothing"
    );

    first.kill().await.unwrap();
    apply(&client, &agent("two")).await;
    wait::object(Api::namespaced(client.clone(), "turns"), "two", SOON, ready)
        .await
        .unwrap();
    assert!(reconciles(&second.metrics().await.unwrap()) > 0);
}
