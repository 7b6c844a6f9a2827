//! Who must be reconciled when something changes.
//!
//! Must not decide anything: a needless trigger costs a look at the stores, a missing one costs
//! correctness.

use kube::{Resource as _, ResourceExt as _};
use langop_api::names::labels;
use langop_desired::{
    observed::{ChildKind, Observed},
    reach::BASELINE,
};

use crate::cache::{
    index::{Change, Index},
    kind::{Kind, LangopKind as _, Reference},
    objects::{Guard, Stored, Stores},
    triggers::Target,
};

/// Whose child changed: the controllers and the labels, before and after.
pub(crate) fn by_child(change: &Change) -> Vec<Target> {
    let mut targets = match change {
        Change::None => Vec::new(),
        // Whoever waits for its name, too.
        Change::Gone(old) => {
            let parents = parents(old);
            let waiting = parents
                .iter()
                .flat_map(|parent| same_name(parent.kind, &old.namespace, &parent.name));
            waiting.chain(parents.iter().cloned()).collect()
        }
        Change::Changed { old, new } => {
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
fn referring(stores: &Stores, kind: Kind, namespace: &str, name: &str) -> Vec<Target> {
    let reference = Reference::new(kind, name);
    let mut found = stores.agents.referring(namespace, reference.clone());
    found.extend(stores.clients.referring(namespace, reference));
    found
}

/// Agents, tools and clients that want the same children's name.
fn same_name(kind: Kind, namespace: &str, name: &str) -> Vec<Target> {
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
fn clusters_of(stores: &Stores, namespace: &str) -> Vec<Target> {
    let found = stores
        .clusters
        .select(|cluster| cluster.managed_namespace().as_deref() == Some(namespace));
    found
        .iter()
        .map(|cluster| Target::new(Kind::Cluster, None, &cluster.name_any()))
        .collect()
}

/// All that a LanguageCluster says something to in its namespace.
fn in_namespace(stores: &Stores, namespace: &str) -> Vec<Target> {
    let place = Some(namespace);
    // Last those that have pods: one of them sees to the baseline.
    let all = [
        stores.personas.targets(place),
        stores.agents.targets(place),
        stores.clients.targets(place),
        stores.models.targets(place),
        stores.tools.targets(place),
    ];
    let targets = all.into_iter().flatten();
    targets.map(|(target, _)| target).collect()
}

/// Who sees to it that the policy that closes a namespace is there again: any one of those in it,
/// as each does.
pub(crate) fn by_baseline(stores: &Stores, change: &Change) -> Option<Target> {
    let (Change::Gone(policy) | Change::Changed { new: policy, .. }) = change else {
        return None;
    };
    let is_baseline = policy.kind == ChildKind::NetworkPolicy && policy.name == BASELINE;
    if is_baseline {
        in_namespace(stores, &policy.namespace).pop()
    } else {
        None
    }
}

/// The others that a change of one of our objects affects.
pub(crate) fn by_object<K: Stored>(
    stores: &Stores,
    index: &Index,
    target: &Target,
    old: Option<&Guard<K>>,
    new: Option<&Guard<K>>,
) -> Vec<Target> {
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let mut targets = Vec::new();
    if old.is_none() || new.is_none() {
        targets.extend(same_name(target.kind, namespace, &target.name));
    }
    if !matters_to_others(old, new) {
        return targets;
    }
    match target.kind {
        Kind::Agent => targets.extend(clusters_of(stores, namespace)),
        Kind::Client => {}
        Kind::Cluster => {
            let named = [old, new].into_iter().flatten();
            for namespace in named.flat_map(|cluster| frames(index, cluster)) {
                targets.extend(clusters_of(stores, &namespace));
                targets.extend(in_namespace(stores, &namespace));
            }
        }
        Kind::Model | Kind::Persona | Kind::Tool => {
            targets.extend(referring(stores, target.kind, namespace, &target.name));
        }
    }
    targets.retain(|other| other != target);
    targets.sort();
    targets.dedup();
    targets
}

/// The namespaces that a LanguageCluster frames. One that cannot be read may frame that of its
/// name, and those that name it.
fn frames<K: Stored>(index: &Index, cluster: &Guard<K>) -> Vec<String> {
    if let Ok(readable) = &cluster.0 {
        return readable.managed_namespace().into_iter().collect();
    }
    let name = cluster.name_any();
    let names_it =
        |namespace: &Observed| namespace.labels.get(labels::CLUSTER) == Some(name.as_str());
    index
        .keys(ChildKind::Namespace, None)
        .into_iter()
        .filter_map(|(key, _)| index.get(key.kind, &key.namespace, &key.name))
        .filter(|namespace| names_it(namespace))
        .map(|namespace| namespace.name.clone())
        .chain([name.clone()])
        .collect()
}

/// Whether others read what changed: its existence, its spec, or that part of its status that they
/// use.
fn matters_to_others<K: Stored>(old: Option<&Guard<K>>, new: Option<&Guard<K>>) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        return true;
    };
    let (Ok(before), Ok(after)) = (&old.0, &new.0) else {
        return true;
    };
    old.meta().generation != new.meta().generation
        || old.uid() != new.uid()
        || !before.is_same_for_others(after)
}

#[cfg(test)]
mod tests {
    use langop_api::names::labels;
    use langop_desired::observed::{CompactMap, Controller, ObservedState};
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
            annotations: CompactMap::default(),
            created: String::new(),
            deleting: false,
            owned_digest: String::new(),
            state: ObservedState::None,
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
                by_child(&Change::Changed {
                    old: None,
                    new: Arc::new(child)
                }),
                expected
            );
        }
        let gone = by_child(&Change::Gone(Arc::new(child(
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
        assert_eq!(by_child(&Change::Changed { old, new }).len(), 2);
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
            stores
                .agents
                .upsert(&serde_json::from_value(agent).unwrap());
        }
        assert_eq!(
            referring(&stores, Kind::Tool, "n", "t"),
            [Target::new(Kind::Agent, Some("n"), "uses")]
        );
        assert_eq!(referring(&stores, Kind::Model, "n", "m").len(), 2);
        assert!(referring(&stores, Kind::Persona, "n", "t").is_empty());
    }

    #[test]
    fn only_agents_clients_and_tools_share_names() {
        assert_eq!(same_name(Kind::Tool, "n", "x").len(), 2);
        assert!(same_name(Kind::Model, "n", "x").is_empty());
    }
}
