//! Shows what came of the samples: code, children, the trace, and what to try next. Reads only.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        batch::v1::CronJob,
        core::v1::{ConfigMap, PersistentVolumeClaim},
        networking::v1::NetworkPolicy,
    },
};
use kube::{Api, Client, Resource, ResourceExt as _, api::ListParams};
use langop_api::{
    LanguageAgent,
    agent::SynthesisInfo,
    names::{CODE_KEY, annotations, labels},
};
use langop_integration_tests::{Cluster, ControlPlane, OtlpReceiver, otlp, workspace_root};
use serde::de::DeserializeOwned;

use crate::{
    samples::{NAMESPACE, Samples},
    say::{block, headline, note},
};

/// Each agent's code, and the objects that run it.
pub(crate) async fn agents(client: &Client, samples: &Samples) -> Result<()> {
    for object in samples.ours().filter(|o| {
        o.types
            .as_ref()
            .is_some_and(|types| types.kind == "LanguageAgent")
    }) {
        let namespace = object.metadata.namespace.as_deref().unwrap_or(NAMESPACE);
        let name = object
            .metadata
            .name
            .as_deref()
            .context("an agent without name")?;
        let agent: LanguageAgent = Api::namespaced(client.clone(), namespace).get(name).await?;
        agent_card(client, namespace, &agent).await?;
    }
    Ok(())
}

async fn agent_card(client: &Client, namespace: &str, agent: &LanguageAgent) -> Result<()> {
    let name = agent.name_any();
    let status = agent.status.clone().unwrap_or_default();
    let mode = status
        .mode
        .map_or("?", langop_api::agent::ExecutionMode::as_str);
    headline(&format!(
        "{namespace}/{name}: {mode} {}",
        status.schedule.unwrap_or_default()
    ));
    note("its instructions:");
    block(agent.spec.instructions.as_deref().unwrap_or("(none)"));
    let info = status.synthesis_info.unwrap_or_default();
    match active_code(client, namespace, &name).await? {
        Some(code) => show_code(&code, info)?,
        None => note("no code: its own image does the work"),
    }
    note("its children:");
    let uid = agent.uid().unwrap_or_default();
    let policies = owned::<NetworkPolicy>(client, namespace, &uid).await?;
    let workloads = [
        owned::<Deployment>(client, namespace, &uid).await?,
        owned::<CronJob>(client, namespace, &uid).await?,
    ]
    .concat();
    // Ready, it says; what a person is shown must bear that out.
    ensure!(!policies.is_empty(), "agent {name} has no network policy");
    ensure!(!workloads.is_empty(), "agent {name} has no workload");
    for child in [
        owned::<ConfigMap>(client, namespace, &uid).await?,
        policies,
        owned::<PersistentVolumeClaim>(client, namespace, &uid).await?,
        workloads,
        kept_workspace(client, namespace, &name).await?,
    ]
    .concat()
    {
        block(&child);
    }
    Ok(())
}

fn show_code(code: &ConfigMap, info: SynthesisInfo) -> Result<()> {
    note(&format!(
        "its code, {} revision {}, written by {} in {}:",
        code.name_any(),
        info.revision.unwrap_or_default(),
        info.synthesis_model.unwrap_or_default(),
        info.synthesis_duration.unwrap_or_default()
    ));
    let code = code.data.as_ref().and_then(|data| data.get(CODE_KEY));
    block(code.context("a code ConfigMap without code")?);
    Ok(())
}

/// The stored revision with the highest number.
async fn active_code(client: &Client, namespace: &str, agent: &str) -> Result<Option<ConfigMap>> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let stored = api
        .list(&ListParams::default().labels(&format!("{}={agent}", labels::AGENT)))
        .await?;
    Ok(stored.items.into_iter().max_by_key(|map| {
        map.annotations()
            .get(annotations::REVISION)
            .and_then(|text| text.parse::<i64>().ok())
    }))
}

async fn owned<K>(client: &Client, namespace: &str, uid: &str) -> Result<Vec<String>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let all = api.list(&ListParams::default()).await?;
    let ours = all
        .items
        .iter()
        .filter(|o| o.owner_references().iter().any(|owner| owner.uid == uid));
    Ok(ours
        .map(|o| format!("{} {}", K::kind(&()), o.name_any()))
        .collect())
}

/// A workspace that outlives its agent has no owner; the label tells whose it is.
async fn kept_workspace(client: &Client, namespace: &str, agent: &str) -> Result<Vec<String>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claims = api
        .list(&ListParams::default().labels(&format!("{}={agent}", labels::AGENT)))
        .await?;
    let kept = claims
        .items
        .iter()
        .filter(|claim| claim.owner_references().is_empty());
    Ok(kept
        .map(|claim| {
            format!(
                "PersistentVolumeClaim {} (kept when the agent is deleted)",
                claim.name_any()
            )
        })
        .collect())
}

/// One synthesis, from the operator's reconcile to the model.
pub(crate) async fn trace(receiver: &OtlpReceiver) -> Result<()> {
    headline("one trace of a synthesis, from the operator to the model");
    let whole = |spans: &[otlp::Span]| {
        let judged = spans
            .iter()
            .filter(|span| span.name == "langop.synthesis.validate");
        let mut trees = judged.flat_map(|span| otlp::trees(spans, &span.trace_id));
        trees
            .find(|tree| tree.span.name == "reconcile")
            .map(|tree| tree.to_string())
    };
    let tree = receiver.wait_for(
        "a trace of a synthesis",
        std::time::Duration::from_secs(20),
        whole,
    );
    block(&tree.await?);
    Ok(())
}

/// How to go on from here.
pub(crate) fn what_next(
    cluster: &Cluster,
    control_plane: Option<&ControlPlane>,
    samples: &Path,
    state: &Path,
) {
    headline("what to try next");
    let kubectl = control_plane.map_or_else(
        || "kubectl".into(),
        |cp| cp.ready().kubectl.display().to_string(),
    );
    if let Some(kubeconfig) = cluster.kubeconfig() {
        note(&format!("export KUBECONFIG={}", kubeconfig.display()));
    }
    note(&format!("alias k={kubectl}"));
    note("k get langop -A                                   # everything of ours");
    note("k describe lagent -n demo                         # conditions and events");
    note(
        "k get cm -n demo -l langop.io/agent -o yaml       # the code, each revision an immutable ConfigMap",
    );
    note(&format!(
        "edit a file in {}: it is applied, and only what depends on the edit changes",
        here(samples)
    ));
    note(&format!(
        "{} has the addresses of gRPC, metrics and health",
        here(&state.join("endpoints.json"))
    ));
}

/// As a person in the workspace's folder would write it.
fn here(path: &Path) -> String {
    let root = workspace_root().ok();
    let inside = root.and_then(|root| path.strip_prefix(root).ok());
    inside.unwrap_or(path).display().to_string()
}
