//! Conditions are true to the pods: an agent whose pods do not work is not Ready and says why, and
//! Ready does not flap.

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
use langop_api::{LanguageAgent, LanguageClient, LanguageModel, LanguageTool, names::labels};
use langop_integration_tests::{
    audit,
    env::{MODEL, SOON, TOOL, TestEnv, agent_yaml, code, condition, is, is_current, is_ready},
    programs::OperatorBuilder,
    wait,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{executions, history, kubelet};

/// Waits until the agent is not Ready for this cause, and still reconciling, as kstatus has it.
async fn until_in_trouble(env: &TestEnv, agent: &str, causes: &[&str]) {
    let says = |agent: &LanguageAgent| {
        let ready = condition(agent, "Ready");
        is_current(agent)
            && is(agent, "Reconciling", "True")
            && ready.is_some_and(|ready| {
                ready.status == "False" && causes.iter().all(|cause| ready.message.contains(cause))
            })
    };
    env.until(agent, says).await;
}

async fn running_pod(env: &TestEnv, agent: &str) -> Pod {
    let running = wait::until("one running pod", SOON, async || {
        let mut pods = env.pods(agent).await;
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
async fn replace(env: &TestEnv, pod: &Pod) {
    let pods = env.ns.api::<Pod>();
    pods.delete(&pod.name_any(), &DeleteParams::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn pods_that_crash_or_cannot_be_pulled_are_told_of_until_they_work() {
    let env = TestEnv::new("trouble").await;
    env.with_agent("worker", "work").await;

    let pod = running_pod(&env, "worker").await;
    let waiting = json!({"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"});
    let last = kubelet::terminated(3, "disk full");
    kubelet::waits(&env, &pod, waiting, Some(last)).await;
    until_in_trouble(&env, "worker", &["keeps crashing", "exit code 3"]).await;
    replace(&env, &pod).await;
    env.until_ready("worker").await;

    let pod = running_pod(&env, "worker").await;
    let image = pod.spec.as_ref().unwrap().containers[0].image.clone();
    let waiting = json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image"});
    kubelet::waits(&env, &pod, waiting, None).await;
    until_in_trouble(&env, "worker", &["cannot be pulled", &image.unwrap()]).await;
    replace(&env, &pod).await;
    env.until_ready("worker").await;
}

/// Waits until the Deployment's controller has seen how many of the pods are ready.
async fn until_pods_ready(env: &TestEnv, name: &str, wanted: i32) {
    let are_ready = |deployment: &Deployment| {
        let status = deployment.status.as_ref();
        status.and_then(|status| status.ready_replicas).unwrap_or(0) == wanted
    };
    env.until(name, are_ready).await;
}

/// Its container ends after so many minutes and is started again, so often as said, and each time
/// the Deployment hears of it.
async fn crash_in_turns(env: &TestEnv, name: &str, pod: &Pod, turns: Range<i32>, minutes: i64) {
    for restarts in turns {
        let end = || kubelet::crash(minutes);
        kubelet::crashed(env, pod, restarts, end()).await;
        until_pods_ready(env, name, 0).await;
        kubelet::runs_again(env, pod, restarts + 1, end()).await;
        until_pods_ready(env, name, 1).await;
    }
}

#[tokio::test]
async fn a_crash_loop_is_told_once_and_healed_by_a_longer_run() {
    const TURNS: i32 = 20;
    let env = TestEnv::new("crash-loop").await;
    let before = env.with_agent("worker", "work").await;
    let pod = running_pod(&env, "worker").await;
    let mark = env.settled().await;

    crash_in_turns(&env, "worker", &pod, 0..TURNS - 1, 4).await;
    until_in_trouble(&env, "worker", &["keeps crashing", "exit code 3"]).await;
    // After a shorter run, less is asked of the next.
    crash_in_turns(&env, "worker", &pod, TURNS - 1..TURNS, 0).await;
    let healed = env.until_ready("worker").await;
    let states = history::since(&env, &before).await;
    assert_eq!(
        history::transitions(&states, "Ready"),
        ["True", "False", "True"],
        "{states:#?}"
    );
    assert_eq!(healed.status.unwrap().execution_count, Some(TURNS.into()));
    let summary = env.summary_since(mark).await;
    let writes = summary.statuses["languageagents worker"];
    // It ended; it keeps crashing; counted at 1, 2, 4, 8 and 16; it runs.
    assert!(writes <= 8, "{writes}:\n{}", audit::pretty(&summary.writes));
}

/// How a tool, model or client stands.
type Stand<'a> = (&'a [Condition], Option<i32>);

/// The one pod of a tool, model or client.
async fn pod_of(env: &TestEnv, label: &str, name: &str) -> Pod {
    let of_it = ListParams::default().labels(&format!("{label}={name}"));
    let mut pods = env.ns.api::<Pod>().list(&of_it).await.unwrap().items;
    assert_eq!(pods.len(), 1, "pods of {name}");
    pods.remove(0)
}

/// The container of its pod ends and is started again: it is not Ready for that cause, and later
/// Ready again.
async fn stumbles<K>(env: &TestEnv, label: &str, name: &str, stand: impl Fn(&K) -> Stand<'_>)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Send
        + Serialize
        + DeserializeOwned
        + 'static,
{
    let pod = pod_of(env, label, name).await;
    let ready = |object: &K| is_ready(stand(object).0);
    kubelet::crashed(env, &pod, 0, kubelet::crash(0)).await;
    let object = env.until(name, |object: &K| !ready(object)).await;
    let told = format!("{:?}", stand(&object).0);
    assert!(told.contains("ended (exit code 3, Error)"), "{told}");
    kubelet::runs_again(env, &pod, 1, kubelet::crash(0)).await;
    let object = env.until(name, ready).await;
    assert_eq!(stand(&object).1, Some(1), "ready pods of {name}");
}

#[tokio::test]
async fn what_agents_use_is_not_ready_after_a_crash_until_it_has_run_for_a_while() {
    let env = TestEnv::new("stumbles").await;
    env.with_tool_and_model().await;
    let client = "{apiVersion: langop.io/v1alpha1, kind: LanguageClient, metadata: {name: chat}, spec: {image: 'registry.example/chat:1'}}";
    env.apply(client).await;
    let of_client = |client: &LanguageClient| {
        let status = client.status.as_ref();
        status.is_some_and(|status| is_ready(&status.conditions))
    };
    env.until("chat", of_client).await;
    // The status is there: it was Ready.
    tokio::join!(
        stumbles(&env, labels::TOOL, "mail", |tool: &LanguageTool| {
            let status = tool.status.as_ref().unwrap();
            (&status.conditions, status.ready_replicas)
        }),
        stumbles(&env, labels::MODEL, "brain", |model: &LanguageModel| {
            let status = model.status.as_ref().unwrap();
            (&status.conditions, status.ready_replicas)
        }),
        stumbles(&env, labels::CLIENT, "chat", |client: &LanguageClient| {
            let status = client.status.as_ref().unwrap();
            (&status.conditions, status.ready_replicas)
        }),
    );
}

#[tokio::test]
async fn a_secret_that_pods_lack_is_named_until_it_is_there() {
    let env = TestEnv::new("no-secret").await;
    env.with_agent("worker", "work").await;
    let waiting =
        || json!({"reason": "CreateContainerConfigError", "message": "secret \"x\" not found"});
    let causes = ["CreateContainerConfigError", "secret \"x\" not found"];

    let pod = running_pod(&env, "worker").await;
    kubelet::waits(&env, &pod, waiting(), None).await;
    until_in_trouble(&env, "worker", &causes).await;
    replace(&env, &pod).await;
    env.until_ready("worker").await;

    // The key of a model is such a Secret.
    let pod = pod_of(&env, labels::MODEL, "brain").await;
    kubelet::waits(&env, &pod, waiting(), None).await;
    let conditions = |model: &LanguageModel| model.status.clone().unwrap_or_default().conditions;
    let says = |model: &LanguageModel| {
        let mut conditions = conditions(model).into_iter();
        let ready = conditions.find(|condition| condition.type_ == "Ready");
        ready.is_some_and(|ready| causes.iter().all(|cause| ready.message.contains(cause)))
    };
    let model = env.until("brain", says).await;
    assert!(!is_ready(&conditions(&model)));
    replace(&env, &pod).await;
    env.until("brain", |model: &LanguageModel| {
        is_ready(&conditions(model))
    })
    .await;
}

#[tokio::test]
async fn a_sidecar_that_crashes_is_named_until_it_works() {
    let env = TestEnv::new("sidecar").await;
    env.apply(MODEL).await;
    let sidecar = TOOL.replace("spec:", "spec:\n  deploymentMode: sidecar\n  port: 8090");
    env.apply(&sidecar).await;
    env.apply(&agent_yaml("worker", "work")).await;
    env.until_ready("worker").await;

    let pod = running_pod(&env, "worker").await;
    kubelet::sidecar_crashes(&env, &pod, "tool-mail", kubelet::terminated(3, "disk full")).await;
    let causes = ["container 'tool-mail' keeps crashing", "exit code 3"];
    until_in_trouble(&env, "worker", &causes).await;
    replace(&env, &pod).await;
    env.until_ready("worker").await;
}

#[tokio::test]
async fn a_rollout_that_gets_nowhere_is_stalled_until_another_works() {
    let env = TestEnv::new("stuck").await;
    env.with_agent("worker", "work").await;
    // A field that is left to others, so the test need not wait for minutes.
    let impatient = json!({"spec": {"progressDeadlineSeconds": 3}});
    env.patch::<Deployment>("worker", impatient).await;
    let room = |room: Value| json!({"spec": {"nodeSelector": room}});
    env.patch::<LanguageAgent>("worker", room(json!({"tests/room": "nowhere"})))
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
    env.until("worker", is_stuck).await;
    env.patch::<LanguageAgent>("worker", room(Value::Null))
        .await;
    let agent = env.until_ready("worker").await;
    assert!(condition(&agent, "Stalled").is_none(), "{:?}", agent.status);
}

#[tokio::test]
async fn a_pod_that_no_node_takes_is_told_of_until_one_does() {
    let env = TestEnv::new("no-node").await;
    env.apply(TOOL).await;
    env.apply(MODEL).await;
    let nowhere = "  nodeSelector: {tests/room: nowhere}\n";
    env.apply(&(agent_yaml("homeless", "find a home") + nowhere))
        .await;
    until_in_trouble(&env, "homeless", &["cannot be scheduled"]).await;
    env.patch::<LanguageAgent>("homeless", json!({"spec": {"nodeSelector": null}}))
        .await;
    env.until_ready("homeless").await;
}

#[tokio::test]
async fn a_runtime_class_that_does_not_exist_is_told_in_the_api_servers_words() {
    let env = TestEnv::new("no-class").await;
    env.apply("{apiVersion: langop.io/v1alpha1, kind: LanguageAgent, metadata: {name: caged}, spec: {image: registry.example/own:1, runtimeClassName: nowhere}}")
        .await;
    until_refused(&env, "caged", "RuntimeClass \"nowhere\" not found").await;
    env.patch::<LanguageAgent>("caged", json!({"spec": {"runtimeClassName": null}}))
        .await;
    env.until_ready("caged").await;
}

/// Waits until the agent is stalled because pods are refused, for this cause.
async fn until_refused(env: &TestEnv, agent: &str, cause: &str) {
    let says = |agent: &LanguageAgent| {
        let stalled = condition(agent, "Stalled").filter(|stalled| stalled.status == "True");
        is_current(agent)
            && is(agent, "Ready", "False")
            && stalled.is_some_and(|stalled| {
                stalled.reason == "PodsRefused" && stalled.message.contains(cause)
            })
    };
    env.until(agent, says).await;
}

/// No pod may be made.
async fn with_quota_of_nothing(env: &TestEnv) {
    env
        .apply("{apiVersion: v1, kind: ResourceQuota, metadata: {name: tight}, spec: {hard: {pods: \"0\"}}}")
        .await;
    let enforced = |quota: &ResourceQuota| {
        let hard = quota
            .status
            .as_ref()
            .and_then(|status| status.hard.as_ref());
        hard.is_some_and(|hard| hard.contains_key("pods"))
    };
    env.until("tight", enforced).await;
}

async fn lift_quota(env: &TestEnv) {
    let quotas = env.ns.api::<ResourceQuota>();
    quotas
        .delete("tight", &DeleteParams::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn pods_that_a_quota_refuses_are_told_of_until_it_allows_them() {
    let env = TestEnv::new("quota").await;
    env.with_tool_and_model().await;
    with_quota_of_nothing(&env).await;
    env.apply(&agent_yaml("poor", "save")).await;
    until_refused(&env, "poor", "exceeded quota: tight").await;
    lift_quota(&env).await;
    env.until_ready("poor").await;
}

#[tokio::test]
async fn a_run_whose_pod_a_quota_refuses_is_told_of_until_it_has_one() {
    let env = TestEnv::new("quota-run").await;
    executions::scheduled(&env, "clerk", "").await;
    with_quota_of_nothing(&env).await;
    env.run_now("clerk", "refused").await;
    until_refused(&env, "clerk", "kubectl describe job refused").await;
    lift_quota(&env).await;
    env.until_counted("clerk", (1, 1, 0)).await;
    env.until_ready("clerk").await;
}

#[tokio::test]
async fn a_run_that_no_node_takes_is_told_of_until_one_does() {
    let env = TestEnv::new("no-node-run").await;
    let before = scheduled_in(&env, "clerk", "attic").await;
    env.run_now("clerk", "stranded").await;
    until_in_trouble(&env, "clerk", &["Job 'stranded'", "cannot be scheduled"]).await;

    let nodes = Api::<Node>::all(env.ns.client());
    let node = nodes.list(&ListParams::default()).await.unwrap().items[0].name_any();
    let label = |value: Value| Patch::Merge(json!({"metadata": {"labels": {"tests/room": value}}}));
    let set = async |value| {
        nodes
            .patch(&node, &PatchParams::default(), &label(value))
            .await
            .unwrap();
    };
    set(json!("attic")).await;
    env.until_counted("clerk", (1, 1, 0)).await;
    set(Value::Null).await;
    env.until_ready("clerk").await;
    assert_one_rollout(&history::since(&env, &before).await);
}

#[tokio::test]
async fn a_run_whose_image_cannot_be_pulled_is_told_of_once_until_it_ends() {
    let env = TestEnv::new("no-image-run").await;
    // No node takes its pods, so kwok does not end them.
    let before = scheduled_in(&env, "clerk", "nowhere").await;
    env.run_now("clerk", "imageless").await;
    let pod = env.pod_of_job("imageless").await;
    // The scheduler's word comes before ours, or it would take ours back.
    let has_no_node = |pod: &Pod| {
        let status = pod.status.as_ref();
        let mut conditions = status
            .iter()
            .flat_map(|status| &status.conditions)
            .flatten();
        conditions.any(|one| one.type_ == "PodScheduled" && one.status == "False")
    };
    let pod = env.until(&pod.name_any(), has_no_node).await;
    let image = pod.spec.as_ref().unwrap().containers[0]
        .image
        .clone()
        .unwrap();
    let wait_for = async |reason: &str| {
        let waiting = json!({"reason": reason, "message": "not found"});
        kubelet::waits(&env, &pod, waiting, None).await;
    };
    wait_for("ErrImagePull").await;
    let causes = ["Job 'imageless'", "cannot be pulled", &image];
    until_in_trouble(&env, "clerk", &causes).await;
    let mark = env.settled().await;
    for reason in ["ImagePullBackOff", "ErrImagePull", "ContainerCreating"] {
        wait_for(reason).await;
        env.summary_since(mark).await.assert_none();
    }

    kubelet::ended(&env, &pod, 0, "at last").await;
    env.until_counted("clerk", (1, 1, 0)).await;
    env.until_ready("clerk").await;
    assert_one_rollout(&history::since(&env, &before).await);
}

/// An agent that runs once a year, where a node is labelled for this room.
async fn scheduled_in(env: &TestEnv, name: &str, room: &str) -> LanguageAgent {
    let selector = format!(", nodeSelector: {{tests/room: {room}}}");
    executions::scheduled(env, name, &selector).await;
    env.settled().await;
    env.get(name).await.unwrap()
}

#[tokio::test]
async fn a_rollout_is_told_of_while_it_runs_and_ready_does_not_flap() {
    let env = TestEnv::new("rollout").await;
    let before = env.with_agent("steady", "stay").await;

    env.patch::<LanguageAgent>(
        "steady",
        json!({"spec": {"env": [{"name": "NEW", "value": "yes"}]}}),
    )
    .await;
    let rolled = env.until_ready("steady").await;
    assert_one_rollout(&history::since(&env, &before).await);

    env.instruct("steady", "stay, but otherwise").await;
    env.until_ready("steady").await;
    env.settled().await;
    assert_one_rollout(&history::since(&env, &rolled).await);
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
    let env = TestEnv::choosing("bad-code", patient).await;
    env.with_agent("worker", "work").await;
    let works = running_pod(&env, "worker").await;
    // As one that has worked for a while.
    let is_available = |deployment: &Deployment| {
        let status = deployment.status.as_ref();
        status.and_then(|status| status.available_replicas) == Some(1)
    };
    env.until("worker", is_available).await;

    env.llm.reply(code("fail"));
    env.instruct("worker", "work harder").await;
    until_pods_ready(&env, "worker", 2).await;
    let mut pods = env.pods("worker").await;
    pods.retain(|pod| pod.uid() != works.uid());
    kubelet::crashed(&env, &pods[0], 0, kubelet::crash(0)).await;
    until_in_trouble(
        &env,
        "worker",
        &["1 old pods still run", "ended (exit code 3, Error)"],
    )
    .await;

    // And back: to the pod that was there all the time.
    let former = json!({"spec": {"synthesis": {"revision": 1}}});
    env.patch::<LanguageAgent>("worker", former).await;
    env.until_ready("worker").await;
    assert_eq!(running_pod(&env, "worker").await.uid(), works.uid());
}
