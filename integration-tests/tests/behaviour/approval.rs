//! What an agent may do grows only when a person agrees: what is asked for waits, what runs stays,
//! and what is closed is closed at once.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap, networking::v1::NetworkPolicy};
use kube::{ResourceExt as _, api::DeleteParams};
use langop_api::{
    LanguageAgent, LanguageTool, agent::AgentPhase, approval::PowersRequested, names::annotations,
};
use langop_integration_tests::{
    Reply,
    env::{TestEnv, condition, mounted_code, rollouts},
};
use serde_json::json;

/// An agent with two tools that may not do more by itself.
const CLERK: &str = "
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: mail}
spec:
  image: registry.example/mail:1
  operations: [{name: send, description: Sends one mail}]
---
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: files}
spec:
  image: registry.example/files:1
  port: 8081
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: clerk}
spec:
  approval: OnNewPowers
  instructions: write to ann
  toolRefs: [{name: mail}, {name: files}]
";

/// Code that sends mails to these.
fn mails(to: &[&str]) -> Reply {
    let steps = to.iter().enumerate().map(|(nth, to)| {
        format!("    step \"Send {nth}\" do\n      use_tool \"mail\", action: \"send\", params: {{ to: \"{to}\" }}\n    end\n")
    });
    let steps: String = steps.collect();
    Reply::Code(format!(
        "require 'language_operator'\n\nagent 'agent' do\n  workflow do\n{steps}  end\nend\n"
    ))
}

/// What waits.
fn requested(agent: &LanguageAgent) -> Option<PowersRequested> {
    agent.status.as_ref()?.approval.as_ref()?.requested.clone()
}

fn waits(agent: &LanguageAgent) -> bool {
    condition(agent, "Approved")
        .is_some_and(|approved| approved.status == "False" && approved.reason == "ApprovalRequired")
}

/// Waits until something else waits than this, and is told by the code that waits.
async fn until_asked(env: &TestEnv, before: Option<&PowersRequested>) -> PowersRequested {
    let is_new = |agent: &LanguageAgent| {
        waits(agent) && requested(agent).is_some() && requested(agent).as_ref() != before
    };
    let agent = env.until("clerk", is_new).await;
    let asked = requested(&agent).unwrap();
    env.until(&asked.config_map, |map: &ConfigMap| {
        map.annotations().get(annotations::POWERS_HASH) == Some(&asked.powers_hash)
    })
    .await;
    asked
}

/// A person's answer, as `kubectl annotate` would write it.
async fn answer(env: &TestEnv, asked: &PowersRequested, what: &str, who: &str) {
    let answer = json!({"metadata": {"annotations": {what: asked.powers_hash, who: "ann"}}});
    env.patch::<ConfigMap>(&asked.config_map, answer).await;
}

async fn approve(env: &TestEnv, asked: &PowersRequested) {
    answer(
        env,
        asked,
        annotations::APPROVED_POWERS,
        annotations::APPROVED_BY,
    )
    .await;
}

/// A clerk who writes to ann, as was approved.
async fn with_clerk(prefix: &str) -> TestEnv {
    let env = TestEnv::new(prefix).await;
    env.llm.reply(mails(&["ann@example.com"]));
    env.apply(CLERK).await;
    let asked = until_asked(&env, None).await;
    env.settled().await;
    assert!(
        env.get::<Deployment>("clerk").await.is_none(),
        "nothing runs yet"
    );
    assert!(
        env.new_events("clerk")
            .await
            .contains(&"ApprovalRequested".to_owned())
    );
    approve(&env, &asked).await;
    env.until_ready("clerk").await;
    assert!(
        env.new_events("clerk")
            .await
            .contains(&"Approved".to_owned())
    );
    env
}

