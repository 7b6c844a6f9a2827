//! Says of pods what a kubelet would say, where kwok's pods only ever do well. kwok leaves alone a
//! pod that runs already (unless it is a Job's), and one that no node took.

use k8s_openapi::{
    api::core::v1::{Container, Pod},
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use langop_integration_tests::env::TestEnv;

/// Its container waits and is not ready; `last` is how it ended before, if it did.
pub(crate) async fn waits(env: &TestEnv, pod: &Pod, waiting: Value, last: Option<Value>) {
    let restarts = i32::from(last.is_some());
    let mut status = container(pod, &json!({"waiting": waiting}), restarts);
    if let Some(last) = last {
        status["lastState"] = json!({"terminated": last});
    }
    say_of_container(env, pod, status).await;
}

/// Its container ended and is to be started again.
pub(crate) async fn crashed(env: &TestEnv, pod: &Pod, restarts: i32, end: Value) {
    let status = container(pod, &json!({"terminated": end}), restarts);
    say_of_container(env, pod, status).await;
}

/// Its container was just started again, and is ready.
pub(crate) async fn runs_again(env: &TestEnv, pod: &Pod, restarts: i32, last: Value) {
    let running = json!({"running": {"startedAt": Timestamp::now().to_string()}});
    let mut status = container(pod, &running, restarts);
    status["ready"] = json!(true);
    status["lastState"] = json!({"terminated": last});
    say_of_container(env, pod, status).await;
}

/// A sidecar of the pod ended, was started again and ended again: it waits, and the pod is not
/// ready.
pub(crate) async fn sidecar_crashes(env: &TestEnv, pod: &Pod, name: &str, end: Value) {
    let mut sidecars = pod.spec.as_ref().unwrap().init_containers.iter().flatten();
    let sidecar = sidecars.find(|sidecar| sidecar.name == name);
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let mut status = status_of(sidecar.unwrap(), &waiting, 1);
    status["lastState"] = json!({"terminated": end});
    let conditions = conditions(&status);
    say(
        env,
        pod,
        json!({"conditions": conditions, "initContainerStatuses": [status]}),
    )
    .await;
}

async fn say_of_container(env: &TestEnv, pod: &Pod, status: Value) {
    let conditions = conditions(&status);
    say(
        env,
        pod,
        json!({"conditions": conditions, "containerStatuses": [status]}),
    )
    .await;
}

/// The pod is ready exactly if the container of this status is.
fn conditions(status: &Value) -> Value {
    let value = if status["ready"] == true {
        "True"
    } else {
        "False"
    };
    let readiness =
        |type_: &str| json!({"type": type_, "status": value, "lastTransitionTime": END});
    json!([
        readiness("Ready"),
        readiness("ContainersReady"),
        {"type": "Initialized", "status": "True"},
        {"type": "PodScheduled", "status": "True"},
    ])
}

/// Its container ended, and so did the pod.
pub(crate) async fn ended(env: &TestEnv, pod: &Pod, exit_code: i32, message: &str) {
    let phase = if exit_code == 0 {
        "Succeeded"
    } else {
        "Failed"
    };
    let state = json!({"terminated": terminated(exit_code, message)});
    let status = container(pod, &state, 0);
    say(
        env,
        pod,
        json!({"phase": phase, "containerStatuses": [status]}),
    )
    .await;
}

/// How a container ended, with its termination message.
pub(crate) fn terminated(exit_code: i32, message: &str) -> Value {
    let reason = if exit_code == 0 { "Completed" } else { "Error" };
    json!({"exitCode": exit_code, "reason": reason, "message": message, "startedAt": END, "finishedAt": END})
}

/// How a container ended badly after it had run for so many minutes.
pub(crate) fn crash(minutes: i64) -> Value {
    let mut end = terminated(3, "disk full");
    let began = END.parse::<Timestamp>().unwrap() - SignedDuration::from_mins(minutes);
    end["startedAt"] = json!(began.to_string());
    end
}

/// Any time of the past will do.
const END: &str = "2026-01-01T00:00:00Z";

fn container(pod: &Pod, state: &Value, restarts: i32) -> Value {
    status_of(&pod.spec.as_ref().unwrap().containers[0], state, restarts)
}

fn status_of(container: &Container, state: &Value, restarts: i32) -> Value {
    json!({
        "name": container.name, "image": container.image, "imageID": "",
        "ready": false, "restartCount": restarts, "state": state,
    })
}

async fn say(env: &TestEnv, pod: &Pod, status: Value) {
    let patch = Patch::Merge(json!({"status": status}));
    env.ns
        .api::<Pod>()
        .patch_status(&pod.name_any(), &PatchParams::default(), &patch)
        .await
        .unwrap();
}
