//! The operator's own `NetworkPolicies`, judged by packets: an agent, a tool and a model proxy
//! whose images are the probe.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams};
use langop_api::{LanguageAgent, LanguageModel, LanguageTool};
use langop_integration_tests::control_plane::node::MACHINE;
use langop_integration_tests::{
    ControlPlane, Operator, Synthesizer, TestNamespace, manifests, pods::exit, wait,
};
use serde_json::json;

use crate::{SOON, address, assert_probe, is_ready};

const OBJECTS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: brain-key}
stringData: {api-key: none}
---
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: mail}
spec:
  image: localhost/probe-tool:1
  description: Sends mail
---
apiVersion: langop.io/v1alpha1
kind: LanguageModel
metadata: {name: brain}
spec:
  provider: custom
  model: in-house
  image: localhost/probe-model:1
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: clerk}
spec:
  image: localhost/probe-agent:1
  toolRefs: [{name: mail}]
  modelRefs: [{name: brain}]
";

/// The one pod of a resource, when it is ready.
pub(crate) async fn pod_of(ns: &TestNamespace, kind: &str, name: &str) -> Pod {
    let of_it = ListParams::default().labels(&format!("langop.io/{kind}={name}"));
    wait::until(&format!("a ready pod of {kind} {name}"), SOON, async || {
        let mut pods = ns.api::<Pod>().list(&of_it).await?.items;
        pods.retain(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none());
        match &pods[..] {
            [pod] => Ok(pod.clone()),
            pods => {
                let agents = ns.api::<LanguageAgent>();
                let mut agents = agents.list(&ListParams::default()).await?.items;
                let status = agents.pop().and_then(|agent| agent.status);
                Err(anyhow::anyhow!("{} ready pods; {status:?}", pods.len()))
            }
        }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn an_agent_reaches_what_it_names_and_nobody_reaches_the_agent() {
    let Some(cp) = ControlPlane::shared_with_real_node().await else {
        return;
    };
    cp.install_crds().await.unwrap();
    for part in ["agent", "tool", "model"] {
        let image = cp
            .probe_image(&format!("localhost/probe-{part}:1"), &["serve", part])
            .unwrap();
        cp.import(&image).await.unwrap();
    }
    let ns = TestNamespace::create(cp, "packets").await.unwrap();
    let synthesizer = Synthesizer::template().start().await.unwrap();
    let _operator = Operator::builder(cp)
        .namespaces(&[ns.name()])
        .synthesizer(synthesizer.grpc_url())
        .start()
        .await
        .unwrap();
    for object in manifests::parse(OBJECTS).unwrap() {
        manifests::apply(&ns.client(), &object, ns.name())
            .await
            .unwrap();
    }
    let (agent, tool) = (pod_of(&ns, "agent", "clerk"), pod_of(&ns, "tool", "mail"));
    let (agent, tool, model) = (agent.await, tool.await, pod_of(&ns, "model", "brain").await);
    let (clerk, mail) = (agent.name_any(), tool.name_any());

    // What it names, by the names that its environment tells it.
    let endpoint = ns.api::<LanguageTool>().get("mail").await.unwrap().status;
    let tool_url = endpoint.and_then(|status| status.endpoint).unwrap();
    assert_probe(cp, &ns, &clerk, &["get", &tool_url], exit::ANSWERED).await;
    let endpoint = ns.api::<LanguageModel>().get("brain").await.unwrap().status;
    let model_url = endpoint.and_then(|status| status.endpoint).unwrap();
    assert_probe(cp, &ns, &clerk, &["get", &model_url], exit::ANSWERED).await;

    // Nobody reaches the agent, though it listens.
    let agent_address = format!("{}:8088", address(&agent));
    let listens = cp.probe_on_node(&["dial", "tcp", &agent_address]).await;
    assert_eq!(listens.unwrap().code, exit::ANSWERED);
    for other in [&mail, &model.name_any()] {
        assert_probe(
            cp,
            &ns,
            other,
            &["dial", "tcp", &agent_address],
            exit::TIMED_OUT,
        )
        .await;
    }
    // Nor does a tool reach the model that only the agent names.
    let model_address = format!("{}:8000", address(&model));
    assert_probe(
        cp,
        &ns,
        &mail,
        &["dial", "tcp", &model_address],
        exit::TIMED_OUT,
    )
    .await;
}

#[tokio::test]
async fn an_agent_reaches_an_address_beyond_the_cluster_once_that_is_granted() {
    let Some(cp) = ControlPlane::shared_with_real_node().await else {
        return;
    };
    cp.install_crds().await.unwrap();
    let image = cp.probe_image("localhost/probe-agent:1", &["serve", "agent"]);
    cp.import(&image.unwrap()).await.unwrap();
    let ns = TestNamespace::create(cp, "beyond").await.unwrap();
    let synthesizer = Synthesizer::template().start().await.unwrap();
    let _operator = Operator::builder(cp)
        .namespaces(&[ns.name()])
        .synthesizer(synthesizer.grpc_url())
        .start()
        .await
        .unwrap();
    let agent = "{apiVersion: langop.io/v1alpha1, kind: LanguageAgent, metadata: {name: clerk}, spec: {image: 'localhost/probe-agent:1'}}";
    for object in manifests::parse(agent).unwrap() {
        manifests::apply(&ns.client(), &object, ns.name())
            .await
            .unwrap();
    }
    let clerk = pod_of(&ns, "agent", "clerk").await.name_any();

    // The machine's end of the node's link plays a server beyond the cluster.
    let server = tokio::net::TcpListener::bind((MACHINE, 0)).await.unwrap();
    let port = server.local_addr().unwrap().port();
    let beyond = format!("{MACHINE}:{port}");
    assert_probe(cp, &ns, &clerk, &["dial", "tcp", &beyond], exit::TIMED_OUT).await;

    let egress = json!({"spec": {"egress": [
        {"cidr": format!("{MACHINE}/32"), "ports": [{"port": port}]},
    ]}});
    ns.api::<LanguageAgent>()
        .patch("clerk", &PatchParams::default(), &Patch::Merge(egress))
        .await
        .unwrap();
    wait::until("an answer once it is granted", SOON, async || {
        let dial = ["/probe", "dial", "tcp", &beyond];
        let executed = cp.exec(ns.name(), &clerk, &dial).await?;
        if executed.code == exit::ANSWERED {
            Ok(())
        } else {
            Err(anyhow::anyhow!("{executed:?}"))
        }
    })
    .await
    .unwrap();
}