#[tokio::test]
async fn new_powers_wait_while_what_runs_goes_on() {
    let mut env = with_clerk("approval").await;
    let mark = env.settled().await;
    let before = env.deployment("clerk").await;
    env.llm
        .reply(mails(&["ann@example.com", "bob@example.com"]));
    env.instruct("clerk", "write to ann and bob").await;
    let asked = until_asked(&env, None).await;
    let agent = env.until("clerk", waits).await;
    let status = agent.status.as_ref().unwrap();
    assert_eq!(status.phase, Some(AgentPhase::Running));
    assert_eq!(status.synthesis_info.as_ref().unwrap().revision, Some(1));
    let told = condition(&agent, "Approved").unwrap();
    assert!(told.message.contains("bob@example.com"), "{}", told.message);
    // The code is stored; nothing that runs is touched.
    let did = env.summary_since(mark).await;
    let touched = did
        .children
        .iter()
        .filter(|line| !line.contains("configmaps"));
    assert_eq!(touched.count(), 0, "{:?}", did.children);
    assert!(
        env.new_events("clerk")
            .await
            .contains(&"ApprovalRequested".to_owned())
    );
    let mark = env.settled().await;
    env.operator.restart().await.unwrap();
    env.summary_since(mark).await.assert_none();

    let mark = env.settled().await;
    approve(&env, &asked).await;
    env.until_ready("clerk").await;
    let did = env.summary_since(mark).await;
    let rolled = did
        .children
        .iter()
        .filter(|line| line.contains("deployments"));
    assert_eq!(rolled.count(), 1, "{:?}", did.children);
    let after = env.deployment("clerk").await;
    assert_eq!(mounted_code(&after), Some(asked.config_map.clone()));
    assert_eq!((&*rollouts(&before), &*rollouts(&after)), ("1", "2"));
    assert!(
        env.new_events("clerk")
            .await
            .contains(&"Approved".to_owned())
    );

    // Less than before needs nobody.
    env.llm.reply(mails(&["bob@example.com"]));
    env.instruct("clerk", "write to bob").await;
    let code = mounted_code(&after);
    env.until("clerk", |deployment: &Deployment| {
        mounted_code(deployment) != code
    })
    .await;
    let agent = env.until_ready("clerk").await;
    assert_eq!(condition(&agent, "Approved").unwrap().reason, "NoNewPowers");
}

#[tokio::test]
async fn what_is_gone_is_closed_while_a_spec_waits() {
    let env = with_clerk("closing").await;
    let mark = env.settled().await;
    let reaches = |what: &'static str| {
        move |policy: &NetworkPolicy| json!(policy.spec).to_string().contains(what)
    };
    let egress = json!([{"cidr": "203.0.113.0/24", "ports": [{"port": 443}]}]);
    let wider = json!({"spec": {"egress": egress, "env": [{"name": "MORE", "value": "1"}]}});
    env.patch::<LanguageAgent>("clerk", wider).await;
    let asked = until_asked(&env, None).await;
    let did = env.summary_since(mark).await;
    let touched = did
        .children
        .iter()
        .filter(|line| !line.contains("configmaps"));
    assert_eq!(touched.count(), 0, "{:?}", did.children);

    let mark = env.settled().await;
    let tools = env.ns.api::<LanguageTool>();
    tools
        .delete("files", &DeleteParams::default())
        .await
        .unwrap();
    let closed = |policy: &NetworkPolicy| !reaches("files")(policy);
    let policy = env.until("clerk", closed).await;
    assert!(reaches("\"mail\"")(&policy) && !reaches("203.0.113.0")(&policy));
    let other = until_asked(&env, Some(&asked)).await;
    let did = env.summary_since(mark).await;
    assert!(
        !did.children
            .iter()
            .any(|line| line.contains("deployments clerk")),
        "{:?}",
        did.children
    );

    // What was asked for before is not what is asked for now.
    approve(&env, &asked).await;
    env.settled().await;
    assert!(waits(&env.get("clerk").await.unwrap()));
    approve(&env, &other).await;
    env.until_condition("clerk", "Approved", "True", "Approved")
        .await;
    env.until("clerk", reaches("203.0.113.0")).await;

    // Nor does an approval outlive what it was of.
    let more = json!([{"cidr": "203.0.112.0/23", "ports": [{"port": 443}]}]);
    env.patch::<LanguageAgent>("clerk", json!({"spec": {"egress": more}}))
        .await;
    until_asked(&env, Some(&other)).await;
    let policy: NetworkPolicy = env.get("clerk").await.unwrap();
    assert!(reaches("203.0.113.0/24")(&policy) && !reaches("203.0.112.0")(&policy));
}

