//! What is ours and what is not: foreign objects are left alone, ours are kept as we want them.

use k8s_openapi::api::{
    apps::v1::Deployment, batch::v1::CronJob, core::v1::Service, networking::v1::NetworkPolicy,
};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use langop_api::{LanguageAgent, LanguageTool};
use langop_integration_tests::{
    Filter, Reply,
    env::{MODEL, SOON, TOOL, TestEnv, agent_yaml, condition, is, is_current},
    wait,
};
use serde_json::json;

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
    let env = TestEnv::new("foreign").await;
    env.apply(FOREIGN).await;
    let before = env.deployment("taken").await;
    env.with_tool_and_model().await;
    let mark = env.settled().await;
    env.apply(&agent_yaml("taken", "take it")).await;
    let agent = env
        .until("taken", |a: &LanguageAgent| is(a, "Stalled", "True"))
        .await;
    let stalled = condition(&agent, "Stalled").unwrap();
    assert_eq!(stalled.reason, "NameConflict");
    assert!(
        stalled.message.contains("Deployment") && stalled.message.contains("taken"),
        "{}",
        stalled.message
    );
    let did = env.summary_since(mark).await;
    did.assert_children(&[]);
    assert_eq!(env.new_events("taken").await, ["NameConflict"]);
    assert_eq!(env.calls().await, (0, 0), "nothing is spent on it");
    let after = env.deployment("taken").await;
    assert_eq!(
        (before.metadata.generation, &before.spec),
        (after.metadata.generation, &after.spec)
    );
    assert!(
        env.get::<NetworkPolicy>("taken").await.is_none(),
        "nothing is made beside it"
    );

    // Whose name it was gives it up, and the agent needs no other word.
    env.ns
        .api::<Deployment>()
        .delete("taken", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    env.until_ready("taken").await;
    let ours = env.deployment("taken").await;
    assert_eq!(ours.owner_references()[0].kind, "LanguageAgent");
    assert_eq!(env.calls().await, (1, 0));
}

#[tokio::test]
async fn a_foreign_policy_of_the_same_name_is_found_before_anything_is_spent() {
    let env = TestEnv::new("policy").await;
    let foreign = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: taken}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}
";
    env.apply(foreign).await;
    let before: NetworkPolicy = env.get("taken").await.unwrap();
    env.with_tool_and_model().await;
    env.apply(&agent_yaml("taken", "take it")).await;
    let message = until_taken(&env, "taken").await;
    assert!(message.contains("NetworkPolicy 'taken'"), "{message}");
    assert_eq!(env.calls().await, (0, 0));
    let after: NetworkPolicy = env.get("taken").await.unwrap();
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_name_that_is_taken_while_code_is_made_is_left_to_whose_it_is() {
    let env = TestEnv::new("late").await;
    env.with_tool_and_model().await;
    env.llm.reply(Reply::Hang);
    env.apply(&agent_yaml("taken", "take it")).await;
    wait::until("the call of the LLM", SOON, async || {
        (env.llm.count() == 1).then_some(())
    })
    .await
    .unwrap();
    env.apply(FOREIGN).await;
    let before = env.deployment("taken").await;
    env.llm.release();
    let message = until_taken(&env, "taken").await;
    assert!(message.contains("Deployment 'taken'"), "{message}");
    let after = env.deployment("taken").await;
    assert!(after.owner_references().is_empty());
    assert_eq!(
        (before.metadata.generation, &before.spec),
        (after.metadata.generation, &after.spec)
    );
    let deployments = env.ns.api::<Deployment>();
    deployments
        .delete("taken", &DeleteParams::default())
        .await
        .unwrap();
    env.until_ready("taken").await;
    assert_eq!(env.calls().await, (1, 0), "its code is kept");
}

#[tokio::test]
async fn only_the_names_of_its_workload_are_asked_for() {
    let env = TestEnv::new("reads").await;
    env.with_tool_and_model().await;
    let mark = env.settled().await;
    env.with_agent("new", "look after everything").await;
    env.settled().await;
    let ours = Filter::all()
        .user_agent("langop-operator")
        .namespace(env.ns.name());
    let mut events = env.cp.audit().unwrap().events_since(mark, &ours).unwrap();
    events.retain(|event| !event.is_write() && event.verb != "watch");
    let reads: Vec<String> = events
        .iter()
        .map(|read| format!("{} {} {}", read.verb, read.resource, read.name))
        .collect();
    // Its code decides which of the two it is; what else it needs finds out by being made.
    assert_eq!(reads, ["get deployments new", "get cronjobs new"]);
}

