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
use langop_integration_tests::{Reply, wait};
use serde_json::json;

use crate::world::{SOON, World, agent_yaml, condition, is};

#[tokio::test]
async fn a_deleted_agent_leaves_nothing_but_its_kept_workspace_which_is_found_again() {
    let world = World::new("delete").await;
    world.with_agent("mortal", "live a little").await;
    world
        .patch::<LanguageAgent>("mortal", json!({"spec": {"workspace": {"storage": "1Gi"}}}))
        .await;
    let claim: PersistentVolumeClaim = world.until("mortal-workspace", |_| true).await;
    assert!(
        claim.owner_references().is_empty(),
        "a kept workspace has no owner"
    );
    world.until_ready("mortal").await;

    let mark = world.settled().await;
    delete(&world, "mortal").await;
    wait::gone(world.ns.api::<Deployment>(), "mortal", SOON)
        .await
        .unwrap();
    nothing_is_left(&world, "mortal").await;
    let kept = world
        .get::<PersistentVolumeClaim>("mortal-workspace")
        .await
        .unwrap();
    assert_eq!(kept.uid(), claim.uid());
    // Owner references do all of it.
    world.done_since(mark).await.assert_none();

    world.with_agent("mortal", "live again").await;
    world
        .patch::<LanguageAgent>(
            "mortal",
            json!({"spec": {"workspace": {"storage": "1Gi", "deletionPolicy": "Delete"}}}),
        )
        .await;
    // It is used, but goes with this agent only where somebody with a right on claims says so.
    let heir = world
        .until("mortal", |agent: &LanguageAgent| {
            condition(agent, "Ready").is_some_and(|ready| ready.reason == "WorkspaceKept")
        })
        .await;
    let found = world.get::<PersistentVolumeClaim>("mortal-workspace").await;
    assert!(found.unwrap().owner_references().is_empty());
    world
        .patch::<PersistentVolumeClaim>(
            "mortal-workspace",
            json!({"metadata": {"annotations": {"langop.io/kept-by": heir.uid()}}}),
        )
        .await;
    world
        .until("mortal-workspace", |claim: &PersistentVolumeClaim| {
            !claim.owner_references().is_empty()
        })
        .await;
    assert_eq!(
        world
            .get::<PersistentVolumeClaim>("mortal-workspace")
            .await
            .unwrap()
            .uid(),
        claim.uid(),
        "found again"
    );
    world.until_ready("mortal").await;
    let mark = world.settled().await;
    delete(&world, "mortal").await;
    // The claim is mounted by a pod until that is gone, then it goes with its owner.
    wait::gone(
        world.ns.api::<PersistentVolumeClaim>(),
        "mortal-workspace",
        SOON,
    )
    .await
    .unwrap();
    world.done_since(mark).await.assert_none();
}

#[tokio::test]
async fn a_deleted_scheduled_agent_takes_its_runs_along() {
    let world = World::new("runs").await;
    world.with_agent("runner", "run").await;
    world
        .patch::<LanguageAgent>("runner", json!({"spec": {"schedule": "0 9 1 1 *"}}))
        .await;
    let cron: CronJob = world.until("runner", |_| true).await;
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
    world.apply(&run.to_string()).await;
    world
        .until("runner", |a: &LanguageAgent| {
            a.status.as_ref().and_then(|s| s.execution_count) == Some(1)
        })
        .await;
    let mark = world.settled().await;

    delete(&world, "runner").await;
    wait::gone(world.ns.api::<CronJob>(), "runner", SOON)
        .await
        .unwrap();
    wait::gone(world.ns.api::<Job>(), "run", SOON)
        .await
        .unwrap();
    nothing_is_left(&world, "runner").await;
    world.done_since(mark).await.assert_none();
}

#[tokio::test]
async fn a_run_that_never_started_gives_way_to_the_corrected_spec() {
    let world = World::new("stuck").await;
    world.with_agent("stuck", "run").await;
    let nowhere =
        json!({"spec": {"schedule": "0 9 1 1 *", "nodeSelector": {"kubernetes.io/arch": "none"}}});
    world.patch::<LanguageAgent>("stuck", nowhere).await;
    let cron: CronJob = world
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
    world.apply(&run.to_string()).await;
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
        let pods = world
            .ns
            .api::<Pod>()
            .list(&ListParams::default())
            .await
            .ok()?;
        pods.items.iter().any(waiting).then_some(())
    })
    .await
    .unwrap();
    world.settled().await;

    world
        .patch::<LanguageAgent>("stuck", json!({"spec": {"nodeSelector": null}}))
        .await;
    wait::gone(world.ns.api::<Job>(), "run", SOON)
        .await
        .unwrap();
    let news = wait::until("the event", SOON, async || {
        let news = world.news("stuck").await;
        news.iter().any(|reason| reason == "RunEnded").then_some(())
    });
    news.await.unwrap();
}

