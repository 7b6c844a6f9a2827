//! Fetches from the stores what a resource refers to and what lives beside it. Reads only; decides
//! nothing.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{Resource as _, ResourceExt as _};
use langop_api::names::labels;
use langop_desired::{
    agent::ClusterView,
    cluster,
    name_conflict::{NameCollision, NamedKind},
    observed::ChildKind,
    references::{Found, ModelView, PersonaView, Source, ToolView, persona_view},
    settings::Settings,
};

use crate::{
    cache::{
        index::Index,
        objects::{Guard, Objects, Stored, Stores},
    },
    context::Context,
};

/// The objects of one namespace.
pub(crate) struct NamespaceView<'a> {
    stores: &'a Stores,
    index: &'a Index,
    settings: &'a Settings,
    namespace: &'a str,
}

impl<'a> NamespaceView<'a> {
    pub(crate) fn new(ctx: &'a Context, namespace: &'a str) -> Self {
        Self {
            stores: &ctx.cache.stores,
            index: &ctx.cache.index,
            settings: &ctx.settings.build,
            namespace,
        }
    }

    /// The LanguageCluster that manages it.
    pub(crate) fn managing_cluster(&self) -> Option<ClusterView> {
        let clusters = self.stores.clusters.list(None);
        let seen = clusters.iter().map(|cluster| cluster::ObservedCluster {
            metadata: cluster.meta(),
            cluster: cluster.0.as_ref().ok(),
        });
        let live = self.index.get(ChildKind::Namespace, "", self.namespace);
        let label = live
            .as_ref()
            .and_then(|live| live.labels.get(labels::CLUSTER));
        cluster::managing(self.namespace, label, seen)
    }

    fn find<K: Stored, V>(&self, name: &str, view: impl FnOnce(&K) -> V) -> Found<V> {
        match K::objects(self.stores).get(Some(self.namespace), name) {
            // One that is being deleted is as good as gone.
            Some(object) if object.meta().deletion_timestamp.is_some() => Found::Missing,
            Some(object) => object
                .0
                .as_ref()
                .map_or(Found::Unreadable, |object| Found::Present(view(object))),
            None => Found::Missing,
        }
    }

    /// Agents, clients and tools of the object's name but of another kind.
    pub(crate) fn same_name<K: Stored>(&self, kind: NamedKind, object: &K) -> Vec<NameCollision> {
        let name = object.name_any();
        let others = NamedKind::ALL.into_iter().filter(|other| *other != kind);
        let others = others.filter_map(|other| match other {
            NamedKind::Agent => self.collision(&self.stores.agents, other, &name),
            NamedKind::Client => self.collision(&self.stores.clients, other, &name),
            NamedKind::Tool => self.collision(&self.stores.tools, other, &name),
        });
        let created = object.creation_timestamp().map(|time| time.0);
        let settled = self.has_children(object.uid().as_deref());
        others
            .filter_map(|(other, uid)| {
                tie_break(other, created, settled, self.has_children(uid.as_deref()))
            })
            .collect()
    }

    fn collision<K: Stored>(
        &self,
        objects: &Objects<K>,
        kind: NamedKind,
        name: &str,
    ) -> Option<(NameCollision, Option<String>)> {
        let object = objects.get(Some(self.namespace), name)?;
        Some((
            NameCollision {
                kind,
                name: object.name_any(),
                created: created(&object),
            },
            object.uid(),
        ))
    }

    fn has_children(&self, uid: Option<&str>) -> HasChildren {
        if uid.is_some_and(|uid| !self.index.controlled_by(uid).is_empty()) {
            HasChildren::Yes
        } else {
            HasChildren::No
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HasChildren {
    Yes,
    No,
}

/// Times of creation are whole seconds. Of two objects of one second, the one that already has
/// children came first: it must not lose them to an order of kinds.
fn tie_break(
    other: NameCollision,
    created: Option<Timestamp>,
    own: HasChildren,
    others: HasChildren,
) -> Option<NameCollision> {
    if other.created != created {
        return Some(other);
    }
    match (own, others) {
        (HasChildren::Yes, _) => None,
        (HasChildren::No, HasChildren::Yes) => {
            let earlier = other
                .created
                .and_then(|time| time.checked_sub(SignedDuration::from_secs(1)).ok());
            Some(NameCollision {
                created: earlier,
                ..other
            })
        }
        (HasChildren::No, HasChildren::No) => Some(other),
    }
}

fn created<K: Stored>(object: &Guard<K>) -> Option<Timestamp> {
    object.meta().creation_timestamp.as_ref().map(|time| time.0)
}

impl Source for NamespaceView<'_> {
    fn tool(&self, name: &str) -> Found<ToolView> {
        self.find(name, |tool| ToolView::new(tool, self.settings))
    }

    fn model(&self, name: &str) -> Found<ModelView> {
        self.find(name, |model| ModelView::new(model, self.settings))
    }

    fn persona(&self, name: &str) -> Found<Option<PersonaView>> {
        self.find(name, persona_view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_second_the_one_with_children_came_first() {
        use HasChildren::{No, Yes};
        let at = |second| Timestamp::from_second(second).ok();
        let other = |second| NameCollision {
            kind: NamedKind::Tool,
            name: "mail".into(),
            created: at(second),
        };
        let seen = |second, own, others| {
            tie_break(other(second), at(10), own, others).map(|other| other.created)
        };
        assert_eq!(
            seen(9, Yes, No),
            Some(at(9)),
            "times decide where they differ"
        );
        assert_eq!(seen(11, No, Yes), Some(at(11)));
        assert_eq!(seen(10, Yes, Yes), None);
        assert_eq!(seen(10, No, Yes), Some(at(9)));
        assert_eq!(seen(10, No, No), Some(at(10)));
    }
}
