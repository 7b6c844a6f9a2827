//! Conditions are true to the pods: an agent whose pods do not work is not Ready and says why, and Ready does not flap.

use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, api::DeleteParams};
use langop_api::LanguageAgent;
use langop_integration_tests::wait;
use serde_json::json;

use crate::{
    history, kubelet,
    world::{MODEL, SOON, TOOL, World, agent_yaml, condition, is, is_current},
};

/// Waits until the agent is not Ready for this cause, and still reconciling, as kstatus has it.
async fn until_in_trouble(world: &World, agent: &str, causes: &[&str]) {
    let says = |agent: &LanguageAgent| {
        let ready = condition(agent, "Ready");
        is_current(agent)
            && is(agent, "Reconciling", "True")
            && ready.is_some_and(|ready| {
                ready.status == "False" && causes.iter().all(|cause| ready.message.contains(cause))
            })
    };
    world.until(agent, says).await;
}

async fn running_pod(world: &World, agent: &str) -> Pod {
    let running = wait::until("one running pod", SOON, async || {
        let mut pods = world.pods(agent).await;
        pods.retain(|pod| {
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            pod.metadata.deletion_timestamp.is_none() && phase == Some("Running")
        });
        (pods.len() == 1).then(|| pods.remove(0))
    });
    running.await.unwrap()
}

/// A new pod in its place, which does well.
async fn replace(world: &World, pod: &Pod) {
    let pods = world.ns.api::<Pod>();
    pods.delete(&pod.name_any(), &DeleteParams::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn pods_that_crash_or_cannot_be_pulled_are_told_of_until_they_work() {
    let world = World::new("trouble").await;
    world.with_agent("worker", "work").await;

    let pod = running_pod(&world, "worker").await;
    let waiting = json!({"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"});
    let last = kubelet::terminated(3, "disk full");
    kubelet::waits(&world, &pod, waiting, Some(last)).await;
    until_in_trouble(&world, "worker", &["keeps crashing", "exit code 3"]).await;
    replace(&world, &pod).await;
    world.until_ready("worker").await;

    let pod = running_pod(&world, "worker").await;
    let image = pod.spec.as_ref().unwrap().containers[0].image.clone();
    let waiting = json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image"});
    kubelet::waits(&world, &pod, waiting, None).await;
    until_in_trouble(&world, "worker", &["cannot be pulled", &image.unwrap()]).await;
    replace(&world, &pod).await;
    world.until_ready("worker").await;
}

#[tokio::test]
async fn a_pod_that_no_node_takes_is_told_of_until_one_does() {
    let world = World::new("no-node").await;
    world.apply(TOOL).await;
    world.apply(MODEL).await;
    let nowhere = "  nodeSelector: {tests/room: nowhere}\n";
    world
        .apply(&(agent_yaml("homeless", "find a home") + nowhere))
        .await;
    until_in_trouble(&world, "homeless", &["cannot be scheduled"]).await;
    world
        .patch::<LanguageAgent>("homeless", json!({"spec": {"nodeSelector": null}}))
        .await;
    world.until_ready("homeless").await;
}

#[tokio::test]
async fn a_rollout_is_told_of_while_it_runs_and_ready_does_not_flap() {
    let world = World::new("rollout").await;
    let before = world.with_agent("steady", "stay").await;

    world
        .patch::<LanguageAgent>(
            "steady",
            json!({"spec": {"env": [{"name": "NEW", "value": "yes"}]}}),
        )
        .await;
    let rolled = world.until_ready("steady").await;
    assert_one_rollout(&history::since(&world, &before).await);

    world.instruct("steady", "stay, but otherwise").await;
    world.until_ready("steady").await;
    world.settled().await;
    assert_one_rollout(&history::since(&world, &rolled).await);
}

/// Ready goes once and comes back once, and whenever it is gone, Reconciling says so.
fn assert_one_rollout(states: &[LanguageAgent]) {
    let shown: Vec<_> = states
        .iter()
        .map(|state| (condition(state, "Ready"), condition(state, "Reconciling")))
        .collect();
    assert_eq!(
        history::transitions(states, "Ready"),
        ["True", "False", "True"],
        "{shown:#?}"
    );
    for state in states {
        assert_ne!(
            is(state, "Ready", "True"),
            is(state, "Reconciling", "True"),
            "{shown:#?}"
        );
    }
}
