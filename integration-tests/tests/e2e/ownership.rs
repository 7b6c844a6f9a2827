//! What is ours and what is not: foreign objects are left alone, ours are kept as we want them.

use k8s_openapi::api::{
    apps::v1::Deployment, batch::v1::CronJob, core::v1::Service, networking::v1::NetworkPolicy,
};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use langop_api::{LanguageAgent, LanguageTool};
use langop_integration_tests::wait;
use serde_json::json;

use crate::world::{MODEL, SOON, TOOL, World, agent_yaml, condition, is, is_current};

const FOREIGN: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: taken}
spec:
  replicas: 0
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: other}}
    spec: {containers: [{name: c, image: 'registry.example/other:1'}]}
";

#[tokio::test]
async fn a_foreign_deployment_of_the_same_name_is_a_conflict_and_untouched() {
    let world = World::new("foreign").await;
    world.apply(FOREIGN).await;
    let before = world.deployment("taken").await;
    world.with_tool_and_model().await;
    let mark = world.settled().await;
    world.apply(&agent_yaml("taken", "take it")).await;
    let agent = world
        .until("taken", |a: &LanguageAgent| is(a, "Stalled", "True"))
        .await;
    let stalled = condition(&agent, "Stalled").unwrap();
    assert_eq!(stalled.reason, "NameConflict");
    assert!(
        stalled.message.contains("Deployment") && stalled.message.contains("taken"),
        "{}",
        stalled.message
    );
    let did = world.done_since(mark).await;
    did.assert_children(&[]);
    assert_eq!(world.news("taken").await, ["NameConflict"]);
    assert_eq!(world.calls().await, (0, 0), "nothing is spent on it");
    let after = world.deployment("taken").await;
    assert_eq!(
        (before.metadata.generation, &before.spec),
        (after.metadata.generation, &after.spec)
    );
    assert!(
        world.get::<NetworkPolicy>("taken").await.is_none(),
        "nothing is made beside it"
    );

    // Whose name it was gives it up, and the agent needs no other word.
    world
        .ns
        .api::<Deployment>()
        .delete("taken", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    world.until_ready("taken").await;
    let ours = world.deployment("taken").await;
    assert_eq!(ours.owner_references()[0].kind, "LanguageAgent");
    assert_eq!(world.calls().await, (1, 0));
}

#[tokio::test]
async fn an_agent_waits_for_the_end_of_a_former_one_also_of_the_other_mode() {
    let world = World::new("former").await;
    world.with_agent("heir", "run at nine").await;
    world
        .patch::<LanguageAgent>("heir", json!({"spec": {"schedule": "0 9 * * *"}}))
        .await;
    let _: CronJob = world.until("heir", |_| true).await;
    let held = json!({"metadata": {"finalizers": ["langop.test/held"]}});
    world.patch::<CronJob>("heir", held).await;
    let agents = world.ns.api::<LanguageAgent>();
    agents
        .delete("heir", &DeleteParams::default())
        .await
        .unwrap();
    wait::gone(agents, "heir", SOON).await.unwrap();
    let mark = world.settled().await;
    world.news("heir").await;
    let calls = world.calls().await;

    let autonomous = agent_yaml("heir", "run all the time") + "  executionMode: autonomous\n";
    world.apply(&autonomous).await;
    let waits = |agent: &LanguageAgent| {
        is_current(agent)
            && condition(agent, "Reconciling").is_some_and(|c| {
                c.reason == "NameConflict" && c.message.contains("the CronJob 'heir' of a former")
            })
    };
    world.until("heir", waits).await;
    world.settled().await;
    world.done_since(mark).await.assert_children(&[]);
    assert_eq!(world.calls().await, calls, "nothing is spent on it yet");
    assert!(world.get::<Deployment>("heir").await.is_none());

    let freed = json!({"metadata": {"finalizers": null}});
    world.patch::<CronJob>("heir", freed).await;
    world.until_ready("heir").await;
    assert!(world.get::<CronJob>("heir").await.is_none());
}

#[tokio::test]
async fn a_foreign_policy_in_the_place_of_the_baseline_is_named_and_left_alone() {
    let world = World::new("baseline").await;
    let foreign = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: langop.baseline}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}
";
    world.apply(foreign).await;
    let before: NetworkPolicy = world.get("langop.baseline").await.unwrap();
    world.apply(&agent_yaml("open", "watch the door")).await;
    world.apply(TOOL).await;
    world.apply(MODEL).await;
    let agent = world
        .until("open", |agent: &LanguageAgent| is(agent, "Stalled", "True"))
        .await;
    let stalled = condition(&agent, "Stalled").unwrap();
    let says = |part: &str| stalled.message.contains(part);
    assert!(
        says("'langop.baseline'") && says("delete it"),
        "{stalled:?}"
    );
    world.settled().await;
    let after: NetworkPolicy = world.get("langop.baseline").await.unwrap();
    assert_eq!(after, before);

    world
        .ns
        .api::<NetworkPolicy>()
        .delete("langop.baseline", &DeleteParams::default())
        .await
        .unwrap();
    world.until_ready("open").await;
    let ours: NetworkPolicy = world.get("langop.baseline").await.unwrap();
    assert_ne!(ours.spec, before.spec);
}

