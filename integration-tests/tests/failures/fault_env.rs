//! A test's environment with faults: its operator reaches the API server only through the fault
//! proxy, and an account is kept of what the LLM was paid for.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use kube::{
    ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams},
};
use langop_api::{LanguageAgent, LanguageCluster, LanguagePersona, names::labels};
use langop_integration_tests::{
    ControlPlane, FakeLlm, FaultMode, FaultProxy, Synthesizer, TestEnv, TestNamespace, audit, env,
    manifests, metrics,
    programs::{LeaderElection, OperatorBuilder},
    run_dir, touch, wait,
};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::{invariants::Snapshot, llm::Account};

/// All our kinds.
const KINDS: [&str; 6] = [
    "LanguageCluster",
    "LanguageAgent",
    "LanguageClient",
    "LanguageTool",
    "LanguageModel",
    "LanguagePersona",
];
/// Until something must have happened: the operator's pauses after failures count in.
pub(crate) const SOON: Duration = Duration::from_mins(2);

pub(crate) struct FaultEnv {
    env: TestEnv,
    pub account: Arc<Account>,
    pub proxy: FaultProxy,
    /// Where the operator works everywhere.
    pub frame: Option<Frame>,
}

/// What an environment has whose operator works everywhere, LanguageClusters included.
pub(crate) struct Frame {
    /// Name of the LanguageCluster that may have the namespace.
    pub cluster: String,
    /// Two such operators would fight.
    _alone: MutexGuard<'static, ()>,
}

impl Deref for FaultEnv {
    type Target = TestEnv;

    fn deref(&self) -> &TestEnv {
        &self.env
    }
}

impl DerefMut for FaultEnv {
    fn deref_mut(&mut self) -> &mut TestEnv {
        &mut self.env
    }
}

impl FaultEnv {
    /// All parts up, without faults; `seed` decides the proxy's faults and how long the LLM takes.
    pub(crate) async fn new(prefix: &str, seed: u64) -> Self {
        Self::on(ControlPlane::shared().await, prefix, seed).await
    }

    /// On a control plane of the test's choice.
    pub(crate) async fn on(cp: &'static ControlPlane, prefix: &str, seed: u64) -> Self {
        cp.install_crds().await.unwrap();
        let ns = TestNamespace::create(cp, prefix).await.unwrap();
        Self::of_parts(cp, ns, None, seed).await
    }

    /// One whose operator works everywhere, on a control plane that only such worlds share, one at
    /// a time.
    pub(crate) async fn framed(seed: u64) -> Self {
        static CONTROL_PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
        static ONE: Mutex<()> = Mutex::const_new(());
        let cp = CONTROL_PLANE.get_or_init(|| async {
            let state = run_dir().unwrap().join("framed");
            ControlPlane::start(&state).await.unwrap()
        });
        let cp = cp.await;
        cp.install_crds().await.unwrap();
        let frame = Frame {
            cluster: format!("frame-{seed}"),
            _alone: ONE.lock().await,
        };
        let labels = [
            ("pod-security.kubernetes.io/enforce", "restricted"),
            (labels::CLUSTER, &frame.cluster),
        ];
        let name = format!("framed-{seed}");
        let ns = TestNamespace::create_with(cp, &name, &labels).await;
        let ns = ns.unwrap();
        Self::of_parts(cp, ns, Some(frame), seed).await
    }

    async fn of_parts(
        cp: &'static ControlPlane,
        ns: TestNamespace,
        frame: Option<Frame>,
        seed: u64,
    ) -> Self {
        let llm = FakeLlm::start().await.unwrap();
        let account = Arc::new(Account::default());
        account.open(&llm, seed);
        let synthesizer = Synthesizer::asking(&llm)
            .env("LANGOP_LLM_RETRY_DELAY", "100ms")
            .start()
            .await
            .unwrap();
        let proxy = FaultProxy::start(cp, "via-proxy", seed).await.unwrap();
        let url = synthesizer.grpc_url().to_owned();
        let env = TestEnv::of_parts(cp, ns, llm, synthesizer, |operator| {
            let operator = hasty(operator, &url).through(&proxy);
            match frame {
                Some(_) => operator.cluster_wide(),
                None => operator,
            }
        });
        Self {
            env: env.await,
            account,
            proxy,
            frame,
        }
    }

