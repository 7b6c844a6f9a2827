//! The chart's `HorizontalPodAutoscaler` as Kubernetes' own controller carries it out: replicas
//! follow the requests in flight of real synthesizers, which it learns from a real Prometheus by way
//! of a real prometheus-adapter with the rule that docs/autoscaling.md shows.
//!
//! kwok only says that pods run, so for each of the Deployment's a synthesizer runs here.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use futures::{TryStreamExt as _, future::join_all};
use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod,
};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    runtime::{WatchStreamExt as _, watcher},
};
use langop_client::pool::{Address, Pool};
use langop_integration_tests::{
    ControlPlane, FakeLlm, Helm, Page, Reply, Synthesizer, Terminal,
    control_plane::extra,
    custom_metrics::PrometheusAdapter,
    fake_llm::AGENT,
    helm::{NAMESPACE, RELEASE},
    processes,
    programs::SynthesizerBuilder,
    prometheus::{Prometheus, write_targets},
    run_dir, wait, workspace_root,
};
use langop_proto::{
    routing::routing_key,
    v1::{
        AgentRef, SynthesisOutcome, SynthesizeRequest,
        synthesis_service_client::SynthesisServiceClient,
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::{Mutex, watch},
    task::{JoinHandle, JoinSet},
};
use tonic::transport::Endpoint;

/// What asks for this test: the adapter is built from source.
const WANTED: &str = "LANGOP_HPA";
const PAGE: &str = "docs/autoscaling.md";
const RULE: &str = "deploy/prometheus-adapter.yaml";
const METRIC: &str = "langop_synthesis_in_flight";
const NAME: &str = "langop-synthesizer";
const SELECTOR: &str = "app.kubernetes.io/name=langop-synthesizer";
/// The controller looks every 15 s, and each look may take one replica away.
const SOON: Duration = Duration::from_mins(4);
/// How long the LLM thinks.
const PAUSE: Duration = Duration::from_secs(10);
/// Of the release: requests in flight for each replica, and the most of these.
const TARGET: usize = 2;
const MOST: i32 = 4;
/// Requests at a time of which each calls for more replicas than those before.
const LOW: usize = 2;
const HIGH: usize = 5;
const TOO_HIGH: usize = 20;

#[test]
fn the_page_shows_the_rule_that_is_tried() {
    let yaml = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
    let rule = std::fs::read_to_string(workspace_root().unwrap().join(RULE)).unwrap();
    let page = Page::read(PAGE).unwrap();
    let blocks = page.blocks.iter().filter(|block| block.language == "yaml");
    let shown: Vec<_> = blocks.map(|block| yaml(&block.text)).collect();
    assert_eq!(shown, [yaml(&rule)]);
}

/// What a kubelet would do for the pods of the synthesizer.
struct Kubelet {
    pods: Api<Pod>,
    program: SynthesizerBuilder,
    /// What Prometheus scrapes.
    targets: PathBuf,
    /// What clients know, as from a headless Service.
    addresses: watch::Sender<Vec<Address>>,
    running: Mutex<BTreeMap<String, Synthesizer>>,
}

impl Kubelet {
    async fn follow(&self) {
        let config = watcher::Config::default().labels(SELECTOR);
        let events = watcher(self.pods.clone(), config).default_backoff();
        let mut events = Box::pin(events);
        while events.try_next().await.unwrap().is_some() {
            self.sync().await;
        }
    }

    async fn sync(&self) {
        let pods = ListParams::default().labels(SELECTOR);
        let pods = self.pods.list(&pods).await.unwrap().items;
        let stays = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none();
        let pods: BTreeSet<String> = pods
            .iter()
            .filter(stays)
            .map(ResourceExt::name_any)
            .collect();
        let mut running = self.running.lock().await;
        for pod in &pods {
            if !running.contains_key(pod) {
                let synthesizer = self.program.clone().start().await.unwrap();
                running.insert(pod.clone(), synthesizer);
            }
        }
        let all = std::mem::take(&mut *running).into_iter();
        let (kept, mut ended): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.partition(|(pod, _)| pods.contains(pod));
        *running = kept;
        self.publish(&running);
        drop(running);
        // Each finishes what it has.
        for ended in join_all(ended.values_mut().map(Synthesizer::stop)).await {
            ended.unwrap();
        }
    }

    fn publish(&self, running: &BTreeMap<String, Synthesizer>) {
        let labels = |pod: &String| json!({"namespace": NAMESPACE, "pod": pod});
        let targets: Vec<_> = running
            .iter()
            .map(|(pod, synthesizer)| (synthesizer.admin_url(), labels(pod)))
            .collect();
        write_targets(&self.targets, &targets).unwrap();
        let endpoint = |synthesizer: &Synthesizer| {
            let url = synthesizer.grpc_url().to_owned();
            Address::from(Endpoint::from_shared(url).unwrap())
        };
        self.addresses
            .send_replace(running.values().map(endpoint).collect());
    }

    /// Of all that run.
    async fn cpu_time(&self) -> Duration {
        let running = self.running.lock().await;
        let times = running.values().map(|one| processes::cpu_time(one.pid()));
        times.map(Result::unwrap).sum()
    }
}

/// Clients that ask for new code all the time, as many as are asked for.
struct Load {
    clients: watch::Sender<usize>,
    workers: JoinSet<usize>,
}

impl Load {
    fn start(addresses: watch::Receiver<Vec<Address>>) -> Self {
        let pool = Arc::new(Pool::new(addresses));
        let clients = watch::Sender::new(0);
        let worker = |nth| work(nth, Arc::clone(&pool), clients.subscribe());
        let workers = (0..TOO_HIGH).map(worker).collect();
        Self { clients, workers }
    }

    /// Begins or ends some; those that end wait for their answers.
    fn set(&self, clients: usize) {
        self.clients.send_replace(clients);
    }

    /// How many requests there were, all of them answered.
    async fn end(self) -> usize {
        self.set(0);
        drop(self.clients);
        self.workers.join_all().await.iter().sum()
    }
}

/// Returns how many answers it got. It panics when one is missing.
async fn work(nth: usize, pool: Arc<Pool>, mut clients: watch::Receiver<usize>) -> usize {
    let mut answered = 0;
    while clients.wait_for(|clients| nth < *clients).await.is_ok() {
        let request = SynthesizeRequest {
            agent: Some(AgentRef {
                name: "agent".into(),
                namespace: "default".into(),
            }),
            instructions: format!("Do what client {nth} wants, its wish {answered}"),
            ..SynthesizeRequest::default()
        };
        let deadline = tokio::time::Instant::now() + SOON;
        let key = routing_key(&request);
        let answer = pool.call(&key, deadline, async |channel| {
            let mut client = SynthesisServiceClient::new(channel);
            Ok(client.synthesize(request.clone()).await?.into_inner())
        });
        let answer = answer.await.unwrap();
        assert_eq!(answer.outcome(), SynthesisOutcome::Generated);
        answered += 1;
    }
    answered
}

/// A release whose synthesizer is scaled, and all that this takes.
struct Scaled {
    cp: ControlPlane,
    client: Client,
    helm: Helm,
    llm: FakeLlm,
    kubelet: Arc<Kubelet>,
    load: Load,
    /// What the Deployment was to have, each number as long as it stayed.
    heights: Arc<std::sync::Mutex<Vec<i32>>>,
    recorder: JoinHandle<()>,
    _adapter: PrometheusAdapter,
    _prometheus: Prometheus,
    _folder: TempDir,
}

impl Scaled {
    async fn new() -> Self {
        let state = run_dir().unwrap().join("autoscaling");
        let cp = ControlPlane::start(&state).await.unwrap();
        let llm = FakeLlm::start().await.unwrap();
        llm.reply_with(|_| Reply::Slow(PAUSE, Box::new(Reply::Code(AGENT.to_owned()))));
        let folder = TempDir::new().unwrap();
        let targets = folder.path().join("targets.json");
        write_targets(&targets, &[]).unwrap();
        let prometheus = Prometheus::following(NAME, &targets).await.unwrap();
        let rule = workspace_root().unwrap().join(RULE);
        let adapter = PrometheusAdapter::start(&cp, &prometheus, &rule);
        let adapter = adapter.await.unwrap();
        let helm = Helm::of(&cp).await;
        install(&helm);
        let client = cp.client().await.unwrap();
        let kubelet = Arc::new(Kubelet {
            pods: Api::namespaced(client.clone(), NAMESPACE),
            program: Synthesizer::asking(&llm),
            targets,
            addresses: watch::Sender::new(Vec::new()),
            running: Mutex::default(),
        });
        let heights = Arc::default();
        let deployments = Api::namespaced(client.clone(), NAMESPACE);
        let recorder = tokio::spawn(record(deployments, Arc::clone(&heights)));
        let load = Load::start(kubelet.addresses.subscribe());
        Self {
            cp,
            client,
            helm,
            llm,
            kubelet,
            load,
            heights,
            recorder,
            _adapter: adapter,
            _prometheus: prometheus,
            _folder: folder,
        }
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Waits until as many are to run, and do.
    async fn until_replicas(&self, wanted: i32) {
        let as_wanted = |deployment: &Deployment| {
            let status = deployment.status.as_ref();
            let available = status.and_then(|status| status.available_replicas);
            replicas(deployment) == Some(wanted) && available == Some(wanted)
        };
        wait::object(self.deployments(), NAME, SOON, as_wanted)
            .await
            .unwrap();
        let what = format!("{wanted} programs");
        wait::until(&what, SOON, async || {
            let running = self.kubelet.running.lock().await.len();
            (i32::try_from(running) == Ok(wanted)).then_some(())
        })
        .await
        .unwrap();
    }

    /// Waits until the autoscaler is in a state.
    async fn until_autoscaler(&self, is: impl Fn(&Value) -> bool) {
        let autoscalers = Api::namespaced(self.client.clone(), NAMESPACE);
        let is = |autoscaler: &HorizontalPodAutoscaler| {
            is(&serde_json::to_value(&autoscaler.status).unwrap())
        };
        wait::object(autoscalers, NAME, SOON, is).await.unwrap();
    }

    /// Replicas that an autoscaler would have wanted that goes by CPU, at 80 % of what is requested.
    async fn wanted_by_cpu(&self, used: Duration, within: Duration) -> f64 {
        let deployment = self.deployments().get(NAME).await.unwrap();
        let pod = deployment.spec.unwrap().template;
        let resources = pod.spec.unwrap().containers.remove(0).resources.unwrap();
        let requests = resources.requests.unwrap();
        let millis = requests["cpu"].0.strip_suffix('m').unwrap();
        let millis: f64 = millis.parse().unwrap();
        used.as_secs_f64() / within.as_secs_f64() / (0.8 * millis / 1000.0)
    }
}

fn install(helm: &Helm) {
    let autoscaling = json!({
        "enabled": true, "minReplicas": 1, "maxReplicas": MOST, "targetInFlight": TARGET,
        "behavior": {"scaleDown": {
            "stabilizationWindowSeconds": 30,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}],
        }},
    });
    let chart = helm.chart.to_str().unwrap();
    let autoscaling = format!("synthesizer.autoscaling={autoscaling}");
    let without_tls = ["--set", "tls.mode=off"];
    let release = ["install", RELEASE, chart, "--create-namespace", "--wait"];
    helm.done(&[&release[..], &without_tls, &["--set-json", &autoscaling]].concat());
}

