//! From birth to deletion: workspaces that stay, agents that sleep, and nothing else left behind.

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod},
    networking::v1::NetworkPolicy,
};
use kube::{
    Resource as _, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use langop_api::LanguageAgent;
use langop_integration_tests::{
    Reply,
    env::{SOON, TestEnv, agent_yaml, condition, is},
    wait,
};
use serde_json::json;

#[tokio::test]
async fn a_deleted_agent_leaves_nothing_but_its_kept_workspace_which_is_found_again() {
    let env = TestEnv::new("delete").await;
    env.with_agent("mortal", "live a little").await;
    env.patch::<LanguageAgent>("mortal", json!({"spec": {"workspace": {"storage": "1Gi"}}}))
        .await;
    let claim: PersistentVolumeClaim = env.until("mortal-workspace", |_| true).await;
    assert!(
        claim.owner_references().is_empty(),
        "a kept workspace has no owner"
    );
    env.until_ready("mortal").await;

    let mark = env.settled().await;
    delete(&env, "mortal").await;
    wait::gone(env.ns.api::<Deployment>(), "mortal", SOON)
        .await
        .unwrap();
    nothing_is_left(&env, "mortal").await;
    let kept = env
        .get::<PersistentVolumeClaim>("mortal-workspace")
        .await
        .unwrap();
    assert_eq!(kept.uid(), claim.uid());
    // Owner references do all of it.
    env.summary_since(mark).await.assert_none();

    env.with_agent("mortal", "live again").await;
    env.patch::<LanguageAgent>(
        "mortal",
        json!({"spec": {"workspace": {"storage": "1Gi", "deletionPolicy": "Delete"}}}),
    )
    .await;
    // It is used, but goes with this agent only where somebody with a right on claims says so.
    let heir = env
        .until("mortal", |agent: &LanguageAgent| {
            condition(agent, "Ready").is_some_and(|ready| ready.reason == "WorkspaceKept")
        })
        .await;
    let found = env.get::<PersistentVolumeClaim>("mortal-workspace").await;
    assert!(found.unwrap().owner_references().is_empty());
    env.patch::<PersistentVolumeClaim>(
        "mortal-workspace",
        json!({"metadata": {"annotations": {"langop.io/kept-by": heir.uid()}}}),
    )
    .await;
    env.until("mortal-workspace", |claim: &PersistentVolumeClaim| {
        !claim.owner_references().is_empty()
    })
    .await;
    assert_eq!(
        env.get::<PersistentVolumeClaim>("mortal-workspace")
            .await
            .unwrap()
            .uid(),
        claim.uid(),
        "found again"
    );
    env.until_ready("mortal").await;
    let mark = env.settled().await;
    delete(&env, "mortal").await;
    // The claim is mounted by a pod until that is gone, then it goes with its owner.
    wait::gone(
        env.ns.api::<PersistentVolumeClaim>(),
        "mortal-workspace",
        SOON,
    )
    .await
    .unwrap();
    env.summary_since(mark).await.assert_none();
}

#[tokio::test]
async fn a_deleted_scheduled_agent_takes_its_runs_along() {
    let env = TestEnv::new("runs").await;
    env.with_agent("runner", "run").await;
    env.patch::<LanguageAgent>("runner", json!({"spec": {"schedule": "0 9 1 1 *"}}))
        .await;
    let cron: CronJob = env.until("runner", |_| true).await;
    // As `kubectl create job --from` makes one: its owner is the CronJob.
    let template = cron.spec.job_template.clone();
    let run = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": "run",
            "labels": template.metadata.and_then(|m| m.labels),
            "ownerReferences": [cron.controller_owner_ref(&()).unwrap()],
        },
        "spec": template.spec,
    });
    env.apply(&run.to_string()).await;
    env.until("runner", |a: &LanguageAgent| {
        a.status.as_ref().and_then(|s| s.execution_count) == Some(1)
    })
    .await;
    let mark = env.settled().await;

    delete(&env, "runner").await;
    wait::gone(env.ns.api::<CronJob>(), "runner", SOON)
        .await
        .unwrap();
    wait::gone(env.ns.api::<Job>(), "run", SOON).await.unwrap();
    nothing_is_left(&env, "runner").await;
    env.summary_since(mark).await.assert_none();
}