    /// Applies an object of ours, given as kind, name and spec.
    pub(crate) async fn apply_spec(&self, kind: &str, name: &str, spec: &Value) -> DynamicObject {
        let object = json!({"apiVersion": "langop.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let object = serde_json::from_value(object).unwrap();
        manifests::apply(&self.ns.client(), &object, self.ns.name())
            .await
            .unwrap()
    }

    /// A tool, a model, and an agent that uses both.
    pub(crate) async fn agent(&self, name: &str, instructions: &str) {
        self.apply_spec(
            "LanguageTool",
            "mail",
            &json!({"image": "registry.example/mail:1"}),
        )
        .await;
        let model = json!({"provider": "anthropic", "model": "claude-sonnet-4-5", "apiKeySecretRef": {"name": "key"}});
        self.apply_spec("LanguageModel", "brain", &model).await;
        let agent = json!({"instructions": instructions, "toolRefs": [{"name": "mail"}], "modelRefs": [{"name": "brain"}]});
        self.apply_spec("LanguageAgent", name, &agent).await;
    }

    /// Waits until everything is as the specs say and nothing is to be tried again; the operator
    /// must be up and no faults be made.
    pub(crate) async fn until_converged(&self) {
        let converged = wait::until("the end state that the specs say", SOON, async || {
            let wrong = self.wrong().await;
            if wrong.is_empty() {
                Ok(())
            } else {
                Err(format!("\n  {}", wrong.join("\n  ")))
            }
        });
        if let Err(error) = converged.await {
            panic!("{error:#}\n{}", self.output());
        }
    }

    /// What is not as the specs say, or is to be tried again.
    pub(crate) async fn wrong(&self) -> Vec<String> {
        let mut wrong = Snapshot::of(self).await.violations();
        let metrics = self.operator.metrics().await.unwrap_or_default();
        let retrying = metrics::metric_value(&metrics, "langop_reconcile_retrying", &[]);
        if retrying != Some(0.0) {
            wrong.push(format!("objects to be tried again: {retrying:?}"));
        }
        wrong
    }

    /// Waits until all is converged and silent, and proves that silence lasts and touching
    /// everything does not end it.
    pub(crate) async fn until_settled(&self) {
        self.until_converged().await;
        let mark = self.mark();
        self.writes_since(mark).await;
        let mark = self.mark();
        self.touch_everything().await;
        let writes = self.writes_since(mark).await;
        assert!(
            writes.is_empty(),
            "a touch is no reason to write:\n{}\n{}",
            audit::pretty(&writes),
            self.output()
        );
        self.until_converged().await;
    }

    /// Everything of the namespace, and the LanguageClusters that are cluster-scoped.
    async fn touch_everything(&self) {
        touch::everything(&self.ns.client(), self.ns.name())
            .await
            .unwrap();
        for cluster in self.clusters().await {
            let api = self.untyped("LanguageCluster");
            touch::one(&api, &cluster.name_any()).await.unwrap();
        }
    }

    /// Objects of one of our kinds, by name of the kind.
    pub(crate) fn untyped(&self, kind: &str) -> kube::Api<DynamicObject> {
        let gvk = kube::core::GroupVersionKind::gvk("langop.io", "v1alpha1", kind);
        let resource = kube::core::ApiResource::from_gvk(&gvk);
        match kind {
            "LanguageCluster" => kube::Api::all_with(self.ns.client(), &resource),
            _ => kube::Api::namespaced_with(self.ns.client(), self.ns.name(), &resource),
        }
    }

    /// The LanguageClusters that name this namespace.
    pub(crate) async fn clusters(&self) -> Vec<LanguageCluster> {
        if self.frame.is_none() {
            // Nobody here looks at any.
            return Vec::new();
        }
        let all = kube::Api::<LanguageCluster>::all(self.ns.client());
        let mut clusters = all.list(&ListParams::default()).await.unwrap().items;
        clusters.retain(|cluster| cluster.spec.namespace.as_deref() == Some(self.ns.name()));
        clusters
    }

    /// Deletes what users made, so that it does not keep the operator of the next such env busy.
    pub(crate) async fn clear(&self) {
        let snapshot = Snapshot::of(self).await;
        for kind in KINDS {
            for object in snapshot.names(kind) {
                let api = self.untyped(kind);
                api.delete(&object, &DeleteParams::default()).await.unwrap();
            }
        }
    }

    /// SIGKILL to the operator. What it had recorded as begun and not ended is on our account.
    pub(crate) async fn kill_operator(&mut self) {
        self.operator.kill().await.unwrap();
        self.account.interrupted(self.begun().await);
    }

    /// Ends the synthesizer's life; `start_synthesizer` begins the next.
    pub(crate) async fn end_synthesizer(&mut self, how: End) {
        match how {
            End::Kill => self.synthesizer.kill().await.unwrap(),
            End::Stop => self.synthesizer.stop().await.unwrap(),
        }
        self.account.interrupted(self.begun().await);
    }

    pub(crate) async fn start_synthesizer(&mut self) {
        self.account.next_life();
        self.synthesizer.start_again().await.unwrap();
    }

    /// Objects with an attempt that is recorded and not yet ended.
    async fn begun(&self) -> u32 {
        let agents = self.list::<LanguageAgent>().await;
        let of_agents = agents.iter().filter(|agent| is_asking(agent)).count();
        let personas = self.list::<LanguagePersona>().await;
        let is_asking = |persona: &&LanguagePersona| {
            let status = persona.status.as_ref();
            status.is_some_and(|s| s.attempts > Some(0) && s.last_failure_time.is_none())
        };
        let of_personas = personas.iter().filter(is_asking).count();
        u32::try_from(of_agents + of_personas).unwrap()
    }

    /// Waits until a call is under way that the LLM has not answered.
    pub(crate) async fn until_asked(&self, calls: usize) {
        wait::until("a call of the LLM", SOON, async || {
            (self.llm.count() >= calls).then_some(())
        })
        .await
        .unwrap();
    }

    /// What helps to understand a failure.
    pub(crate) fn output(&self) -> String {
        format!("{}, faults {:?}", self.env.output(), self.proxy.tally())
    }

    /// No faults, and an LLM in a good mood.
    pub(crate) fn heal(&self) {
        self.proxy.set(FaultMode::None);
        self.account.be_bad(0);
    }
}

/// How a program ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// SIGKILL
    Kill,
    /// SIGTERM
    Stop,
}

/// An operator of this namespace, with short pauses after failed syntheses.
pub(crate) fn operator(
    cp: &ControlPlane,
    ns: &TestNamespace,
    synthesizer: &Synthesizer,
) -> OperatorBuilder {
    hasty(env::operator(cp, ns), synthesizer.grpc_url())
}

fn hasty(operator: OperatorBuilder, synthesizer: &str) -> OperatorBuilder {
    operator
        .leader_election(LeaderElection::Off)
        .synthesizer(synthesizer)
        .synthesis_backoff("500ms", "2s")
}

/// An attempt has begun, and nothing is known of its end.
fn is_asking(agent: &LanguageAgent) -> bool {
    let status = agent.status.as_ref();
    let info = status.and_then(|status| status.synthesis_info.as_ref());
    attempts(agent) > 0 && info.is_some_and(|info| info.last_failure_time.is_none())
}

pub(crate) fn attempts(agent: &LanguageAgent) -> i32 {
    let info = agent
        .status
        .as_ref()
        .and_then(|status| status.synthesis_info.as_ref());
    info.and_then(|info| info.synthesis_attempts)
        .unwrap_or_default()
}