/// What an agent says of names that are taken, once it does.
async fn until_taken(env: &TestEnv, agent: &str) -> String {
    let taken = |agent: &LanguageAgent| {
        let stalled = condition(agent, "Stalled").filter(|it| it.status == "True")?;
        (stalled.reason == "NameConflict").then(|| stalled.message.clone())
    };
    let agent = env.until(agent, |agent| taken(agent).is_some()).await;
    taken(&agent).unwrap()
}

#[tokio::test]
async fn an_agent_waits_for_the_end_of_a_former_one_also_of_the_other_mode() {
    let env = TestEnv::new("former").await;
    env.with_agent("heir", "run at nine").await;
    env.patch::<LanguageAgent>("heir", json!({"spec": {"schedule": "0 9 * * *"}}))
        .await;
    let _: CronJob = env.until("heir", |_| true).await;
    let held = json!({"metadata": {"finalizers": ["langop.test/held"]}});
    env.patch::<CronJob>("heir", held).await;
    let agents = env.ns.api::<LanguageAgent>();
    agents
        .delete("heir", &DeleteParams::default())
        .await
        .unwrap();
    wait::gone(agents, "heir", SOON).await.unwrap();
    let mark = env.settled().await;
    env.new_events("heir").await;
    let calls = env.calls().await;

    let autonomous = agent_yaml("heir", "run all the time") + "  executionMode: autonomous\n";
    env.apply(&autonomous).await;
    let waits = |agent: &LanguageAgent| {
        is_current(agent)
            && condition(agent, "Reconciling").is_some_and(|c| {
                c.reason == "NameConflict" && c.message.contains("the CronJob 'heir' of a former")
            })
    };
    env.until("heir", waits).await;
    env.settled().await;
    env.summary_since(mark).await.assert_children(&[]);
    assert_eq!(env.calls().await, calls, "nothing is spent on it yet");
    assert!(env.get::<Deployment>("heir").await.is_none());

    let freed = json!({"metadata": {"finalizers": null}});
    env.patch::<CronJob>("heir", freed).await;
    env.until_ready("heir").await;
    assert!(env.get::<CronJob>("heir").await.is_none());
}

#[tokio::test]
async fn a_foreign_policy_in_the_place_of_the_baseline_is_named_and_left_alone() {
    let env = TestEnv::new("baseline").await;
    let foreign = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: langop.baseline}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}
";
    env.apply(foreign).await;
    let before: NetworkPolicy = env.get("langop.baseline").await.unwrap();
    env.apply(&agent_yaml("open", "watch the door")).await;
    env.apply(TOOL).await;
    env.apply(MODEL).await;
    // Nobody watches what is not labelled as ours, so it is tried again.
    let says = |agent: &LanguageAgent| {
        let condition = condition(agent, "Reconciling");
        condition.is_some_and(|condition| {
            condition.message.contains("'langop.baseline'")
                && condition.message.contains("delete it")
        })
    };
    env.until("open", says).await;
    let deployment: Option<Deployment> = env.get("open").await;
    assert!(deployment.is_none(), "nothing runs that is not closed");
    env.settled().await;
    let after: NetworkPolicy = env.get("langop.baseline").await.unwrap();
    assert_eq!(after, before);

    env.ns
        .api::<NetworkPolicy>()
        .delete("langop.baseline", &DeleteParams::default())
        .await
        .unwrap();
    env.until_ready("open").await;
    let ours: NetworkPolicy = env.get("langop.baseline").await.unwrap();
    assert_ne!(ours.spec, before.spec);
}

#[tokio::test]
async fn a_name_that_an_agent_has_no_use_for_may_be_somebody_elses() {
    let env = TestEnv::new("unused").await;
    env.with_agent("other-proxy", "run at nine").await;
    let scheduled = json!({"spec": {"executionMode": "scheduled", "schedule": "0 9 * * *"}});
    env.patch::<LanguageAgent>("other-proxy", scheduled).await;
    let runs: CronJob = env.until("other-proxy", |_| true).await;
    env.apply(&MODEL.replace("brain", "other")).await;
    let _: Deployment = env.until("other-proxy", |_| true).await;

    let suspend = json!({"spec": {"suspend": true}});
    env.patch::<LanguageAgent>("other-proxy", suspend).await;
    env.until("other-proxy", |job: &CronJob| {
        job.spec.suspend == Some(true)
    })
    .await;

    // It is not ended for the sake of one whose name is taken.
    let autonomous = json!({"spec": {"executionMode": "autonomous", "schedule": null}});
    env.patch::<LanguageAgent>("other-proxy", autonomous).await;
    let agent = env
        .until("other-proxy", |a: &LanguageAgent| is(a, "Stalled", "True"))
        .await;
    assert_eq!(condition(&agent, "Stalled").unwrap().reason, "NameConflict");
    let still: CronJob = env.get("other-proxy").await.unwrap();
    assert_eq!(
        (still.uid(), still.metadata.deletion_timestamp),
        (runs.uid(), None)
    );
}

