//! The world of one test: a namespace, an operator for it, a synthesizer, a fake LLM; and the questions tests ask.

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
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Resource, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use langop_api::{LanguageAgent, LanguageModel, LanguagePersona, LanguageTool, names::labels};
use langop_integration_tests::{
    ControlPlane, FakeLlm, Mark, Operator, Reply, Synthesizer, TestNamespace, manifests,
    programs::OperatorBuilder, wait,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::deeds::Deeds;

/// Until something must have happened. Generous: the machines are small and tests run side by side.
pub(crate) const SOON: Duration = Duration::from_mins(1);
/// Without a write for this long, the operator has settled: longer than any debounce, requeue or pod start of kwok.
const QUIET: Duration = Duration::from_secs(2);

pub(crate) struct World {
    pub cp: &'static ControlPlane,
    pub ns: TestNamespace,
    pub llm: FakeLlm,
    pub synthesizer: Synthesizer,
    pub operator: Operator,
    /// Names of the events that a test was told of.
    told: Mutex<BTreeSet<String>>,
}

impl World {
    /// All parts up.
    pub(crate) async fn new(prefix: &str) -> Self {
        Self::choosing(prefix, |operator| operator).await
    }

    /// All parts up, the operator with other settings.
    pub(crate) async fn choosing(
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

    /// With a synthesizer and an operator of the test's choice; the operator is limited to the world's namespace.
    pub(crate) async fn with(
        prefix: &str,
        llm: FakeLlm,
        synthesizer: Synthesizer,
        choose: impl FnOnce(OperatorBuilder) -> OperatorBuilder,
    ) -> Self {
        let cp = ControlPlane::shared().await;
        cp.install_crds().await.unwrap();
        let ns = TestNamespace::create(cp, prefix).await.unwrap();
        let builder = Operator::builder(cp)
            .namespaces(&[ns.name()])
            .env("LANGOP_LOG", "info,langop_operator=debug");
        let operator = choose(builder).start().await.unwrap();
        Self {
            cp,
            ns,
            llm,
            synthesizer,
            operator,
            told: Mutex::default(),
        }
    }

    /// Applies YAML documents as a user would.
    pub(crate) async fn apply(&self, yaml: &str) {
        self.try_apply(yaml).await.unwrap();
    }

    /// Applies YAML documents, or says what the API server says.
    pub(crate) async fn try_apply(&self, yaml: &str) -> anyhow::Result<Vec<DynamicObject>> {
        let mut applied = Vec::new();
        for object in manifests::parse(yaml)? {
            applied.push(manifests::apply(&self.ns.client(), &object, self.ns.name()).await?);
        }
        Ok(applied)
    }

    /// A merge patch as a user would send it.
    pub(crate) async fn patch<K>(&self, name: &str, patch: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        self.ns
            .api::<K>()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap()
    }

    /// Changes the instructions of an agent.
    pub(crate) async fn instruct(&self, agent: &str, instructions: &str) {
        self.patch::<LanguageAgent>(agent, json!({"spec": {"instructions": instructions}}))
            .await;
    }

    /// Waits until an object is as asked.
    pub(crate) async fn until<K>(&self, name: &str, predicate: impl Fn(&K) -> bool) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Send
            + Serialize
            + DeserializeOwned
            + 'static,
    {
        match wait::object(self.ns.api::<K>(), name, SOON, predicate).await {
            Ok(object) => object,
            Err(error) => panic!("{error:#}\noperator log: {}", self.operator.log().display()),
        }
    }

    /// Waits until the agent is Ready for its present generation.
    pub(crate) async fn until_ready(&self, agent: &str) -> LanguageAgent {
        self.until(agent, |agent: &LanguageAgent| {
            is(agent, "Ready", "True") && is_current(agent)
        })
        .await
    }

    /// Waits until a condition of the agent has this status and reason.
    pub(crate) async fn until_condition(
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

    pub(crate) async fn deployment(&self, name: &str) -> Deployment {
        self.ns.api::<Deployment>().get(name).await.unwrap()
    }

    pub(crate) async fn get<K>(&self, name: &str) -> Option<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        self.ns.api::<K>().get_opt(name).await.unwrap()
    }

    /// The stored revisions of an agent, oldest first.
    pub(crate) async fn revisions(&self, agent: &str) -> Vec<ConfigMap> {
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
    pub(crate) async fn pods(&self, agent: &str) -> Vec<Pod> {
        let selector = ListParams::default().labels(&format!("{}={agent}", labels::AGENT));
        self.ns.api::<Pod>().list(&selector).await.unwrap().items
    }

    /// Waits until the operator is silent and returns a mark of that moment.
    pub(crate) async fn settled(&self) -> Mark {
        self.done_since(self.mark()).await;
        self.mark()
    }

    /// A mark of this moment, for where the operator was just seen to be silent.
    pub(crate) fn mark(&self) -> Mark {
        self.cp.audit().unwrap().mark().unwrap()
    }

    /// What the operator did since the mark, up to silence.
    pub(crate) async fn done_since(&self, mark: Mark) -> Deeds {
        let writes = self
            .cp
            .audit()
            .unwrap()
            .settle(mark, &self.operator.writes(), QUIET)
            .await;
        Deeds::of(writes.unwrap())
    }

    /// The reasons, sorted, of all events about an object that were not told by this before. Complete once the operator has settled:
    /// telling an event is a write, too.
    pub(crate) async fn news_of(&self, kind: &str, name: &str) -> Vec<String> {
        let all = ListParams::default();
        let mut news = self.ns.api::<Event>().list(&all).await.unwrap().items;
        news.retain(|event| {
            let about = event.regarding.clone().unwrap_or_default();
            let is_ours = event.reporting_controller.as_deref() == Some("langop.io/operator");
            is_ours && about.kind.as_deref() == Some(kind) && about.name.as_deref() == Some(name)
        });
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        news.retain(|event| told.insert(event.name_any()));
        let mut reasons: Vec<String> = news.into_iter().filter_map(|event| event.reason).collect();
        reasons.sort();
        reasons
    }

    /// The news of an agent.
    pub(crate) async fn news(&self, agent: &str) -> Vec<String> {
        self.news_of("LanguageAgent", agent).await
    }

    /// Calls of (Synthesize, DistillPersona) so far.
    pub(crate) async fn calls(&self) -> (u64, u64) {
        (
            self.synthesizer.calls("Synthesize").await.unwrap(),
            self.synthesizer.calls("DistillPersona").await.unwrap(),
        )
    }

    /// A tool and a model, up: nothing of them is still to be written.
    pub(crate) async fn with_tool_and_model(&self) {
        self.apply(TOOL).await;
        self.apply(MODEL).await;
        self.until("mail", |tool: &Tool| {
            tool.status
                .as_ref()
                .is_some_and(|s| is_ready(&s.conditions))
        })
        .await;
        self.until("brain", |model: &Model| {
            model
                .status
                .as_ref()
                .is_some_and(|s| is_ready(&s.conditions))
        })
        .await;
    }

    /// A tool, a model, and an agent that uses both.
    pub(crate) async fn with_agent(&self, name: &str, instructions: &str) -> LanguageAgent {
        self.with_tool_and_model().await;
        self.apply(&agent_yaml(name, instructions)).await;
        self.until_ready(name).await
    }
}

pub(crate) const TOOL: &str = "
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: mail}
spec:
  image: registry.example/mail:1
  description: Sends mail
  operations: [{name: send, description: Sends one mail}]
";

pub(crate) const MODEL: &str = "
apiVersion: langop.io/v1alpha1
kind: LanguageModel
metadata: {name: brain}
spec:
  provider: anthropic
  model: claude-sonnet-4-5
  apiKeySecretRef: {name: brain-key}
";

pub(crate) fn agent_yaml(name: &str, instructions: &str) -> String {
    format!(
        "
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {{name: {name}}}
spec:
  instructions: {instructions:?}
  toolRefs: [{{name: mail}}]
  modelRefs: [{{name: brain}}]
"
    )
}

/// Valid code that says which it is.
pub(crate) fn code(objective: &str) -> Reply {
    Reply::Code(format!(
        "require 'language_operator'\n\nagent 'agent' do\n  objectives [\n    {objective:?}\n  ]\nend\n"
    ))
}

/// Valid code with a schedule.
pub(crate) fn scheduled_code(schedule: &str) -> Reply {
    Reply::Code(format!(
        "require 'language_operator'\n\nagent 'agent' do\n  schedule {schedule}\n  objectives [\n    \"Do it\"\n  ]\nend\n"
    ))
}

pub(crate) fn is_ready(conditions: &[Condition]) -> bool {
    conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub(crate) fn condition<'a>(agent: &'a LanguageAgent, type_: &str) -> Option<&'a Condition> {
    agent
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
}

pub(crate) fn is(agent: &LanguageAgent, type_: &str, status: &str) -> bool {
    condition(agent, type_).is_some_and(|condition| condition.status == status)
}

pub(crate) fn is_current(agent: &LanguageAgent) -> bool {
    agent
        .status
        .as_ref()
        .is_some_and(|status| status.observed_generation == agent.meta().generation)
}

pub(crate) fn revision(map: &ConfigMap) -> i64 {
    map.annotations()
        .get(langop_api::names::annotations::REVISION)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// An environment variable's plain value in the (first) container of a Deployment.
pub(crate) fn env(deployment: &Deployment, name: &str) -> Option<String> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let variable = pod
        .containers
        .first()?
        .env
        .as_ref()?
        .iter()
        .find(|variable| variable.name == name)?;
    variable.value.clone()
}

/// The number of its rollouts so far.
pub(crate) fn rollouts(deployment: &Deployment) -> String {
    deployment
        .annotations()
        .get("deployment.kubernetes.io/revision")
        .cloned()
        .unwrap_or_default()
}

/// The code ConfigMap a Deployment mounts.
pub(crate) fn mounted_code(deployment: &Deployment) -> Option<String> {
    let volumes = deployment
        .spec
        .as_ref()?
        .template
        .spec
        .as_ref()?
        .volumes
        .as_ref()?;
    volumes
        .iter()
        .find_map(|volume| volume.config_map.as_ref().map(|map| map.name.clone()))
}

/// Names used by several tests, so that typed access is checked here once.
pub(crate) type Tool = LanguageTool;
pub(crate) type Model = LanguageModel;
pub(crate) type Persona = LanguagePersona;