#[tokio::test]
async fn a_name_that_an_agent_has_no_use_for_may_be_somebody_elses() {
    let world = World::new("unused").await;
    world.with_agent("other-proxy", "run at nine").await;
    let scheduled = json!({"spec": {"executionMode": "scheduled", "schedule": "0 9 * * *"}});
    world.patch::<LanguageAgent>("other-proxy", scheduled).await;
    let runs: CronJob = world.until("other-proxy", |_| true).await;
    world.apply(&MODEL.replace("brain", "other")).await;
    let _: Deployment = world.until("other-proxy", |_| true).await;

    let suspend = json!({"spec": {"suspend": true}});
    world.patch::<LanguageAgent>("other-proxy", suspend).await;
    world
        .until("other-proxy", |job: &CronJob| {
            job.spec.suspend == Some(true)
        })
        .await;

    // It is not ended for the sake of one whose name is taken.
    let autonomous = json!({"spec": {"executionMode": "autonomous", "schedule": null}});
    world
        .patch::<LanguageAgent>("other-proxy", autonomous)
        .await;
    let agent = world
        .until("other-proxy", |a: &LanguageAgent| is(a, "Stalled", "True"))
        .await;
    assert_eq!(condition(&agent, "Stalled").unwrap().reason, "NameConflict");
    let still: CronJob = world.get("other-proxy").await.unwrap();
    assert_eq!(
        (still.uid(), still.metadata.deletion_timestamp),
        (runs.uid(), None)
    );
}

#[tokio::test]
async fn the_later_of_one_name_is_told_of_the_earlier() {
    let world = World::new("namesake").await;
    world.apply(TOOL).await;
    let _: Service = world.until("mail", |_| true).await;
    world
        .apply(
            "
apiVersion: langop.io/v1alpha1
kind: LanguageClient
metadata: {name: mail}
spec: {image: 'registry.example/chat:1'}
",
        )
        .await;
    let client: langop_api::LanguageClient = world
        .until("mail", |c: &langop_api::LanguageClient| {
            c.status
                .as_ref()
                .is_some_and(|s| s.conditions.iter().any(|c| c.reason == "NameConflict"))
        })
        .await;
    let conflict = client
        .status
        .unwrap()
        .conditions
        .into_iter()
        .find(|c| c.reason == "NameConflict")
        .unwrap();
    assert!(
        conflict.message.contains("LanguageTool") && conflict.message.contains("mail"),
        "{}",
        conflict.message
    );
    let service = world.get::<Service>("mail").await.unwrap();
    assert_eq!(service.owner_references()[0].kind, "LanguageTool");
}

#[tokio::test]
async fn drift_is_repaired() {
    let world = World::new("drift").await;
    world.with_agent("loyal", "stay").await;
    let mark = world.settled().await;
    world.news("loyal").await;
    let wanted = world.deployment("loyal").await;
    let image = |d: &Deployment| {
        d.spec
            .as_ref()
            .unwrap()
            .template
            .spec
            .as_ref()
            .unwrap()
            .containers[0]
            .image
            .clone()
    };
    // As `kubectl set image` does: the rest of the container stays, and so the pod is admitted.
    let evil = json!({"spec": {"template": {"spec": {"containers": [{"name": "agent", "image": "registry.example/evil:1"}]}}}});
    world
        .ns
        .api::<Deployment>()
        .patch("loyal", &PatchParams::default(), &Patch::Strategic(evil))
        .await
        .unwrap();
    world
        .until("loyal", |d: &Deployment| image(d) == image(&wanted))
        .await;
    assert_eq!(
        world.deployment("loyal").await.spec.unwrap().template.spec,
        wanted.spec.unwrap().template.spec
    );
    let did = world.done_since(mark).await;
    did.assert_children(&["patch deployments loyal"]);
    assert_eq!(world.news("loyal").await, ["DeploymentUpdated"]);

    let mark = world.mark();
    let policy = world.get::<NetworkPolicy>("loyal").await.unwrap();
    world
        .patch::<NetworkPolicy>("loyal", json!({"spec": {"egress": [{}]}}))
        .await;
    world
        .until("loyal", |p: &NetworkPolicy| p.spec == policy.spec)
        .await;
    let did = world.done_since(mark).await;
    did.assert_children(&["patch networkpolicies loyal"]);

    let mark = world.mark();
    world
        .ns
        .api::<NetworkPolicy>()
        .delete("loyal", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    world
        .until("loyal", |p: &NetworkPolicy| p.spec == policy.spec)
        .await;
    world
        .ns
        .api::<Deployment>()
        .delete("loyal", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    world.until_ready("loyal").await;
    let _: Deployment = world
        .until("loyal", |d: &Deployment| {
            d.status
                .as_ref()
                .is_some_and(|s| s.ready_replicas == Some(1))
        })
        .await;
    let did = world.done_since(mark).await;
    did.assert_children(&["patch deployments loyal", "patch networkpolicies loyal"]);
    assert_eq!(world.news("loyal").await, ["DeploymentCreated"]);
    assert_eq!(world.calls().await, (1, 0), "drift costs no call");
}

#[tokio::test]
async fn drift_of_a_tool_is_repaired_and_a_mode_change_removes_what_is_no_longer_wanted() {
    let world = World::new("toolmode").await;
    world.apply(TOOL).await;
    let service: Service = world.until("mail", |_| true).await;
    let ours = |s: &Service| {
        s.spec
            .as_ref()
            .unwrap()
            .ports
            .as_ref()
            .unwrap()
            .iter()
            .any(|port| port.port == 8080)
    };
    assert!(ours(&service));
    world
        .patch::<Service>(
            "mail",
            json!({"spec": {"ports": [{"name": "other", "port": 1, "protocol": "TCP"}]}}),
        )
        .await;
    world.until("mail", ours).await;
    world
        .patch::<LanguageTool>("mail", json!({"spec": {"deploymentMode": "sidecar"}}))
        .await;
    langop_integration_tests::wait::gone(world.ns.api::<Service>(), "mail", crate::world::SOON)
        .await
        .unwrap();
    langop_integration_tests::wait::gone(world.ns.api::<Deployment>(), "mail", crate::world::SOON)
        .await
        .unwrap();
}