fn replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref().and_then(|spec| spec.replicas)
}

async fn record(deployments: Api<Deployment>, heights: Arc<std::sync::Mutex<Vec<i32>>>) {
    let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let changes = watcher(deployments, config).default_backoff();
    let mut changes = Box::pin(changes.applied_objects());
    while let Some(deployment) = changes.try_next().await.unwrap() {
        let mut heights = heights.lock().unwrap_or_else(PoisonError::into_inner);
        heights.extend(replicas(&deployment));
        heights.dedup();
    }
}

fn has_condition(status: &Value, kind: &str, reason: &str) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| {
        condition["type"] == kind && condition["status"] == "True" && condition["reason"] == reason
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_follow_requests_that_wait_for_a_slow_llm() {
    if !extra::is_wanted(WANTED, "the chart's autoscaler", "chart autoscaling") {
        return;
    }
    let scaled = Scaled::new().await;
    let kubelet = Arc::clone(&scaled.kubelet);
    let cp = tokio::select! {
        cp = the_load_rises_and_falls(scaled) => cp,
        () = kubelet.follow() => panic!("the pods are not followed any more"),
    };
    cp.stop().await.unwrap();
}

async fn the_load_rises_and_falls(scaled: Scaled) -> ControlPlane {
    scaled.until_replicas(1).await;

    scaled.load.set(LOW);
    let target = TARGET.to_string();
    let at_target = |status: &Value| {
        let metric = &status["currentMetrics"][0]["pods"];
        metric["metric"]["name"] == METRIC && metric["current"]["averageValue"] == target.as_str()
    };
    scaled.until_autoscaler(at_target).await;
    assert!(asked_by_hand(&scaled).await.contains(r#""value":"2""#));

    let (cpu, begun) = (scaled.kubelet.cpu_time().await, Instant::now());
    scaled.load.set(HIGH);
    scaled.until_replicas(3).await;
    scaled.load.set(TOO_HIGH);
    scaled.until_replicas(MOST).await;
    let limited = |status: &Value| has_condition(status, "ScalingLimited", "TooManyReplicas");
    scaled.until_autoscaler(limited).await;
    let used = scaled.kubelet.cpu_time().await.saturating_sub(cpu);
    let by_cpu = scaled.wanted_by_cpu(used, begun.elapsed()).await;
    let is_measured = by_cpu > 0.0;
    assert!(
        is_measured && by_cpu < 1.0,
        "{used:?} of CPU call for {by_cpu} replicas"
    );

    helm_leaves_the_number_alone(&scaled).await;

    scaled.load.set(1);
    scaled.until_replicas(1).await;
    let Scaled {
        cp,
        llm,
        load,
        heights,
        recorder,
        ..
    } = scaled;
    recorder.abort();
    assert_eq!(*heights.lock().unwrap(), [1, 3, MOST, 3, 2, 1]);
    let answered = load.end().await;
    assert_eq!(llm.count(), answered, "the LLM was asked for nothing twice");
    cp
}

/// What the page has people type to see what the autoscaler sees.
async fn asked_by_hand(scaled: &Scaled) -> String {
    let terminal = scaled.helm.typed(Terminal::new().unwrap());
    let terminal = terminal.program("kubectl", &scaled.cp.ready().kubectl);
    let page = Page::read(PAGE).unwrap();
    let block = page.block("kubectl get --raw").unwrap();
    terminal.types(&[block]).await.unwrap()
}

/// An upgrade that changes the Deployment replaces each pod, under load.
async fn helm_leaves_the_number_alone(scaled: &Scaled) {
    let chart = scaled.helm.chart.to_str().unwrap();
    let annotated = "synthesizer.podAnnotations.example\\.com/a=b";
    let upgrade = ["upgrade", RELEASE, chart, "--reuse-values", "--wait"];
    let upgrade = [&upgrade[..], &["--set", annotated]].concat();
    scaled.helm.done(&upgrade);
    let deployment = scaled.deployments().get(NAME).await.unwrap();
    let template = deployment.spec.as_ref().unwrap().template.clone();
    let annotations = template.metadata.unwrap().annotations.unwrap();
    assert_eq!(annotations["example.com/a"], "b");
    assert_eq!(replicas(&deployment), Some(MOST));
    scaled.until_replicas(MOST).await;
}
