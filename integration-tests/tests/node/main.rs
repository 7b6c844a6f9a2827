//! What only a real node can show: containers of images that we built, how they end, and packets
//! that `NetworkPolicies` let through or drop. kwok plays the node in all other tests.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

mod denied;
mod languages;
mod operator;
mod policies;
mod running;
mod workloads;
mod world;

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::PostParams;
use langop_integration_tests::pods::probe;
use langop_integration_tests::{ControlPlane, TestNamespace, wait};
use serde_json::Value;

/// Until something must have happened. Long, since the API server's plugin that guards owner
/// references learns of new kinds only every half a minute, and the operator backs off meanwhile.
const SOON: Duration = Duration::from_mins(3);

/// Creates a pod, and waits until its containers are ready.
async fn ready(ns: &TestNamespace, pod: Value) -> Pod {
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let name = pod.name_any();
    ns.api::<Pod>()
        .create(&PostParams::default(), &pod)
        .await
        .unwrap();
    wait::object(ns.api(), &name, SOON, is_ready).await.unwrap()
}

fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let mut conditions = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn address(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.pod_ip.as_deref())
        .unwrap_or_else(|| panic!("pod {} has no address", pod.name_any()))
}

/// Runs the probe in a pod, and asserts with which code it ends.
async fn assert_probe(cp: &ControlPlane, ns: &TestNamespace, pod: &str, words: &[&str], code: i32) {
    let command: Vec<&str> = [&["/probe"], words].concat();
    let executed = cp.exec(ns.name(), pod, &command).await.unwrap();
    assert_eq!(executed.code, code, "{pod}: {words:?}: {}", executed.output);
}
