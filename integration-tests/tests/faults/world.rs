//! The world of one test: a namespace, an operator that reaches the API server only through the fault proxy, a synthesizer, and a fake
//! LLM that keeps account of what was paid for in which life of the synthesizer.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use k8s_openapi::{NamespaceResourceScope, api::core::v1::ConfigMap};
use kube::{
    Resource,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use langop_api::{LanguageAgent, LanguagePersona, names::labels};
use langop_integration_tests::{
    AuditEvent, ControlPlane, FakeLlm, FaultProxy, Mark, Operator, Reply, Synthesizer,
    TestNamespace, Weather, audit,
    fake_llm::LlmRequest,
    fault_proxy::faults::Random,
    manifests,
    programs::{LeaderElection, OperatorBuilder},
    wait,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::invariants::Picture;

/// Until something must have happened: the operator's pauses after failures count in.
pub(crate) const SOON: Duration = Duration::from_mins(2);
/// Without a write for this long, the operator has settled.
const QUIET: Duration = Duration::from_secs(2);

pub(crate) struct World {
    pub cp: &'static ControlPlane,
    pub ns: TestNamespace,
    pub llm: FakeLlm,
    pub account: Arc<Account>,
    pub synthesizer: Synthesizer,
    pub operator: Operator,
    pub proxy: FaultProxy,
}

impl World {
    /// All parts up, in calm weather; `seed` decides the proxy's faults and how long the LLM takes.
    pub(crate) async fn new(prefix: &str, seed: u64) -> Self {
        let cp = ControlPlane::shared().await;
        cp.install_crds().await.unwrap();
        let ns = TestNamespace::create(cp, prefix).await.unwrap();
        let llm = FakeLlm::start().await.unwrap();
        let account = Arc::new(Account::default());
        let (noted, pauses) = (Arc::clone(&account), Mutex::new(Random::new(seed ^ 0x11a)));
        llm.reply_with(move |request| {
            noted.paid(request);
            let pause = pauses
                .lock()
                .unwrap()
                .shorter_than(Duration::from_millis(600));
            Reply::Slow(pause, Box::new(answer(request)))
        });
        let synthesizer = Synthesizer::builder()
            .provider("openai")
            .model("fake-model")
            .endpoint(llm.endpoint())
            .api_key("sk-secret-of-the-test")
            .start()
            .await
            .unwrap();
        let proxy = FaultProxy::start(cp, "via-proxy", seed).await.unwrap();
        let operator = operator(cp, &ns, &synthesizer)
            .through(&proxy)
            .start()
            .await
            .unwrap();
        Self {
            cp,
            ns,
            llm,
            account,
            synthesizer,
            operator,
            proxy,
        }
    }

    /// Applies an object of ours, given as kind, name and spec.
    pub(crate) async fn apply(&self, kind: &str, name: &str, spec: &Value) -> DynamicObject {
        let object = json!({"apiVersion": "langop.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let object = serde_json::from_value(object).unwrap();
        manifests::apply(&self.ns.client(), &object, self.ns.name())
            .await
            .unwrap()
    }

    /// A tool, a model, and an agent that uses both.
    pub(crate) async fn agent(&self, name: &str, instructions: &str) {
        self.apply(
            "LanguageTool",
            "mail",
            &json!({"image": "registry.example/mail:1"}),
        )
        .await;
        let model = json!({"provider": "anthropic", "model": "claude-sonnet-4-5", "apiKeySecretRef": {"name": "key"}});
        self.apply("LanguageModel", "brain", &model).await;
        let agent = json!({"instructions": instructions, "toolRefs": [{"name": "mail"}], "modelRefs": [{"name": "brain"}]});
        self.apply("LanguageAgent", name, &agent).await;
    }

    /// A merge patch as a user would send it.
    pub(crate) async fn patch<K>(&self, name: &str, patch: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        self.ns
            .api::<K>()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap()
    }

    pub(crate) async fn list<K>(&self) -> Vec<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        self.ns
            .api::<K>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
    }

    /// The stored revisions of an agent.
    pub(crate) async fn codes(&self, agent: &str) -> Vec<ConfigMap> {
        let of_agent = ListParams::default().labels(&format!("{}={agent}", labels::AGENT));
        self.ns
            .api::<ConfigMap>()
            .list(&of_agent)
            .await
            .unwrap()
            .items
    }

    /// Waits until everything is as the specs say; the operator must be up and the weather calm.
    pub(crate) async fn until_converged(&self) {
        let converged = wait::until("the end state that the specs say", SOON, async || {
            let violations = Picture::of(self).await.violations();
            if violations.is_empty() {
                Ok(())
            } else {
                Err(format!("\n  {}", violations.join("\n  ")))
            }
        });
        if let Err(error) = converged.await {
            panic!("{error:#}\n{}", self.said());
        }
    }

    /// Waits until all is converged and silent, and proves that silence lasts and touching everything does not end it.
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
            self.said()
        );
        self.until_converged().await;
    }

    async fn touch_everything(&self) {
        for kind in [
            "LanguageAgent",
            "LanguageTool",
            "LanguageModel",
            "LanguagePersona",
        ] {
            for object in Picture::of(self).await.names(kind) {
                let touch = json!({"metadata": {"annotations": {"somebody/else": "was here"}}});
                self.untyped(kind)
                    .patch(&object, &PatchParams::default(), &Patch::Merge(touch))
                    .await
                    .unwrap();
            }
        }
    }

    /// Objects of one of our kinds, by name of the kind.
    pub(crate) fn untyped(&self, kind: &str) -> kube::Api<DynamicObject> {
        let gvk = kube::core::GroupVersionKind::gvk("langop.io", "v1alpha1", kind);
        let resource = kube::core::ApiResource::from_gvk(&gvk);
        kube::Api::namespaced_with(self.ns.client(), self.ns.name(), &resource)
    }

    pub(crate) fn mark(&self) -> Mark {
        self.cp.audit().unwrap().mark().unwrap()
    }

    /// The operator's writes since the mark, up to silence.
    pub(crate) async fn writes_since(&self, mark: Mark) -> Vec<AuditEvent> {
        let settled = self
            .cp
            .audit()
            .unwrap()
            .settle(mark, &self.operator.writes(), QUIET)
            .await;
        settled.unwrap_or_else(|error| panic!("{error:#}\n{}", self.said()))
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
        self.account.life.fetch_add(1, Ordering::Relaxed);
        self.synthesizer.start_again().await.unwrap();
    }

    /// Objects with an attempt that is recorded and not yet ended.
    async fn begun(&self) -> u32 {
        let agents = self.list::<LanguageAgent>().await;
        let of_agents = agents.iter().filter(|agent| attempts(agent) > 0).count();
        let personas = self.list::<LanguagePersona>().await;
        let attempts =
            |persona: &LanguagePersona| persona.status.as_ref().and_then(|status| status.attempts);
        let of_personas = personas
            .iter()
            .filter(|persona| attempts(persona) > Some(0))
            .count();
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
    pub(crate) fn said(&self) -> String {
        format!(
            "namespace {}, operator log {}, synthesizer log {}, faults {:?}",
            self.ns.name(),
            self.operator.log().display(),
            self.synthesizer.log().display(),
            self.proxy.tally()
        )
    }

    /// Calm weather, and everything running.
    pub(crate) fn calm(&self) {
        self.proxy.set(Weather::Calm);
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
    Operator::builder(cp)
        .namespaces(&[ns.name()])
        .leader_election(LeaderElection::Off)
        .synthesizer(synthesizer.grpc_url())
        .synthesis_backoff("500ms", "2s")
        .env("LANGOP_LOG", "info,langop_operator=debug")
}

pub(crate) fn attempts(agent: &LanguageAgent) -> i32 {
    let info = agent
        .status
        .as_ref()
        .and_then(|status| status.synthesis_info.as_ref());
    info.and_then(|info| info.synthesis_attempts)
        .unwrap_or_default()
}

/// Calls of the LLM, by prompt and by life of the synthesizer that made them.
#[derive(Default)]
pub(crate) struct Account {
    life: AtomicU32,
    paid: Mutex<BTreeMap<(String, u32), u32>>,
    interrupted: AtomicU32,
}

impl Account {
    fn paid(&self, request: &LlmRequest) {
        let life = self.life.load(Ordering::Relaxed);
        *self
            .paid
            .lock()
            .unwrap()
            .entry((prompt(request).to_owned(), life))
            .or_default() += 1;
    }

    fn interrupted(&self, attempts: u32) {
        self.interrupted.fetch_add(attempts, Ordering::Relaxed);
    }

    /// Fails if anything was paid for twice. `demands`: how often a user wanted something made.
    pub(crate) fn audit(&self, demands: u32) {
        let paid = self.paid.lock().unwrap();
        let twice: Vec<_> = paid.iter().filter(|(_, times)| **times > 1).collect();
        assert!(
            twice.is_empty(),
            "paid for again while the synthesizer that answered lived: {twice:#?}"
        );
        let (total, interrupted) = (
            paid.values().sum::<u32>(),
            self.interrupted.load(Ordering::Relaxed),
        );
        let prompts: Vec<_> = paid.keys().collect();
        assert!(
            total <= demands + interrupted,
            "{total} calls for {demands} demands and {interrupted} interrupted attempts: {prompts:#?}"
        );
    }

    /// All calls so far.
    pub(crate) fn total(&self) -> u32 {
        self.paid.lock().unwrap().values().sum()
    }
}

/// The last message, in which all data of a request is.
fn prompt(request: &LlmRequest) -> &str {
    let messages = request.body["messages"].as_array();
    messages
        .and_then(|all| all.last()?["content"].as_str())
        .unwrap_or_default()
}

/// Code that says which instructions and variant it is for; a text for a persona.
fn answer(request: &LlmRequest) -> Reply {
    let prompt = prompt(request);
    match section(prompt, "instructions") {
        None => Reply::Text("You do as you are told.".to_owned()),
        Some(instructions) => {
            let variant = section(prompt, "variant").unwrap_or("\"first\"");
            Reply::Code(format!(
                "require 'language_operator'\n\nagent 'agent' do\n  objectives [\n    {instructions:?},\n    {variant}\n  ]\nend\n"
            ))
        }
    }
}

/// What stands between the tags of this name.
fn section<'a>(prompt: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = prompt.split_once(&format!("\n<{name}-"))?;
    let (_, content) = after.split_once(">\n")?;
    content
        .split_once(&format!("\n</{name}-"))
        .map(|(content, _)| content)
}
