//! What is measured on: namespaces with tools and a model each, and agents that use two tools and
//! the model. A bare client makes all of it; what comes of it is the operator's.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, PostParams},
};
use langop_api::{LanguageAgent, agent::ExecutionMode};
use langop_integration_tests::{ControlPlane, TestNamespace, manifests};
use serde_json::json;

use crate::{
    figures::progress,
    scale::{Scale, Shape},
};

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
/// The tools of each namespace.
const TOOLS: [&str; 2] = ["mail", "files"];
/// The namespace with few agents, beside one with all others.
pub(crate) const FEW: &str = "bench-few";
const MANY: &str = "bench-many";
/// Requests under way when agents are created or changed.
pub(crate) const CREATORS: usize = 16;
/// Size of each agent's instructions.
const INSTRUCTIONS: usize = 1024;

/// Agents of a namespace where they are suspended.
const OF_NAMESPACE: usize = 1000;
/// Namespaces that are prepared at once.
const PREPARED: usize = 8;

/// All of it.
pub(crate) struct Fleet {
    pub(crate) scale: Scale,
    namespaces: BTreeMap<String, Vec<&'static str>>,
    agents: Vec<LanguageAgent>,
}

impl Fleet {
    /// So many agents, the first ten of them with the tool that is to change.
    pub(crate) fn new(scale: Scale) -> Result<Self> {
        let mut namespaces = BTreeMap::new();
        let mut agents = Vec::new();
        for n in 0..scale.agents as usize {
            let namespace = home(scale.shape, n);
            let name = format!("agent-{n:05}");
            agents.push(if n < USERS {
                agent(&home(scale.shape, 0), &name, ["files", CHANGING])?
            } else if scale.shape == Shape::Suspended {
                suspended(&namespace, &name)?
            } else {
                agent(&namespace, &name, ["mail", "files"])?
            });
            namespaces
                .entry(namespace)
                .or_insert_with(|| TOOLS.to_vec());
        }
        let changing = namespaces.entry(home(scale.shape, 0)).or_default();
        changing.push(CHANGING);
        namespaces.extend([ALONE, HANGING].map(|name| (name.to_owned(), TOOLS.to_vec())));
        Ok(Self {
            scale,
            namespaces,
            agents,
        })
    }

    /// So many agents, scheduled and suspended: the last ten of them in a namespace of their own, all
    /// others in another.
    pub(crate) fn unequal(scale: Scale) -> Result<Self> {
        let all = scale.agents as usize;
        let agents = (0..all).map(|n| {
            let home = if n + USERS < all { MANY } else { FEW };
            suspended(home, &format!("agent-{n:05}"))
        });
        Ok(Self {
            scale,
            namespaces: [MANY, FEW]
                .map(|name| (name.to_owned(), TOOLS.to_vec()))
                .into(),
            agents: agents.collect::<Result<_>>()?,
        })
    }

    /// The namespaces in which every measurement needs the bodies of the operator's writes; none
    /// means that those of all are needed.
    pub(crate) fn recorded_namespaces(&self) -> Vec<String> {
        if self.scale.is_repeatable() {
            Vec::new()
        } else {
            vec![home(self.scale.shape, 0), ALONE.to_owned()]
        }
    }

    /// What there is before the operator sees its first agent.
    pub(crate) fn prepared(&self) -> String {
        let tools: usize = self.namespaces.values().map(Vec::len).sum();
        let namespaces = self.namespaces.len();
        format!("{namespaces} namespaces, {tools} tools and {namespaces} models")
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
        progress(&format!("a bare client makes {}", self.prepared()));
        let client = cp.client().await?;
        stream::iter(self.namespaces())
            .map(Ok)
            .try_for_each_concurrent(PREPARED, async |(name, tools): (&str, &[&str])| {
                let labels = [("pod-security.kubernetes.io/enforce", "restricted")];
                TestNamespace::create_with(cp, name, &labels).await?;
                for object in tools.iter().map(|name| tool(name)).chain([model()]) {
                    manifests::apply(&client, &object?, name).await?;
                }
                Ok(())
            })
            .await
    }
}

/// The namespace of the agent with this number.
fn home(shape: Shape, n: usize) -> String {
    match shape {
        Shape::Running => format!("bench-{}", n % 4),
        Shape::Suspended => format!("bench-{:03}", n / OF_NAMESPACE),
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

/// One that would run each morning, if it were not suspended.
fn suspended(namespace: &str, name: &str) -> Result<LanguageAgent> {
    let mut agent = agent(namespace, name, ["mail", "files"])?;
    agent.spec.execution_mode = Some(ExecutionMode::Scheduled);
    agent.spec.schedule = Some("0 9 * * *".to_owned());
    agent.spec.suspend = Some(true);
    Ok(agent)
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
