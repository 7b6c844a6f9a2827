//! The environment of one end-to-end test: a namespace, an operator for it, a synthesizer and a
//! fake LLM; what a user does there, and what tests ask. Fails by panicking, as the test that it is
//! part of. Faults on the way are another matter: `tests/failures` has them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "what fails here fails the test"
)]

mod fixtures;
mod jobs;
mod reading;
mod writes;

use std::{
    collections::BTreeSet,
    fmt::Debug,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Pod},
        events::v1::Event,
    },
};
use kube::{
    Resource, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use langop_api::{LanguageAgent, LanguageModel, LanguageTool, names::labels};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub use self::{
    fixtures::{MODEL, TOOL, agent_yaml, code, scheduled_code},
    reading::{
        condition, counts, env_value, is, is_current, is_ready, mounted_code, revision, rollouts,
    },
    writes::WriteSummary,
};
use crate::{
    audit::{AuditEvent, Mark},
    control_plane::ControlPlane,
    fake_llm::FakeLlm,
    manifests,
    namespace::TestNamespace,
    programs::{Operator, OperatorBuilder, Synthesizer},
    wait,
};

/// Until something must have happened. Generous: the machines are small and tests run side by side.
pub const SOON: Duration = Duration::from_mins(2);
/// Without a write for this long, the operator has settled: longer than any debounce, requeue or
/// pod start of kwok.
const QUIET: Duration = Duration::from_secs(2);

/// A namespaced kind that the API server has typed objects of.
pub trait Namespaced:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned
{
}

impl<K> Namespaced for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
{
}

/// An operator of this namespace alone, which logs what helps to understand a failure.
pub fn operator(cp: &ControlPlane, ns: &TestNamespace) -> OperatorBuilder {
    Operator::builder(cp)
        .namespaces(&[ns.name()])
        .env("LANGOP_LOG", "info,langop_operator=debug")
}

/// All parts of one test. They end when it is dropped.
pub struct TestEnv {
    /// Where the namespace is.
    pub cp: &'static ControlPlane,
    /// The test's own.
    pub ns: TestNamespace,
    /// What the synthesizer asks.
    pub llm: FakeLlm,
    /// What the operator asks.
    pub synthesizer: Synthesizer,
    /// Limited to the namespace, unless the test chose otherwise.
    pub operator: Operator,
    /// Names of the events that [`TestEnv::new_events_of`] has returned.
    seen_events: Mutex<BTreeSet<String>>,
}

impl TestEnv {
    /// All parts up, on the control plane that the tests of a program share.
    pub async fn new(prefix: &str) -> Self {
        Self::choosing(prefix, |operator| operator).await
    }

    /// All parts up, the operator with other settings.
    pub async fn choosing(
        prefix: &str,
        choose: impl FnOnce(OperatorBuilder) -> OperatorBuilder,
    ) -> Self {
        let llm = FakeLlm::start().await.unwrap();
        let synthesizer = Synthesizer::asking(&llm).start().await.unwrap();
        let url = synthesizer.grpc_url().to_owned();
        Self::with(prefix, llm, synthesizer, |operator| {
            choose(operator.synthesizer(&url).synthesis_backoff("1s", "4s"))
        })
        .await
    }

    /// With a synthesizer and an operator of the test's choice.
    pub async fn with(
        prefix: &str,
        llm: FakeLlm,
        synthesizer: Synthesizer,
        choose: impl FnOnce(OperatorBuilder) -> OperatorBuilder,
    ) -> Self {
        let cp = ControlPlane::shared().await;
        cp.install_crds().await.unwrap();
        let ns = TestNamespace::create(cp, prefix).await.unwrap();
        Self::of_parts(cp, ns, llm, synthesizer, choose).await
    }

    /// In a namespace of the test's choice. The control plane has our CRDs.
    pub async fn of_parts(
        cp: &'static ControlPlane,
        ns: TestNamespace,
        llm: FakeLlm,
        synthesizer: Synthesizer,
        choose: impl FnOnce(OperatorBuilder) -> OperatorBuilder,
    ) -> Self {
        let operator = choose(operator(cp, &ns)).start().await.unwrap();
        Self {
            cp,
            ns,
            llm,
            synthesizer,
            operator,
            seen_events: Mutex::default(),
        }
    }

    /// Applies YAML documents as a user would.
    pub async fn apply(&self, yaml: &str) {
        self.try_apply(yaml).await.unwrap();
    }

    /// Applies YAML documents, or says what the API server says.
    pub async fn try_apply(&self, yaml: &str) -> anyhow::Result<Vec<DynamicObject>> {
        let mut applied = Vec::new();
        for object in manifests::parse(yaml)? {
            applied.push(manifests::apply(&self.ns.client(), &object, self.ns.name()).await?);
        }
        Ok(applied)
    }

    /// A merge patch as a user would send it.
    pub async fn patch<K: Namespaced>(&self, name: &str, patch: Value) -> K {
        self.ns
            .api::<K>()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap()
    }

    /// Changes the instructions of an agent.
    pub async fn instruct(&self, agent: &str, instructions: &str) {
        self.patch::<LanguageAgent>(agent, json!({"spec": {"instructions": instructions}}))
            .await;
    }

    /// Waits until an object is as asked.
    pub async fn until<K>(&self, name: &str, predicate: impl Fn(&K) -> bool) -> K
    where
        K: Namespaced + Send + Serialize + 'static,
    {
        match wait::object(self.ns.api::<K>(), name, SOON, predicate).await {
            Ok(object) => object,
            Err(error) => panic!("{error:#}\n{}", self.output()),
        }
    }

    /// Waits until the agent is Ready for its present generation.
    pub async fn until_ready(&self, agent: &str) -> LanguageAgent {
        self.until(agent, |agent: &LanguageAgent| {
            is(agent, "Ready", "True") && is_current(agent)
        })
        .await
    }

    /// Waits until a condition of the agent has this status and reason.
    pub async fn until_condition(
        &self,
        agent: &str,
        type_: &str,
        status: &str,
        reason: &str,
    ) -> LanguageAgent {
        self.until(agent, |agent: &LanguageAgent| {
            condition(agent, type_).is_some_and(|c| c.status == status && c.reason == reason)
                && is_current(agent)
        })
        .await
    }

    /// A Deployment that must be there.
    pub async fn deployment(&self, name: &str) -> Deployment {
        self.ns.api::<Deployment>().get(name).await.unwrap()
    }

    /// An object, if it is there.
    pub async fn get<K: Namespaced>(&self, name: &str) -> Option<K> {
        self.ns.api::<K>().get_opt(name).await.unwrap()
    }

    /// All objects of a kind.
    pub async fn list<K: Namespaced>(&self) -> Vec<K> {
        let all = ListParams::default();
        self.ns.api::<K>().list(&all).await.unwrap().items
    }

    /// The stored revisions of an agent, oldest first.
    pub async fn revisions(&self, agent: &str) -> Vec<ConfigMap> {
        let selector = ListParams::default().labels(&format!("{}={agent}", labels::AGENT));
        let mut maps = self
            .ns
            .api::<ConfigMap>()
            .list(&selector)
            .await
            .unwrap()
            .items;
        maps.sort_by_key(revision);
        maps
    }

    /// The pods of an agent.
    pub async fn pods(&self, agent: &str) -> Vec<Pod> {
        let selector = ListParams::default().labels(&format!("{}={agent}", labels::AGENT));
        self.ns.api::<Pod>().list(&selector).await.unwrap().items
    }

    /// Waits until the operator is silent and returns a mark of that moment.
    pub async fn settled(&self) -> Mark {
        self.writes_since(self.mark()).await;
        self.mark()
    }

    /// A mark of this moment, for where the operator was just seen to be silent.
    pub fn mark(&self) -> Mark {
        self.cp.audit().unwrap().mark().unwrap()
    }

    /// The operator's writes since the mark, up to silence.
    pub async fn writes_since(&self, mark: Mark) -> Vec<AuditEvent> {
        let audit = self.cp.audit().unwrap();
        let settled = audit.settle(mark, &self.operator.writes(), QUIET).await;
        settled.unwrap_or_else(|error| panic!("{error:#}\n{}", self.output()))
    }

    /// Those writes, summarized.
    pub async fn summary_since(&self, mark: Mark) -> WriteSummary {
        WriteSummary::of(self.writes_since(mark).await)
    }

    /// The reasons, sorted, of all events about an object that this has not returned before.
    /// Complete once the operator has settled, because an event is a write, too.
    pub async fn new_events_of(&self, kind: &str, name: &str) -> Vec<String> {
        let mut events = self.list::<Event>().await;
        events.retain(|event| {
            let about = event.regarding.clone().unwrap_or_default();
            let is_ours = event.reporting_controller.as_deref() == Some("langop.io/operator");
            is_ours && about.kind.as_deref() == Some(kind) && about.name.as_deref() == Some(name)
        });
        let mut seen = self
            .seen_events
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        events.retain(|event| seen.insert(event.name_any()));
        let mut reasons: Vec<String> = events
            .into_iter()
            .filter_map(|event| event.reason)
            .collect();
        reasons.sort();
        reasons
    }

    /// The new events of an agent, but for that a synthesis lasts, which depends on the machine.
    pub async fn new_events(&self, agent: &str) -> Vec<String> {
        let mut events = self.new_events_of("LanguageAgent", agent).await;
        events.retain(|reason| reason != "SynthesisStarted");
        events
    }

    /// What helps to understand a failure.
    pub fn output(&self) -> String {
        format!(
            "namespace {}, operator log {}, synthesizer log {}",
            self.ns.name(),
            self.operator.log().display(),
            self.synthesizer.log().display()
        )
    }

    /// Calls of (Synthesize, DistillPersona) so far.
    pub async fn calls(&self) -> (u64, u64) {
        (
            self.synthesizer.calls("Synthesize").await.unwrap(),
            self.synthesizer.calls("DistillPersona").await.unwrap(),
        )
    }

    /// A tool and a model, up: nothing of them is still to be written.
    pub async fn with_tool_and_model(&self) {
        self.apply(TOOL).await;
        self.apply(MODEL).await;
        self.until("mail", |tool: &LanguageTool| {
            tool.status
                .as_ref()
                .is_some_and(|s| is_ready(&s.conditions))
        })
        .await;
        self.until("brain", |model: &LanguageModel| {
            model
                .status
                .as_ref()
                .is_some_and(|s| is_ready(&s.conditions))
        })
        .await;
    }

    /// The agent with two revisions: the code "first" for `report`, then "second" for `report more`.
    pub async fn with_two_revisions(&self, agent: &str) {
        self.llm.reply(fixtures::code("first"));
        self.with_agent(agent, "report").await;
        self.llm.reply(fixtures::code("second"));
        self.instruct(agent, "report more").await;
        self.until_ready(agent).await;
        self.settled().await;
    }

    /// A tool, a model, and an agent that uses both.
    pub async fn with_agent(&self, name: &str, instructions: &str) -> LanguageAgent {
        self.with_tool_and_model().await;
        self.apply(&agent_yaml(name, instructions)).await;
        self.until_ready(name).await
    }
}