#[tokio::test]
async fn what_waits_can_be_suspended_and_goes_on_as_it_was() {
    let env = with_clerk("halted").await;
    let before = env.deployment("clerk").await;
    env.patch::<LanguageAgent>(
        "clerk",
        json!({"spec": {"image": "registry.example/other:1"}}),
    )
    .await;
    let asked = until_asked(&env, None).await;
    let pods = |number| {
        move |deployment: &Deployment| deployment.spec.as_ref().unwrap().replicas == Some(number)
    };
    env.patch::<LanguageAgent>("clerk", json!({"spec": {"suspend": true}}))
        .await;
    env.until("clerk", pods(0)).await;
    env.patch::<LanguageAgent>("clerk", json!({"spec": {"suspend": false}}))
        .await;
    let again = env.until("clerk", pods(1)).await;
    let template = |deployment: &Deployment| json!(deployment.spec.as_ref().unwrap().template);
    assert_eq!(template(&before), template(&again));
    env.patch::<LanguageAgent>("clerk", json!({"spec": {"suspend": true}}))
        .await;
    env.until("clerk", pods(0)).await;
    approve(&env, &asked).await;
    let is_other = |deployment: &Deployment| template(deployment).to_string().contains("other:1");
    env.until("clerk", is_other).await;
    env.patch::<LanguageAgent>("clerk", json!({"spec": {"suspend": false}}))
        .await;
    env.until("clerk", pods(1)).await;
    env.until_ready("clerk").await;
}

#[tokio::test]
async fn where_approval_begins_what_runs_needs_none() {
    let env = TestEnv::new("begins").await;
    env.llm.reply(mails(&["ann@example.com"]));
    env.apply(&CLERK.replace("approval: OnNewPowers", "approval: Never"))
        .await;
    let agent = env.until_ready("clerk").await;
    assert!(condition(&agent, "Approved").is_none() && agent.status.unwrap().approval.is_none());
    // Together with more: that waits, and the rest goes on.
    let mark = env.settled().await;
    let egress = json!([{"cidr": "203.0.113.0/24", "ports": [{"port": 443}]}]);
    let begins = json!({"spec": {"approval": "Always", "egress": egress}});
    env.patch::<LanguageAgent>("clerk", begins).await;
    until_asked(&env, None).await;
    env.patch::<LanguageAgent>("clerk", json!({"spec": {"egress": []}}))
        .await;
    let agent = env.until_ready("clerk").await;
    assert_eq!(condition(&agent, "Approved").unwrap().reason, "NoNewPowers");
    let did = env.summary_since(mark).await;
    let touched = did
        .children
        .iter()
        .filter(|line| !line.contains("configmaps"));
    assert_eq!(touched.count(), 0, "{:?}", did.children);
}

#[tokio::test]
async fn what_was_rejected_is_not_asked_again() {
    let env = with_clerk("rejected").await;
    env.llm.reply(mails(&["mallory@example.com"]));
    env.instruct("clerk", "write to mallory").await;
    let asked = until_asked(&env, None).await;
    env.new_events("clerk").await;
    answer(
        &env,
        &asked,
        annotations::REJECTED_POWERS,
        annotations::REJECTED_BY,
    )
    .await;
    env.until_condition("clerk", "Approved", "False", "Rejected")
        .await;
    env.settled().await;
    assert_eq!(env.new_events("clerk").await, ["Rejected"]);
    env.llm
        .reply(mails(&["ann@example.com", "bob@example.com"]));
    env.instruct("clerk", "write to bob").await;
    until_asked(&env, Some(&asked)).await;
}