#[tokio::test]
async fn the_later_of_one_name_is_told_of_the_earlier() {
    let env = TestEnv::new("namesake").await;
    env.apply(TOOL).await;
    let _: Service = env.until("mail", |_| true).await;
    env.apply(
        "
apiVersion: langop.io/v1alpha1
kind: LanguageClient
metadata: {name: mail}
spec: {image: 'registry.example/chat:1'}
",
    )
    .await;
    let client: langop_api::LanguageClient = env
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
    let service = env.get::<Service>("mail").await.unwrap();
    assert_eq!(service.owner_references()[0].kind, "LanguageTool");
}

#[tokio::test]
async fn drift_is_repaired() {
    let env = TestEnv::new("drift").await;
    env.with_agent("loyal", "stay").await;
    let mark = env.settled().await;
    env.new_events("loyal").await;
    let wanted = env.deployment("loyal").await;
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
    env.ns
        .api::<Deployment>()
        .patch("loyal", &PatchParams::default(), &Patch::Strategic(evil))
        .await
        .unwrap();
    env.until("loyal", |d: &Deployment| image(d) == image(&wanted))
        .await;
    assert_eq!(
        env.deployment("loyal").await.spec.unwrap().template.spec,
        wanted.spec.unwrap().template.spec
    );
    let did = env.summary_since(mark).await;
    did.assert_children(&["patch deployments loyal"]);
    assert_eq!(env.new_events("loyal").await, ["DeploymentUpdated"]);

    let mark = env.mark();
    let policy = env.get::<NetworkPolicy>("loyal").await.unwrap();
    env.patch::<NetworkPolicy>("loyal", json!({"spec": {"egress": [{}]}}))
        .await;
    env.until("loyal", |p: &NetworkPolicy| p.spec == policy.spec)
        .await;
    let did = env.summary_since(mark).await;
    did.assert_children(&["patch networkpolicies loyal"]);

    let mark = env.mark();
    env.ns
        .api::<NetworkPolicy>()
        .delete("loyal", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    env.until("loyal", |p: &NetworkPolicy| p.spec == policy.spec)
        .await;
    env.ns
        .api::<Deployment>()
        .delete("loyal", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    env.until_ready("loyal").await;
    let _: Deployment = env
        .until("loyal", |d: &Deployment| {
            d.status
                .as_ref()
                .is_some_and(|s| s.ready_replicas == Some(1))
        })
        .await;
    let did = env.summary_since(mark).await;
    did.assert_children(&["patch deployments loyal", "patch networkpolicies loyal"]);
    assert_eq!(env.new_events("loyal").await, ["DeploymentCreated"]);
    assert_eq!(env.calls().await, (1, 0), "drift costs no call");
}

#[tokio::test]
async fn drift_of_a_tool_is_repaired_and_a_mode_change_removes_what_is_no_longer_wanted() {
    let env = TestEnv::new("toolmode").await;
    env.apply(TOOL).await;
    let service: Service = env.until("mail", |_| true).await;
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
    env.patch::<Service>(
        "mail",
        json!({"spec": {"ports": [{"name": "other", "port": 1, "protocol": "TCP"}]}}),
    )
    .await;
    env.until("mail", ours).await;
    env.patch::<LanguageTool>("mail", json!({"spec": {"deploymentMode": "sidecar"}}))
        .await;
    langop_integration_tests::wait::gone(
        env.ns.api::<Service>(),
        "mail",
        langop_integration_tests::env::SOON,
    )
    .await
    .unwrap();
    langop_integration_tests::wait::gone(
        env.ns.api::<Deployment>(),
        "mail",
        langop_integration_tests::env::SOON,
    )
    .await
    .unwrap();
}