#[tokio::test]
async fn a_run_that_never_started_gives_way_to_the_corrected_spec() {
    let env = TestEnv::new("stuck").await;
    env.with_agent("stuck", "run").await;
    let nowhere =
        json!({"spec": {"schedule": "0 9 1 1 *", "nodeSelector": {"kubernetes.io/arch": "none"}}});
    env.patch::<LanguageAgent>("stuck", nowhere).await;
    let cron: CronJob = env
        .until("stuck", |cron: &CronJob| {
            serde_json::to_string(cron)
                .unwrap()
                .contains("nodeSelector")
        })
        .await;
    let template = cron.spec.job_template.clone();
    let metadata = template.metadata.unwrap_or_default();
    let run = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": "run", "labels": metadata.labels, "annotations": metadata.annotations,
            "ownerReferences": [cron.controller_owner_ref(&()).unwrap()],
        },
        "spec": template.spec,
    });
    env.apply(&run.to_string()).await;
    let waiting = |pod: &Pod| {
        let conditions = pod
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        pod.name_any().starts_with("run-")
            && conditions
                .clone()
                .any(|c| c.type_ == "PodScheduled" && c.status == "False")
    };
    wait::until("the pod that fits nowhere", SOON, async || {
        let pods = env
            .ns
            .api::<Pod>()
            .list(&ListParams::default())
            .await
            .ok()?;
        pods.items.iter().any(waiting).then_some(())
    })
    .await
    .unwrap();
    env.settled().await;

    env.patch::<LanguageAgent>("stuck", json!({"spec": {"nodeSelector": null}}))
        .await;
    wait::gone(env.ns.api::<Job>(), "run", SOON).await.unwrap();
    let news = wait::until("the event", SOON, async || {
        let news = env.new_events("stuck").await;
        news.iter().any(|reason| reason == "RunEnded").then_some(())
    });
    news.await.unwrap();
}

