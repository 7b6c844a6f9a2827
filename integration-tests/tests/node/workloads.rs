//! Pods run, and how they end reaches their status as the kubelet of any cluster writes it.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Node, PersistentVolumeClaim, Pod};
use kube::api::{ListParams, LogParams, PostParams};
use kube::{Api, ResourceExt as _};
use langop_integration_tests::{ControlPlane, TestNamespace, pods::exit, wait};
use serde_json::json;

use crate::{SOON, address, assert_probe, probe, ready};

/// How the only container ended.
fn end(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.first()?.state.as_ref()?.terminated.as_ref()
}

#[tokio::test]
async fn a_pod_of_an_image_that_we_built_runs_and_answers() {
    let Some(cp) = ControlPlane::shared_with_real_node().await else {
        return;
    };
    let nodes: Api<Node> = Api::all(cp.client().await.unwrap());
    let nodes = nodes.list(&ListParams::default()).await.unwrap();
    let info = nodes.items[0].status.as_ref().unwrap().node_info.as_ref();
    let info = info.unwrap();
    assert!(info.kubelet_version.starts_with("v1."), "{info:?}");
    assert!(
        info.container_runtime_version.starts_with("containerd://"),
        "{info:?}"
    );

    let ns = TestNamespace::create(cp, "runs").await.unwrap();
    let image = cp
        .probe_image("localhost/greeter:1", &["serve", "greeter", "8080"])
        .unwrap();
    cp.import(&image).await.unwrap();
    let mut pod = probe("greeter", &[]);
    let container = &mut pod["spec"]["containers"][0];
    container["image"] = json!(image.name());
    container["command"] = json!(null);
    container["readinessProbe"] = json!({"httpGet": {"port": 8080}, "periodSeconds": 1});
    let greeter = ready(&ns, pod).await;

    let url = format!("http://{}:8080/", address(&greeter));
    let asked = cp
        .exec(ns.name(), "greeter", &["/probe", "get", &url])
        .await
        .unwrap();
    assert_eq!(asked.code, exit::ANSWERED, "{}", asked.output);
    assert!(asked.output.starts_with("greeter to "), "{}", asked.output);
    // Its root file system is the image's, and read-only.
    assert_probe(cp, &ns, "greeter", &["write", "/note", "x"], exit::FAILED).await;
}

#[tokio::test]
async fn a_jobs_pod_tells_its_message_and_its_code() {
    let Some(cp) = ControlPlane::shared_with_real_node().await else {
        return;
    };
    let ns = TestNamespace::create(cp, "jobs").await.unwrap();
    for (name, code, condition) in [("good", 0, "Complete"), ("bad", 7, "Failed")] {
        let words = ["end", "the reason why", &code.to_string()];
        let template = probe(name, &words);
        let job = json!({
            "metadata": {"name": name},
            "spec": {
                "backoffLimit": 0,
                "template": {"metadata": template["metadata"], "spec": template["spec"]},
            },
        });
        let job: Job = serde_json::from_value(job).unwrap();
        ns.api::<Job>()
            .create(&PostParams::default(), &job)
            .await
            .unwrap();
        wait::object(ns.api::<Job>(), name, SOON, |job| {
            let status = job.status.as_ref();
            let mut conditions = status
                .and_then(|status| status.conditions.as_ref())
                .into_iter()
                .flatten();
            conditions.any(|found| found.type_ == condition && found.status == "True")
        })
        .await
        .unwrap();
        let of_job = ListParams::default().labels(&format!("job-name={name}"));
        let pods = ns.api::<Pod>().list(&of_job).await.unwrap();
        let end = end(&pods.items[0]).unwrap();
        assert_eq!(end.exit_code, code, "{end:?}");
        assert_eq!(end.message.as_deref(), Some("the reason why"), "{end:?}");
    }
}

#[tokio::test]
async fn a_container_that_takes_too_much_memory_is_said_to_be_oom_killed() {
    let Some(cp) = ControlPlane::shared_with_real_node().await else {
        return;
    };
    let ns = TestNamespace::create(cp, "memory").await.unwrap();
    let with_limit = |name: &str, mebibytes: &str| {
        let mut pod = probe(name, &["allocate", mebibytes]);
        pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "64Mi"}});
        pod
    };
    // Below its limit it goes on.
    ready(&ns, with_limit("modest", "16")).await;
    wait::until("its word that it has the memory", SOON, async || {
        let log = ns.api::<Pod>().logs("modest", &LogParams::default()).await;
        let log = log.unwrap_or_else(|error| error.to_string());
        if log.contains("holding 16 MiB") {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await
    .unwrap();

    let greedy: Pod = serde_json::from_value(with_limit("greedy", "256")).unwrap();
    ns.api::<Pod>()
        .create(&PostParams::default(), &greedy)
        .await
        .unwrap();
    let greedy = wait::object(ns.api::<Pod>(), "greedy", SOON, |pod| end(pod).is_some())
        .await
        .unwrap();
    let end = end(&greedy).unwrap();
    assert_eq!(end.reason.as_deref(), Some("OOMKilled"), "{end:?}");
    assert_eq!(end.exit_code, 137, "{end:?}");
}

#[tokio::test]
async fn a_claimed_volume_is_writable_for_the_pods_group() {
    let Some(cp) = ControlPlane::shared_with_real_node().await else {
        return;
    };
    let ns = TestNamespace::create(cp, "volumes").await.unwrap();
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    });
    let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
    ns.api::<PersistentVolumeClaim>()
        .create(&PostParams::default(), &claim)
        .await
        .unwrap();
    let with_volume = |name: &str, words: &[&str]| {
        let mut pod = probe(name, words);
        let spec = &mut pod["spec"];
        spec["securityContext"]["fsGroup"] = json!(65532);
        spec["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
        pod
    };
    ready(&ns, with_volume("writer", &["wait"])).await;
    assert_probe(cp, &ns, "writer", &["write", "/data/note", "kept"], 0).await;
    // Another pod finds it.
    let reader = ready(&ns, with_volume("reader", &["wait"])).await;
    let read = ["/probe", "read", "/data/note"];
    let read = cp.exec(ns.name(), &reader.name_any(), &read).await.unwrap();
    assert_eq!((read.code, &*read.output), (0, "kept"));
}
