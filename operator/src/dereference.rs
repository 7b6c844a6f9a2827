//! Fetches from the stores what a resource refers to and what lives beside it. Reads only; decides nothing.

use kube::{Resource as _, ResourceExt as _};
use langop_desired::{
    namesake::{NamedKind, Namesake},
    references::{Found, ModelView, PersonaView, Source, ToolView, persona_view},
    settings::Settings,
};

use crate::{
    context::Context,
    objects::{Guard, Objects, Stored, Stores},
};

/// The objects of one namespace.
pub(crate) struct InNamespace<'a> {
    pub(crate) stores: &'a Stores,
    pub(crate) settings: &'a Settings,
    pub(crate) namespace: &'a str,
}

impl<'a> InNamespace<'a> {
    pub(crate) fn new(ctx: &'a Context, namespace: &'a str) -> Self {
        Self { stores: &ctx.stores, settings: &ctx.settings.build, namespace }
    }

    fn find<K: Stored, V>(&self, name: &str, view: impl FnOnce(&K) -> V) -> Found<V> {
        match K::objects(self.stores).get(Some(self.namespace), name) {
            // One that is being deleted is as good as gone.
            Some(object) if object.meta().deletion_timestamp.is_some() => Found::Missing,
            Some(object) => object.0.as_ref().map_or(Found::Unreadable, |object| Found::Present(view(object))),
            None => Found::Missing,
        }
    }

    /// Agents, clients and tools of that name but of another kind.
    pub(crate) fn namesakes(&self, kind: NamedKind, name: &str) -> Vec<Namesake> {
        let agent = self.namesake(&self.stores.agents, NamedKind::Agent, name);
        let client = self.namesake(&self.stores.clients, NamedKind::Client, name);
        let tool = self.namesake(&self.stores.tools, NamedKind::Tool, name);
        [agent, client, tool].into_iter().flatten().filter(|other| other.kind != kind).collect()
    }

    fn namesake<K: Stored>(&self, objects: &Objects<K>, kind: NamedKind, name: &str) -> Option<Namesake> {
        let object = objects.get(Some(self.namespace), name)?;
        Some(Namesake { kind, name: object.name_any(), created: created(&object) })
    }
}

fn created<K: Stored>(object: &Guard<K>) -> Option<k8s_openapi::jiff::Timestamp> {
    object.meta().creation_timestamp.as_ref().map(|time| time.0)
}

impl Source for InNamespace<'_> {
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
