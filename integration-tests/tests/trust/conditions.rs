//! Conditions are true to the pods: an agent whose pods do not work is not Ready and says why, and Ready does not flap.

use std::{fmt::Debug, ops::Range};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{Node, Pod, ResourceQuota},
    },
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use langop_api::{LanguageAgent, LanguageClient, names::labels};
use langop_integration_tests::{audit, programs::OperatorBuilder, wait};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    executions, history, kubelet,
    world::{
        MODEL, Model, SOON, TOOL, Tool, World, agent_yaml, code, condition, is, is_current,
        is_ready,
    },
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

/// Waits until the Deployment's controller has seen how many of the pods are ready.
async fn until_pods_ready(world: &World, name: &str, wanted: i32) {
    let are_ready = |deployment: &Deployment| {
        let status = deployment.status.as_ref();
        status.and_then(|status| status.ready_replicas).unwrap_or(0) == wanted
    };
    world.until(name, are_ready).await;
}

/// Its container ends after so many minutes and is started again, so often as said, and each time the Deployment hears of it.
async fn crash_in_turns(world: &World, name: &str, pod: &Pod, turns: Range<i32>, minutes: i64) {
    for restarts in turns {
        let end = || kubelet::crash(minutes);
        kubelet::crashed(world, pod, restarts, end()).await;
        until_pods_ready(world, name, 0).await;
        kubelet::runs_again(world, pod, restarts + 1, end()).await;
        until_pods_ready(world, name, 1).await;
    }
}

#[tokio::test]
async fn a_crash_loop_is_told_once_and_healed_by_a_longer_run() {
    const TURNS: i32 = 20;
    let world = World::new("crash-loop").await;
    let before = world.with_agent("worker", "work").await;
    let pod = running_pod(&world, "worker").await;
    let mark = world.settled().await;

    crash_in_turns(&world, "worker", &pod, 0..TURNS - 1, 4).await;
    until_in_trouble(&world, "worker", &["keeps crashing", "exit code 3"]).await;
    // After a shorter run, less is asked of the next.
    crash_in_turns(&world, "worker", &pod, TURNS - 1..TURNS, 0).await;
    let healed = world.until_ready("worker").await;
    let states = history::since(&world, &before).await;
    assert_eq!(
        history::transitions(&states, "Ready"),
        ["True", "False", "True"],
        "{states:#?}"
    );
    assert_eq!(healed.status.unwrap().execution_count, Some(TURNS.into()));
    let deeds = world.done_since(mark).await;
    let writes = deeds.statuses["languageagents worker"];
    // It ended; it keeps crashing; counted at 1, 2, 4, 8 and 16; it runs.
    assert!(writes <= 8, "{writes}:\n{}", audit::pretty(&deeds.writes));
}

/// How a tool, model or client stands.
type Stand<'a> = (&'a [Condition], Option<i32>);

/// The one pod of a tool, model or client.
async fn pod_of(world: &World, label: &str, name: &str) -> Pod {
    let of_it = ListParams::default().labels(&format!("{label}={name}"));
    let mut pods = world.ns.api::<Pod>().list(&of_it).await.unwrap().items;
    assert_eq!(pods.len(), 1, "pods of {name}");
    pods.remove(0)
}

