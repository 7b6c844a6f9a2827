//! Who must be reconciled when something changes: one queue for each kind, and the rules that fill them.
//!
//! Must not decide anything: a needless trigger costs a look at the stores, a missing one costs correctness.

use std::sync::atomic::{AtomicBool, Ordering};

use kube::{Resource as _, ResourceExt as _};
use langop_api::{LanguageAgent, LanguageClient, pod::NameRef};
use langop_desired::{
    observed::{ChildKind, Observed},
    reach::BASELINE,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    index,
    kind::{Kind, LangopKind as _},
    objects::{Guard, Stores},
};

/// A resource to be reconciled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl Target {
    pub(crate) fn new(kind: Kind, namespace: Option<&str>, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }
}

/// The receiving ends of the queues, in the order of [`Kind::ALL`].
pub(crate) type Queues = [UnboundedReceiver<Target>; Kind::ALL.len()];

/// The queues of all kinds. Closed until [`Triggers::open`]: before that the picture is incomplete, and after it everything is
/// reconciled once anyway.
#[derive(Debug)]
pub(crate) struct Triggers {
    senders: [UnboundedSender<Target>; Kind::ALL.len()],
    open: AtomicBool,
}

impl Triggers {
    pub(crate) fn new() -> (Self, Queues) {
        let pairs: [_; Kind::ALL.len()] = std::array::from_fn(|_| unbounded_channel());
        let senders = std::array::from_fn(|i| pairs[i].0.clone());
        (
            Self {
                senders,
                open: AtomicBool::new(false),
            },
            pairs.map(|(_, receiver)| receiver),
        )
    }

    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(crate) fn send(&self, target: Target) {
        if self.is_open() {
            let at = Kind::ALL
                .iter()
                .position(|kind| *kind == target.kind)
                .unwrap_or_default();
            // A closed queue means that the process is ending.
            let _ = self.senders[at].send(target);
        }
    }

    pub(crate) fn send_all(&self, targets: impl IntoIterator<Item = Target>) {
        targets.into_iter().for_each(|target| self.send(target));
    }
}

/// Whose child changed: the controllers and the labels, before and after.
pub(crate) fn of_child(change: &index::Change) -> Vec<Target> {
    let mut targets = match change {
        index::Change::None => Vec::new(),
        // Whoever waits for its name, too.
        index::Change::Gone(old) => {
            let parents = parents(old);
            let waiting = parents
                .iter()
                .flat_map(|parent| namesakes(parent.kind, &old.namespace, &parent.name));
            waiting.chain(parents.iter().cloned()).collect()
        }
        index::Change::Changed { old, new } => {
            let mut targets = parents(new);
            targets.extend(old.iter().flat_map(|old| parents(old)));
            targets
        }
    };
    targets.sort();
    targets.dedup();
    targets
}

fn parents(child: &Observed) -> Vec<Target> {
    let target = |kind: Kind, name: &str| {
        let namespace = (kind != Kind::Cluster).then_some(child.namespace.as_str());
        Target::new(kind, namespace, name)
    };
    let controller = child
        .controller
        .as_ref()
        .and_then(|c| Kind::from_name(&c.kind).map(|kind| target(kind, &c.name)));
    let labelled = Kind::ALL.into_iter().filter_map(|kind| {
        let name = child.labels.get(kind.label()?)?;
        Some(target(kind, name))
    });
    controller.into_iter().chain(labelled).collect()
}

/// Agents and clients that use a tool, model or persona.
pub(crate) fn referring(stores: &Stores, kind: Kind, namespace: &str, name: &str) -> Vec<Target> {
    let refers = |refs: &[NameRef]| refs.iter().any(|reference| reference.name == name);
    let agent_refers = |agent: &LanguageAgent| match kind {
        Kind::Tool => refers(&agent.spec.tool_refs),
        Kind::Model => refers(&agent.spec.model_refs),
        Kind::Persona => agent
            .spec
            .persona_ref
            .as_ref()
            .is_some_and(|persona| persona.name == name),
        Kind::Agent | Kind::Client | Kind::Cluster => false,
    };
    let client_refers = |client: &LanguageClient| match kind {
        Kind::Tool => refers(&client.spec.tool_refs),
        Kind::Model => refers(&client.spec.model_refs),
        _ => false,
    };
    let in_namespace = |found: Option<&str>| found == Some(namespace);
    let agents = stores
        .agents
        .select(|agent| in_namespace(agent.meta().namespace.as_deref()) && agent_refers(agent));
    let clients = stores
        .clients
        .select(|client| in_namespace(client.meta().namespace.as_deref()) && client_refers(client));
    let agents = agents
        .iter()
        .map(|agent| Target::new(Kind::Agent, Some(namespace), &agent.name_any()));
    let clients = clients
        .iter()
        .map(|client| Target::new(Kind::Client, Some(namespace), &client.name_any()));
    agents.chain(clients).collect()
}

/// Agents, tools and clients that want the same children's name.
pub(crate) fn namesakes(kind: Kind, namespace: &str, name: &str) -> Vec<Target> {
    const SHARING: [Kind; 3] = [Kind::Agent, Kind::Client, Kind::Tool];
    if !SHARING.contains(&kind) {
        return Vec::new();
    }
    SHARING
        .into_iter()
        .filter(|other| *other != kind)
        .map(|other| Target::new(other, Some(namespace), name))
        .collect()
}

/// The LanguageClusters of a namespace: normally one, more where they conflict.
pub(crate) fn clusters_of(stores: &Stores, namespace: &str) -> Vec<Target> {
    let found = stores
        .clusters
        .select(|cluster| cluster.framed_namespace().as_deref() == Some(namespace));
    found
        .iter()
        .map(|cluster| Target::new(Kind::Cluster, None, &cluster.name_any()))
        .collect()
}

