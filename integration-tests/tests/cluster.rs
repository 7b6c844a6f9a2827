//! Cluster-wide things, on a control plane of their own: LanguageClusters, leader election, and
//! objects that cannot be decoded. One operator works everywhere here, so these tests cannot share
//! a control plane with operators of single namespaces.

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
        authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
        core::v1::{LimitRange, Namespace, ResourceQuota},
        networking::v1::{NetworkPolicy, NetworkPolicySpec},
        rbac::v1::RoleBinding,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use langop_api::{LanguageAgent, LanguageCluster};
use langop_integration_tests::{
    ControlPlane, Operator, Synthesizer, audit, manifests, programs::LeaderElection, touch, wait,
};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

#[path = "cluster/budget.rs"]
mod budget;
#[path = "cluster/counts.rs"]
mod counts;
#[path = "cluster/namespaces.rs"]
mod namespaces;
#[path = "cluster/suspension.rs"]
mod suspension;

const SOON: Duration = Duration::from_mins(1);
/// Without a write for this long, the operator has settled.
const QUIET: Duration = Duration::from_secs(2);

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

const OFFICE: &str = "
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
";

#[tokio::test]
async fn a_cluster_makes_its_namespace_quota_bindings_and_isolation_and_deletes_no_namespace() {
    let _alone = alone().await;
    let cp = control_plane().await;
    let client = cp.client().await.unwrap();
    let synthesizer = Synthesizer::template().start().await.unwrap();
    let mut operator = Operator::builder(cp)
        .cluster_wide()
        .synthesizer(synthesizer.grpc_url())
        .start()
        .await
        .unwrap();
    apply(&client, OFFICE).await;
    until_ready(&client, "office").await;
    the_frame_is_there(&client).await;
    members_may_do_what_their_role_says(&client).await;
    agents_live_inside(&client).await;
    touch_and_restart_write_nothing(cp, &client, &mut operator).await;

    let clusters: Api<LanguageCluster> = Api::all(client.clone());
    patch(&clusters, json!({"spec": {"resourceQuotas": null}})).await;
    let quotas = Api::<ResourceQuota>::namespaced(client.clone(), "office");
    wait::gone(quotas, "langop-quota", SOON).await.unwrap();
    let ranges = Api::<LimitRange>::namespaced(client.clone(), "office");
    wait::gone(ranges, "langop-defaults", SOON).await.unwrap();
    until_ready(&client, "office").await;

    clusters
        .delete("office", &DeleteParams::default())
        .await
        .unwrap();
    let bindings = Api::<RoleBinding>::namespaced(client.clone(), "office");
    wait::gone(bindings, "langop-edit", SOON).await.unwrap();
    let kept = Api::<Namespace>::all(client).get("office").await.unwrap();
    assert!(
        kept.metadata.deletion_timestamp.is_none(),
        "the namespace is never deleted"
    );
}

async fn patch(clusters: &Api<LanguageCluster>, change: Value) {
    clusters
        .patch("office", &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
}

/// Namespace, quota, defaults, bindings and isolation.
async fn the_frame_is_there(client: &Client) {
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
            .get_opt("langop.isolation")
            .await
            .unwrap()
            .is_some()
    );
}

/// Who, and a group they are in.
const ADA: (&str, &str) = ("ada", "system:authenticated");
const READER: (&str, &str) = ("bob", "readers");
const ROBOT: (&str, &str) = (
    "system:serviceaccount:office:robot",
    "system:serviceaccounts",
);

async fn members_may_do_what_their_role_says(client: &Client) {
    let agents = ("langop.io", "languageagents");
    let bindings = ("rbac.authorization.k8s.io", "rolebindings");
    let cases = [
        // view
        (READER, "list", agents, true),
        (READER, "get", ("", "configmaps"), true),
        (READER, "create", agents, false),
        (READER, "get", bindings, false),
        // edit
        (ADA, "create", agents, true),
        (ADA, "delete", agents, true),
        (ADA, "get", ("apps", "deployments"), true),
        (ADA, "patch", ("apps", "deployments"), false),
        (ADA, "get", ("", "secrets"), false),
        (ADA, "get", bindings, false),
        (
            ADA,
            "patch",
            ("networking.k8s.io", "networkpolicies"),
            false,
        ),
        (ADA, "patch", ("langop.io", "languageclusters"), false),
        // admin: nothing about bindings and quotas, which a LanguageCluster alone decides
        (ROBOT, "create", agents, true),
        (ROBOT, "list", bindings, false),
        (ROBOT, "create", bindings, false),
        (ROBOT, "list", ("", "resourcequotas"), false),
        (ROBOT, "patch", ("", "resourcequotas"), false),
        (ROBOT, "get", ("", "secrets"), false),
    ];
    for (who, verb, what, expected) in cases {
        assert_eq!(
            may(client, who, verb, what, "office").await,
            expected,
            "{who:?} {verb} {what:?}"
        );
    }
    assert!(
        !may(client, ADA, "create", agents, "default").await,
        "in this namespace only"
    );
}