/// The container of its pod ends and is started again: it is not Ready for that cause, and later Ready again.
async fn stumbles<K>(world: &World, label: &str, name: &str, stand: impl Fn(&K) -> Stand<'_>)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Send
        + Serialize
        + DeserializeOwned
        + 'static,
{
    let pod = pod_of(world, label, name).await;
    let ready = |object: &K| is_ready(stand(object).0);
    kubelet::crashed(world, &pod, 0, kubelet::crash(0)).await;
    let object = world.until(name, |object: &K| !ready(object)).await;
    let told = format!("{:?}", stand(&object).0);
    assert!(told.contains("ended (exit code 3, Error)"), "{told}");
    kubelet::runs_again(world, &pod, 1, kubelet::crash(0)).await;
    let object = world.until(name, ready).await;
    assert_eq!(stand(&object).1, Some(1), "ready pods of {name}");
}

#[tokio::test]
async fn what_agents_use_is_not_ready_after_a_crash_until_it_has_run_for_a_while() {
    let world = World::new("stumbles").await;
    world.with_tool_and_model().await;
    let client = "{apiVersion: langop.io/v1alpha1, kind: LanguageClient, metadata: {name: chat}, spec: {image: 'registry.example/chat:1'}}";
    world.apply(client).await;
    let of_client = |client: &LanguageClient| {
        let status = client.status.as_ref();
        status.is_some_and(|status| is_ready(&status.conditions))
    };
    world.until("chat", of_client).await;
    // The status is there: it was Ready.
    tokio::join!(
        stumbles(&world, labels::TOOL, "mail", |tool: &Tool| {
            let status = tool.status.as_ref().unwrap();
            (&status.conditions, status.ready_replicas)
        }),
        stumbles(&world, labels::MODEL, "brain", |model: &Model| {
            let status = model.status.as_ref().unwrap();
            (&status.conditions, status.ready_replicas)
        }),
        stumbles(&world, labels::CLIENT, "chat", |client: &LanguageClient| {
            let status = client.status.as_ref().unwrap();
            (&status.conditions, status.ready_replicas)
        }),
    );
}

#[tokio::test]
async fn a_secret_that_pods_lack_is_named_until_it_is_there() {
    let world = World::new("no-secret").await;
    world.with_agent("worker", "work").await;
    let waiting =
        || json!({"reason": "CreateContainerConfigError", "message": "secret \"x\" not found"});
    let causes = ["CreateContainerConfigError", "secret \"x\" not found"];

    let pod = running_pod(&world, "worker").await;
    kubelet::waits(&world, &pod, waiting(), None).await;
    until_in_trouble(&world, "worker", &causes).await;
    replace(&world, &pod).await;
    world.until_ready("worker").await;

    // The key of a model is such a Secret.
    let pod = pod_of(&world, labels::MODEL, "brain").await;
    kubelet::waits(&world, &pod, waiting(), None).await;
    let conditions = |model: &Model| model.status.clone().unwrap_or_default().conditions;
    let says = |model: &Model| {
        let mut conditions = conditions(model).into_iter();
        let ready = conditions.find(|condition| condition.type_ == "Ready");
        ready.is_some_and(|ready| causes.iter().all(|cause| ready.message.contains(cause)))
    };
    let model = world.until("brain", says).await;
    assert!(!is_ready(&conditions(&model)));
    replace(&world, &pod).await;
    world
        .until("brain", |model: &Model| is_ready(&conditions(model)))
        .await;
}

#[tokio::test]
async fn a_sidecar_that_crashes_is_named_until_it_works() {
    let world = World::new("sidecar").await;
    world.apply(MODEL).await;
    let sidecar = TOOL.replace("spec:", "spec:\n  deploymentMode: sidecar\n  port: 8090");
    world.apply(&sidecar).await;
    world.apply(&agent_yaml("worker", "work")).await;
    world.until_ready("worker").await;

    let pod = running_pod(&world, "worker").await;
    kubelet::sidecar_crashes(
        &world,
        &pod,
        "tool-mail",
        kubelet::terminated(3, "disk full"),
    )
    .await;
    let causes = ["container 'tool-mail' keeps crashing", "exit code 3"];
    until_in_trouble(&world, "worker", &causes).await;
    replace(&world, &pod).await;
    world.until_ready("worker").await;
}

#[tokio::test]
async fn a_rollout_that_gets_nowhere_is_stalled_until_another_works() {
    let world = World::new("stuck").await;
    world.with_agent("worker", "work").await;
    // A field that is left to others, so the test need not wait for minutes.
    let impatient = json!({"spec": {"progressDeadlineSeconds": 3}});
    world.patch::<Deployment>("worker", impatient).await;
    let room = |room: Value| json!({"spec": {"nodeSelector": room}});
    world
        .patch::<LanguageAgent>("worker", room(json!({"tests/room": "nowhere"})))
        .await;
    let is_stuck = |agent: &LanguageAgent| {
        let stalled = condition(agent, "Stalled").filter(|stalled| stalled.status == "True");
        is_current(agent)
            && is(agent, "Ready", "False")
            && stalled.is_some_and(|stalled| {
                stalled.reason == "RolloutStuck"
                    && stalled.message.contains("cannot be scheduled")
                    && stalled.message.contains("has timed out progressing")
            })
    };
    world.until("worker", is_stuck).await;
    world
        .patch::<LanguageAgent>("worker", room(Value::Null))
        .await;
    let agent = world.until_ready("worker").await;
    assert!(condition(&agent, "Stalled").is_none(), "{:?}", agent.status);
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

/// Waits until the agent is stalled because pods are refused, for this cause.
async fn until_refused(world: &World, agent: &str, cause: &str) {
    let says = |agent: &LanguageAgent| {
        let stalled = condition(agent, "Stalled").filter(|stalled| stalled.status == "True");
        is_current(agent)
            && is(agent, "Ready", "False")
            && stalled.is_some_and(|stalled| {
                stalled.reason == "PodsRefused" && stalled.message.contains(cause)
            })
    };
    world.until(agent, says).await;
}

/// No pod may be made.
async fn with_quota_of_nothing(world: &World) {
    world
        .apply("{apiVersion: v1, kind: ResourceQuota, metadata: {name: tight}, spec: {hard: {pods: \"0\"}}}")
        .await;
    let enforced = |quota: &ResourceQuota| {
        let hard = quota
            .status
            .as_ref()
            .and_then(|status| status.hard.as_ref());
        hard.is_some_and(|hard| hard.contains_key("pods"))
    };
    world.until("tight", enforced).await;
}

async fn lift_quota(world: &World) {
    let quotas = world.ns.api::<ResourceQuota>();
    quotas
        .delete("tight", &DeleteParams::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn pods_that_a_quota_refuses_are_told_of_until_it_allows_them() {
    let world = World::new("quota").await;
    world.with_tool_and_model().await;
    with_quota_of_nothing(&world).await;
    world.apply(&agent_yaml("poor", "save")).await;
    until_refused(&world, "poor", "exceeded quota: tight").await;
    lift_quota(&world).await;
    world.until_ready("poor").await;
}

#[tokio::test]
async fn a_run_whose_pod_a_quota_refuses_is_told_of_until_it_has_one() {
    let world = World::new("quota-run").await;
    executions::scheduled(&world, "clerk", "").await;
    with_quota_of_nothing(&world).await;
    executions::run_now(&world, "clerk", "refused").await;
    until_refused(&world, "clerk", "kubectl describe job refused").await;
    lift_quota(&world).await;
    executions::until_counted(&world, "clerk", (1, 1, 0)).await;
    world.until_ready("clerk").await;
}

#[tokio::test]
async fn a_run_that_no_node_takes_is_told_of_until_one_does() {
    let world = World::new("no-node-run").await;
    let before = scheduled_in(&world, "clerk", "attic").await;
    executions::run_now(&world, "clerk", "stranded").await;
    until_in_trouble(&world, "clerk", &["Job 'stranded'", "cannot be scheduled"]).await;

    let nodes = Api::<Node>::all(world.ns.client());
    let node = nodes.list(&ListParams::default()).await.unwrap().items[0].name_any();
    let label = |value: Value| Patch::Merge(json!({"metadata": {"labels": {"tests/room": value}}}));
    let set = async |value| {
        nodes
            .patch(&node, &PatchParams::default(), &label(value))
            .await
            .unwrap();
    };
    set(json!("attic")).await;
    executions::until_counted(&world, "clerk", (1, 1, 0)).await;
    set(Value::Null).await;
    world.until_ready("clerk").await;
    assert_one_rollout(&history::since(&world, &before).await);
}

#[tokio::test]
async fn a_run_whose_image_cannot_be_pulled_is_told_of_once_until_it_ends() {
    let world = World::new("no-image-run").await;
    // No node takes its pods, so kwok does not end them.
    let before = scheduled_in(&world, "clerk", "nowhere").await;
    executions::run_now(&world, "clerk", "imageless").await;
    let pod = executions::pod_of(&world, "imageless").await;
    // The scheduler's word comes before ours, or it would take ours back.
    let has_no_node = |pod: &Pod| {
        let status = pod.status.as_ref();
        let mut conditions = status
            .iter()
            .flat_map(|status| &status.conditions)
            .flatten();
        conditions.any(|one| one.type_ == "PodScheduled" && one.status == "False")
    };
    let pod = world.until(&pod.name_any(), has_no_node).await;
    let image = pod.spec.as_ref().unwrap().containers[0]
        .image
        .clone()
        .unwrap();
    let wait_for = async |reason: &str| {
        let waiting = json!({"reason": reason, "message": "not found"});
        kubelet::waits(&world, &pod, waiting, None).await;
    };
    wait_for("ErrImagePull").await;
    let causes = ["Job 'imageless'", "cannot be pulled", &image];
    until_in_trouble(&world, "clerk", &causes).await;
    let mark = world.settled().await;
    for reason in ["ImagePullBackOff", "ErrImagePull", "ContainerCreating"] {
        wait_for(reason).await;
        world.done_since(mark).await.assert_none();
    }

    kubelet::ended(&world, &pod, 0, "at last").await;
    executions::until_counted(&world, "clerk", (1, 1, 0)).await;
    world.until_ready("clerk").await;
    assert_one_rollout(&history::since(&world, &before).await);
}

/// An agent that runs once a year, where a node is labelled for this room.
async fn scheduled_in(world: &World, name: &str, room: &str) -> LanguageAgent {
    let selector = format!(", nodeSelector: {{tests/room: {room}}}");
    executions::scheduled(world, name, &selector).await;
    world.settled().await;
    world.get(name).await.unwrap()
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

#[tokio::test]
async fn code_that_fails_at_its_start_does_not_end_the_pod_that_works() {
    let patient = |operator: OperatorBuilder| operator.env("LANGOP_MIN_READY_SECONDS", "20");
    let world = World::choosing("bad-code", patient).await;
    world.with_agent("worker", "work").await;
    let works = running_pod(&world, "worker").await;
    // As one that has worked for a while.
    let is_available = |deployment: &Deployment| {
        let status = deployment.status.as_ref();
        status.and_then(|status| status.available_replicas) == Some(1)
    };
    world.until("worker", is_available).await;

    world.llm.reply(code("fail"));
    world.instruct("worker", "work harder").await;
    until_pods_ready(&world, "worker", 2).await;
    let mut pods = world.pods("worker").await;
    pods.retain(|pod| pod.uid() != works.uid());
    kubelet::crashed(&world, &pods[0], 0, kubelet::crash(0)).await;
    until_in_trouble(
        &world,
        "worker",
        &["1 old pods still run", "ended (exit code 3, Error)"],
    )
    .await;

    // And back: to the pod that was there all the time.
    let former = json!({"spec": {"synthesis": {"revision": 1}}});
    world.patch::<LanguageAgent>("worker", former).await;
    world.until_ready("worker").await;
    assert_eq!(running_pod(&world, "worker").await.uid(), works.uid());
}
