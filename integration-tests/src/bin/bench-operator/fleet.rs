//! What is measured on: namespaces with tools and a model each, and agents that use two tools and
//! the model.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, PostParams},
};
use langop_api::LanguageAgent;
use langop_integration_tests::{ControlPlane, TestNamespace, manifests};
use serde_json::json;

/// The model of each namespace.
pub(crate) const MODEL: &str = "brain";
/// The tool whose port is changed, in the first namespace.
pub(crate) const CHANGING: &str = "changing";
/// Agents that use it.
pub(crate) const USERS: usize = 10;
/// Where single agents are measured.
pub(crate) const ALONE: &str = "bench-alone";
/// Where agents wait for an LLM that never answers.
pub(crate) const HANGING: &str = "bench-hanging";
/// Requests under way when agents are created.
const CREATORS: usize = 16;
/// Size of each agent's instructions.
const INSTRUCTIONS: usize = 1024;

/// All of it.
pub(crate) struct Fleet {
    namespaces: BTreeMap<String, Vec<&'static str>>,
    agents: Vec<LanguageAgent>,
}

impl Fleet {
    /// So many agents, the first ten of them with the tool that is to change.
    pub(crate) fn new(agents: u32) -> Result<Self> {
        let home = |n: usize| format!("bench-{}", n % 4);
        let agents = (0..agents as usize).map(|n| {
            let name = format!("agent-{n:05}");
            if n < USERS {
                agent(&home(0), &name, ["files", CHANGING])
            } else {
                agent(&home(n), &name, ["mail", "files"])
            }
        });
        let tools = |n| {
            if n == 0 {
                vec!["mail", "files", CHANGING]
            } else {
                vec!["mail", "files"]
            }
        };
        let mut namespaces: BTreeMap<_, _> = (0..4).map(|n| (home(n), tools(n))).collect();
        namespaces.extend([ALONE, HANGING].map(|name| (name.to_owned(), vec!["mail", "files"])));
        Ok(Self {
            namespaces,
            agents: agents.collect::<Result<_>>()?,
        })
    }

    /// Namespaces and their tools.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = (&str, &[&'static str])> {
        self.namespaces
            .iter()
            .map(|(name, tools)| (name.as_str(), tools.as_slice()))
    }

    /// The agents to bring up.
    pub(crate) fn agents(&self) -> &[LanguageAgent] {
        &self.agents
    }

    /// Those that use the tool that changes, in its namespace.
    pub(crate) fn users(&self) -> &[LanguageAgent] {
        &self.agents[..USERS]
    }

    /// Installs the CRDs and makes namespaces, tools and models.
    pub(crate) async fn prepare(&self, cp: &ControlPlane) -> Result<()> {
        cp.install_crds().await?;
        let client = cp.client().await?;
        for (namespace, tools) in self.namespaces() {
            TestNamespace::create_with(
                cp,
                namespace,
                &[("pod-security.kubernetes.io/enforce", "restricted")],
            )
            .await?;
            for object in tools.iter().map(|name| tool(name)).chain([model()]) {
                manifests::apply(&client, &object?, namespace).await?;
            }
        }
        Ok(())
    }
}

/// Creates agents, some at once; `created` is told each one's place in the list and uid.
pub(crate) async fn create(
    client: &Client,
    agents: &[LanguageAgent],
    created: impl Fn(usize, String),
) -> Result<()> {
    let created = &created;
    stream::iter(agents.iter().enumerate())
        .map(Ok)
        .try_for_each_concurrent(CREATORS, async |(n, agent): (usize, &LanguageAgent)| {
            let api: Api<LanguageAgent> =
                Api::namespaced(client.clone(), &agent.namespace().unwrap_or_default());
            let made = api.create(&PostParams::default(), agent).await;
            let made =
                made.with_context(|| format!("cannot create the agent {}", agent.name_any()))?;
            created(n, made.uid().context("an agent without uid")?);
            Ok(())
        })
        .await
}

/// An autonomous agent with instructions of its own.
pub(crate) fn agent(namespace: &str, name: &str, tools: [&str; 2]) -> Result<LanguageAgent> {
    let agent = json!({
        "apiVersion": "langop.io/v1alpha1",
        "kind": "LanguageAgent",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "instructions": instructions(name),
            "executionMode": "autonomous",
            "modelRefs": [{"name": MODEL}],
            "toolRefs": tools.map(|name| json!({"name": name})),
        },
    });
    serde_json::from_value(agent).context("no LanguageAgent")
}

/// Text of 1 KiB that no other agent has.
fn instructions(name: &str) -> String {
    let sentences = (1..).map(|n| format!("Look after folder {n} of {name}: read what is new, answer what can be answered, and note the rest. "));
    let mut text = String::new();
    for sentence in sentences {
        text.push_str(&sentence);
        if text.len() >= INSTRUCTIONS {
            break;
        }
    }
    text.truncate(INSTRUCTIONS);
    text
}

fn tool(name: &str) -> Result<DynamicObject> {
    object(json!({
        "apiVersion": "langop.io/v1alpha1",
        "kind": "LanguageTool",
        "metadata": {"name": name},
        "spec": {
            "image": "registry.example/tool:1",
            "description": "A tool of the benchmark",
            "operations": [{"name": "read", "description": "Reads"}, {"name": "write", "description": "Writes"}],
        },
    }))
}

fn model() -> Result<DynamicObject> {
    object(json!({
        "apiVersion": "langop.io/v1alpha1",
        "kind": "LanguageModel",
        "metadata": {"name": MODEL},
        "spec": {"provider": "anthropic", "model": "claude-sonnet-4-5", "apiKeySecretRef": {"name": "brain-key"}},
    }))
}

fn object(value: serde_json::Value) -> Result<DynamicObject> {
    serde_json::from_value(value).context("no Kubernetes object")
}