#[tokio::test]
async fn an_agent_deleted_while_it_is_synthesized_leaves_nothing() {
    let env = TestEnv::new("inflight").await;
    env.with_tool_and_model().await;
    env.llm.reply(Reply::Hang);
    env.apply(&agent_yaml("unborn", "never mind")).await;
    wait::until("word of a synthesis that lasts", SOON, async || {
        let news = env.new_events_of("LanguageAgent", "unborn").await;
        news.contains(&"SynthesisStarted".to_owned()).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(env.llm.count(), 1);
    let mark = env.settled().await;

    delete(&env, "unborn").await;
    env.llm.release();
    nothing_is_left(&env, "unborn").await;
    env.summary_since(mark).await.assert_none();
    nothing_is_left(&env, "unborn").await;
    let news = env.new_events_of("LanguageAgent", "unborn").await;
    assert!(news.is_empty(), "told once, and nothing else: {news:?}");
}

async fn delete(env: &TestEnv, agent: &str) {
    env.ns
        .api::<LanguageAgent>()
        .delete(agent, &DeleteParams::default())
        .await
        .unwrap();
    wait::gone(env.ns.api::<LanguageAgent>(), agent, SOON)
        .await
        .unwrap();
}

/// No policy, no code and no pods.
async fn nothing_is_left(env: &TestEnv, agent: &str) {
    wait::gone(env.ns.api::<NetworkPolicy>(), agent, SOON)
        .await
        .unwrap();
    wait::until("code and pods to go", SOON, async || {
        let left = (
            env.revisions(agent).await.len(),
            env.pods(agent).await.len(),
        );
        if left == (0, 0) {
            Ok(())
        } else {
            Err(format!("(code, pods) = {left:?}"))
        }
    })
    .await
    .unwrap();
}

/// Whether a policy selects the pod and speaks of both directions. Of policies with expressions
/// there is none about ours.
fn closes(policy: &NetworkPolicy, pod: &Pod) -> bool {
    let spec = policy.spec.clone().unwrap_or_default();
    let selector = spec.pod_selector.unwrap_or_default();
    let mut wanted = selector.match_labels.iter().flatten();
    selector.match_expressions.is_none()
        && wanted.all(|(key, value)| pod.labels().get(key) == Some(value))
        && spec.policy_types.unwrap_or_default().len() == 2
}

#[tokio::test]
async fn a_pod_that_lingers_after_its_agent_is_closed_to_its_end() {
    let env = TestEnv::new("linger").await;
    env.with_agent("ghost", "haunt").await;
    env.until_ready("ghost").await;
    let pods = env.ns.api::<Pod>();
    let name = env.pods("ghost").await.remove(0).name_any();
    // As a process that ignores the signal would, it stays.
    let hold = |finalizers| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let params = PatchParams::default();
    pods.patch(&name, &params, &hold(json!(["langop.test/hold"])))
        .await
        .unwrap();
    let policies = env.ns.api::<NetworkPolicy>();
    let is_closed = async || {
        let pod = pods.get(&name).await.unwrap();
        let all = policies.list(&ListParams::default()).await.unwrap().items;
        assert!(
            all.iter().any(|policy| closes(policy, &pod)),
            "nothing closes it: {all:?}"
        );
        (all, pod)
    };
    is_closed().await;
    delete(&env, "ghost").await;
    wait::until("its own policy to go before the pod", SOON, async || {
        let (all, pod) = is_closed().await;
        let is_collected = !all.iter().any(|policy| policy.name_any() == "ghost");
        (is_collected && pod.metadata.deletion_timestamp.is_some()).then_some(())
    })
    .await
    .unwrap();
    // Nor does whoever deletes what closes it open anything for long.
    policies
        .delete("langop.baseline", &DeleteParams::default())
        .await
        .unwrap();
    env.until("langop.baseline", |policy: &NetworkPolicy| {
        policy.metadata.deletion_timestamp.is_none()
    })
    .await;
    pods.patch(&name, &params, &hold(json!(null)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_suspended_agent_has_no_pods_and_keeps_its_code() {
    let env = TestEnv::new("suspend").await;
    env.with_agent("dozer", "doze").await;
    env.patch::<LanguageAgent>("dozer", json!({"spec": {"suspend": true}}))
        .await;
    env.until("dozer", |d: &Deployment| {
        d.spec.as_ref().unwrap().replicas == Some(0)
    })
    .await;
    let agent = env
        .until("dozer", |a: &LanguageAgent| {
            a.status.as_ref().and_then(|s| s.phase)
                == Some(langop_api::agent::AgentPhase::Suspended)
        })
        .await;
    assert!(condition(&agent, "Ready").is_some());
    wait::until("no pods", SOON, async || {
        env.pods("dozer").await.is_empty().then_some(())
    })
    .await
    .unwrap();
    assert_eq!(env.revisions("dozer").await.len(), 1);
    env.patch::<LanguageAgent>("dozer", json!({"spec": {"suspend": null}}))
        .await;
    env.until_ready("dozer").await;
    env.until("dozer", |d: &Deployment| {
        d.status
            .as_ref()
            .is_some_and(|s| s.ready_replicas == Some(1))
    })
    .await;
    assert_eq!(env.calls().await, (1, 0));
}

#[tokio::test]
async fn history_is_pruned_to_its_limit_and_never_the_active_code() {
    let env = TestEnv::new("history").await;
    env.llm.reply_with(|request| {
        // The whole prompt decides, so each instruction gets its own code.
        let text = request.body.to_string();
        langop_integration_tests::env::code(&format!("objective {}", text.len()))
    });
    env.with_agent("author", "write 1").await;
    env.patch::<LanguageAgent>(
        "author",
        json!({"spec": {"synthesis": {"revisionHistoryLimit": 2}}}),
    )
    .await;
    for instructions in ["write 12", "write 123", "write 1234"] {
        let old = env.settled().await;
        env.instruct("author", instructions).await;
        env.until_condition("author", "Synthesized", "True", "SynthesisSucceeded")
            .await;
        env.summary_since(old).await;
    }
    let revisions = env.revisions("author").await;
    assert_eq!(
        revisions.len(),
        2,
        "{:?}",
        revisions
            .iter()
            .map(ConfigMap::name_any)
            .collect::<Vec<_>>()
    );
    let active =
        langop_integration_tests::env::mounted_code(&env.deployment("author").await).unwrap();
    assert_eq!(revisions[1].name_any(), active);
    assert!(is(&env.until_ready("author").await, "Synthesized", "True"));
}