#[tokio::test]
async fn an_agent_deleted_while_it_is_synthesized_leaves_nothing() {
    let world = World::new("inflight").await;
    world.with_tool_and_model().await;
    world.llm.reply(Reply::Hang);
    world.apply(&agent_yaml("unborn", "never mind")).await;
    wait::until("the call of the LLM", SOON, async || {
        (world.llm.count() == 1).then_some(())
    })
    .await
    .unwrap();
    let mark = world.settled().await;

    delete(&world, "unborn").await;
    world.llm.release();
    nothing_is_left(&world, "unborn").await;
    world.done_since(mark).await.assert_none();
    nothing_is_left(&world, "unborn").await;
    assert_eq!(world.news("unborn").await, ["SynthesisStarted"]);
}

async fn delete(world: &World, agent: &str) {
    world
        .ns
        .api::<LanguageAgent>()
        .delete(agent, &DeleteParams::default())
        .await
        .unwrap();
    wait::gone(world.ns.api::<LanguageAgent>(), agent, SOON)
        .await
        .unwrap();
}

/// No policy, no code and no pods.
async fn nothing_is_left(world: &World, agent: &str) {
    wait::gone(world.ns.api::<NetworkPolicy>(), agent, SOON)
        .await
        .unwrap();
    wait::until("code and pods to go", SOON, async || {
        let left = (
            world.revisions(agent).await.len(),
            world.pods(agent).await.len(),
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

/// Whether a policy selects the pod and speaks of both directions. Of policies with expressions there is none about ours.
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
    let world = World::new("linger").await;
    world.with_agent("ghost", "haunt").await;
    world.until_ready("ghost").await;
    let pods = world.ns.api::<Pod>();
    let name = world.pods("ghost").await.remove(0).name_any();
    // As a process that ignores the signal would, it stays.
    let hold = |finalizers| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let params = PatchParams::default();
    pods.patch(&name, &params, &hold(json!(["langop.test/hold"])))
        .await
        .unwrap();
    let policies = world.ns.api::<NetworkPolicy>();
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
    delete(&world, "ghost").await;
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
    world
        .until("langop.baseline", |policy: &NetworkPolicy| {
            policy.metadata.deletion_timestamp.is_none()
        })
        .await;
    pods.patch(&name, &params, &hold(json!(null)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_suspended_agent_has_no_pods_and_keeps_its_code() {
    let world = World::new("suspend").await;
    world.with_agent("dozer", "doze").await;
    world
        .patch::<LanguageAgent>("dozer", json!({"spec": {"suspend": true}}))
        .await;
    world
        .until("dozer", |d: &Deployment| {
            d.spec.as_ref().unwrap().replicas == Some(0)
        })
        .await;
    let agent = world
        .until("dozer", |a: &LanguageAgent| {
            a.status.as_ref().and_then(|s| s.phase)
                == Some(langop_api::agent::AgentPhase::Suspended)
        })
        .await;
    assert!(condition(&agent, "Ready").is_some());
    wait::until("no pods", SOON, async || {
        world.pods("dozer").await.is_empty().then_some(())
    })
    .await
    .unwrap();
    assert_eq!(world.revisions("dozer").await.len(), 1);
    world
        .patch::<LanguageAgent>("dozer", json!({"spec": {"suspend": null}}))
        .await;
    world.until_ready("dozer").await;
    world
        .until("dozer", |d: &Deployment| {
            d.status
                .as_ref()
                .is_some_and(|s| s.ready_replicas == Some(1))
        })
        .await;
    assert_eq!(world.calls().await, (1, 0));
}

#[tokio::test]
async fn history_is_pruned_to_its_limit_and_never_the_active_code() {
    let world = World::new("history").await;
    world.llm.reply_with(|request| {
        // The whole prompt decides, so each instruction gets its own code.
        let text = request.body.to_string();
        crate::world::code(&format!("objective {}", text.len()))
    });
    world.with_agent("author", "write 1").await;
    world
        .patch::<LanguageAgent>(
            "author",
            json!({"spec": {"synthesis": {"revisionHistoryLimit": 2}}}),
        )
        .await;
    for instructions in ["write 12", "write 123", "write 1234"] {
        let old = world.settled().await;
        world.instruct("author", instructions).await;
        world
            .until_condition("author", "Synthesized", "True", "SynthesisSucceeded")
            .await;
        world.done_since(old).await;
    }
    let revisions = world.revisions("author").await;
    assert_eq!(
        revisions.len(),
        2,
        "{:?}",
        revisions
            .iter()
            .map(ConfigMap::name_any)
            .collect::<Vec<_>>()
    );
    let active = crate::world::mounted_code(&world.deployment("author").await).unwrap();
    assert_eq!(revisions[1].name_any(), active);
    assert!(is(
        &world.until_ready("author").await,
        "Synthesized",
        "True"
    ));
}
