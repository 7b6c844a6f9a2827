//! A namespace that its LanguageCluster suspends: everything in it stands still, whatever its spec
//! says, and goes on exactly as it was.

use std::{collections::BTreeMap, process::Stdio};

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::{CronJob, Job},
    core::v1::Pod,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
};
use langop_api::{
    LanguageAgent, LanguageCluster,
    agent::AgentPhase,
    cluster::ClusterPhase,
    names::{annotations, labels},
};
use langop_integration_tests::{ControlPlane, Operator, audit, programs, wait};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{QUIET, SOON, alone, apply, control_plane, loosen, resource, spoil, until_ready};

const NAMESPACE: &str = "retreat";
const AGENTS: usize = 100;
/// Most writes of the operator for one agent in one direction: its workload, its status twice, its
/// event, and as much for what pods do.
const WRITES: usize = 8;

struct World {
    cp: &'static ControlPlane,
    client: Client,
    operator: Operator,
}

impl World {
    async fn new() -> Self {
        let cp = control_plane().await;
        let client = cp.client().await.unwrap();
        let operator = Operator::builder(cp).cluster_wide().start().await.unwrap();
        Self {
            cp,
            client,
            operator,
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn patch_agent(&self, name: &str, patch: Value) {
        let params = PatchParams::default();
        let agents = self.api::<LanguageAgent>();
        agents
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// `kubectl langop` in this namespace, at a terminal at which somebody types this.
    async fn langop(&self, words: &str, typed: &str) -> (bool, String) {
        let plugin = programs::locate("kubectl-langop").unwrap();
        let line = format!("{} -n {NAMESPACE} {words}", plugin.display());
        let mut terminal = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("KUBECONFIG", &self.cp.ready().kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut keys = terminal.stdin.take().unwrap();
        keys.write_all(typed.as_bytes()).await.unwrap();
        // Held until it ends: a terminal has no end either.
        let said = terminal.wait_with_output().await.unwrap();
        drop(keys);
        let words = String::from_utf8_lossy(&said.stdout).into_owned();
        (said.status.success(), words)
    }

    async fn is_suspended(&self) -> bool {
        let clusters = Api::<LanguageCluster>::all(self.client.clone());
        let cluster = clusters.get(NAMESPACE).await.unwrap();
        cluster.spec.suspend == Some(true)
    }

    /// Waits until all agents are so.
    async fn until_all(&self, what: &str, is: impl Fn(&LanguageAgent) -> bool) {
        wait::until(what, SOON * 2, async || {
            let (agents, all) = (self.api::<LanguageAgent>(), ListParams::default());
            let mut others = agents.list(&all).await.unwrap().items;
            others.retain(|agent| !is(agent));
            match others.first() {
                None => Ok(()),
                Some(agent) => Err(format!("{} others: {:?}", others.len(), agent.status)),
            }
        })
        .await
        .unwrap();
    }

    /// What is to be as before: the specs of workloads, and which desired ones they were made from.
    async fn workloads(&self) -> BTreeMap<String, Value> {
        let all = ListParams::default();
        let deployments = self.api::<Deployment>().list(&all).await.unwrap().items;
        let cron_jobs = self.api::<CronJob>().list(&all).await.unwrap().items;
        let deployments = deployments.iter().map(|live| (live.name_any(), told(live)));
        let cron_jobs = cron_jobs.iter().map(|live| (live.name_any(), told(live)));
        deployments.chain(cron_jobs).collect()
    }

    async fn pods(&self) -> usize {
        let of_agents = ListParams::default().labels(labels::AGENT);
        self.api::<Pod>()
            .list(&of_agents)
            .await
            .unwrap()
            .items
            .len()
    }
}

async fn suspend_cluster(client: &Client, name: &str, suspend: bool) {
    let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
    Api::<LanguageCluster>::all(client.clone())
        .patch(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

fn told<K: kube::Resource + serde::Serialize>(live: &K) -> Value {
    let hash = live.meta().annotations.as_ref();
    let noted = hash.is_some_and(|all| all.contains_key(annotations::SUSPENDED));
    let hash = hash.and_then(|all| all.get(annotations::DESIRED_HASH));
    json!({"spec": serde_json::to_value(live).unwrap()["spec"], "hash": hash, "noted": noted})
}

fn agents() -> String {
    let cluster = format!(
        "---\n{{apiVersion: langop.io/v1alpha1, kind: LanguageCluster, metadata: {{name: {NAMESPACE}}}, spec: {{}}}}\n"
    );
    let agents = (0..AGENTS).map(|n| {
        let spec = match n {
            // Of one whose pod fits nowhere, the run is under way until somebody ends it.
            0 => "schedule: 0 9 1 1 *, nodeSelector: {tests/room: nowhere}".to_owned(),
            1 => "suspend: true, replicas: 2".to_owned(),
            n if n % 2 == 0 => "schedule: 0 9 1 1 *".to_owned(),
            n if n % 3 == 0 => "replicas: 1".to_owned(),
            // A number that is left to an autoscaler.
            _ => String::new(),
        };
        format!(
            "---\n{{apiVersion: langop.io/v1alpha1, kind: LanguageAgent, metadata: {{name: agent-{n}, namespace: {NAMESPACE}}}, spec: {{image: registry.example/own:1, {spec}}}}}\n"
        )
    });
    cluster + &agents.collect::<String>()
}

fn is_phase(agent: &LanguageAgent, phase: AgentPhase) -> bool {
    let status = agent.status.as_ref();
    status.and_then(|status| status.phase) == Some(phase)
}

#[tokio::test]
async fn a_hundred_agents_stand_still_and_go_on_as_they_were() {
    let _alone = alone().await;
    let world = World::new().await;
    let documents = agents();
    let (cluster, agents) = documents.split_at(documents[3..].find("---").unwrap() + 3);
    apply(&world.client, cluster).await;
    until_ready(&world.client, NAMESPACE).await;
    apply(&world.client, agents).await;
    let runs = |agent: &LanguageAgent| {
        let phase = agent.status.as_ref().and_then(|status| status.phase);
        matches!(phase, Some(AgentPhase::Running | AgentPhase::Suspended))
    };
    world.until_all("all agents run", runs).await;
    // An autoscaler's word, a run under way, and a spec that cannot be carried out any more.
    let scale = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let deployments = world.api::<Deployment>();
    deployments
        .patch("agent-5", &PatchParams::default(), &scale)
        .await
        .unwrap();
    world
        .patch_agent("agent-7", json!({"spec": {"timeZone": "Mars/Olympus"}}))
        .await;
    world.cp.run_now(NAMESPACE, "agent-0", "run").await.unwrap();
    let audit_log = world.cp.audit().unwrap();
    let ours = world.operator.writes();
    let mark = audit_log.mark().unwrap();
    audit_log.settle(mark, &ours, QUIET).await.unwrap();
    let before = world.workloads().await;
    assert_eq!(before.len(), AGENTS);

    let (is_done, said) = world.langop("suspend --all", "n\n").await;
    assert!(
        !is_done && said.contains("Stop 100 agents of namespace 'retreat'"),
        "{said}"
    );
    assert!(!world.is_suspended().await, "who says no changes nothing");
    let mark = audit_log.mark().unwrap();
    let (is_done, said) = world.langop("suspend --all", "y\n").await;
    assert!(
        is_done && said.contains("languagecluster.langop.io/retreat suspended"),
        "{said}"
    );
    world
        .until_all("all agents are suspended", |agent| {
            is_phase(agent, AgentPhase::Suspended)
        })
        .await;
    wait::until("no pod is left", SOON, async || match world.pods().await {
        0 => Ok(()),
        pods => Err(pods),
    })
    .await
    .unwrap();
    wait::gone(world.api::<Job>(), "run", SOON).await.unwrap();
    let is_told = |cluster: &LanguageCluster| {
        let status = cluster.status.clone().unwrap_or_default();
        let counted = status.agents.and_then(|agents| agents.suspended);
        status.phase == Some(ClusterPhase::Suspended) && counted == Some(100)
    };
    let clusters = Api::<LanguageCluster>::all(world.client.clone());
    wait::object(clusters, NAMESPACE, SOON, is_told)
        .await
        .unwrap();
    let writes = audit_log.settle(mark, &ours, QUIET).await.unwrap();
    assert!(
        writes.len() <= WRITES * AGENTS,
        "{}",
        audit::pretty(&writes)
    );

    let mark = audit_log.mark().unwrap();
    let (is_done, said) = world.langop("resume --all --yes", "").await;
    assert!(is_done && !world.is_suspended().await, "{said}");
    let goes_on = |agent: &LanguageAgent| match agent.name_any().as_str() {
        "agent-1" => is_phase(agent, AgentPhase::Suspended),
        _ => !is_phase(agent, AgentPhase::Suspended),
    };
    world.until_all("all agents go on", goes_on).await;
    let writes = audit_log.settle(mark, &ours, QUIET).await.unwrap();
    assert!(
        writes.len() <= WRITES * AGENTS,
        "{}",
        audit::pretty(&writes)
    );
    let after = world.workloads().await;
    for (name, before) in before {
        assert_eq!(after[&name], before, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_stands_still_too_and_goes_on_when_it_can_be_read() {
    let _alone = alone().await;
    let cp = control_plane().await;
    let client = cp.client().await.unwrap();
    let _operator = Operator::builder(cp).cluster_wide().start().await.unwrap();
    let cluster = "{apiVersion: langop.io/v1alpha1, kind: LanguageCluster, metadata: {name: grotto}, spec: {}}";
    apply(&client, cluster).await;
    until_ready(&client, "grotto").await;
    let agent = "{apiVersion: langop.io/v1alpha1, kind: LanguageAgent, metadata: {name: oracle, namespace: grotto}, spec: {image: registry.example/own:1, replicas: 2}}";
    apply(&client, agent).await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "grotto");
    let until_pods = async |number: i32| {
        let has = move |live: &Deployment| {
            live.spec.as_ref().and_then(|spec| spec.replicas) == Some(number)
        };
        wait::object(deployments.clone(), "oracle", SOON, has)
            .await
            .unwrap();
    };
    until_pods(2).await;

    loosen(&client, "languageagents.langop.io").await;
    let untyped: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "grotto", &resource("LanguageAgent"));
    spoil(&untyped, "oracle", "schedule").await;
    suspend_cluster(&client, "grotto", true).await;
    until_pods(0).await;
    suspend_cluster(&client, "grotto", false).await;
    let mended = Patch::Merge(json!({"spec": {"schedule": null}}));
    untyped
        .patch("oracle", &PatchParams::default(), &mended)
        .await
        .unwrap();
    until_pods(2).await;
    untyped
        .delete("oracle", &DeleteParams::default())
        .await
        .unwrap();
    langop_integration_tests::crds::install(&client)
        .await
        .unwrap();
}