/// All that a LanguageCluster says something to in its namespace.
pub(crate) fn framed(stores: &Stores, namespace: &str) -> Vec<Target> {
    let place = Some(namespace);
    let agents = stores.agents.list(place);
    let clients = stores.clients.list(place);
    let models = stores.models.list(place);
    let tools = stores.tools.list(place);
    let agents = agents.iter().map(|agent| target_of(&**agent));
    let clients = clients.iter().map(|client| target_of(&**client));
    let models = models.iter().map(|model| target_of(&**model));
    let tools = tools.iter().map(|tool| target_of(&**tool));
    agents.chain(clients).chain(models).chain(tools).collect()
}

/// Who sees to it that the policy that closes a namespace is there again: any one of those in it, as each does.
pub(crate) fn of_baseline(stores: &Stores, change: &index::Change) -> Option<Target> {
    let (index::Change::Gone(policy) | index::Change::Changed { new: policy, .. }) = change else {
        return None;
    };
    let is_baseline = policy.kind == ChildKind::NetworkPolicy && policy.name == BASELINE;
    if is_baseline {
        framed(stores, &policy.namespace).pop()
    } else {
        None
    }
}

/// Everything in a store.
pub(crate) fn everything<K: crate::objects::Stored>(stores: &Stores) -> Vec<Target> {
    let all = K::objects(stores).list(None);
    all.iter().map(|object| target_of(object)).collect()
}

/// The target that an object itself is.
pub(crate) fn target_of<K: crate::kind::LangopKind>(object: &Guard<K>) -> Target {
    Target::new(
        K::KIND,
        object.meta().namespace.as_deref(),
        &object.name_any(),
    )
}

#[cfg(test)]
mod tests {
    use langop_api::names::labels;
    use langop_desired::observed::{Controller, Facts, Kept};
    use serde_json::json;
    use std::sync::Arc;

    use super::*;

    fn child(controller: Option<(&str, &str)>, label: Option<(&str, &str)>) -> Observed {
        Observed {
            kind: ChildKind::Deployment,
            name: "d".into(),
            namespace: "ns".into(),
            uid: "u".into(),
            controller: controller.map(|(kind, name)| Controller {
                kind: kind.into(),
                name: name.into(),
                uid: "o".into(),
            }),
            labels: label
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            annotations: Kept::default(),
            created: String::new(),
            deleting: false,
            owned_digest: String::new(),
            facts: Facts::None,
        }
    }

    #[test]
    fn a_child_triggers_its_controller_and_whom_its_labels_name() {
        let agent = |name: &str| Target::new(Kind::Agent, Some("ns"), name);
        let cases = [
            (child(Some(("LanguageAgent", "a")), None), vec![agent("a")]),
            (
                child(Some(("ReplicaSet", "a-1")), Some((labels::AGENT, "a"))),
                vec![agent("a")],
            ),
            (
                child(Some(("LanguageAgent", "a")), Some((labels::AGENT, "a"))),
                vec![agent("a")],
            ),
            (
                child(Some(("LanguageCluster", "c")), None),
                vec![Target::new(Kind::Cluster, None, "c")],
            ),
            (child(None, None), vec![]),
        ];
        for (child, expected) in cases {
            assert_eq!(
                of_child(&index::Change::Changed {
                    old: None,
                    new: Arc::new(child)
                }),
                expected
            );
        }
        let gone = of_child(&index::Change::Gone(Arc::new(child(
            Some(("LanguageAgent", "a")),
            None,
        ))));
        let waiting = [
            agent("a"),
            Target::new(Kind::Client, Some("ns"), "a"),
            Target::new(Kind::Tool, Some("ns"), "a"),
        ];
        assert_eq!(gone, waiting, "others may wait for its name");
    }

    #[test]
    fn a_child_that_changes_hands_triggers_both() {
        let old = Some(Arc::new(child(Some(("LanguageAgent", "a")), None)));
        let new = Arc::new(child(Some(("LanguageTool", "t")), None));
        assert_eq!(of_child(&index::Change::Changed { old, new }).len(), 2);
    }

    #[test]
    fn references_count_only_in_their_namespace() {
        let stores = Stores::new(u64::MAX);
        for (namespace, name, tool) in [
            ("n", "uses", "t"),
            ("n", "other", "x"),
            ("m", "elsewhere", "t"),
        ] {
            let agent = json!({
                "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
                "metadata": {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1"},
                "spec": {"toolRefs": [{"name": tool}], "modelRefs": [{"name": "m"}]}
            });
            stores.agents.upsert(serde_json::from_value(agent).unwrap());
        }
        assert_eq!(
            referring(&stores, Kind::Tool, "n", "t"),
            [Target::new(Kind::Agent, Some("n"), "uses")]
        );
        assert_eq!(referring(&stores, Kind::Model, "n", "m").len(), 2);
        assert!(referring(&stores, Kind::Persona, "n", "t").is_empty());
    }

    #[test]
    fn nothing_is_queued_before_the_picture_is_complete() {
        let (triggers, mut queues) = Triggers::new();
        triggers.send(Target::new(Kind::Tool, Some("n"), "early"));
        triggers.open();
        triggers.send(Target::new(Kind::Tool, Some("n"), "late"));
        let tools = &mut queues[5];
        assert_eq!(tools.try_recv().unwrap().name, "late");
        assert!(tools.try_recv().is_err());
    }

    #[test]
    fn only_agents_clients_and_tools_share_names() {
        assert_eq!(namesakes(Kind::Tool, "n", "x").len(), 2);
        assert!(namesakes(Kind::Model, "n", "x").is_empty());
    }
}