async fn may(
    client: &Client,
    (user, group): (&str, &str),
    verb: &str,
    (api_group, resource): (&str, &str),
    namespace: &str,
) -> bool {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            groups: Some(vec![group.to_owned()]),
            resource_attributes: Some(ResourceAttributes {
                group: Some(api_group.to_owned()),
                namespace: Some(namespace.to_owned()),
                resource: Some(resource.to_owned()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    answer.unwrap().status.unwrap().allowed
}

/// The family runs under quota and defaults; what an agent asks of the network is the cluster's to
/// allow.
async fn agents_live_inside(client: &Client) {
    for object in manifests::parse(include_str!("../fixtures/family.yaml")).unwrap() {
        manifests::apply(client, &object, "office").await.unwrap();
    }
    for name in ["office", "brain-proxy", "mail", "chat"] {
        let deployments = Api::<Deployment>::namespaced(client.clone(), "office");
        wait::object(deployments, name, SOON, |d| {
            d.status
                .as_ref()
                .is_some_and(|s| s.ready_replicas == Some(1))
        })
        .await
        .unwrap();
    }
    let agents = Api::<LanguageAgent>::namespaced(client.clone(), "office");
    let policies = Api::<NetworkPolicy>::namespaced(client.clone(), "office");
    let own_rule = |policy: &NetworkPolicy| {
        serde_json::to_string(policy)
            .unwrap()
            .contains("198.51.100.7/32")
    };
    let denied = |agent: &LanguageAgent| {
        agent.status.as_ref().is_some_and(|s| {
            s.conditions
                .iter()
                .any(|c| c.reason == "EgressDenied" && c.message.contains("agentEgress: Allow"))
        })
    };
    wait::object(agents.clone(), "office", SOON, denied)
        .await
        .unwrap();
    assert!(!own_rule(&policies.get("office").await.unwrap()));
    let clusters: Api<LanguageCluster> = Api::all(client.clone());
    let counted = |c: &LanguageCluster| {
        let agents = c.status.as_ref().and_then(|s| s.agents).unwrap_or_default();
        (agents.total, agents.running, agents.failed) == (2, 2, 0)
    };
    wait::object(clusters.clone(), "office", SOON, counted)
        .await
        .unwrap();

    patch(&clusters, json!({"spec": {"agentEgress": "Allow"}})).await;
    wait::object(policies, "office", SOON, own_rule)
        .await
        .unwrap();
    wait::object(agents, "office", SOON, |agent| {
        is_ready(agent) && !denied(agent)
    })
    .await
    .unwrap();
}

/// Of the whole family and of the frame around it.
async fn touch_and_restart_write_nothing(
    cp: &ControlPlane,
    client: &Client,
    operator: &mut Operator,
) {
    let audit = cp.audit().unwrap();
    let ours = operator.writes();
    audit
        .settle(audit.mark().unwrap(), &ours, QUIET)
        .await
        .unwrap();
    let mark = audit.mark().unwrap();
    let touched = touch::everything(client, "office").await.unwrap();
    assert!(touched > 25, "{touched} objects are not all");
    touch::one(&Api::<LanguageCluster>::all(client.clone()), "office")
        .await
        .unwrap();
    touch::one(&Api::<Namespace>::all(client.clone()), "office")
        .await
        .unwrap();
    let writes = audit.settle(mark, &ours, QUIET).await.unwrap();
    assert!(writes.is_empty(), "touched:\n{}", audit::pretty(&writes));

    let mark = audit.mark().unwrap();
    operator.restart().await.unwrap();
    let writes = audit.settle(mark, &ours, QUIET).await.unwrap();
    assert!(writes.is_empty(), "restarted:\n{}", audit::pretty(&writes));
}

fn is_ready(agent: &LanguageAgent) -> bool {
    agent.status.as_ref().is_some_and(|s| {
        s.conditions
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True")
    })
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
            .create(&PostParams::default(), &bad)
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
        is_ready,
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

/// Loosens a schema for a moment, to let in what another version may have left behind: a field of
/// another type.
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
        .env("LANGOP_DEFAULT_EGRESS", "Deny")
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
    until_told("Stalled", "forbids egress").await;
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
    until_told("Stalled", "no LanguageCluster frames the namespace").await;
    let rules = |policy: &Option<NetworkPolicySpec>| {
        policy
            .clone()
            .unwrap_or_default()
            .egress
            .unwrap_or_default()
    };
    let (_, after) = specs().await;
    let (after, before) = (rules(&after), rules(&before.1));
    assert!(
        after.iter().all(|rule| before.contains(rule)),
        "a LanguageCluster that is gone opens nothing: {after:?}"
    );
    let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), "parish");
    assert!(policies.get_opt("langop.baseline").await.unwrap().is_some());
}

/// The version with a schema that takes anything.
fn loosened(crd: &CustomResourceDefinition) -> Value {
    let mut version = serde_json::to_value(&crd.spec.versions[0]).unwrap();
    version["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    version
}

#[tokio::test]
async fn definitions_older_than_the_operator_are_named_with_what_to_do() {
    let _alone = alone().await;
    let cp = control_plane().await;
    let client = cp.client().await.unwrap();
    let _operator = Operator::builder(cp).cluster_wide().start().await.unwrap();
    apply(
        &client,
        "{apiVersion: v1, kind: Namespace, metadata: {name: attic}}",
    )
    .await;
    // As if a release had added this field.
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = crds.get("languagetools.langop.io").await.unwrap();
    let mut version = serde_json::to_value(&crd.spec.versions[0]).unwrap();
    let status = &mut version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
    let removed = status.as_object_mut().unwrap().remove("deploymentMode");
    assert!(removed.is_some());
    let older = Patch::Merge(json!({"spec": {"versions": [version]}}));
    crds.patch("languagetools.langop.io", &PatchParams::default(), &older)
        .await
        .unwrap();
    let tools: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "attic", &resource("LanguageTool"));
    let trunk = |name: &str| {
        format!(
            "{{apiVersion: langop.io/v1alpha1, kind: LanguageTool, metadata: {{name: {name}, namespace: attic}}, spec: {{image: 'registry.example/trunk:1'}}}}"
        )
    };
    apply(&client, &trunk("probe")).await;
    let status = Patch::Apply(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool", "metadata": {"name": "probe"},
        "status": {"deploymentMode": "service"},
    }));
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::apply("test").force()
    };
    wait::until("the older schema to be served", SOON, async || {
        let tried = tools.patch_status("probe", &dry, &status).await;
        tried.err().ok_or("the field is known")
    })
    .await
    .unwrap();
    apply(&client, &trunk("trunk")).await;
    let told = wait::until("what to do", SOON, async || {
        let tool = tools.get("trunk").await.unwrap();
        let conditions = tool.data["status"]["conditions"].as_array().cloned();
        let messages = conditions.unwrap_or_default();
        let mut messages = messages.iter().filter_map(|one| one["message"].as_str());
        let told = messages.find(|message| message.contains("older than this operator"));
        told.map(str::to_owned)
            .ok_or_else(|| tool.data["status"].to_string())
    });
    let told = told.await.unwrap();
    assert!(told.contains("apply deploy/crds.yaml of version"), "{told}");
    langop_integration_tests::crds::install(&client)
        .await
        .unwrap();
    wait::until("the newest schema to be enough", SOON * 2, async || {
        let tool = tools.get("trunk").await.unwrap();
        let status = &tool.data["status"];
        (status["deploymentMode"] == "service")
            .then_some(())
            .ok_or_else(|| status.to_string())
    })
    .await
    .unwrap();
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
    apply(&client, &agent("one")).await;
    wait::object(
        Api::namespaced(client.clone(), "turns"),
        "one",
        SOON,
        is_ready,
    )
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
    wait::object(
        Api::namespaced(client.clone(), "turns"),
        "two",
        SOON,
        is_ready,
    )
    .await
    .unwrap();
    assert!(reconciles(&second.metrics().await.unwrap()) > 0);
}
